"""Checkpoints: a training that was interrupted goes on exactly as one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trainer_towns import make_episode

from phasemesh.contract.errors import InputError
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor, load_checkpoint, save_checkpoint
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.learners.learner import Learner
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import LearnerKind, LearnerRecipe, Recipe
from phasemesh.trainer.training import LEARNERS

pytestmark = pytest.mark.train


class Run:
    """A training on random traffic, as the loop of the product runs one on cities."""

    def __init__(self, kind: LearnerKind, seed: int = 5) -> None:
        """Fresh networks."""
        torch.manual_seed(seed)
        recipe = Recipe(learner=LearnerRecipe(kind=kind, segment_ticks=6, rows_per_batch=12, critic_iterations=1))
        self.learner: Learner = LEARNERS[kind](UniversalActor(), Critic(), recipe, torch.device("cpu"))
        self.random = np.random.default_rng(seed)
        self.iteration = 0

    def go(self, iterations: int) -> None:
        """Play and learn."""
        for _ in range(iterations):
            core = self.learner.core
            core.anneal(self.iteration)
            episodes = [make_episode(core.actor, ticks=20, seed=int(self.random.integers(1000))) for _ in range(2)]
            self.learner.update(episodes, self.random, learns_policy=self.iteration >= 1)
            self.iteration += 1

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        save_checkpoint(path, self.learner.core, self.random, iteration=self.iteration, elapsed_s=1.5)

    def state(self) -> dict[str, Any]:
        """Everything that must agree."""
        core = self.learner.core
        modules = {"actor": core.actor, "critic": core.critic, "scale": core.scale}
        return {f"{name}/{key}": t for name, module in modules.items() for key, t in module.state_dict().items()}


@pytest.mark.parametrize("kind", list(LearnerKind))
def test_a_resumed_training_agrees_with_one_that_was_never_interrupted(tmp_path: Path, kind: LearnerKind) -> None:
    """Bit for bit: networks, value scale, the optimiser's memory and the numbers that are drawn next."""
    whole, first, second = Run(kind), Run(kind), Run(kind, seed=77)
    whole.go(4)
    first.go(2)
    first.save(tmp_path / CHECKPOINT_NAME)
    meta = load_checkpoint(tmp_path / CHECKPOINT_NAME, second.learner.core, second.random)
    second.iteration = meta.iteration
    second.go(2)

    expected, found = whole.state(), second.state()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert whole.random.random() == second.random.random()
    assert (meta.iteration, meta.elapsed_s) == (2, 1.5)


def test_the_actor_of_a_checkpoint_can_be_had_alone(tmp_path: Path) -> None:
    """For export and evaluation."""
    run = Run(LearnerKind.PPO)
    run.save(tmp_path / CHECKPOINT_NAME)
    actor, iteration = load_actor(tmp_path / CHECKPOINT_NAME)

    expected = run.learner.core.actor.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in actor.state_dict().items())
    assert iteration == 0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"no archive at all"])
def test_a_broken_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Torn, foreign or empty files."""
    path = tmp_path / CHECKPOINT_NAME
    path.write_bytes(content)

    with pytest.raises(InputError, match="is no checkpoint") as caught:
        load_actor(path)
    assert "\n" not in str(caught.value)


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(InputError, match=CHECKPOINT_NAME):
        load_actor(tmp_path / CHECKPOINT_NAME)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    """Weights of another shape are told in one line, not loaded in part."""
    Run(LearnerKind.PPO).save(tmp_path / CHECKPOINT_NAME)
    path = tmp_path / CHECKPOINT_NAME
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["actor/lane_layer.weight"] = arrays["actor/lane_layer.weight"][:, :3]
    np.savez(path, **arrays)
    run = Run(LearnerKind.PPO)

    with pytest.raises(InputError, match="another network"):
        load_checkpoint(path, run.learner.core, run.random)
    with pytest.raises(InputError, match="another network"):
        load_actor(path)


def test_a_checkpoint_holds_nothing_that_could_run(tmp_path: Path) -> None:
    """Arrays of numbers alone: NumPy reads all of them with objects forbidden."""
    Run(LearnerKind.PPO).save(tmp_path / CHECKPOINT_NAME)

    with np.load(tmp_path / CHECKPOINT_NAME, allow_pickle=False) as archive:
        assert {archive[name].dtype.kind for name in archive.files} <= {"f", "i", "u"}
