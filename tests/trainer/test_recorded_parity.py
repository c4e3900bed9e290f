"""Parity over recorded ticks: the exported graph wants what torch wanted when an episode was played."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from run_folders import evaluate_run, make_run
from trainer_towns import LINE, make_episode

from phasemesh.contract.errors import BundleError, InputError
from phasemesh.controller.access.signing import own_key
from phasemesh.controller.policy.bundle import faults_of_bundle, find_bundle, load_bundle
from phasemesh.controller.policy.session import OnnxPolicy
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.export import pipeline
from phasemesh.export.cli import export
from phasemesh.export.onnx import export_onnx
from phasemesh.export.parity import Parity, torch_output
from phasemesh.export.pipeline import export_bundle, load_source
from phasemesh.export.recorded import RecordedParity, measure_recorded, recorded_episodes, recorded_input
from phasemesh.export.rule_weights import random_actor
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.run_folder import read_run

pytestmark = pytest.mark.train
TICKS = 120


@pytest.fixture(scope="module")
def policy() -> OnnxPolicy:
    """The graph of random weights, which hears every neighbour."""
    return OnnxPolicy(export_onnx(random_actor(7)))


@pytest.fixture(scope="module")
def episode() -> Episode:
    """What these weights decided greedily in a town of three, some messages lost."""
    return make_episode(random_actor(7), ticks=TICKS, is_greedy=True, message_loss=0.3)


def test_the_graph_wants_what_was_wanted(policy: OnnxPolicy, episode: Episode) -> None:
    """Tick by tick, agent by agent, whatever the shape of the intersection."""
    found = measure_recorded(random_actor(7), lambda _: policy, [episode, episode])

    assert found.ticks == 2 * TICKS * len(LINE)
    assert found.changed_decisions == 0
    assert 0.0 < found.max_abs < 1e-3


def test_a_graph_of_other_weights_is_told(policy: OnnxPolicy, episode: Episode) -> None:
    """By its numbers and by its decisions; one changed decision is enough."""
    other = measure_recorded(random_actor(8), lambda _: policy, [episode])
    stage = episode.stage.copy()
    stage[5, 1] = (stage[5, 1] + 1) % 4
    changed = measure_recorded(random_actor(7), lambda _: policy, [msgspec.structs.replace(episode, stage=stage)])

    assert other.max_abs > 0.1
    assert changed.changed_decisions == 1


def test_a_recorded_input_is_without_padding(policy: OnnxPolicy, episode: Episode) -> None:
    """Of the shape of its intersection, and what the batched actor saw: the same next recurrent state."""
    for agent, each in enumerate(LINE):
        inputs = recorded_input(episode, 50, agent)

        assert inputs.lanes.shape[0] == len(each.lanes)
        assert inputs.stage_state.shape[0] == len(each.stages)
        assert inputs.neighbour_messages.shape[0] == len(each.neighbours)
        answer = torch_output(random_actor(7), inputs)
        np.testing.assert_allclose(answer.hidden_next, episode.hidden[51, agent], atol=1e-5)


@pytest.mark.sumo
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_becomes_a_bundle_with_its_training_and_its_evaluation_inside(tmp_path: Path) -> None:
    """Recipe, scenarios, seed, minutes; delays beside the rule; ticks that were played; all of it signed."""
    run = make_run(tmp_path / "a")
    evaluate_run(run)
    source = load_source(str(run))
    assert source.run is not None
    episodes = recorded_episodes(Crew(1), source.actor, source.run, 60)

    export_bundle(source, tmp_path / "b", own_key(), created="2026-11-22", episodes=episodes)

    manifest = load_bundle(tmp_path / "b", trusted_keys()).manifest
    training, (row,) = manifest.provenance.training, manifest.evaluation
    assert faults_of_bundle(tmp_path / "b", trusted_keys()) == []
    assert manifest.provenance.parity_recorded_ticks >= 60
    assert training is not None
    assert (training.recipe_name, training.scenarios, training.seed) == ("bayesg", ("cologne3",), 1)
    assert (training.iterations, training.minutes) == (2, 1.0)
    assert training.recipe["learner"]["gamma"] == read_run(run).recipe.learner.gamma
    assert (row["scenario"], row["median_delay_s"], row["ratio"]) == ("cologne3", 21.0, 0.75)
    assert str(tmp_path) not in (tmp_path / "b" / "manifest.json").read_text()


@pytest.mark.sumo
@pytest.mark.timeout(300)
def test_episodes_are_played_until_enough_is_recorded(tmp_path: Path) -> None:
    """On every scenario of the run, no seed twice."""
    run = make_run(tmp_path / "a", scenario="cologne1")
    actor, _ = load_actor(run / CHECKPOINT_NAME)
    described = msgspec.structs.replace(read_run(run), scenarios=("cologne1", "cologne3"))

    played = list(recorded_episodes(Crew(2), actor, described, 100))

    assert {each.plan.scenario for each in played} == {"cologne1", "cologne3"}
    assert sum(each.stage.size for each in played) >= 100
    assert len({each.plan.seed for each in played}) == len(played)
    assert all(each.plan.is_greedy for each in played)


@pytest.mark.parametrize("recorded", [RecordedParity(9, 0.1, 0), RecordedParity(9, 0.0, 1)])
def test_a_graph_without_recorded_parity_is_never_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: RecordedParity
) -> None:
    """Neither numbers nor decisions may differ; the graph is the shipped one, its parity taken for granted."""
    graph = (find_bundle("max-pressure") / pipeline.policy_path(0)).read_bytes()
    monkeypatch.setattr(pipeline, "export_onnx", lambda _: graph)
    monkeypatch.setattr(pipeline, "measure_parity", lambda *_: Parity(0.0, 1, 0))
    monkeypatch.setattr(pipeline, "measure_recorded", lambda *_: recorded)

    with pytest.raises(BundleError, match="differs from torch"):
        export_bundle(load_source("rule:max-pressure"), tmp_path / "b", own_key(), created="2026-11-21")
    assert not (tmp_path / "b").exists()


def test_an_evaluation_of_other_weights_is_left_out(tmp_path: Path) -> None:
    """A training that went on after its evaluation is not as good as that says."""
    run = make_run(tmp_path / "a", delays_s=(30.0, 25.0, 20.0))
    evaluate_run(run)

    assert load_source(str(run)).evaluation == ()


def test_what_was_not_trained_has_no_ticks_to_record(tmp_path: Path) -> None:
    """One line that names the option."""
    with pytest.raises(InputError, match="--recorded-ticks"):
        export("rule:max-pressure", tmp_path / "b", recorded_ticks=10)
