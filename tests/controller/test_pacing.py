"""Clocks that never go back, and absolute deadlines that lateness does not move."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.contract.units import NS_PER_S
from phasemesh.controller.clock import ClockWatch, MonotonicClock, Pacer, SimulatedClock

PERIOD_S = 0.01


def test_the_monotonic_clock_is_the_machines() -> None:
    """Its stamps are those of the machine's monotonic clock, in nanoseconds."""
    before_ns = time.monotonic_ns()
    stamp_ns = MonotonicClock().mono_ns()
    after_ns = time.monotonic_ns()

    assert before_ns <= stamp_ns <= after_ns


def test_simulated_time_stands_still() -> None:
    """Nothing but `set_s` moves it."""
    clock = SimulatedClock(5.0)
    first_ns = clock.mono_ns()
    time.sleep(0.001)

    assert first_ns == clock.mono_ns() == 5 * NS_PER_S


@given(times_s=st.lists(st.floats(0.0, 1e6), min_size=1))
def test_simulated_time_never_goes_back(times_s: list[float]) -> None:
    """A time in the past is ignored, so the clock shows the latest that it was ever set to."""
    clock = SimulatedClock()
    stamps_ns = []
    for time_s in times_s:
        clock.set_s(time_s)
        stamps_ns.append(clock.mono_ns())

    assert stamps_ns == sorted(stamps_ns)
    assert stamps_ns[-1] == round(max(times_s) * NS_PER_S)


def test_a_pacer_sleeps_until_the_next_tick() -> None:
    """Ten ticks take ten periods, not less."""
    started_s = time.monotonic()
    pacer = Pacer(MonotonicClock(), PERIOD_S)
    for _ in range(10):
        pacer.wait()
    took_s = time.monotonic() - started_s

    assert 10 * PERIOD_S <= took_s < 100 * PERIOD_S


def test_work_within_a_period_does_not_delay_the_next() -> None:
    """Ticks are absolute: the time that work takes is not added to the period."""
    started_s = time.monotonic()
    pacer = Pacer(MonotonicClock(), 0.05)
    for _ in range(5):
        time.sleep(0.03)
        pacer.wait()
    took_s = time.monotonic() - started_s

    assert 0.25 <= took_s < 0.35


def test_a_tick_on_time_is_not_late() -> None:
    """A clock that reads exactly the deadline waits for nothing."""
    clock = SimulatedClock()
    pacer = Pacer(clock, 5.0)
    clock.set_s(5.0)

    assert pacer.wait() == 0.0


@pytest.mark.parametrize(
    ("now_s", "late_s", "next_s"), [(5.5, 0.5, 10.0), (9.9, 4.9, 10.0), (10.0, 5.0, 15.0), (27.0, 22.0, 30.0)]
)
def test_missed_ticks_are_skipped(now_s: float, late_s: float, next_s: float) -> None:
    """A late tick says how late it is, and the next one is the next of the grid, without a burst."""
    clock = SimulatedClock()
    pacer = Pacer(clock, 5.0)
    clock.set_s(now_s)
    first_late_s = pacer.wait()
    clock.set_s(next_s)
    second_late_s = pacer.wait()
    clock.set_s(next_s + 5.25)
    third_late_s = pacer.wait()

    assert first_late_s == pytest.approx(late_s)
    assert second_late_s == 0.0
    assert third_late_s == pytest.approx(0.25)


@given(delays_s=st.lists(st.floats(5.0, 40.0), min_size=1, max_size=20))
def test_lateness_never_adds_up(delays_s: list[float]) -> None:
    """However late the ticks before were, the next one is measured against the same grid."""
    clock = SimulatedClock()
    pacer = Pacer(clock, 5.0)
    now_s = 0.0
    lates_s = []
    for delay_s in delays_s:
        now_s += delay_s
        clock.set_s(now_s)
        lates_s.append(pacer.wait())

    assert all(late_s < delay_s for late_s, delay_s in zip(lates_s, delays_s, strict=True))


class TestWallClock:
    """The wall clock is watched and never followed (I24)."""

    def test_clocks_that_go_on_together_are_no_news(self) -> None:
        """Two looks in a row find nothing."""
        watch = ClockWatch()

        assert [watch.look(), watch.look()] == [None, None]

    @pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 1.5, -1.5])
    def test_a_jump_is_told_once_with_its_size(self, jump_s: float) -> None:
        """Forwards and backwards, then the new time is the usual one."""
        offset_ns = 0
        watch = ClockWatch(lambda: time.monotonic_ns() + offset_ns)
        offset_ns = round(jump_s * NS_PER_S)
        jump, after = watch.look(), watch.look()

        assert jump is not None
        assert jump.step_s == pytest.approx(jump_s, abs=0.1)
        assert (jump.finding.rule, after) == ("I24", None)

    def test_a_small_correction_is_no_jump(self) -> None:
        """What a time server does all day is not told."""
        offset_ns = 0
        watch = ClockWatch(lambda: time.monotonic_ns() + offset_ns)
        offset_ns = NS_PER_S // 2

        assert watch.look() is None
