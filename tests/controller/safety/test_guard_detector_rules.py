"""The faults of detectors: each at its limit and on both sides of it."""

from __future__ import annotations

import math

import msgspec
import pytest
from detector_watch import BUSY, EAST, EMPTY, NIGHT_S, NOON_S, NORTH, NORTH_WALK, PEOPLE, kinds, look, varying, watch

from factories import make_reading
from phasemesh.contract.command import Interval, SignalState, start
from phasemesh.contract.detection import INVALID_READING, READING_LIMITS, LaneReading
from phasemesh.controller.safety.detectors import (
    CLEAN_S,
    FLUTTER_VEH,
    SPARE_RATIO,
    SPARE_VEH,
    DetectorFault,
    DetectorFaultKind,
    detector_faults,
    empty_health,
)


def test_i21_holds_nothing_against_an_unknown_detector():
    """I21: at the beginning there is no fault, and one look at plausible readings finds none."""
    health = empty_health(PEOPLE, 5.0)

    assert detector_faults(health) == ()
    assert detector_faults(look(health, {NORTH: BUSY}, now_s=5.0)) == ()
    assert len(health.lanes) == len(PEOPLE.lanes)


@pytest.mark.parametrize("name", list(READING_LIMITS))
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 1e9])
def test_i21_knows_a_value_out_of_range_at_once(name, value):
    """I21: NaN, infinity, negative and absurd values are a fault of that lane from the first on."""
    health = look(watch(5, BUSY), {EAST: make_reading(**{name: value})}, now_s=6.0)

    assert detector_faults(health) == (DetectorFault("east_0", DetectorFaultKind.OUT_OF_RANGE, 6.0),)


@pytest.mark.parametrize("name", [name for name in READING_LIMITS if name != "wait_s"])
@pytest.mark.parametrize("code", range(201, 218))
@pytest.mark.parametrize("lane", [EAST, NORTH_WALK])
def test_i21_takes_no_fault_code_for_a_number(lane, name, code):
    """I21: what NTCIP 1202 has for broken detectors (210 to 217) and reserves before it is never believed of a lane."""
    health = look(watch(5, BUSY), {lane: make_reading(**{name: float(code)})}, now_s=6.0)
    (fault,) = detector_faults(health)

    assert fault.lane == PEOPLE.lanes[lane].id
    assert fault.kind is (DetectorFaultKind.FLUTTER if name == "arrivals_veh" else DetectorFaultKind.OUT_OF_RANGE)


@pytest.mark.parametrize(
    ("zone", "name"), [(0, "vehicles_50m_veh"), (1, "vehicles_100m_veh"), (2, "vehicles_150m_veh"), (2, "queue_veh")]
)
def test_i21_believes_no_more_than_a_lane_can_hold(zone, name):
    """I21: four times the vehicles that fit in standing and ten more, for bicycles and for lanes of a few metres."""
    most_veh = SPARE_RATIO * PEOPLE.lanes[EAST].zone_capacity_veh[zone] + SPARE_VEH
    found = [
        kinds(look(watch(5, BUSY), {EAST: make_reading(vehicles_veh=1.0, **{name: count_veh})}, now_s=6.0))
        for count_veh in (most_veh, most_veh + 1.0)
    ]

    assert found == [[], ["out_of_range"]]


@pytest.mark.parametrize(("capacity_veh", "most_veh"), [(0.1, 10.4), (47.0, 198.0), (60.0, 200.0), (250.0, 250.0)])
def test_i21_believes_a_site_that_says_that_more_fit(capacity_veh, most_veh):
    """I21: numbers among the fault codes are believed only where so many vehicles fit in."""
    lanes = tuple(msgspec.structs.replace(lane, zone_capacity_veh=(capacity_veh,) * 3) for lane in PEOPLE.lanes)
    health = empty_health(msgspec.structs.replace(PEOPLE, lanes=lanes), 0.0)

    assert health.lanes[EAST].most_veh == pytest.approx((most_veh,) * 3)
    assert health.lanes[NORTH_WALK].most_veh == (max(200.0, capacity_veh),) * 3


