"""Fixed time by time of day: offsets kept by the clock, and how a signal finds back to it after a disturbance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import make_intersection, make_snapshot, make_timings
from phasemesh.contract.command import Interval, start
from phasemesh.contract.history import empty_history
from phasemesh.contract.schedule import Pattern, ScheduleRow, patterns
from phasemesh.contract.timing import BENCHMARK, STREET
from phasemesh.controller.plans.fixed import FixedPlan, adjusted_green_s
from plan_drives import Second, drive, quiet
from strategies import brisk

CROSSING = make_intersection(has_left_lanes=True)
TIMINGS = make_timings(CROSSING, STREET)
"""Shortest greens 7, 5, 7, 5 s; every change takes 5 s."""
MORNING = ScheduleRow(start_s=0.0, greens_s=(30.0, 10.0, 20.0, 10.0), offset_s=25.0)
"""A cycle of 90 s whose first green begins 25 s after midnight."""
(PATTERN,) = patterns(CROSSING, TIMINGS, (MORNING,))


def followed(schedule: tuple[ScheduleRow, ...], seconds: int, **changes: object) -> list[Second]:
    """`seconds` of the plan of `schedule` at the crossing, where nobody comes."""
    plan = FixedPlan(CROSSING, TIMINGS, schedule)
    return drive(plan, CROSSING, TIMINGS, [quiet(CROSSING)] * seconds, **changes)  # type: ignore[arg-type]


def greens(shown: list[Second]) -> list[tuple[int, float, float]]:
    """Stage, begin and length of every green that began and ended in a drive."""
    begun = [(each.signal.stage, each.signal.since_s) for each in shown if each.signal.interval is Interval.GREEN]
    ends = {key: each.now_s + 1.0 for each in shown if (key := (each.signal.stage, each.signal.since_s)) in begun}
    whole = [(stage, since_s, ends[stage, since_s] - since_s) for stage, since_s in dict.fromkeys(begun)]
    return whole[1:-1]


def by_the_clock(pattern: Pattern, stage: int, day_s: float) -> bool:
    """Whether the clock has `stage` green at `day_s`."""
    begin_s = pattern.ends_s[stage] - pattern.greens_s[stage]
    return 0.0 <= (day_s - pattern.offset_s - begin_s) % pattern.cycle_s < pattern.greens_s[stage]


def test_in_step_with_the_clock_every_green_has_its_split() -> None:
    """Once signal and clock agree, greens begin where the offset says and last their splits."""
    shown = greens(followed((MORNING,), 1000))

    assert [(stage, since_s, length_s) for stage, since_s, length_s in shown if since_s >= 25.0 + 4 * 90.0][:5] == [
        (0, 385.0, 30.0),
        (1, 420.0, 10.0),
        (2, 435.0, 20.0),
        (3, 460.0, 10.0),
        (0, 475.0, 30.0),
    ]


@pytest.mark.parametrize(("begun_s", "green_s"), [(25.0, 30.0), (115.0, 30.0), (-65.0, 30.0)])
def test_a_green_that_began_on_time_lasts_its_split(begun_s: float, green_s: float) -> None:
    """The position in the cycle counts from midnight, in either direction."""
    assert adjusted_green_s(PATTERN, 0, begun_s) == green_s


@pytest.mark.parametrize(("late_s", "green_s"), [(1.0, 29.0), (23.0, 7.0), (24.0, 7.0), (40.0, 7.0)])
def test_a_late_green_is_shortened_to_its_minimum_at_most(late_s: float, green_s: float) -> None:
    """What it was late it gives back, as far as the minimum green allows."""
    assert adjusted_green_s(PATTERN, 0, 25.0 + late_s) == green_s


@pytest.mark.parametrize(("early_s", "green_s"), [(1.0, 31.0), (15.0, 45.0), (16.0, 45.0), (30.0, 45.0)])
def test_an_early_green_waits_for_the_clock(early_s: float, green_s: float) -> None:
    """It lasts until the clock comes, but half longer than its split at most."""
    assert adjusted_green_s(PATTERN, 0, 25.0 - early_s) == green_s


def test_without_room_to_shorten_greens_are_stretched() -> None:
    """Where all splits are the shortest greens, a late signal waits for the next cycle."""
    (tight,) = patterns(CROSSING, TIMINGS, (ScheduleRow(0.0, greens_s=(7.0, 5.0, 7.0, 5.0)),))

    assert adjusted_green_s(tight, 0, 1.0) == 10.5


def test_without_any_room_the_splits_stay() -> None:
    """Greens that may neither be shortened nor stretched last their splits, whatever the clock says."""
    rigid = msgspec.structs.replace(PATTERN, shortest_s=PATTERN.greens_s, longest_s=PATTERN.greens_s)

    assert [adjusted_green_s(rigid, 0, float(begun_s)) for begun_s in range(90)] == [30.0] * 90


def test_a_rounding_error_is_no_cycle() -> None:
    """A green that began a nanosecond early or late lasts its split."""
    for error_s in (-1e-9, 1e-9):
        assert adjusted_green_s(PATTERN, 0, 25.0 + error_s) == pytest.approx(30.0)


DISTURBANCES = st.tuples(st.integers(0, 400), st.integers(0, 60))
"""When a green is held, and for how long, in seconds."""
SPLITS = st.tuples(*(st.integers(10, 35).map(float) for _ in CROSSING.stages))
NOON_S = 43_200.0


def are_in_order(shown: list[Second]) -> bool:
    """Whether the stages came one after the other, each with its minimum green."""
    lasted = greens(shown)
    follow = all((late - early) % 4 == 1 for (early, *_), (late, *_) in pairwise(lasted))
    return follow and all(length_s >= TIMINGS[stage].min_green_s for stage, _, length_s in lasted)


def keeps_the_clock(shown: list[Second], pattern: Pattern, day_s: Callable[[float], float], from_s: float) -> bool:
    """Whether from `from_s` on every green is one of the clock."""
    settled = [each for each in shown if each.now_s > from_s and each.signal.interval is Interval.GREEN]
    return bool(settled) and all(by_the_clock(pattern, each.signal.stage, day_s(each.now_s)) for each in settled)


@settings(brisk, max_examples=15)
@given(
    splits=SPLITS,
    offset=st.integers(0, 50),
    first=st.integers(0, 3),
    held=DISTURBANCES,
    jump_s=st.integers(-7200, 7200),
)
def test_a_signal_finds_back_to_the_clock(
    splits: tuple[float, ...], offset: int, first: int, held: tuple[int, int], jump_s: int
) -> None:
    """After a hold and a jump of the clock, stages come in order, none is cut short, and the clock is kept again."""
    row = ScheduleRow(start_s=0.0, greens_s=splits, offset_s=float(offset))
    (pattern,) = patterns(CROSSING, TIMINGS, (row,))
    begin_s, end_s = held[0], held[0] + held[1]
    # The greens of a cycle may lose and gain more than 32 s together, and it is done in the shorter direction.
    back_s = end_s + 1.5 * pattern.cycle_s * (pattern.cycle_s / 32.0 + 2)

    def day_s(now_s: float) -> float:
        return NOON_S + now_s + (jump_s if now_s >= end_s else 0.0)

    shown = followed(
        (row,), int(back_s) + 200, first=first, day_s=day_s, is_held=lambda now_s: begin_s <= now_s < end_s
    )

    assert are_in_order(shown)
    assert keeps_the_clock(shown, pattern, day_s, back_s)


def first_greens(offset_s: float, is_held: Callable[[float], bool]) -> list[float]:
    """When the first stage turns green over half an hour."""
    shown = followed((msgspec.structs.replace(MORNING, offset_s=offset_s),), 1800, is_held=is_held)
    return [since_s for stage, since_s, _ in greens(shown) if stage == 0]


def test_two_neighbours_keep_their_offset_after_a_disturbance() -> None:
    """With one schedule and one clock the greens differ by the offsets again after one of them was held."""
    west = first_greens(0.0, lambda _now_s: False)
    east = first_greens(20.0, lambda now_s: 600.0 <= now_s < 655.0)
    undisturbed = first_greens(20.0, lambda _now_s: False)

    assert east[:5] == undisturbed[:5]
    assert east[6:9] != undisturbed[6:9]
    assert [late - early for early, late in zip(west[-8:], east[-8:], strict=True)] == [20.0] * 8


def test_a_change_of_pattern_keeps_the_order_of_the_stages() -> None:
    """From one row to the next the plan follows the new clock without leaving out a stage."""
    noon = ScheduleRow(start_s=600.0, greens_s=(15.0, 8.0, 35.0, 8.0), offset_s=40.0)
    (_, pattern) = patterns(CROSSING, TIMINGS, (MORNING, noon))
    shown = followed((MORNING, noon), 1600)

    assert are_in_order(shown)
    assert keeps_the_clock(shown, pattern, lambda now_s: now_s, 1200.0)


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 20_000.0])
def test_a_jump_of_the_clock_cuts_no_green(jump_s: float) -> None:
    """When the clock is set, the green in force still lasts its minimum, and then the clock is followed."""

    def day_s(now_s: float) -> float:
        return NOON_S + now_s + (jump_s if now_s >= 500.0 else 0.0)

    shown = followed((MORNING,), 1500, day_s=day_s)

    assert are_in_order(shown)
    assert keeps_the_clock(shown, PATTERN, day_s, 1000.0)


def test_midnight_is_one_more_jump() -> None:
    """A cycle that does not divide the day is found again after midnight, by all intersections alike."""
    row = msgspec.structs.replace(MORNING, greens_s=(30.0, 10.0, 21.0, 10.0))
    (pattern,) = patterns(CROSSING, TIMINGS, (row,))
    shown = followed((row,), 1500, day_s=lambda now_s: now_s + 86_000.0)

    assert are_in_order(shown)
    assert keeps_the_clock(shown, pattern, lambda now_s: now_s - 400.0, 1000.0)


def test_a_tick_of_several_seconds_does_not_add_up() -> None:
    """A decision that comes late every time is made up for by the next green."""
    plan = FixedPlan(CROSSING, TIMINGS, (MORNING,))

    shown = drive(plan, CROSSING, TIMINGS, [quiet(CROSSING)] * 3000, is_held=lambda now_s: now_s % 4.0 != 1.0)

    late_s = {(since_s - 25.0) % 90.0 for stage, since_s, _ in greens(shown)[20:] if stage == 0}
    assert max(late_s) < 4.0


def test_people_have_their_walk_before_the_clock_goes_on() -> None:
    """A late green is not cut below the walk interval, even where the minimum green is shorter."""
    crossing = make_intersection(has_crossings=True)
    timings = tuple(msgspec.structs.replace(each, min_green_s=4.0) for each in make_timings(crossing, BENCHMARK))
    plan = FixedPlan(crossing, timings, (ScheduleRow(0.0, greens_s=(20.0, 20.0)),))
    history = empty_history(crossing, 0.0)

    def wanted(now_s: float) -> int:
        snapshot = make_snapshot(crossing, now_s=now_s, signal=start(0, 0.0))
        return plan.choose(msgspec.structs.replace(snapshot, day_s=now_s + 20.0), history)

    assert [wanted(now_s) for now_s in (5.0, 6.9, 7.0)] == [0, 0, 1]
