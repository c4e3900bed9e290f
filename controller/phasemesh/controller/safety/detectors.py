"""The health of detectors (I21): which lanes are believed, since when not, and why; pure, one value carried along.

A reading that cannot be true is known at once: it is out of range, it counts more vehicles than fit into the lane, or
the driver says that there is none. The other faults show only with time: a detector that is stuck on, stuck off, or
counts more than can drive past. Whatever is not believed is replaced by `INVALID_READING`, which calls constantly and
tells the policy so, and is believed again after half a minute of clean readings.
"""

from __future__ import annotations

import struct
import zlib
from enum import StrEnum

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S, Interval
from phasemesh.contract.detection import INVALID_READING, READING_LIMITS, LaneReading, Snapshot, plausible
from phasemesh.contract.intersection import Intersection, Lane
from phasemesh.contract.units import LaneId
from phasemesh.controller.safety.case import Finding, Reaction

STUCK_ON_S = 300.0
"""A detector that reports the very same vehicles for longer than this is stuck on (NTCIP 1202 MaxPresence)."""
MOVING_GREEN_S = 10.0
"""Green that a lane must have had meanwhile: without it, vehicles have every reason to stand."""
STUCK_OFF_S = 3600.0
"""A detector that reports nobody for longer than this by day is stuck off (NTCIP 1202 NoActivity)."""
DAY_S = (6 * 3600.0, 22 * 3600.0)
"""Local time of day, in seconds since midnight, at which a street that has traffic is never empty for an hour."""
FLUTTER_VEH = 60.0
"""Arrivals in one minute beyond which a detector counts itself (NTCIP 1202 ErraticCounts); no lane serves so many."""
MINUTE_S = 60.0
CLEAN_S = 30.0
"""How long a detector must be clean before it is believed again."""
MAX_LOOK_S = 60.0
"""Longest time between two readings that counts as watched; in a longer gap nobody knows what the detector did."""


HIGHEST_OCCUPANCY_VEH = 200.0
"""Highest number that NTCIP 1202 has for an occupancy, in half per cent; from 210 on it names faults of the detector.

Readings here are vehicles and never such a number. A driver that passes one on, fault and all, is found because no
lane is believed to hold more vehicles than this, unless the site says that they fit.
"""
SPARE_RATIO, SPARE_VEH = 4.0, 10.0
"""How far beyond its capacity a lane is believed: motorcycles and bicycles stand closer, and short lanes hold one."""
NO_MOST_VEH = (READING_LIMITS["queue_veh"][1],) * 3
"""For a health of before there were limits: nothing but the range of all readings."""


class DetectorFaultKind(StrEnum):
    """What a detector does wrong."""

    OUT_OF_RANGE = "out_of_range"
    SILENT = "silent"
    STUCK_ON = "stuck_on"
    STUCK_OFF = "stuck_off"
    FLUTTER = "flutter"


class DetectorFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lane that is not believed, why, and since when in cabinet time."""

    lane: LaneId
    kind: DetectorFaultKind
    since_s: float


class LaneHealth(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is remembered of one lane; times are cabinet time.

    `stages` serve the lane. `shown` names the lane's own values of the newest valid reading, None before the first;
    they have been the same since `shown_since_s`, `shown_green_s` of that in green. `active_day_s` is the reading of
    `DetectorHealth.watched_day_s` when there was last somebody, None before. `arrivals_veh` came in the present minute,
    `is_erratic` is about the minute before. `fault` stands since `fault_since_s` and was last seen at `dirty_s`.
    `most_veh` is what is believed at most of each zone of `ZONES_M`.
    """

    lane: LaneId
    stages: tuple[int, ...]
    is_crossing: bool
    shown: int | None = None
    shown_since_s: float = 0.0
    shown_green_s: float = 0.0
    active_day_s: float | None = None
    arrivals_veh: float = 0.0
    is_erratic: bool = False
    fault: DetectorFaultKind | None = None
    fault_since_s: float = 0.0
    dirty_s: float = 0.0
    most_veh: tuple[float, float, float] = NO_MOST_VEH


