"""The actuated plan: extension, gap-out, max-out, skipping, resting, people, and detectors that cannot be trusted."""

from __future__ import annotations

import math

import msgspec
import pytest

from factories import make_intersection, make_reading, make_snapshot, make_timings
from phasemesh.contract.command import Interval, SignalState, start
from phasemesh.contract.detection import INVALID_READING, LaneReading
from phasemesh.contract.history import empty_history
from phasemesh.contract.intersection import Intersection, Movement, Stage, Turn
from phasemesh.contract.timing import STREET
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.plans.actuated import ActuatedPlan

CROSSING = make_intersection(has_left_lanes=True)
"""Lanes north, east, south, west, each with its left turn after it; stages north-south, lefts, east-west, lefts."""
TIMINGS = make_timings(CROSSING, STREET)
HISTORY = empty_history(CROSSING, 0.0)
BUSY = make_reading(1.0)


def wanted(
    readings: dict[int, LaneReading], now_s: float = 10.0, signal: SignalState | None = None, **changes: float
) -> int:
    """What the plan wants at `now_s` when only the lanes in `readings` see anything."""
    timings = tuple(msgspec.structs.replace(timing, **changes) for timing in TIMINGS)
    lanes = tuple(readings.get(lane, make_reading()) for lane in range(len(CROSSING.lanes)))
    snapshot = make_snapshot(CROSSING, now_s=now_s, signal=signal or start(0, 0.0), readings=lanes)
    return ActuatedPlan(CROSSING, timings).choose(snapshot, HISTORY)


@pytest.mark.parametrize("now_s", [10.0, 500.0])
def test_a_green_rests_while_nobody_calls(now_s):
    """Without any call the stage in force stays."""
    assert wanted({}, now_s) == 0


@pytest.mark.parametrize("now_s", [10.0, 500.0])
def test_a_green_rests_while_only_its_own_lanes_call(now_s):
    """Vehicles that are protected never end a green by themselves."""
    assert wanted({0: BUSY, 4: BUSY}, now_s) == 0


@pytest.mark.parametrize(("lane", "stage"), [(2, 2), (6, 2), (3, 2), (7, 2)])
def test_a_green_gaps_out_for_a_call(lane, stage):
    """With empty lanes of its own a green gives way to the next stage in order that serves a call."""
    assert wanted({lane: BUSY}) == stage


def test_stages_without_a_call_are_skipped():
    """The next stage in cyclic order that has a call is wanted, past the end of the order."""
    assert wanted({0: BUSY}, signal=start(2, 0.0)) == 0
    assert wanted({1: BUSY}, signal=start(2, 0.0)) == 0
    assert wanted({2: BUSY}, signal=start(1, 0.0)) == 2


@pytest.mark.parametrize(("now_s", "stage"), [(10.0, 0), (49.0, 0), (50.0, 1)])
def test_a_turn_that_finds_no_gap_gets_its_own_stage(now_s, stage):
    """A left turn extends the green in which it yields; at the max-out it calls for the stage that protects it."""
    assert wanted({1: BUSY}, now_s) == stage


def test_a_turn_that_is_protected_calls_for_no_stage_in_which_it_yields():
    """The left stage rests while only left turns come."""
    assert wanted({1: BUSY}, now_s=500.0, signal=start(1, 0.0)) == 1


def test_a_movement_that_is_not_served_calls_its_stage():
    """During the left stage the through lanes call the stage that serves them."""
    assert wanted({0: BUSY}, signal=start(1, 0.0)) == 0


@pytest.mark.parametrize(("now_s", "stage"), [(10.0, 0), (49.9, 0), (50.0 - 1e-9, 2), (50.0, 2), (60.0, 2)])
def test_a_green_is_extended_up_to_its_max_out(now_s, stage):
    """Vehicles on served lanes keep the green while others call, but for fifty seconds only."""
    assert wanted({0: BUSY, 2: BUSY}, now_s) == stage


def test_the_maximum_green_of_the_stage_shortens_the_max_out():
    """A stage with a maximum green below fifty seconds maxes out there."""
    stages = [wanted({0: BUSY, 2: BUSY}, now_s, max_green_s=30.0) for now_s in (29.9, 30.0)]

    assert stages == [0, 2]


@pytest.mark.parametrize(("now_s", "stage"), [(6.9, 0), (7.0 - 1e-9, 2), (7.0, 2)])
def test_the_minimum_green_is_not_cut(now_s, stage):
    """A green without vehicles lasts its minimum."""
    assert wanted({2: BUSY}, now_s) == stage


def test_a_max_out_below_the_minimum_green_does_not_cut_it():
    """Whatever max-out is chosen, the minimum green comes first."""
    lanes = tuple(BUSY for _ in CROSSING.lanes)
    plan = ActuatedPlan(CROSSING, TIMINGS, max_out_s=1.0)

    stages = [plan.choose(make_snapshot(CROSSING, now_s=now_s, readings=lanes), HISTORY) for now_s in (6.9, 7.0)]

    assert stages == [0, 1]


@pytest.mark.parametrize("reading", [INVALID_READING, make_reading(math.nan), make_reading(-1.0), make_reading(1e6)])
def test_a_detector_that_cannot_be_trusted_calls_constantly(reading):
    """A fault on an unserved lane ends a green like a vehicle, a fault on a served lane extends it like one."""
    assert wanted({2: reading}) == 2
    assert wanted({0: reading, 2: BUSY}) == 0
    assert wanted({0: reading, 2: BUSY}, now_s=50.0) == 2