def test_i21_keeps_its_limits_when_a_cabinet_starts_again():
    """I21: a clock that goes back makes a detector unknown, and the lane no longer than it is."""
    again = look(watch(50, BUSY), {EAST: make_reading(212.0)}, now_s=1.0)

    assert kinds(again) == ["out_of_range"]


def test_i21_knows_a_silent_detector_at_once():
    """I21: where the driver says that there is no reading, the lane is at fault since that moment."""
    health = look(watch(5, BUSY), {EAST: INVALID_READING}, now_s=6.0)

    assert detector_faults(health) == (DetectorFault("east_0", DetectorFaultKind.SILENT, 6.0),)


@pytest.mark.parametrize(("seconds", "found"), [(301, []), (302, ["stuck_on"])])
def test_i21_finds_a_detector_that_is_stuck_on(seconds, found):
    """I21: the very same vehicles for more than 300 s, with green meanwhile, are none."""
    assert kinds(watch(seconds, BUSY)) == found


def test_i21_dates_a_stuck_detector_from_when_it_was_found():
    """I21: the fault names its lane and the time from which it is not believed."""
    assert detector_faults(watch(400, BUSY)) == (DetectorFault("north_0", DetectorFaultKind.STUCK_ON, 302.0),)


def test_i21_trusts_a_saturated_lane():
    """I21: a lane that is never empty but whose readings vary is not stuck."""
    assert kinds(watch(2000, varying, step_s=5)) == []


def test_i21_trusts_a_queue_that_had_no_green():
    """I21: vehicles that may not drive stand where they are, for however long."""
    assert kinds(watch(2000, BUSY, signal=start(1, 0.0), step_s=5)) == []


@pytest.mark.parametrize(("green_s", "found"), [(9, []), (10, ["stuck_on"])])
def test_i21_asks_for_some_green_before_it_calls_a_queue_stuck(green_s, found):
    """I21: ten seconds of green, in one piece or several, move every real queue."""
    waited = watch(350, BUSY, signal=start(1, 0.0))
    moved = watch(green_s, BUSY, health=waited, signal=start(0, 0.0))

    assert kinds(watch(1, BUSY, health=moved, signal=start(1, 0.0))) == found


@pytest.mark.parametrize("interval", [Interval.PED_CLEARANCE, Interval.YELLOW, Interval.RED_CLEARANCE])
def test_i21_counts_no_change_as_green(interval):
    """I21: only the green of a stage that serves the lane lets its queue go."""
    assert kinds(watch(400, BUSY, signal=SignalState(0, 1, interval, 0.0))) == []


def test_i21_looks_only_at_the_own_values_of_a_lane():
    """I21: a frozen detector is stuck although the exits of its lane, which other detectors watch, still vary."""

    def frozen(now_s: float) -> LaneReading:
        return make_reading(3.0, downstream_vehicles_veh=now_s % 7.0)

    assert kinds(watch(400, frozen)) == ["stuck_on"]


@pytest.mark.parametrize(
    "name",
    [
        "queue_veh",
        "vehicles_50m_veh",
        "vehicles_100m_veh",
        "vehicles_150m_veh",
        "arrivals_veh",
        "wait_s",
        "mean_speed_mps",
    ],
)
def test_i21_sees_any_value_of_a_lane_move(name):
    """I21: one own value that varies is a detector that lives."""

    def living(now_s: float) -> LaneReading:
        return msgspec.structs.replace(make_reading(3.0), **{name: 0.25 * (now_s % 2.0)})

    assert kinds(watch(400, living)) == []


@pytest.mark.parametrize(
    "name", ["queue_veh", "vehicles_50m_veh", "vehicles_100m_veh", "vehicles_150m_veh", "arrivals_veh"]
)
def test_i21_takes_any_count_for_a_presence(name):
    """I21: a detector stuck in a single count is stuck on."""
    stuck = msgspec.structs.replace(EMPTY, **{name: 0.1})

    assert kinds(watch(310, stuck)) == ["stuck_on"]


