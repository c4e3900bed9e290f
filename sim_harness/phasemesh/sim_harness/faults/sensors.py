"""Faults F9 and F10: what broken detectors say in place of a reading."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from phasemesh.contract.detection import INVALID_READING, LaneReading

FAULT_CODES = tuple(float(code) for code in range(210, 218))
"""NTCIP 1202 reports a broken detector as an occupancy from 210 to 217; read as vehicles it is merely many."""
FLUTTER_VEH = 20.0
"""Arrivals at every look of a detector that flutters: far above the 60 a minute of a plausible one, at any tick."""


def _with_queue(value: float) -> Callable[[LaneReading, int], LaneReading]:
    def broken(reading: LaneReading, _step: int) -> LaneReading:
        return msgspec.structs.replace(reading, queue_veh=value, vehicles_150m_veh=value)

    return broken


def _code(reading: LaneReading, step: int) -> LaneReading:
    return _with_queue(FAULT_CODES[step // 2 % len(FAULT_CODES)])(reading, step)


def _with_wait(value: float) -> Callable[[LaneReading, int], LaneReading]:
    def broken(reading: LaneReading, _step: int) -> LaneReading:
        return msgspec.structs.replace(reading, wait_s=value)

    return broken


def _stuck_on(reading: LaneReading, _step: int) -> LaneReading:
    return msgspec.structs.replace(
        reading,
        queue_veh=1.0,
        vehicles_50m_veh=1.0,
        vehicles_100m_veh=1.0,
        vehicles_150m_veh=1.0,
        arrivals_veh=0.0,
        wait_s=1.0,
        mean_speed_mps=0.0,
    )


def _stuck_off(reading: LaneReading, _step: int) -> LaneReading:
    return msgspec.structs.replace(
        reading,
        queue_veh=0.0,
        vehicles_50m_veh=0.0,
        vehicles_100m_veh=0.0,
        vehicles_150m_veh=0.0,
        arrivals_veh=0.0,
        wait_s=0.0,
    )


def _flutter(reading: LaneReading, step: int) -> LaneReading:
    """Vehicles come and go faster than any lane could bring them."""
    vehicles = 1.0 + step % 2
    return msgspec.structs.replace(
        reading,
        vehicles_50m_veh=vehicles,
        vehicles_100m_veh=vehicles,
        vehicles_150m_veh=vehicles,
        arrivals_veh=reading.arrivals_veh + FLUTTER_VEH,
    )


def _silent(_reading: LaneReading, _step: int) -> LaneReading:
    return INVALID_READING


SENSOR_TROUBLES: dict[str, Callable[[LaneReading, int], LaneReading]] = {
    "detector-nan": _with_queue(math.nan),
    "detector-infinite": _with_queue(math.inf),
    "detector-negative": _with_wait(-1.0),
    "detector-code": _code,
    "detector-stuck-on": _stuck_on,
    "detector-stuck-off": _stuck_off,
    "detector-flutter": _flutter,
    "detector-silent": _silent,
}
"""What the first lane of an intersection says instead of its reading, given the step of the cabinet."""


def disturbed(readings: tuple[LaneReading, ...], troubles: list[str], step: int) -> tuple[LaneReading, ...]:
    """`readings` in which the first lane has all of `troubles`."""
    first, *others = readings
    for trouble in troubles:
        first = SENSOR_TROUBLES[trouble](first, step)
    return (first, *others)