def test_vehicles_further_away_do_not_extend():
    """Only vehicles within fifty metres extend a green or call."""
    far = make_reading(0.0, vehicles_100m_veh=5.0, vehicles_150m_veh=5.0)

    assert wanted({0: far, 2: BUSY}) == 2
    assert wanted({2: far}) == 0


@pytest.mark.parametrize("interval", [Interval.YELLOW, Interval.RED_CLEARANCE])
def test_a_running_change_is_awaited_by_the_actuated_plan(interval):
    """During a change the plan wants the stage that is being changed to."""
    signal = SignalState(stage=1, from_stage=0, interval=interval, since_s=0.0)

    assert wanted({2: BUSY}, now_s=60.0, signal=signal) == 1


SHARED = Intersection(
    id=IntersectionId("shared"),
    lanes=CROSSING.lanes[:3],
    movements=(
        Movement("north", Turn.STRAIGHT, lanes=(CROSSING.lanes[0].id, CROSSING.lanes[1].id), exits=()),
        Movement("north", Turn.LEFT, lanes=(CROSSING.lanes[1].id,), exits=()),
        Movement("east", Turn.STRAIGHT, lanes=(CROSSING.lanes[2].id,), exits=()),
    ),
    stages=(Stage("both", (0,), (1,)), Stage("left", (1,)), Stage("straight", (0,)), Stage("east", (2,))),
    conflicts=("001", "001", "110"),
    yields_to=("000", "000", "000"),
)
"""Lane 0 goes straight on, lane 1 straight on and left, lane 2 crosses them."""


def wanted_when_shared(stage: int, busy: set[int], now_s: float = 10.0) -> int:
    """What the plan wants in `stage` of the shared intersection when the lanes in `busy` see vehicles."""
    lanes = tuple(BUSY if lane in busy else make_reading() for lane in range(3))
    snapshot = make_snapshot(SHARED, now_s=now_s, signal=start(stage, 0.0), readings=lanes)
    return ActuatedPlan(SHARED, make_timings(SHARED, STREET)).choose(snapshot, empty_history(SHARED, 0.0))


def test_a_lane_that_is_served_in_part_extends_no_green():
    """Whoever stands first on a shared lane may wait for another stage and must not hold this one."""
    assert wanted_when_shared(2, {1, 2}) == 3
    assert wanted_when_shared(2, {0, 2}) == 2


def test_a_shared_lane_extends_where_all_its_turns_are_served():
    """In the stage of both turns the shared lane counts in full."""
    assert wanted_when_shared(0, {1, 2}) == 0


def test_a_stage_without_a_lane_of_its_own_is_extended_by_shared_ones():
    """Otherwise its green would end at once, however many turn."""
    assert wanted_when_shared(1, {1, 2}) == 1
    assert wanted_when_shared(1, {2}) == 3


def test_a_shared_lane_calls_for_no_stage_that_serves_it_in_part():
    """After a green that served all of it, its next vehicle may as well go straight on."""
    assert wanted_when_shared(0, {1, 2}, now_s=50.0) == 3


def test_a_shared_lane_calls_while_one_of_its_turns_is_red():
    """In the straight stage the shared lane may hold a left turn."""
    assert wanted_when_shared(2, {1}) == 0


WALKED = make_intersection(has_crossings=True)
"""Stages north-south and east-west; people walk beside the traffic. The waiting places come after the four lanes."""


def wanted_by_people(busy: set[int], now_s: float) -> int:
    """What the plan wants in the first stage when somebody is on the lanes, or at the waiting places, in `busy`."""
    lanes = tuple(BUSY if lane in busy else make_reading() for lane in range(len(WALKED.lanes)))
    snapshot = make_snapshot(WALKED, now_s=now_s, readings=lanes)
    return ActuatedPlan(WALKED, make_timings(WALKED)).choose(snapshot, empty_history(WALKED, 0.0))


@pytest.mark.parametrize("place", [4, 6])
def test_people_who_wait_call_the_stage_of_their_crossing(place):
    """The arms in the north and south are crossed beside the traffic from east to west."""
    assert wanted_by_people({place}, now_s=10.0) == 1


def test_people_do_not_extend_a_green():
    """Who comes during a walk interval walks at once; the green goes to those who wait."""
    assert wanted_by_people({5, 1}, now_s=10.0) == 1
    assert wanted_by_people({0, 1}, now_s=10.0) == 0


@pytest.mark.parametrize(("now_s", "stage"), [(6.9, 0), (7.0, 1)])
def test_people_have_their_walk(now_s, stage):
    """A green with crossings lasts the walk interval, even where the minimum green is shorter."""
    timings = tuple(msgspec.structs.replace(timing, min_green_s=4.0) for timing in make_timings(WALKED))
    snapshot = make_snapshot(WALKED, now_s=now_s, readings=(BUSY,) * len(WALKED.lanes))
    plan = ActuatedPlan(WALKED, timings, max_out_s=1.0)

    assert plan.choose(snapshot, empty_history(WALKED, 0.0)) == stage


def test_a_single_stage_stays():
    """Where there is nothing to change to, the stage stays."""
    alone = msgspec.structs.replace(CROSSING, stages=(Stage(name="only", protected=(0, 4)),))
    snapshot = make_snapshot(alone, now_s=99.0, readings=(BUSY,) * len(alone.lanes))

    assert ActuatedPlan(alone, TIMINGS[:1]).choose(snapshot, HISTORY) == 0
