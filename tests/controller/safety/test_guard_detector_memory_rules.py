"""I21: what a detector is remembered for, and what is forgotten when nobody could see it."""

from __future__ import annotations

import math

from detector_watch import BUSY, EMPTY, NOON_S, NORTH, kinds, look, varying, watch

from factories import make_reading
from phasemesh.contract.command import start
from phasemesh.contract.detection import INVALID_READING

RED = start(1, 0.0)
"""The other stage has green."""


def test_i21_finds_a_lane_stuck_off_after_a_moment_of_silence():
    """I21: a detector that had traffic, was silent for a while and then reports none for an hour is not believed."""
    alive = watch(5, varying, day_s=NOON_S)
    silent = watch(5, INVALID_READING, health=alive, day_s=NOON_S)
    believed = watch(100, EMPTY, health=silent, day_s=NOON_S)

    assert kinds(believed) == []
    assert kinds(watch(3600, EMPTY, health=believed, day_s=NOON_S, step_s=5)) == ["stuck_off"]


def test_i21_takes_silence_for_no_sign_of_traffic():
    """I21: a lane that nobody ever came to is not stuck off because its detector was silent once."""
    silent = watch(5, INVALID_READING, health=watch(5, EMPTY, day_s=NOON_S), day_s=NOON_S)

    assert kinds(watch(3700, EMPTY, health=silent, day_s=NOON_S, step_s=5)) == []


def test_i21_counts_no_green_from_before_a_silence():
    """I21: vehicles that stand since a silence must have had their ten seconds of green after it."""
    silent = watch(5, INVALID_READING, health=watch(100, BUSY))

    assert kinds(watch(310, BUSY, health=silent, signal=RED)) == []
    assert kinds(watch(301, BUSY, health=watch(9, BUSY, health=silent), signal=RED)) == []
    assert kinds(watch(301, BUSY, health=watch(10, BUSY, health=silent), signal=RED)) == ["stuck_on"]


def test_i21_forgets_nothing_at_a_second_look_at_the_same_time():
    """I21: only a clock that goes back is that of a unit that has started again, not one that stands still."""
    broken = look(watch(5, varying), {NORTH: make_reading(math.nan)}, now_s=6.0)

    assert kinds(look(broken, {NORTH: BUSY}, now_s=6.0)) == ["out_of_range"]
    assert kinds(look(broken, {NORTH: BUSY}, now_s=5.9)) == []


def test_i21_counts_no_green_of_other_vehicles():
    """I21: green that moved others says nothing about those who came after them."""
    others = watch(1, make_reading(4.0), health=watch(100, BUSY))

    assert kinds(watch(310, BUSY, health=others, signal=RED)) == []
