"""Faults F2 and F8 inside an agent: a dead guard, a wall clock that jumps, and a loop that stands still (F29)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fault_cabinets import Corner, at_once

from phasemesh.contract.command import AppliedCommand
from phasemesh.contract.detection import ControlMode, Snapshot
from phasemesh.controller.clock import ClockWatch, MonotonicClock
from phasemesh.sim_harness.faults.schedule import Schedule
from phasemesh.sim_harness.faults.wall_clock import ShiftedWallClock

WALL_CLOCKS = (
    lambda: getattr(time, "time")(),  # noqa: B009, PLW0108 (banned from control; looked up when asked)
    lambda: time.time_ns() / 1e9,
    lambda: time.clock_gettime(time.CLOCK_REALTIME),
    lambda: time.clock_gettime_ns(time.CLOCK_REALTIME) / 1e9,
)
"""Every way to ask for the time of day, in seconds."""


def test_f2_a_cabinet_obeys_nothing_that_no_guard_approved() -> None:
    """Commands without approval do not renew the lease: the cabinet takes the signal back by itself."""
    corner = Corner(at_once("guard-dead"))
    corner.schedule.tell(-1.0)
    obeyed = corner.ask(0)
    corner.schedule.tell(1.0)

    refused = []
    for _ in range(8):
        corner.step(2)
        refused.append(corner.ask(1))

    assert isinstance(obeyed, AppliedCommand)
    assert obeyed.is_accepted
    assert all(isinstance(each, AppliedCommand) and each.rule == "I25" for each in refused)
    assert corner.cabinet.mode is ControlMode.OWN_PLAN


def test_f2_the_first_approved_command_takes_the_signal_again() -> None:
    """The fault leaves nothing behind at the cabinet."""
    corner = Corner(at_once("guard-dead", length_s=20.0))
    corner.look()
    corner.ask(1)
    corner.step(30)
    corner.look()

    applied = corner.ask(0)

    assert isinstance(applied, AppliedCommand)
    assert applied.is_accepted
    assert corner.cabinet.mode is ControlMode.AGENT


@pytest.fixture
def shifted() -> Iterator[Schedule]:
    """The wall clock of this process goes by a schedule in which it is an hour ahead from the beginning."""
    schedule = Schedule(at_once("clock-jump").targets[0], (at_once("clock-jump", strength=3600.0),))
    clock = ShiftedWallClock(schedule)
    clock.install()
    yield schedule
    clock.remove()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_f8_a_jump_of_the_wall_clock_is_told_and_times_nothing(shifted: Schedule, sign: float) -> None:
    """The watch finds the jump once, in either direction, and the clock that times intervals does not move."""
    shifted.tell(0.0 if sign < 0 else -1.0)
    watch, before_ns = ClockWatch(), MonotonicClock().mono_ns()
    quiet = watch.look()
    shifted.tell(-1.0 if sign < 0 else 0.0)

    jump, later = watch.look(), watch.look()

    assert quiet is None
    assert later is None
    assert jump is not None
    assert jump.finding.rule == "I24"
    assert round(jump.step_s) == sign * 3600.0
    assert MonotonicClock().mono_ns() - before_ns < 10 * 1_000_000_000


def test_f8_every_reader_of_the_wall_clock_sees_the_jump(shifted: Schedule) -> None:
    """Whoever asks for the time of day is told the same wrong one."""
    before_s = [reader() for reader in WALL_CLOCKS]
    shifted.tell(0.0)

    after_s = [reader() for reader in WALL_CLOCKS]

    assert all(abs(after - before - 3600.0) < 1.0 for before, after in zip(before_s, after_s, strict=True))


def test_f29_the_loop_is_caught_in_the_look_that_follows() -> None:
    """The schedule of an agent catches its own loop, and only while the fault lasts."""
    corner = Corner(at_once("dead-loop", length_s=5.0))

    corner.look()
    corner.step(10)
    answer = corner.look()

    assert corner.hung == 1
    assert isinstance(answer, Snapshot)