class DetectorHealth(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One `LaneHealth` a lane, in their order; `now_s` is the time of the newest reading.

    `minute_s` is the beginning of the present minute, and `watched_day_s` how many seconds of daytime were watched.
    """

    lanes: tuple[LaneHealth, ...]
    now_s: float
    minute_s: float
    watched_day_s: float = 0.0


class _Look(msgspec.Struct, frozen=True):
    """What all lanes of one look have in common; `green_stage` is None in a change, a gap before it is unwatched."""

    now_s: float
    is_watched: bool
    elapsed_s: float
    watched_day_s: float
    green_stage: int | None
    is_new_minute: bool


def empty_health(intersection: Intersection, now_s: float) -> DetectorHealth:
    """Nothing is known of any detector at `now_s`, and nothing is held against it."""
    return DetectorHealth(
        lanes=tuple(_unknown(intersection, lane, now_s) for lane in intersection.lanes),
        now_s=now_s,
        minute_s=now_s,
    )


def _unknown(intersection: Intersection, lane: Lane, now_s: float) -> LaneHealth:
    is_crossing = _has_people(intersection, lane.id)
    near_veh, middle_veh, far_veh = lane.zone_capacity_veh
    return LaneHealth(
        lane=lane.id,
        stages=_serving_stages(intersection, lane.id),
        is_crossing=is_crossing,
        dirty_s=now_s - CLEAN_S,
        most_veh=(
            _most_veh(near_veh, is_crossing=is_crossing),
            _most_veh(middle_veh, is_crossing=is_crossing),
            _most_veh(far_veh, is_crossing=is_crossing),
        ),
    )


def _most_veh(capacity_veh: float, *, is_crossing: bool) -> float:
    """What is believed at most of a zone; nobody knows how close people stand."""
    limit_veh = max(HIGHEST_OCCUPANCY_VEH, capacity_veh)
    return limit_veh if is_crossing else min(SPARE_RATIO * capacity_veh + SPARE_VEH, limit_veh)


def _movements_of(intersection: Intersection, lane: LaneId) -> frozenset[int]:
    return frozenset(index for index, movement in enumerate(intersection.movements) if lane in movement.lanes)


def _serving_stages(intersection: Intersection, lane: LaneId) -> tuple[int, ...]:
    movements = _movements_of(intersection, lane)
    return tuple(index for index, stage in enumerate(intersection.stages) if stage.served & movements)


def _has_people(intersection: Intersection, lane: LaneId) -> bool:
    return any(intersection.movements[index].is_crossing for index in _movements_of(intersection, lane))


def note_readings(health: DetectorHealth, snapshot: Snapshot) -> DetectorHealth:
    """`health` after the readings of `snapshot`, which are as they came, one a lane; ValueError for another number.

    A cabinet whose clock goes back has started again; what was known of its detectors is forgotten.
    """
    now_s = snapshot.now_s
    if now_s < health.now_s:
        health = _forgotten(health, now_s)
    look = _look(health, snapshot)
    return DetectorHealth(
        lanes=tuple(
            [_judged(lane, reading, look) for lane, reading in zip(health.lanes, snapshot.readings, strict=True)]
        ),
        now_s=now_s,
        minute_s=now_s if look.is_new_minute else health.minute_s,
        watched_day_s=look.watched_day_s,
    )


def _forgotten(health: DetectorHealth, now_s: float) -> DetectorHealth:
    lanes = tuple(
        LaneHealth(
            lane=lane.lane,
            stages=lane.stages,
            is_crossing=lane.is_crossing,
            dirty_s=now_s - CLEAN_S,
            most_veh=lane.most_veh,
        )
        for lane in health.lanes
    )
    return DetectorHealth(lanes=lanes, now_s=now_s, minute_s=now_s)


def _look(health: DetectorHealth, snapshot: Snapshot) -> _Look:
    passed_s = snapshot.now_s - health.now_s
    is_watched = passed_s <= MAX_LOOK_S
    elapsed_s = passed_s if is_watched else 0.0
    is_day = DAY_S[0] <= snapshot.day_s < DAY_S[1]
    return _Look(
        now_s=snapshot.now_s,
        is_watched=is_watched,
        elapsed_s=elapsed_s,
        watched_day_s=health.watched_day_s + (elapsed_s if is_day else 0.0),
        green_stage=snapshot.signal.stage if snapshot.signal.interval is Interval.GREEN else None,
        is_new_minute=snapshot.now_s - health.minute_s >= MINUTE_S - TIME_EPSILON_S,
    )


def _judged(lane: LaneHealth, reading: LaneReading, look: _Look) -> LaneHealth:
    if look.is_new_minute:
        is_erratic = lane.arrivals_veh > FLUTTER_VEH
        lane = msgspec.structs.replace(lane, arrivals_veh=0.0, is_erratic=is_erratic)
    if plausible(reading) is INVALID_READING:
        kind = DetectorFaultKind.OUT_OF_RANGE if reading.is_valid else DetectorFaultKind.SILENT
        return _with_fault(_unwatched(lane, look), kind, look.now_s)
    if not _fits(reading, lane.most_veh):
        return _with_fault(_unwatched(lane, look), DetectorFaultKind.OUT_OF_RANGE, look.now_s)
    is_active = _is_active(reading)
    lane = _noted(lane, reading, look, is_active=is_active)
    return _with_fault(lane, _trouble(lane, look, is_active=is_active), look.now_s)


def _fits(reading: LaneReading, most_veh: tuple[float, float, float]) -> bool:
    """Whether what a plausible `reading` counts can be in its zones; arrivals are judged by the minute."""
    near_veh, middle_veh, far_veh = most_veh
    return (
        reading.vehicles_50m_veh <= near_veh
        and reading.vehicles_100m_veh <= middle_veh
        and reading.vehicles_150m_veh <= far_veh
        and reading.queue_veh <= far_veh
        and reading.downstream_queue_veh <= HIGHEST_OCCUPANCY_VEH
        and reading.downstream_vehicles_veh <= HIGHEST_OCCUPANCY_VEH
    )


def _unwatched(lane: LaneHealth, look: _Look) -> LaneHealth:
    """`lane` after a look that shows nothing: all that takes time begins anew."""
    active_day_s = None if lane.active_day_s is None else look.watched_day_s
    return msgspec.structs.replace(lane, shown_since_s=look.now_s, shown_green_s=0.0, active_day_s=active_day_s)


def _noted(lane: LaneHealth, reading: LaneReading, look: _Look, *, is_active: bool) -> LaneHealth:
    """`lane` with what a plausible `reading` shows; the same object where an empty lane stays empty."""
    shown = _own_values(reading)
    is_same = shown == lane.shown and look.is_watched
    if is_same and not is_active:
        return lane
    is_moving = is_same and look.green_stage in lane.stages
    return msgspec.structs.replace(
        lane,
        shown=shown,
        shown_since_s=lane.shown_since_s if is_same else look.now_s,
        shown_green_s=(lane.shown_green_s if is_same else 0.0) + (look.elapsed_s if is_moving else 0.0),
        active_day_s=look.watched_day_s if is_active else lane.active_day_s,
        arrivals_veh=lane.arrivals_veh + reading.arrivals_veh,
    )


def _is_active(reading: LaneReading) -> bool:
    return (
        reading.vehicles_150m_veh > 0.0
        or reading.queue_veh > 0.0
        or reading.arrivals_veh > 0.0
        or reading.vehicles_50m_veh > 0.0
        or reading.vehicles_100m_veh > 0.0
    )


_OWN_VALUES = struct.Struct("<7d")


def _own_values(reading: LaneReading) -> int:
    """A name of what the lane's own detectors say; those downstream belong to other lanes."""
    return zlib.crc32(
        _OWN_VALUES.pack(
            reading.queue_veh,
            reading.vehicles_50m_veh,
            reading.vehicles_100m_veh,
            reading.vehicles_150m_veh,
            reading.arrivals_veh,
            reading.wait_s,
            reading.mean_speed_mps,
        )
    )


def _trouble(lane: LaneHealth, look: _Look, *, is_active: bool) -> DetectorFaultKind | None:
    """What is wrong with the detectors of `lane`, whose newest reading is plausible and noted."""
    if lane.is_erratic or lane.arrivals_veh > FLUTTER_VEH:
        return DetectorFaultKind.FLUTTER
    if is_active:
        is_old = look.now_s - lane.shown_since_s > STUCK_ON_S
        return DetectorFaultKind.STUCK_ON if is_old and lane.shown_green_s >= MOVING_GREEN_S else None
    # People may well stay away from a crossing for hours.
    if lane.active_day_s is None or lane.is_crossing:
        return None
    return DetectorFaultKind.STUCK_OFF if look.watched_day_s - lane.active_day_s > STUCK_OFF_S else None


def _with_fault(lane: LaneHealth, kind: DetectorFaultKind | None, now_s: float) -> LaneHealth:
    if kind is None:
        if lane.fault is None or now_s - lane.dirty_s < CLEAN_S - TIME_EPSILON_S:
            return lane
        return msgspec.structs.replace(lane, fault=None)
    # A detector that has not spoken yet has done nothing wrong: its first reading is believed.
    is_unheard = kind is DetectorFaultKind.SILENT and lane.shown is None
    return msgspec.structs.replace(
        lane,
        fault=kind,
        fault_since_s=lane.fault_since_s if kind is lane.fault else now_s,
        dirty_s=max(lane.dirty_s, now_s - CLEAN_S) if is_unheard else now_s,
    )


def substituted(snapshot: Snapshot, health: DetectorHealth) -> Snapshot:
    """`snapshot` without any reading that is not believed: neither of a faulty detector nor out of range."""
    readings = [
        INVALID_READING if lane.fault is not None else plausible(reading)
        for lane, reading in zip(health.lanes, snapshot.readings, strict=True)
    ]
    return msgspec.structs.replace(snapshot, readings=tuple(readings))


def detector_faults(health: DetectorHealth) -> tuple[DetectorFault, ...]:
    """The lanes that are not believed, in the order of the lanes."""
    return tuple(
        DetectorFault(lane.lane, lane.fault, lane.fault_since_s) for lane in health.lanes if lane.fault is not None
    )


def no_detector_trusted(health: DetectorHealth) -> Finding | None:
    """I21: where not one detector of vehicles is believed, a policy has nothing to decide by and the local plan does.

    A button for people is no substitute; it counts only where there is nothing else.
    """
    vehicles = [lane for lane in health.lanes if not lane.is_crossing] or health.lanes
    if any(lane.fault is None for lane in vehicles):
        return None
    kinds = ", ".join(sorted({str(lane.fault) for lane in vehicles}))
    return Finding("I21", Reaction.REPLACE, f"not one of {len(vehicles)} lanes has a sound detector: {kinds}")
