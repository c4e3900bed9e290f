"""Faults F9 and F10: what broken detectors say is never believed, and forgotten half a minute after they are mended."""

from __future__ import annotations

import math

import msgspec
import pytest
from fault_cabinets import NAME, Corner, at_once, make_cabinet

from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.detection import INVALID_READING, LaneReading, Snapshot, plausible
from phasemesh.controller.safety.detectors import (
    CLEAN_S,
    STUCK_OFF_S,
    DetectorFaultKind,
    DetectorHealth,
    empty_health,
    note_readings,
    substituted,
)
from phasemesh.sim_harness.faults.sensors import SENSOR_TROUBLES

NOON_S = 12 * 3600.0
AT_ONCE = ("detector-nan", "detector-infinite", "detector-negative", "detector-code", "detector-silent")
LASTING = {
    "detector-stuck-on": DetectorFaultKind.STUCK_ON,
    "detector-flutter": DetectorFaultKind.FLUTTER,
    "detector-stuck-off": DetectorFaultKind.STUCK_OFF,
}


def _watch(trouble: str, seconds: float, health: DetectorHealth, *, from_s: float = 0.0) -> DetectorHealth:
    """`health` after looks every two seconds at an intersection whose first lane has `trouble`."""
    for step in range(int(from_s), int(from_s + seconds), 2):
        health = note_readings(health, _snapshot(trouble, step))
    return health


def _snapshot(trouble: str, step: int) -> Snapshot:
    """Traffic that changes all the time, but for the first lane; the first stage is green."""
    intersection = make_intersection(NAME)
    traffic = make_reading(float(step // 2 % 3), arrivals_veh=float(step % 4 == 0))
    first = SENSOR_TROUBLES[trouble](traffic, step) if trouble else traffic
    snapshot = make_snapshot(intersection, step=step, now_s=float(step), readings=(first, traffic, traffic, traffic))
    return msgspec.structs.replace(snapshot, day_s=NOON_S)


@pytest.mark.parametrize("trouble", AT_ONCE)
def test_f9_what_cannot_be_true_is_not_believed_for_a_moment(trouble: str) -> None:
    """The very first such reading is replaced by one that calls and tells that it is invalid."""
    health = _watch(trouble, 2.0, empty_health(make_intersection(NAME), 0.0))

    assert substituted(_snapshot(trouble, 0), health).readings[0] is INVALID_READING


@pytest.mark.parametrize("trouble", AT_ONCE)
def test_f9_nothing_of_it_is_left_for_a_policy(trouble: str) -> None:
    """After substitution every number of every lane is finite and plausible."""
    health = _watch(trouble, 2.0, empty_health(make_intersection(NAME), 0.0))
    readings = substituted(_snapshot(trouble, 0), health).readings

    numbers = [number for reading in readings for number in msgspec.structs.astuple(reading)]
    assert all(math.isfinite(number) for number in numbers)
    assert all(plausible(reading) is not INVALID_READING for reading in readings[1:])


@pytest.mark.parametrize(("trouble", "kind"), LASTING.items())
def test_f10_a_lasting_fault_is_found_by_what_it_does(trouble: str, kind: DetectorFaultKind) -> None:
    """Stuck on after five minutes, fluttering within two, stuck off after an hour of day."""
    needed_s = {"detector-stuck-off": STUCK_OFF_S + 10.0, "detector-stuck-on": 310.0}.get(trouble, 120.0)
    start = _watch("", 10.0, empty_health(make_intersection(NAME), 0.0))
    health = _watch(trouble, needed_s, start, from_s=10.0)

    assert health.lanes[0].fault is kind
    assert [lane.fault for lane in health.lanes[1:]] == [None] * 3
    assert substituted(_snapshot(trouble, int(needed_s)), health).readings[0] is INVALID_READING


@pytest.mark.parametrize("trouble", [*AT_ONCE, "detector-stuck-on"])
def test_a_mended_detector_is_believed_after_the_clean_time(trouble: str) -> None:
    """Not before half a minute of clean readings, and then again."""
    broken_s = 400.0
    heard = _watch("", 10.0, empty_health(make_intersection(NAME), 0.0))
    health = _watch(trouble, broken_s, heard, from_s=10.0)

    soon = _watch("", CLEAN_S - 4.0, health, from_s=broken_s + 10.0)
    later = _watch("", 8.0, soon, from_s=broken_s + CLEAN_S + 6.0)

    assert soon.lanes[0].fault is not None
    assert later.lanes[0].fault is None


def test_a_fault_hits_the_first_lane_alone_and_only_while_it_lasts() -> None:
    """The driver passes all other readings on as they are."""
    corner = Corner(at_once("detector-nan", length_s=3.0))
    during = corner.look()
    corner.step(5)
    after = corner.look()

    assert isinstance(during, Snapshot)
    assert isinstance(after, Snapshot)
    assert math.isnan(during.readings[0].queue_veh)
    assert during.readings[1:] == after.readings[1:]
    assert after.readings[0] == make_reading(1.0)


def test_a_cabinet_with_a_silent_detector_still_serves_its_lane() -> None:
    """Under its own plan the lane calls constantly: it is green within a cycle."""
    cabinet = make_cabinet()
    quiet: LaneReading = make_reading(0.0)
    lanes = len(cabinet.intersection.lanes)
    shown = set()
    for step in range(1, 200):
        readings = (quiet,) * (lanes - 1) + (INVALID_READING,)
        cabinet.step(step, float(step), readings)
        shown.add(cabinet.lights[-1])

    assert "G" in shown
