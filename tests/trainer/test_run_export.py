"""From a run folder to a signed bundle: the weights that were trained, with where they come from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from phasemesh.contract.errors import InputError
from phasemesh.controller.access.signing import own_key
from phasemesh.controller.policy.bundle import faults_of_bundle, load_bundle
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.export.pipeline import export_bundle, load_source
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, save_checkpoint
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.learners.ppo import Ppo
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import EpisodesRecipe, Recipe
from phasemesh.trainer.run_folder import RUN_NAME, begin_run, describe, read_run

pytestmark = pytest.mark.train


@pytest.fixture
def run(tmp_path: Path) -> tuple[Path, UniversalActor]:
    """The folder of a training after three iterations, and the actor that it holds."""
    torch.manual_seed(11)
    actor, recipe = UniversalActor(), Recipe(episodes=EpisodesRecipe(tick_s=3.0))
    folder = tmp_path / "first"
    begin_run(folder, describe("bayesg", recipe, ("cologne1", "grid4x4"), 7))
    core = Ppo(actor, Critic(), recipe, torch.device("cpu")).core
    save_checkpoint(folder / CHECKPOINT_NAME, core, np.random.default_rng(0), iteration=3, elapsed_s=1.0)
    return folder, actor


def test_a_run_is_a_source_of_its_actor(run: tuple[Path, UniversalActor]) -> None:
    """With the tick that it was trained for, and noise for its mask as in training."""
    folder, actor = run
    source = load_source(str(folder))

    expected = actor.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in source.actor.state_dict().items())
    assert (source.name, source.tick_s, source.is_deterministic) == ("first", 3.0, False)


def test_provenance_says_what_was_trained_and_nothing_of_the_machine(run: tuple[Path, UniversalActor]) -> None:
    """Recipe, scenarios, seed, iterations and revision, but no path."""
    text = load_source(str(run[0])).text

    assert text.startswith("bayesg on cologne1,grid4x4, seed 7, 3 iterations, revision ")
    assert "/" not in text


@pytest.mark.slow
def test_a_run_becomes_a_bundle_that_its_maker_trusts(run: tuple[Path, UniversalActor], tmp_path: Path) -> None:
    """With parity of the graph, and a signature that holds."""
    bundle = export_bundle(load_source(str(run[0])), tmp_path / "b", own_key(), created="2026-11-22")

    assert faults_of_bundle(tmp_path / "b", trusted_keys()) == []
    assert load_bundle(tmp_path / "b", trusted_keys()).digest == bundle.digest
    assert bundle.manifest.provenance.parity_changed_decisions == 0
    assert (bundle.manifest.tick_s, bundle.manifest.is_deterministic) == (3.0, False)


def test_a_run_of_another_observation_spec_is_refused(run: tuple[Path, UniversalActor]) -> None:
    """By its description."""
    folder = run[0]
    foreign = msgspec.structs.replace(read_run(folder), spec_hash="0" * 16)
    (folder / RUN_NAME).write_bytes(msgspec.json.encode(foreign))

    with pytest.raises(InputError, match="observation spec"):
        load_source(str(folder))


def test_a_run_without_a_checkpoint_is_refused(run: tuple[Path, UniversalActor]) -> None:
    """It was interrupted in its warm start."""
    (run[0] / CHECKPOINT_NAME).unlink()

    with pytest.raises(InputError, match=CHECKPOINT_NAME):
        load_source(str(run[0]))
