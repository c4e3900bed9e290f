"""How the faults of detectors end, and what is shown to others while they last."""

from __future__ import annotations

import math

import msgspec
import pytest
from detector_watch import BUSY, EAST, EMPTY, NOON_S, NORTH, PEOPLE, kinds, look, varying, watch

from factories import make_reading, make_snapshot
from phasemesh.contract.command import start
from phasemesh.contract.detection import INVALID_READING, LaneReading
from phasemesh.contract.history import empty_history, note_calls
from phasemesh.controller.safety.case import Reaction
from phasemesh.controller.safety.detectors import (
    MAX_LOOK_S,
    DetectorFault,
    DetectorFaultKind,
    detector_faults,
    empty_health,
    no_detector_trusted,
    note_readings,
    substituted,
)


@pytest.mark.parametrize(("clean_s", "found"), [(29, ["out_of_range"]), (30, [])])
def test_i21_believes_a_detector_again_after_clean_readings(clean_s, found):
    """I21: a fault clears itself after 30 s without a sign of it."""
    broken = look(watch(5, varying), {NORTH: make_reading(math.nan)}, now_s=6.0)

    assert kinds(watch(clean_s, varying, health=broken)) == found


def test_i21_begins_the_clean_period_anew_at_every_relapse():
    """I21: one bad reading in 29 s keeps a detector out for ever."""

    def relapsing(now_s: float) -> LaneReading:
        return INVALID_READING if now_s % 29.0 == 0.0 else varying(now_s)

    health = watch(400, relapsing)

    assert detector_faults(health) == (DetectorFault("north_0", DetectorFaultKind.SILENT, 29.0),)


def test_i21_clears_a_stuck_detector_once_it_moves():
    """I21: a detector that is stuck no more is believed after the clean period."""
    stuck = watch(400, BUSY)

    assert kinds(watch(29, varying, health=stuck)) == ["stuck_on"]
    assert kinds(watch(31, varying, health=stuck)) == []


def test_i21_clears_a_detector_that_wakes_up():
    """I21: one vehicle after a silent hour is a sign of life."""
    asleep = watch(3700, EMPTY, health=watch(5, varying, day_s=NOON_S), day_s=NOON_S, step_s=5)

    assert kinds(asleep) == ["stuck_off"]
    assert kinds(watch(31, varying, health=asleep, day_s=NOON_S)) == []


def test_i21_names_the_newest_fault_of_a_lane():
    """I21: a detector that falls silent after it was stuck is silent, since then."""
    stuck = watch(400, BUSY)

    health = look(stuck, {NORTH: INVALID_READING}, now_s=401.0)

    assert detector_faults(health) == (DetectorFault("north_0", DetectorFaultKind.SILENT, 401.0),)


def test_i21_believes_the_first_word_of_a_detector():
    """I21: what has not spoken yet is silent, but has done nothing that it must make good for."""
    unheard = watch(5, INVALID_READING)

    assert kinds(unheard) == ["silent"]
    assert kinds(watch(1, varying, health=unheard)) == []


@pytest.mark.parametrize("reading", [INVALID_READING, make_reading(math.nan)])
def test_i21_does_not_forgive_nonsense_as_a_first_word(reading):
    """I21: a detector whose second word is nonsense, or whose first was, has its clean period before it."""
    health = watch(1, reading, health=watch(1, make_reading(math.nan)))

    assert kinds(watch(20, varying, health=health)) != []


def test_i21_begins_all_anew_after_a_time_of_silence():
    """I21: what a detector did while nobody could see it is not held against it."""
    standing = watch(250, BUSY)
    silent = watch(100, INVALID_READING, health=standing)

    assert kinds(watch(300, BUSY, health=silent)) == []
    assert kinds(watch(302, BUSY, health=silent)) == ["stuck_on"]


def test_i21_counts_no_silence_as_an_empty_lane():
    """I21: an hour without a reading is not an hour without traffic."""
    alive = watch(5, varying, day_s=NOON_S)
    silent = watch(3700, INVALID_READING, health=alive, day_s=NOON_S, step_s=5)

    assert kinds(watch(3600, EMPTY, health=silent, day_s=NOON_S, step_s=5)) == []


def test_i21_counts_no_gap_as_watched():
    """I21: an agent that slept does not know whether the lane was empty meanwhile."""
    alive = watch(5, varying, day_s=NOON_S)
    gap_s = alive.now_s + MAX_LOOK_S

    assert look(alive, {}, now_s=gap_s, day_s=NOON_S).watched_day_s == 5.0 + MAX_LOOK_S
    assert look(alive, {}, now_s=gap_s + 0.1, day_s=NOON_S).watched_day_s == 5.0


