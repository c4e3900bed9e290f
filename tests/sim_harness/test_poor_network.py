"""The sweep over poor networks: what each condition takes away, and what the table says of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.torture.course import Course, Streets
from phasemesh.sim_harness.torture.poor_network import CONDITIONS, SWEEP_NAME, SweepRow, run_sweep, sweep_cells

pytestmark = pytest.mark.sumo

A, B, C, D = (IntersectionId(name) for name in "abcd")
RING: Streets = {A: (B, D), B: (A, C), C: (B, D), D: (C, A)}
"""Four intersections in a ring, each with its neighbours."""


def faults_of(label: str, seed: int = 1) -> list[PlannedFault]:
    """What the condition called `label` does to the ring for a minute."""
    course = Course(scenario="grid2x2", bundle="max-pressure", report=Path("unused"), seed=seed, seconds=60.0)
    (condition,) = [condition for condition in CONDITIONS if condition.label == label]
    return list(condition.faults(course, RING))


def test_everything_is_compared_with_a_network_that_nothing_disturbs() -> None:
    """The first condition is the whole network; no two conditions are called alike."""
    assert faults_of(CONDITIONS[0].label) == []
    assert len({condition.label for condition in CONDITIONS}) == len(CONDITIONS)


@pytest.mark.parametrize(
    ("label", "means", "strength"),
    [
        ("10 % of messages lost", "message-loss", 0.1),
        ("30 % of messages lost", "message-loss", 0.3),
        ("messages 100 ms late", "message-delay", 0.1),
        ("messages 500 ms late", "message-delay", 0.5),
        ("no messages at all", "message-loss", 1.0),
    ],
)
def test_messages_suffer_everywhere_and_all_the_time(label: str, means: str, strength: float) -> None:
    """One fault that meets every agent from the first second to the last, as strong as its name says."""
    (fault,) = faults_of(label)

    assert (fault.means, fault.strength, fault.peers) == (means, strength, ())
    assert set(fault.targets) == set(RING)
    assert (fault.start_s, fault.length_s) == (0.0, 60.0)


@pytest.mark.parametrize("seed", range(6))
def test_a_split_cuts_every_link_across_and_none_within(seed: int) -> None:
    """Two halves of two: whoever is cut off from a neighbour is one that it cannot hear either."""
    cut = {(fault.targets[0], peer) for fault in faults_of("split into two halves", seed) for peer in fault.peers}
    reached = {A}
    for _ in RING:
        reached |= {peer for name in reached for peer in RING[name] if (name, peer) not in cut}

    assert cut == {(peer, name) for name, peer in cut}
    assert len(reached) <= 2
    assert all(fault.strength == 1.0 for fault in faults_of("split into two halves", seed))


def test_a_row_shows_what_was_counted() -> None:
    """Delay, ratio and counts, each as a reader wants to see it."""
    row = SweepRow("half", 26.043, 1.1066, 19260, 0, 1, (1, 2))

    assert sweep_cells([row]) == [["half", "26.04", "1.107", "19,260", "0", "1"]]


@pytest.mark.slow
def test_a_sweep_compares_what_was_run(tmp_path: Path) -> None:
    """A policy that listens misses the messages it is denied; the file says what the answer says."""
    course = Course(scenario="grid2x2", bundle="max-pressure", report=tmp_path, seed=3, seconds=60.0)
    calm, deaf = run_sweep(course, 2, conditions=(CONDITIONS[0], CONDITIONS[-1]), seeds=1)
    written = msgspec.json.decode((tmp_path / SWEEP_NAME).read_bytes(), type=list[SweepRow])

    assert written == [calm, deaf]
    assert (calm.ratio, calm.deadline_misses) == (1.0, 0)
    assert deaf.ratio == 1.0  # Max pressure asks no neighbour.
    assert deaf.seeds == (3,)
    assert (tmp_path / "index.html").is_file()
