"""A training that begins with another run's weights: what it takes over, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from phasemesh.contract.errors import InputError
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, save_checkpoint
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.learners.learner import Core
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.origin import find_origin, take_over
from phasemesh.trainer.recipe import LearnerKind, LearnerRecipe, Recipe, RewardRecipe
from phasemesh.trainer.rewards import RewardKind
from phasemesh.trainer.run_folder import begin_run, describe, read_run

pytestmark = pytest.mark.train


def make_core(recipe: Recipe, seed: int) -> Core:
    """Fresh networks and an optimiser."""
    torch.manual_seed(seed)
    return Core(UniversalActor(), Critic(), recipe, torch.device("cpu"), torch.optim.Adam)


def make_run(folder: Path, recipe: Recipe, iteration: int = 7) -> Core:
    """A run as it lies on the disk, and its networks."""
    core = make_core(recipe, seed=1)
    core.scale.note(torch.arange(10.0))
    begin_run(folder, describe("bayesg", recipe, ("grid2x2",), 1))
    save_checkpoint(folder / CHECKPOINT_NAME, core, np.random.default_rng(1), iteration=iteration, elapsed_s=1.0)
    return core


def taken(old: Core, new: Core) -> dict[str, bool]:
    """Which parts of `old` are in `new`."""
    pairs = {"actor": (old.actor, new.actor), "critic": (old.critic, new.critic), "scale": (old.scale, new.scale)}
    return {
        name: all(torch.equal(tensor, after.state_dict()[key]) for key, tensor in before.state_dict().items())
        for name, (before, after) in pairs.items()
    }


@pytest.mark.parametrize(
    ("old", "has_critic"),
    [
        (Recipe(), True),
        (Recipe(reward=RewardRecipe(kind=RewardKind.HALTING)), False),
        (Recipe(learner=LearnerRecipe(kind=LearnerKind.DISTIL)), False),
    ],
)
def test_the_critic_comes_along_where_it_has_learned_the_same_rewards(
    tmp_path: Path, old: Recipe, *, has_critic: bool
) -> None:
    """The actor always does, the optimiser's memory never."""
    before, after = make_run(tmp_path / "a", old), make_core(Recipe(), seed=2)
    origin = find_origin(tmp_path / "a")
    take_over(origin, after)

    assert taken(before, after) == {"actor": True, "critic": has_critic, "scale": has_critic}
    assert after.optimiser.state_dict()["state"] == {}
    assert origin.iteration == 7


def test_the_description_of_a_run_names_its_origin(tmp_path: Path) -> None:
    """So that it can be repeated."""
    make_run(tmp_path / "a", Recipe())
    origin = find_origin(tmp_path / "a")
    begin_run(tmp_path / "b", describe("bayesg", Recipe(), ("grid2x2",), 1, origin))

    assert read_run(tmp_path / "b").origin == origin
    assert Path(origin.folder) == (tmp_path / "a").resolve()


def test_an_origin_that_was_trained_on_meanwhile_is_refused(tmp_path: Path) -> None:
    """A run that was stopped before its first checkpoint would otherwise begin with other weights."""
    make_run(tmp_path / "a", Recipe())
    origin = find_origin(tmp_path / "a")
    changed = msgspec.structs.replace(origin, sha256="0" * 64)

    with pytest.raises(InputError, match="has been trained on since"):
        take_over(changed, make_core(Recipe(), seed=2))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """In one line that names it."""
    with pytest.raises(InputError, match="holds no training"):
        find_origin(tmp_path)
