"""Clocks and pacing: monotonic time only, absolute deadlines, simulated time where a harness owns it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.safety.case import ClockCase, Finding
from phasemesh.controller.safety.input_rules import clock_steady


class Clock(Protocol):
    """A source of monotonic stamps."""

    def mono_ns(self) -> MonoNs:
        """Now, in nanoseconds since an arbitrary start; never goes back."""


class MonotonicClock:
    """The machine's own monotonic clock."""

    def mono_ns(self) -> MonoNs:
        """As in `Clock`."""
        return MonoNs(time.monotonic_ns())


class SimulatedClock:
    """A clock that only moves when it is set; in lockstep a decision takes no simulated time."""

    def __init__(self, now_s: float = 0.0) -> None:
        """Begin at `now_s`."""
        self._now_ns = MonoNs(round(now_s * NS_PER_S))

    def mono_ns(self) -> MonoNs:
        """As in `Clock`."""
        return self._now_ns

    def set_s(self, now_s: float) -> None:
        """Move on to `now_s` seconds; a time in the past is ignored."""
        self._now_ns = max(self._now_ns, MonoNs(round(now_s * NS_PER_S)))


class Pacer:
    """Waits for absolute ticks of a monotonic clock, so that lateness never adds up."""

    def __init__(self, clock: Clock, period_s: float) -> None:
        """Tick every `period_s` from now on."""
        self._clock = clock
        self._period_ns = round(period_s * NS_PER_S)
        self._next_ns = clock.mono_ns() + self._period_ns

    def wait(self) -> float:
        """Sleep until the next tick and return how late it is in seconds; ticks that were missed are skipped."""
        now_ns = self._clock.mono_ns()
        if now_ns < self._next_ns:
            time.sleep((self._next_ns - now_ns) / NS_PER_S)
        late_ns = max(0, self._clock.mono_ns() - self._next_ns)
        self._next_ns += self._period_ns * (1 + late_ns // self._period_ns)
        return late_ns / NS_PER_S


class ClockJump(NamedTuple):
    """A jump of the wall clock in seconds, forwards or backwards, and what rule I24 says of it."""

    step_s: float
    finding: Finding


class ClockWatch:
    """Compares the wall clock with the monotonic one (invariant I24); nothing is ever timed by the wall clock."""

    def __init__(self, wall_ns: Callable[[], int] | None = None) -> None:
        """Begin to watch `wall_ns`, by default the machine's clock for people."""
        self._wall = wall_ns or _wall_ns
        self._wall_ns, self._mono_ns = self._wall(), time.monotonic_ns()

    def look(self) -> ClockJump | None:
        """The jump since the last look, or None when both clocks went on together."""
        wall_ns, mono_ns = self._wall(), time.monotonic_ns()
        case = ClockCase((wall_ns - self._wall_ns) / NS_PER_S, (mono_ns - self._mono_ns) / NS_PER_S)
        self._wall_ns, self._mono_ns = wall_ns, mono_ns
        finding = clock_steady(case)
        return None if finding is None else ClockJump(case.wall_step_s - case.monotonic_step_s, finding)


def _wall_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME)
