"""The fixed-time plan: order, splits, and that the elapsed green is all it needs."""

from __future__ import annotations

import msgspec
import pytest

from factories import make_intersection, make_reading, make_snapshot, make_timings
from phasemesh.contract.command import Interval, SignalState, advance, request_stage, start
from phasemesh.contract.history import empty_history
from phasemesh.contract.timing import BENCHMARK, STREET
from phasemesh.controller.plans.fixed import FixedPlan

CROSSING = make_intersection(has_left_lanes=True)
TIMINGS = make_timings(CROSSING, STREET)
HISTORY = empty_history(CROSSING, 0.0)


def choice(plan: FixedPlan, signal: SignalState, now_s: float) -> int:
    """What `plan` wants at `now_s`."""
    return plan.choose(make_snapshot(CROSSING, now_s=now_s, signal=signal), HISTORY)


@pytest.mark.parametrize(
    ("stage", "now_s", "wanted"), [(0, 0.0, 0), (0, 19.9, 0), (0, 20.0, 1), (0, 99.0, 1), (3, 20.0, 0)]
)
def test_each_stage_is_green_for_its_split(stage, now_s, wanted):
    """After twenty seconds of green the next stage in order is wanted, after the last the first."""
    assert choice(FixedPlan(CROSSING, TIMINGS), start(stage, 0.0), now_s) == wanted


def test_a_rounding_error_does_not_lengthen_a_green():
    """A sum of steps that falls short of the split by a rounding error ends the green all the same."""
    assert choice(FixedPlan(CROSSING, TIMINGS), start(0, 0.0), 20.0 - 1e-9) == 1


@pytest.mark.parametrize("interval", [Interval.YELLOW, Interval.RED_CLEARANCE])
def test_a_running_change_is_awaited(interval):
    """During a change the plan wants the stage that is being changed to."""
    signal = SignalState(stage=2, from_stage=1, interval=interval, since_s=0.0)

    assert choice(FixedPlan(CROSSING, TIMINGS), signal, 50.0) == 2


@pytest.mark.parametrize(
    ("changes", "green_s"),
    [
        ({"min_green_s": 30.0}, 30.0),
        ({"max_green_s": 12.0}, 12.0),
        ({}, 20.0),
    ],
)
def test_splits_respect_the_limits_of_the_stage(changes, green_s):
    """A split is never below the minimum green and never above the maximum."""
    plan = FixedPlan(CROSSING, tuple(msgspec.structs.replace(timing, **changes) for timing in TIMINGS))

    wanted = [choice(plan, start(0, 0.0), now_s) for now_s in (green_s - 0.1, green_s)]

    assert wanted == [0, 1]


def test_the_split_can_be_chosen():
    """Another green than the default may be asked for."""
    wanted = [choice(FixedPlan(CROSSING, TIMINGS, green_s=35.0), start(0, 0.0), now_s) for now_s in (34.9, 35.0)]

    assert wanted == [0, 1]


def test_detectors_do_not_matter():
    """A fixed-time plan serves every stage, whatever the detectors say."""
    readings = (make_reading(9.0),) * len(CROSSING.lanes)
    snapshot = make_snapshot(CROSSING, now_s=20.0, readings=readings)

    assert FixedPlan(CROSSING, TIMINGS).choose(snapshot, HISTORY) == 1


def test_h12_a_cycle_has_the_length_of_its_splits_and_changes():
    """Driven through the sequencer, every stage is green for twenty seconds and the cycle repeats."""
    crossing = make_intersection()
    timings = make_timings(crossing, BENCHMARK)
    plan, signal = FixedPlan(crossing, timings), start(0, 0.0)
    shown = []
    for second in range(92):
        signal = advance(signal, timings, float(second))
        wanted = plan.choose(make_snapshot(crossing, now_s=float(second), signal=signal), empty_history(crossing, 0.0))
        signal = request_stage(crossing, signal, wanted, float(second))
        shown.append((signal.stage, signal.interval is Interval.GREEN))

    cycle = [(0, True)] * 20 + [(1, False)] * 3 + [(1, True)] * 20 + [(0, False)] * 3
    assert shown == cycle * 2