@pytest.mark.parametrize(("gap_s", "found"), [(60.0, ["stuck_on"]), (60.1, [])])
def test_i21_calls_nothing_stuck_that_it_did_not_watch(gap_s, found):
    """I21: the same vehicles before and after a long gap may be others."""
    standing = watch(299, BUSY)

    assert kinds(look(standing, {NORTH: BUSY}, now_s=standing.now_s + gap_s, signal=start(0, 0.0))) == found


def test_i21_forgets_all_when_the_cabinet_starts_again():
    """I21: a clock that goes back is that of a unit that was switched off."""
    stuck = watch(400, BUSY)

    health = look(stuck, {NORTH: BUSY}, now_s=3.0)

    assert detector_faults(health) == ()
    assert kinds(watch(301, BUSY, health=health)) == ["stuck_on"]
    assert [(lane.lane, lane.stages, lane.is_crossing) for lane in health.lanes] == [
        (lane.lane, lane.stages, lane.is_crossing) for lane in stuck.lanes
    ]


def test_i21_calls_constantly_for_a_detector_that_is_not_believed():
    """I21: in place of a stuck detector stands the neutral reading, which calls and tells the policy so."""
    health = watch(400, BUSY)
    snapshot = make_snapshot(PEOPLE, now_s=400.0, readings=(BUSY,) * 8)

    believed = substituted(snapshot, health)

    assert believed.readings == (INVALID_READING, *(BUSY,) * 7)
    assert msgspec.structs.replace(believed, readings=snapshot.readings) == snapshot
    assert note_calls(empty_history(PEOPLE, 0.0), believed).lane_call_s[NORTH] == 400.0


def test_i21_lets_nothing_out_of_range_pass_even_unnoted():
    """I21: a value that is no number is replaced although the health knows of no fault."""
    snapshot = make_snapshot(PEOPLE, readings=(make_reading(math.nan), *(BUSY,) * 7))

    assert substituted(snapshot, empty_health(PEOPLE, 0.0)).readings[0] is INVALID_READING


def test_i21_leaves_sound_readings_as_they_are():
    """I21: what is believed passes unaltered."""
    snapshot = make_snapshot(PEOPLE, now_s=9.0, readings=(BUSY, EMPTY, *(BUSY,) * 6))

    assert substituted(snapshot, watch(9, varying)) == snapshot


def test_i21_replaces_the_policy_when_no_detector_is_trusted():
    """I21: where every lane of vehicles is at fault, the local plan decides, and the finding says of what they ail."""
    broken = dict.fromkeys(range(4), INVALID_READING) | {EAST: make_reading(math.nan)}
    health = look(watch(5, varying), broken, now_s=6.0)

    finding = no_detector_trusted(health)

    assert (finding.rule, finding.reaction) == ("I21", Reaction.REPLACE)
    assert finding.detail == "not one of 4 lanes has a sound detector: out_of_range, silent"


@pytest.mark.parametrize("sound", range(4))
def test_i21_keeps_the_policy_while_one_detector_is_trusted(sound):
    """I21: one sound lane of vehicles is enough to decide by."""
    broken = {index: INVALID_READING for index in range(8) if index != sound}

    assert no_detector_trusted(look(watch(5, varying), broken, now_s=6.0)) is None


def test_i21_counts_buttons_only_where_there_is_nothing_else():
    """I21: a crossing alone on its road is decided by its button."""
    lone = msgspec.structs.replace(PEOPLE, lanes=PEOPLE.lanes[4:], movements=PEOPLE.movements[4:], stages=())
    health = empty_health(lone, 0.0)
    silent = note_readings(health, make_snapshot(lone, readings=(INVALID_READING,) * 4))

    assert no_detector_trusted(health) is None
    assert no_detector_trusted(silent).detail == "not one of 4 lanes has a sound detector: silent"


def test_a_lane_of_several_movements_is_served_by_the_stages_of_each():
    """A shared lane moves whenever one of its movements is green."""
    shared = msgspec.structs.replace(PEOPLE.movements[1], lanes=("east_0", "north_0"))
    crossing = msgspec.structs.replace(PEOPLE, movements=(PEOPLE.movements[0], shared, *PEOPLE.movements[2:]))

    lanes = empty_health(crossing, 0.0).lanes

    assert [lane.stages for lane in lanes[:4]] == [(0, 1), (1,), (0,), (1,)]
    assert [lane.is_crossing for lane in lanes] == [False] * 4 + [True] * 4


def test_a_wrong_number_of_readings_is_a_programming_error():
    """One reading a lane, in the order of the lanes, or nothing can be said of any."""
    short = make_snapshot(PEOPLE, readings=(BUSY,) * 7)

    with pytest.raises(ValueError, match="shorter"):
        note_readings(empty_health(PEOPLE, 0.0), short)
    with pytest.raises(ValueError, match="shorter"):
        substituted(short, empty_health(PEOPLE, 0.0))
