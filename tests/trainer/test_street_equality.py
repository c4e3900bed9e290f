"""B12: what is trained on is the street: same observations, same messages, same commands, on the same seed.

The street is a run of the harness with one agent a signal, each with its guard, mailbox and ONNX session.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from street_probe import Seen

from phasemesh.contract.messages import vector
from phasemesh.contract.tensors import PolicyFault
from phasemesh.controller.decision import Decider, Mind
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.telemetry.records import RecordHeader, TickRecord, read_records
from phasemesh.export.rule_weights import random_actor
from phasemesh.sim_harness.request import RunRequest
from phasemesh.sim_harness.worker import run_apart
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.episode import EpisodePlan

pytestmark = [pytest.mark.train, pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(600)]
SCENARIO, SECONDS, SEED = "cologne3", 300.0, 4
TICK_S = 5.0


class Street:
    """One run of the harness: the bundle that it ran, and what its agents recorded, by agent."""

    def __init__(self, folder: Path) -> None:
        """Export a random policy, which listens to everything, and run it."""
        self.bundle = folder / "random-7"
        command = [sys.executable, "-m", "phasemesh.controller", "export", "random:7", "--out", str(self.bundle)]
        subprocess.run(command, check=True, capture_output=True)
        run_apart(
            RunRequest(
                scenario=SCENARIO,
                controller=str(self.bundle),
                report=str(folder),
                seconds=SECONDS,
                seed=SEED,
                keeps_records=True,
            )
        )
        files = [read_records(path) for path in sorted((folder / "records").glob("*.rec"))]
        self.headers = {str(header.intersection.id): header for header, _ in files}
        self.ticks = {
            str(header.intersection.id): [item for item in items if isinstance(item, TickRecord)]
            for header, items in files
        }


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Street:
    """The run that everything is held against."""
    return Street(tmp_path_factory.mktemp("street"))


@pytest.fixture(scope="module")
def seen(street: Street, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Seen]]:
    """What the agents of the environment saw and did, by agent."""
    out = tmp_path_factory.mktemp("probe") / "seen"
    probe = Path(__file__).with_name("street_probe.py")
    command = [sys.executable, str(probe), str(street.bundle), SCENARIO, str(SECONDS), str(SEED), str(out)]
    subprocess.run(command, check=True)
    rows = msgspec.msgpack.decode(out.read_bytes(), type=list[Seen])
    return {name: [row for row in rows if row.agent == name] for name in street.ticks}


def decider_of(header: RecordHeader) -> Decider:
    """What encodes the snapshots of a record again."""
    return Decider(
        header.intersection,
        header.timings,
        policy=PolicyFault("records are only encoded"),
        plan=PLANS[header.plan](header.intersection, header.timings),
        tick_s=header.tick_s,
        steps_per_tick=header.steps_per_tick,
        unit=header.unit,
    )


def mind_before(record: TickRecord) -> Mind:
    """What the agent carried into the tick."""
    return Mind(
        history=record.history_before,
        hidden=np.frombuffer(record.hidden_before, dtype="<f4"),
        policy=np.zeros(len(record.legal), dtype=np.float32),
        step=record.step_before,
        detectors=record.detectors_before,
        unit=record.unit_before,
        standing=record.standing_before,
    )


def test_agents_of_the_environment_see_what_the_street_sees(street: Street, seen: dict[str, list[Seen]]) -> None:
    """Every number of every lane and stage, and which stages are legal, bit for bit at every tick."""
    for name, records in street.ticks.items():
        decider = decider_of(street.headers[name])
        assert len(records) == len(seen[name]) == SECONDS / TICK_S
        for record, row in zip(records, seen[name], strict=True):
            observation = decider.observe(mind_before(record), record.snapshot).observation
            assert observation.lanes.tobytes() == row.lanes
            assert observation.stage_state.tobytes() == row.stage_state
            assert record.legal == row.legal


def test_agents_of_the_environment_hear_what_the_wire_brings(street: Street, seen: dict[str, list[Seen]]) -> None:
    """Summary, policy and hidden state of every neighbour, bit for bit at every tick."""
    for name, records in street.ticks.items():
        for record, row in zip(records, seen[name], strict=True):
            heard = [vector(peer.message) for peer in record.peers if peer.message is not None and peer.is_fresh]
            if heard:
                assert np.stack(heard).astype(np.float32).tobytes() == row.messages
            assert len(heard) == len(record.peers)


def test_what_the_cabinets_of_the_environment_apply_is_what_the_street_applies(
    street: Street, seen: dict[str, list[Seen]]
) -> None:
    """The wish, the guard's answer, and the cabinet's with its rule, signal and lease."""
    for name, records in street.ticks.items():
        assert [record.wanted_stage for record in records] == [row.stage for row in seen[name]]
        assert [record.applied for record in records] == [row.applied for row in seen[name]]
        assert len({record.stage for record in records}) > 1


def test_b12_a_rollout_that_computes_the_city_at_once_decides_as_agents_that_only_hear_their_neighbours(
    street: Street,
) -> None:
    """The batched actor with its own weights, mask and messages wants what every single ONNX session wanted."""
    plan = EpisodePlan(scenario=SCENARIO, seed=SEED, tick_s=TICK_S, length_s=SECONDS, is_greedy=True)
    (episode,) = Crew(1).play(random_actor(7), [plan])

    assert episode.monitor_trips == 0
    for index, name in enumerate(episode.layout.names):
        records = street.ticks[name]
        hidden = np.stack([np.frombuffer(record.hidden_before, dtype="<f4") for record in records])
        mask = np.stack([np.frombuffer(record.mask_noise, dtype="<f4") for record in records])
        assert [record.wanted_stage for record in records] == episode.stage[:, index].tolist()
        assert np.array_equal(mask, episode.noise[:, index, : mask.shape[1]])
        np.testing.assert_allclose(episode.hidden[:, index], hidden, atol=1e-4)


def test_episodes_do_not_depend_on_who_plays_beside_them() -> None:
    """The same plan, alone and beside another one: the same episode."""
    plans = [EpisodePlan(scenario=name, seed=9, length_s=60.0) for name in ("cologne1", SCENARIO)]
    actor = random_actor(7)
    first, _ = Crew(2).play(actor, plans)
    (second,) = Crew(1).play(actor, plans[:1])

    for name in ("lanes", "stage", "reward", "hidden"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
