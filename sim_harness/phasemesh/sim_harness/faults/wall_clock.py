"""Fault F8: the wall clock of one process jumps, as a time server, daylight saving or a flat battery make it jump."""

from __future__ import annotations

import time
from typing import Any

from phasemesh.contract.units import NS_PER_S
from phasemesh.sim_harness.faults.schedule import Schedule

WALL_JUMP = "clock-jump"


class ShiftedWallClock:
    """Puts a shifted wall clock in place of that of this process; every other clock stays as it is.

    A process cannot have a wall clock of its own from the system without a namespace, which needs privileges.
    """

    def __init__(self, schedule: Schedule) -> None:
        """Shift by the strength of the faults of `schedule` that are at work."""
        self._schedule = schedule
        self._true: Any = time.clock_gettime_ns
        self._put: list[tuple[str, Any]] = []

    def install(self) -> None:
        """From now on every reader of the wall clock in this process sees the shift."""
        shifted = {
            "clock_gettime_ns": self._clock_gettime_ns,
            "clock_gettime": lambda clock: self._clock_gettime_ns(clock) / NS_PER_S,
            "time_ns": lambda: self._clock_gettime_ns(time.CLOCK_REALTIME),
            "time": lambda: self._clock_gettime_ns(time.CLOCK_REALTIME) / NS_PER_S,
        }
        for name, reader in shifted.items():
            self._put.append((name, getattr(time, name)))
            setattr(time, name, reader)

    def remove(self) -> None:
        """Give the process its own wall clock again."""
        for name, reader in self._put:
            setattr(time, name, reader)
        self._put.clear()

    def _clock_gettime_ns(self, clock: int) -> int:
        now_ns = int(self._true(clock))
        if clock != time.CLOCK_REALTIME:
            return now_ns
        return now_ns + round(NS_PER_S * sum(fault.strength for fault in self._schedule.active((WALL_JUMP,))))