@pytest.mark.parametrize("name", ["wait_s", "mean_speed_mps"])
def test_i21_takes_no_speed_and_no_wait_for_a_presence(name):
    """I21: what an empty lane reports of speed or wait may stay for ever."""
    assert kinds(watch(1000, msgspec.structs.replace(EMPTY, **{name: 13.9}), step_s=5)) == []


def test_i21_finds_a_detector_that_is_stuck_off():
    """I21: a lane that had traffic and reports none for more than an hour of the day is not believed."""
    alive = watch(5, varying, day_s=NOON_S)
    quiet = watch(3600, EMPTY, health=alive, day_s=NOON_S, step_s=5)

    assert kinds(quiet) == []
    assert kinds(watch(1, EMPTY, health=quiet, day_s=NOON_S)) == ["stuck_off"]


def test_i21_lets_streets_sleep_at_night():
    """I21: by night a lane may be empty for hours, and the morning does not count them."""
    alive = watch(5, varying, day_s=NOON_S)
    slept = watch(7 * 3600, EMPTY, health=alive, day_s=NIGHT_S, step_s=20)

    assert kinds(slept) == []
    assert kinds(watch(3600, EMPTY, health=slept, day_s=NOON_S, step_s=20)) == []
    assert kinds(watch(3620, EMPTY, health=slept, day_s=NOON_S, step_s=20)) == ["stuck_off"]


@pytest.mark.parametrize(
    ("day_s", "is_day"),
    [(6 * 3600.0 - 0.1, False), (6 * 3600.0, True), (22 * 3600.0 - 0.1, True), (22 * 3600.0, False)],
)
def test_i21_knows_the_day_from_the_night(day_s, is_day):
    """I21: the day is from 06:00 to 22:00, local time."""
    alive = watch(5, varying, day_s=NOON_S)

    assert bool(kinds(watch(3660, EMPTY, health=alive, day_s=day_s, step_s=20))) is is_day


def test_i21_expects_nothing_of_a_lane_that_never_had_anybody():
    """I21: a lane without any traffic at all may be a lane without traffic."""
    assert kinds(watch(9000, EMPTY, day_s=NOON_S, step_s=20)) == []


def test_i21_lets_people_stay_away_from_a_crossing():
    """I21: a place where people wait may be empty for hours by day."""
    alive = watch(5, varying, lane=NORTH_WALK, day_s=NOON_S)

    assert kinds(watch(9000, EMPTY, lane=NORTH_WALK, health=alive, day_s=NOON_S, step_s=20)) == []


def test_i21_finds_a_button_that_is_stuck():
    """I21: people who wait without a change although they may walk are none."""
    assert kinds(watch(400, BUSY, lane=NORTH_WALK, signal=start(1, 0.0))) == ["stuck_on"]


def fluttering(now_s: float) -> LaneReading:
    """A detector that counts two vehicles a second."""
    return make_reading(1.0, arrivals_veh=2.0, wait_s=now_s)


@pytest.mark.parametrize(("arrivals_veh", "found"), [(0.0, []), (0.5, ["flutter"])])
def test_i21_finds_a_detector_that_flutters(arrivals_veh, found):
    """I21: more than 60 arrivals in a minute are found as soon as they are counted."""
    counted = watch(30, fluttering)

    assert kinds(counted) == []
    assert kinds(watch(1, make_reading(1.0, arrivals_veh=arrivals_veh), health=counted)) == found


def test_i21_trusts_a_lane_at_saturation():
    """I21: a vehicle a second is more than a lane serves, and still no flutter."""

    def saturated(now_s: float) -> LaneReading:
        return make_reading(1.0, arrivals_veh=FLUTTER_VEH / 60.0, wait_s=now_s)

    assert kinds(watch(1000, saturated)) == []


def test_i21_keeps_a_flutter_until_its_minute_and_the_clean_period_are_over():
    """I21: what fluttered in one minute is not believed in the next, whatever it says."""
    broken = watch(50, fluttering)

    assert kinds(watch(10 + 60 + int(CLEAN_S) - 2, EMPTY, health=broken)) == ["flutter"]
    assert kinds(watch(10 + 60 + int(CLEAN_S) - 1, EMPTY, health=broken)) == []
