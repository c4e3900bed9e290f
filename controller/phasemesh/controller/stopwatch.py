"""Measures one tick: the wall time of each of its steps and the processor time of all of them."""

from __future__ import annotations

import time

from phasemesh.contract.units import NS_PER_MS


class Stopwatch:
    """Wall time of each step of a tick, and the CPU time of all of them."""

    def __init__(self) -> None:
        """Begin the first step."""
        self._cpu_ns = time.thread_time_ns()
        self._lap_ns = time.perf_counter_ns()
        self.step_ms: list[float] = []

    def lap(self) -> None:
        """End a step and begin the next."""
        now_ns = time.perf_counter_ns()
        self.step_ms.append((now_ns - self._lap_ns) / NS_PER_MS)
        self._lap_ns = now_ns

    def pause(self) -> None:
        """Leave out the time that passes until `resume`: others may work meanwhile."""
        self._cpu_ns = time.thread_time_ns() - self._cpu_ns

    def resume(self) -> None:
        """Go on after `pause`."""
        self._cpu_ns = time.thread_time_ns() - self._cpu_ns
        self._lap_ns = time.perf_counter_ns()

    @property
    def cpu_ms(self) -> float:
        """CPU time of this thread since the beginning, in milliseconds."""
        return (time.thread_time_ns() - self._cpu_ns) / NS_PER_MS
