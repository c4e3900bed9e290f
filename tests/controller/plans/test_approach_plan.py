"""The plan `approach`: counts, lost time, limits on greens and waits, and detectors that cannot be trusted."""

from __future__ import annotations

import math

import msgspec
import pytest

from factories import make_intersection, make_reading, make_snapshot, make_timings
from phasemesh.contract.command import Interval, SignalState, start
from phasemesh.contract.detection import INVALID_READING, LaneReading
from phasemesh.contract.history import ServiceHistory, empty_history
from phasemesh.contract.timing import STREET
from phasemesh.controller.plans.approach import ApproachPlan, counts_veh

CROSSING = make_intersection(has_left_lanes=True)
"""Lanes north, east, south, west, each with its left turn after it; stages north-south, lefts, east-west, lefts."""
TIMINGS = make_timings(CROSSING, STREET)


def vehicles(count: float) -> LaneReading:
    """`count` vehicles on the last 100 m, none of them near enough to call."""
    return make_reading(0.0, vehicles_100m_veh=count)


def wanted(
    readings: dict[int, LaneReading],
    now_s: float = 10.0,
    signal: SignalState | None = None,
    waiting_since_s: dict[int, float] | None = None,
) -> int:
    """What the plan wants at `now_s` when only the lanes in `readings` see anything and others wait since a time."""
    lanes = tuple(readings.get(lane, make_reading()) for lane in range(len(CROSSING.lanes)))
    snapshot = make_snapshot(CROSSING, now_s=now_s, signal=signal or start(0, 0.0), readings=lanes)
    return ApproachPlan(CROSSING, TIMINGS).choose(snapshot, history_of(waiting_since_s or {}))


def history_of(waiting_since_s: dict[int, float]) -> ServiceHistory:
    """A history in which no movement was green since 0 s and the lanes call since the given times."""
    calls_s = tuple(waiting_since_s.get(lane) for lane in range(len(CROSSING.lanes)))
    return msgspec.structs.replace(empty_history(CROSSING, 0.0), lane_call_s=calls_s)


def test_most_vehicles_win():
    """The stage that serves most vehicles within a hundred metres is wanted, wherever it is in the order."""
    assert wanted({2: vehicles(1.0), 3: vehicles(5.0), 7: vehicles(5.0)}) == 3
    assert wanted({2: vehicles(5.0), 3: vehicles(2.0), 6: vehicles(3.0)}) == 2


@pytest.mark.parametrize(("here", "there", "stage"), [(5.0, 5.0, 0), (4.9, 5.0, 2), (6.0, 60.0, 0), (0.0, 0.0, 0)])
def test_a_switch_costs_its_lost_time(here, there, stage):
    """Of other lanes five vehicles count at most, since three could have passed while the lights changed."""
    assert wanted({0: vehicles(here), 2: vehicles(there)}) == stage


def test_a_green_counts_eight_vehicles_a_lane_at_most():
    """What does not pass before the next decision counts for nobody."""
    assert wanted({0: vehicles(30.0), 2: vehicles(5.0), 6: vehicles(5.0)}) == 2


def test_turns_that_yield_count_half():
    """The north-south stage serves its left turns between the others."""
    assert wanted({1: vehicles(5.0), 2: vehicles(3.0)}, signal=start(3, 0.0)) == 1
    assert wanted({1: vehicles(5.0), 2: vehicles(5.0)}, signal=start(2, 0.0)) == 2


def test_equal_scores_keep_the_stage_else_take_the_first():
    """Between stages that are no better the one in force stays, or the first of the others is taken."""
    assert wanted({0: vehicles(3.0), 2: vehicles(3.0)}, signal=start(2, 0.0)) == 2
    assert wanted({0: vehicles(3.0), 2: vehicles(3.0)}, signal=start(3, 0.0)) == 0


@pytest.mark.parametrize(("now_s", "stage"), [(0.0, 0), (6.9, 0), (7.0 - 1e-9, 2), (7.0, 2)])
def test_a_green_below_its_minimum_is_kept(now_s, stage):
    """However many wait elsewhere."""
    assert wanted({2: vehicles(9.0)}, now_s) == stage


