"""What the unit's own plan is shown: only detectors that are believed."""

from __future__ import annotations

import math

import pytest

from factories import make_intersection, make_reading, make_timings
from phasemesh.contract.detection import INVALID_READING, LaneReading, Snapshot
from phasemesh.contract.history import ServiceHistory
from phasemesh.controller.cabinet.cabinet import Cabinet

CROSSING = make_intersection()


class AttentivePlan:
    """A plan that keeps its first stage and remembers what it was shown."""

    def __init__(self) -> None:
        """Nothing has been shown."""
        self.seen: list[Snapshot] = []

    def choose(self, snapshot: Snapshot, _history: ServiceHistory) -> int:
        """The first stage."""
        self.seen.append(snapshot)
        return 0


def test_the_own_plan_is_shown_no_detector_that_is_not_believed() -> None:
    """A detector that counts two vehicles a second flutters: others read what it says, the plan reads a call."""
    plan = AttentivePlan()
    cabinet = Cabinet(CROSSING, make_timings(CROSSING), plan, tick_s=2.0, now_s=0.0)
    fluttering = (make_reading(1.0, arrivals_veh=2.0), *(make_reading(),) * 3)
    for second in range(1, 32):
        cabinet.step(second, float(second), fluttering)

    assert cabinet.snapshot().readings == fluttering
    assert plan.seen[-1].readings == (INVALID_READING, *(make_reading(),) * 3)
    assert plan.seen[0].readings == fluttering
    assert (plan.seen[-1].step, plan.seen[-1].now_s) == (31, 31.0)


@pytest.mark.parametrize(("first", "is_believed"), [(INVALID_READING, True), (make_reading(math.nan), False)])
def test_nonsense_as_a_first_word_keeps_a_detector_out(first: LaneReading, is_believed: bool) -> None:
    """A value that is no number is a fault to be made good for; a detector that has not spoken has done nothing."""
    plan = AttentivePlan()
    cabinet = Cabinet(CROSSING, make_timings(CROSSING), plan, tick_s=2.0, now_s=0.0)
    cabinet.step(1, 1.0, (first, *(make_reading(),) * 3))
    cabinet.step(2, 2.0, (make_reading(),) * 4)

    assert (plan.seen[-1].readings[0] == make_reading()) is is_believed
    assert plan.seen[-1].readings[1:] == (make_reading(),) * 3
