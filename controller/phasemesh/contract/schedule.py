"""Fixed time by time of day: the rows that a site gives, and the patterns that they become at one intersection.

A pattern is a cycle whose position depends on the local time of day alone. Intersections with patterns of one cycle
length and clocks that agree therefore stay coordinated without exchanging anything.
"""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec

from phasemesh.contract.command import Interval, change_s, request_stage, start
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming

DAY_S = 86_400.0
"""Seconds of a day without a change of the clock."""
LONGEST_STRETCH = 1.5
"""A green that waits for the clock lasts at most this multiple of its split (engineering choice)."""


class ScheduleRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fixed time from `start_s` after midnight until the next row; the last row goes on past midnight.

    A row gives either `greens_s`, one green a stage in the order of the stages, or `cycle_s`, of which every stage gets
    its shortest green and an equal share of the rest. The green of the first stage begins whenever the seconds since
    midnight less `offset_s` are a multiple of the cycle. All times are seconds.
    """

    start_s: float
    greens_s: tuple[float, ...] = ()
    cycle_s: float | None = None
    offset_s: float = 0.0


class Pattern(msgspec.Struct, frozen=True):
    """A row at one intersection, in seconds.

    `ends_s` holds the positions in the cycle at which the greens end. While a signal and the clock differ, a green may
    last from `shortest_s` to `longest_s`.
    """

    start_s: float
    offset_s: float
    cycle_s: float
    greens_s: tuple[float, ...]
    ends_s: tuple[float, ...]
    shortest_s: tuple[float, ...]
    longest_s: tuple[float, ...]


def shortest_green_s(timing: StageTiming) -> float:
    """The shortest green of a stage, in seconds: its minimum, and the walk of its crossings."""
    return max(timing.min_green_s, timing.walk_s)


def patterns(
    intersection: Intersection, timings: tuple[StageTiming, ...], schedule: tuple[ScheduleRow, ...]
) -> tuple[Pattern, ...]:
    """A pattern for each row of `schedule`, which must be without faults."""
    changes_s = _changes_s(intersection, timings)
    return tuple(_pattern(row, _greens_s(row, timings, changes_s), timings, changes_s) for row in schedule)


def pattern_at(rows: tuple[Pattern, ...], day_s: float) -> Pattern:
    """The pattern in force at `day_s` seconds after midnight: the last one that has begun, today or yesterday."""
    begun = [row for row in rows if row.start_s <= day_s]
    return begun[-1] if begun else rows[-1]


def faults_of_schedule(
    schedule: tuple[ScheduleRow, ...], intersection: Intersection, timings: tuple[StageTiming, ...]
) -> list[str]:
    """All contradictions in `schedule`, each with its path; empty when there are none, or no rows."""
    changes_s = _changes_s(intersection, timings)
    faults = [
        f"schedule[{index + 1}].start_s: {late.start_s} s must be after {early.start_s} s"
        for index, (early, late) in enumerate(pairwise(schedule))
        if not early.start_s < late.start_s
    ]
    for index, row in enumerate(schedule):
        faults += [f"schedule[{index}].{fault}" for fault in _row_faults(row, timings, changes_s)]
    return faults


def _changes_s(intersection: Intersection, timings: tuple[StageTiming, ...]) -> tuple[float, ...]:
    """How long the change from each stage to the next in order takes; 0 where it closes nothing."""
    return tuple(_change_s(intersection, timings, stage) for stage in range(len(timings)))


def _change_s(intersection: Intersection, timings: tuple[StageTiming, ...], stage: int) -> float:
    after = request_stage(intersection, start(stage, 0.0), (stage + 1) % len(timings), 0.0)
    timing = timings[stage]
    durations_s = {Interval.GREEN: 0.0, Interval.PED_CLEARANCE: change_s(timing)}
    return durations_s.get(after.interval, timing.yellow_s + timing.red_clearance_s)


def _greens_s(row: ScheduleRow, timings: tuple[StageTiming, ...], changes_s: tuple[float, ...]) -> tuple[float, ...]:
    if row.cycle_s is None:
        return row.greens_s
    shortest_s = [shortest_green_s(timing) for timing in timings]
    share_s = (row.cycle_s - math.fsum(changes_s) - math.fsum(shortest_s)) / len(timings)
    return tuple(each_s + share_s for each_s in shortest_s)


def _pattern(
    row: ScheduleRow, greens_s: tuple[float, ...], timings: tuple[StageTiming, ...], changes_s: tuple[float, ...]
) -> Pattern:
    ends_s, position_s = [], 0.0
    for green_s, after_s in zip(greens_s, changes_s, strict=True):
        ends_s.append(position_s + green_s)
        position_s += green_s + after_s
    stretch = _stretch(greens_s, timings, changes_s)
    return Pattern(
        start_s=row.start_s,
        offset_s=row.offset_s,
        cycle_s=position_s,
        greens_s=greens_s,
        ends_s=tuple(ends_s),
        shortest_s=tuple(shortest_green_s(timing) for timing in timings),
        longest_s=tuple(
            max(green_s, min(stretch * green_s, timing.max_green_s))
            for green_s, timing in zip(greens_s, timings, strict=True)
        ),
    )


def _stretch(greens_s: tuple[float, ...], timings: tuple[StageTiming, ...], changes_s: tuple[float, ...]) -> float:
    """The most that all greens may be lengthened without making anybody wait for longer than the maximum wait."""
    longest_cycle_s = min(timing.max_wait_s for timing in timings)
    return max(1.0, min(LONGEST_STRETCH, (longest_cycle_s - math.fsum(changes_s)) / math.fsum(greens_s)))


def _row_faults(row: ScheduleRow, timings: tuple[StageTiming, ...], changes_s: tuple[float, ...]) -> list[str]:
    faults = []
    if not 0.0 <= row.start_s < DAY_S:
        faults.append(f"start_s: {row.start_s} s is no time of day")
    if (row.cycle_s is None) == (not row.greens_s):
        return [*faults, "greens_s: give either the greens or the cycle"]
    if row.cycle_s is None and len(row.greens_s) != len(timings):
        return [*faults, f"greens_s: {len(row.greens_s)} for {len(timings)} stages"]
    greens_s = _greens_s(row, timings, changes_s)
    faults += [
        f"greens_s[{stage}]: {green_s} s is outside {shortest_green_s(timing)} to {timing.max_green_s} s"
        for stage, (green_s, timing) in enumerate(zip(greens_s, timings, strict=True))
        if not shortest_green_s(timing) <= green_s <= timing.max_green_s
    ]
    cycle_s, longest_s = math.fsum((*greens_s, *changes_s)), min(timing.max_wait_s for timing in timings)
    if not cycle_s <= longest_s:
        faults.append(f"cycle_s: {cycle_s} s is longer than the maximum wait of {longest_s} s")
    if not 0.0 <= row.offset_s < cycle_s:
        faults.append(f"offset_s: {row.offset_s} s is outside 0 s to one cycle")
    return faults