@pytest.mark.parametrize("interval", [Interval.PED_CLEARANCE, Interval.YELLOW, Interval.RED_CLEARANCE])
def test_a_running_change_is_awaited_by_the_approach_plan(interval):
    """During a change the plan wants the stage that is being changed to."""
    signal = SignalState(stage=1, from_stage=0, interval=interval, since_s=0.0)

    assert wanted({2: vehicles(9.0)}, now_s=60.0, signal=signal) == 1


@pytest.mark.parametrize(("now_s", "stage"), [(49.0, 0), (50.0, 2), (70.0, 2)])
def test_a_long_green_gives_way_to_whoever_calls(now_s, stage):
    """After fifty seconds the best of the stages that serve a waiting movement is wanted."""
    busy = {0: vehicles(9.0), 4: vehicles(9.0), 2: vehicles(1.0)}

    assert wanted(busy, now_s, waiting_since_s={2: 20.0}) == stage


def test_a_long_green_stays_while_nobody_calls():
    """Without a waiting movement there is nobody to give way to."""
    assert wanted({0: vehicles(9.0)}, now_s=400.0) == 0


@pytest.mark.parametrize(("now_s", "stage"), [(99.0, 0), (100.0, 2)])
def test_nobody_waits_longer_than_the_patience(now_s, stage):
    """A movement that has called for ninety seconds is served next, whatever the counts say."""
    busy = {0: vehicles(9.0), 4: vehicles(9.0), 3: vehicles(5.0), 7: vehicles(5.0)}
    signal = start(0, 60.0)

    assert wanted(busy, now_s, signal, waiting_since_s={2: 10.0, 3: 30.0}) == stage


def test_of_two_that_waited_too_long_the_longer_wait_comes_first():
    """The counts decide only between stages that serve the longest wait."""
    since_s = {2: 10.0, 3: 20.0}

    assert wanted({3: vehicles(9.0), 7: vehicles(9.0)}, 120.0, start(0, 100.0), waiting_since_s=since_s) == 2


@pytest.mark.parametrize("reading", [INVALID_READING, make_reading(math.nan), make_reading(-1.0), make_reading(1e6)])
def test_a_dead_detector_counts_as_the_mean_of_the_others(reading):
    """It neither wins nor loses a green by itself."""
    assert counts_veh((reading, vehicles(2.0), vehicles(4.0))) == (3.0, 2.0, 4.0)


def test_dead_detectors_alone_count_one_vehicle_each():
    """Where nothing can be trusted, every lane calls."""
    assert counts_veh((INVALID_READING, INVALID_READING)) == (1.0, 1.0)
    assert counts_veh((INVALID_READING, vehicles(0.0))) == (1.0, 0.0)


def test_people_who_wait_count_like_vehicles():
    """Two people at the arm in the north outweigh one vehicle in the stage in force."""
    walked = make_intersection(has_crossings=True)
    readings = tuple(vehicles({0: 1.0, 4: 2.0}.get(lane, 0.0)) for lane in range(len(walked.lanes)))
    snapshot = make_snapshot(walked, now_s=10.0, readings=readings)

    assert ApproachPlan(walked, make_timings(walked)).choose(snapshot, empty_history(walked, 0.0)) == 1


@pytest.mark.parametrize(("now_s", "stage"), [(6.9, 0), (7.0, 1)])
def test_the_walk_of_a_crossing_is_never_cut(now_s, stage):
    """A green with crossings lasts the walk interval, even where the minimum green is shorter."""
    walked = make_intersection(has_crossings=True)
    timings = tuple(msgspec.structs.replace(timing, min_green_s=4.0) for timing in make_timings(walked))
    readings = (make_reading(), vehicles(9.0)) + (make_reading(),) * (len(walked.lanes) - 2)
    snapshot = make_snapshot(walked, now_s=now_s, readings=readings)

    assert ApproachPlan(walked, timings).choose(snapshot, empty_history(walked, 0.0)) == stage
