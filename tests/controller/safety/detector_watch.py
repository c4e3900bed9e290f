"""Watching one lane of a crossing for a while: the tests of the health of detectors share these looks."""

from __future__ import annotations

from collections.abc import Callable

from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.command import SignalState
from phasemesh.contract.detection import LaneReading
from phasemesh.controller.safety.detectors import DetectorHealth, detector_faults, empty_health, note_readings

PEOPLE = make_intersection(has_crossings=True)
"""Lanes and movements 0 to 3 are vehicles from north, east, south, west; 4 to 7 are people over those arms."""
NORTH, EAST, NORTH_WALK = 0, 1, 4
EMPTY = make_reading(mean_speed_mps=0.0)
BUSY = make_reading(3.0)
NOON_S, NIGHT_S = 12 * 3600.0, 3 * 3600.0

Readings = Callable[[float], LaneReading]


def watch(
    seconds: int,
    reading: Readings | LaneReading,
    *,
    lane: int = NORTH,
    health: DetectorHealth | None = None,
    signal: SignalState | None = None,
    day_s: float = NIGHT_S,
    step_s: int = 1,
) -> DetectorHealth:
    """`health` after one lane was watched for `seconds` from where it stands; all other lanes stay empty."""
    health = health or empty_health(PEOPLE, 0.0)
    begun_s = health.now_s
    for second in range(step_s, seconds + step_s, step_s):
        now_s = begun_s + second
        shown = reading(now_s) if callable(reading) else reading
        health = look(health, {lane: shown}, now_s=now_s, signal=signal, day_s=day_s)
    return health


def look(
    health: DetectorHealth,
    shown: dict[int, LaneReading],
    *,
    now_s: float,
    signal: SignalState | None = None,
    day_s: float = NIGHT_S,
) -> DetectorHealth:
    """`health` after one look at which some lanes show something and all others are empty."""
    readings = tuple(shown.get(index, EMPTY) for index in range(len(PEOPLE.lanes)))
    return note_readings(health, make_snapshot(PEOPLE, now_s=now_s, signal=signal, readings=readings, day_s=day_s))


def kinds(health: DetectorHealth) -> list[str]:
    """The faults of `health`, as words."""
    return [fault.kind.value for fault in detector_faults(health)]


def varying(now_s: float) -> LaneReading:
    """A saturated lane: vehicles all the time, never the same twice."""
    return make_reading(9.0, wait_s=now_s)
