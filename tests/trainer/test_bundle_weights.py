"""A training may begin with a bundle: its actor is that of the graph, and its critic learns first."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from run_folders import make_run

from phasemesh.contract.errors import BundleError, InputError
from phasemesh.controller.access.signing import own_key
from phasemesh.controller.policy.bundle import find_bundle
from phasemesh.controller.policy.session import OnnxPolicy
from phasemesh.export import pipeline
from phasemesh.export.onnx import export_onnx
from phasemesh.export.parity import Parity
from phasemesh.export.pipeline import export_bundle, load_source
from phasemesh.export.rule_weights import APPROACH_LOST_TIME, random_actor, rule_actor
from phasemesh.trainer.bundle_weights import _agree, actor_of, read_bundle
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.learners.ppo import Ppo
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.origin import find_origin, take_over
from phasemesh.trainer.recipe import find_recipe

pytestmark = pytest.mark.train
SEED = 7


@pytest.fixture(scope="module")
def graph() -> bytes:
    """The graph of random weights."""
    return export_onnx(random_actor(SEED))


@pytest.fixture
def bundle(tmp_path: Path, graph: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of that graph, its parity taken for granted."""
    monkeypatch.setattr(pipeline, "export_onnx", lambda _: graph)
    monkeypatch.setattr(pipeline, "measure_parity", lambda *_: Parity(0.0, 1, 0))
    export_bundle(load_source(f"random:{SEED}"), tmp_path / "b", own_key(), created="2026-11-22")
    return tmp_path / "b"


def test_the_actor_of_a_graph_has_the_weights_that_were_exported(graph: bytes) -> None:
    """Every parameter, bit by bit."""
    expected = random_actor(SEED).state_dict()
    found = actor_of(graph).state_dict()

    assert found.keys() == expected.keys()
    assert [name for name, tensor in found.items() if not torch.equal(tensor, expected[name])] == []


def test_a_rule_that_ships_is_read_with_its_biases_of_zero() -> None:
    """The exporter leaves them out of the graph."""
    actor, bundle = read_bundle(find_bundle("approach-lost-time"))

    expected = rule_actor(APPROACH_LOST_TIME).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in actor.state_dict().items())
    assert bundle.manifest.name == "approach-lost-time"


def test_a_graph_of_something_else_is_told(graph: bytes) -> None:
    """By a parameter that is missing, or by what it answers."""
    model = onnx.load_from_string(graph)
    del model.graph.initializer[0]
    with pytest.raises(KeyError):
        actor_of(model.SerializeToString())
    assert not _agree(random_actor(SEED + 1), OnnxPolicy(graph))
    assert _agree(random_actor(SEED), OnnxPolicy(graph))


def test_a_training_begins_with_the_actor_of_a_bundle(bundle: Path) -> None:
    """Its critic is as it was made, since a bundle has none."""
    torch.manual_seed(3)
    core = Ppo(UniversalActor(), Critic(), find_recipe("finetune"), torch.device("cpu")).core
    critic = {name: tensor.clone() for name, tensor in core.critic.state_dict().items()}

    take_over(find_origin(bundle), core)

    expected = random_actor(SEED).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in core.actor.state_dict().items())
    assert all(torch.equal(tensor, critic[name]) for name, tensor in core.critic.state_dict().items())
    assert core.recipe.learner.critic_iterations > 0


def test_a_bundle_by_its_name_is_an_origin() -> None:
    """Told by its digest and the iterations that made it."""
    origin = find_origin("max-pressure")

    assert origin.folder == str(find_bundle("max-pressure").resolve())
    assert (origin.iteration, len(origin.sha256)) == (0, 64)


def test_a_bundle_that_was_made_anew_is_told(bundle: Path) -> None:
    """Nothing begins with other weights than were asked for."""
    origin = msgspec.structs.replace(find_origin(bundle), sha256="0" * 64)
    core = Ppo(UniversalActor(), Critic(), find_recipe("finetune"), torch.device("cpu")).core

    with pytest.raises(InputError, match="exported again"):
        take_over(origin, core)


def test_what_is_neither_run_nor_bundle_is_told(tmp_path: Path, bundle: Path) -> None:
    """Also a bundle that was altered."""
    with pytest.raises(InputError, match="holds no training"):
        find_origin(tmp_path / "nothing")
    policy = bundle / "policies" / "0.onnx"
    policy.write_bytes(policy.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BundleError):
        find_origin(bundle)


def test_a_run_is_an_origin_as_before(tmp_path: Path) -> None:
    """With the critic that it has learned."""
    run = make_run(tmp_path / "a")
    origin = find_origin(run)
    torch.manual_seed(9)
    core = Ppo(UniversalActor(), Critic(), find_recipe("finetune"), torch.device("cpu")).core

    take_over(origin, core)

    with np.load(run / "checkpoint.npz") as saved:
        for name, tensor in core.critic.state_dict().items():
            assert np.array_equal(saved[f"critic/{name}"], tensor.numpy())


def test_fine_tuning_begins_with_what_ships_unless_another_is_named() -> None:
    """It has no warm start, learns more slowly, and plays demand around the city's own."""
    recipe, usual = find_recipe("finetune"), find_recipe("bayesg")

    assert recipe.origin == "best"
    assert recipe.warm_start.teacher == ""
    assert recipe.learner.learning_rate < usual.learner.learning_rate
    assert sum(recipe.episodes.demand) / 2 == 1.0
