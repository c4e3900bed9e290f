"""The in-process adapter."""

from __future__ import annotations

import pytest
from driver_suite import DriverSuite, Pilot, pilot

from agent_factories import make_cabinet
from factories import make_intersection, make_timings
from phasemesh.controller.adapters.memory import MemoryDriver

__all__ = ["pilot"]


class MemoryBench:
    """A cabinet in this process."""

    def __init__(self) -> None:
        """Begin at 100 s, so that step and time differ."""
        self.intersection = make_intersection(has_left_lanes=True)
        self.timings = make_timings(self.intersection)
        self.cabinet = make_cabinet(self.intersection, now_s=100.0)
        self._step = 0

    def driver(self) -> MemoryDriver:
        """As in `Bench`."""
        return MemoryDriver(self.cabinet)

    def advance(self) -> None:
        """As in `Bench`."""
        self._step += 1
        self.cabinet.step(self._step, 100.0 + self._step)


@pytest.fixture
def bench() -> MemoryBench:
    """A crossing with left turns."""
    return MemoryBench()


class TestMemoryDriver(DriverSuite):
    """The in-process adapter keeps the contract."""


def test_observing_never_waits(bench: MemoryBench) -> None:
    """Nobody else could step the cabinet meanwhile, so a long wait is answered at once."""
    assert bench.driver().observe(0, 3600.0) is None


def test_the_snapshot_is_that_of_the_cabinet(bench: MemoryBench) -> None:
    """Nothing is copied or altered on the way."""
    snapshot = Pilot(bench).see()

    assert snapshot == bench.cabinet.snapshot()
