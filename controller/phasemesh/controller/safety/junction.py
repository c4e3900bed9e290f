"""Everything about one intersection that the rules need and that never changes, computed once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache

import msgspec

from phasemesh.contract.command import (
    Interval,
    SignalState,
    closing_movements,
    lights,
    request_stage,
    start,
)
from phasemesh.contract.intersection import GREEN_LETTERS, Intersection, concurrency_faults, conflicting_pairs
from phasemesh.contract.timing import (
    RED_REVERT_S,
    SIMULATED_UNIT,
    TIMING_RANGES,
    UNIT_RANGES,
    StageTiming,
    UnitTiming,
    faults_of_crossings,
)

MIN_CHANGE_S = 1.0
"""Least time from the begin of a green to the next change, whatever its minimum (I15)."""
_CHANGE = (Interval.PED_CLEARANCE, Interval.YELLOW, Interval.RED_CLEARANCE, Interval.GREEN)
"""The intervals of a change in their order; it begins with one of them and runs through all that follow."""


class StageFaults(msgspec.Struct, frozen=True):
    """What is wrong with each stage: yellow (I3), red clearance (I4), times of people (I8), rings (I9)."""

    yellow: tuple[str, ...]
    clearance: tuple[str, ...]
    crossing: tuple[str, ...]
    ring: tuple[str, ...]

    def of_change(self, stage: int, target: int) -> str:
        """All that stands against a change from `stage` to `target`; wrong rings may be left but not entered."""
        times = (self.yellow, self.clearance, self.crossing)
        return "".join(faults[stage] + faults[target] for faults in times) + self.ring[target]


class Junction(msgspec.Struct, frozen=True):
    """Tables over stages and movements; a text is empty where there is nothing to object to.

    `new_conflicts[a][b]` and `order_breaches[a][b]` judge a change from stage a to stage b, `may_change[a][b]` says
    whether every rule on pairs of stages allows it. `serving[m]` are the stages that serve movement m, and
    `max_waits_s[m]` is the shortest of their maximum waits. `least_green_s[a]` is how long the green of stage a lasts
    at least, for whatever reason, and `walk_s[a]` the part of it that people need, 0 without crossings.
    `opening[a][b]` are the movements that a change from a to b opens, `opening_s[a][b]` seconds after it was asked for;
    from the last green of movement m to its next one there are at least `revert_s[m]` seconds.
    """

    intersection: Intersection
    timings: tuple[StageTiming, ...]
    served: tuple[frozenset[int], ...]
    serving: tuple[tuple[int, ...], ...]
    max_waits_s: tuple[float, ...]
    shortest_max_wait_s: float
    least_green_s: tuple[float, ...]
    walk_s: tuple[float, ...]
    faults: StageFaults
    new_conflicts: tuple[tuple[str, ...], ...]
    order_breaches: tuple[tuple[str, ...], ...]
    may_change: tuple[tuple[bool, ...], ...]
    is_conflict_free: bool
    opening: tuple[tuple[tuple[int, ...], ...], ...]
    opening_s: tuple[tuple[float, ...], ...]
    revert_s: tuple[float, ...]


def survey(intersection: Intersection, timings: tuple[StageTiming, ...], unit: UnitTiming = SIMULATED_UNIT) -> Junction:
    """The tables of `intersection` under `timings`, one timing a stage, which must suit the place of `unit`."""
    stages = tuple(range(len(intersection.stages)))
    serving = tuple(
        tuple(stage for stage in stages if movement in intersection.stages[stage].served)
        for movement in range(len(intersection.movements))
    )
    max_waits_s = tuple(_shortest_s(timings[stage].max_wait_s for stage in some) for some in serving)
    walk_s = tuple(timings[stage].walk_s if _has_crossings(intersection, stage) else 0.0 for stage in stages)
    revert_s = _revert_times_s(intersection, timings, serving)
    limits = _limits(unit)
    faults = StageFaults(
        yellow=tuple(_range_fault(timing, "yellow_s", limits) for timing in timings),
        clearance=tuple(_range_fault(timing, "red_clearance_s", limits) for timing in timings),
        crossing=tuple(_crossing_fault(intersection, stage, timings[stage], limits) for stage in stages),
        ring=tuple(", ".join(concurrency_faults(intersection, stage)) for stage in intersection.stages),
    )
    conflicts, breaches = _judged_changes(intersection)
    return Junction(
        intersection=intersection,
        timings=timings,
        served=tuple(stage.served for stage in intersection.stages),
        serving=serving,
        max_waits_s=max_waits_s,
        shortest_max_wait_s=min(max_waits_s, default=math.inf),
        least_green_s=tuple(_longest_s(timings[stage].min_green_s, walk_s[stage], MIN_CHANGE_S) for stage in stages),
        walk_s=walk_s,
        faults=faults,
        new_conflicts=conflicts,
        order_breaches=breaches,
        may_change=tuple(
            tuple(a != b and not (conflicts[a][b] or breaches[a][b] or faults.of_change(a, b)) for b in stages)
            for a in stages
        ),
        is_conflict_free=not any(text for row in conflicts for text in row),
        opening=_opening(intersection),
        opening_s=tuple(tuple(_opening_s(intersection, timings, a, b) for b in stages) for a in stages),
        revert_s=revert_s,
    )


def _has_crossings(intersection: Intersection, stage: int) -> bool:
    return any(intersection.movements[index].is_crossing for index in intersection.stages[stage].served)


def _longest_s(*times_s: float) -> float:
    """The longest of `times_s`; without end when one of them is no number."""
    return math.inf if any(math.isnan(time_s) for time_s in times_s) else max(times_s)


def _shortest_s(times_s: Iterable[float]) -> float:
    """The shortest of `times_s`, whatever stands for one that is no number; without end when there is none."""
    return min((time_s for time_s in times_s if not math.isnan(time_s)), default=math.inf)


def _opening(intersection: Intersection) -> tuple[tuple[tuple[int, ...], ...], ...]:
    return tuple(
        tuple(tuple(sorted(after.served - before.served)) for after in intersection.stages)
        for before in intersection.stages
    )


def _revert_times_s(
    intersection: Intersection, timings: tuple[StageTiming, ...], serving: tuple[tuple[int, ...], ...]
) -> tuple[float, ...]:
    """For each movement the longest yellow of its stages and the red after it; people have a clearance instead."""
    return tuple(
        RED_REVERT_S + (0.0 if movement.is_crossing else max((timings[stage].yellow_s for stage in some), default=0.0))
        for movement, some in zip(intersection.movements, serving, strict=True)
    )


def _opening_s(intersection: Intersection, timings: tuple[StageTiming, ...], stage: int, target: int) -> float:
    """Seconds from a request for `target` in the green of `stage` to the green of `target`."""
    timing = timings[stage]
    first = request_stage(intersection, start(stage, 0.0), target, 0.0)
    if first.interval is Interval.GREEN:
        return 0.0
    people_s = timing.ped_clearance_s if first.interval is Interval.PED_CLEARANCE else 0.0
    return people_s + timing.yellow_s + timing.red_clearance_s


Limits = Mapping[str, tuple[float, float]]
"""The least and the most of each time of a stage, by its name, in seconds."""


def _limits(unit: UnitTiming) -> Limits:
    """The ranges of a street, unless `unit` has a time that is too short for any street."""
    is_simulated = any(getattr(unit, name) < allowed.street[0] for name, allowed in UNIT_RANGES.items())
    return {name: allowed.simulation if is_simulated else allowed.street for name, allowed in TIMING_RANGES.items()}


def _range_fault(timing: StageTiming, name: str, limits: Limits) -> str:
    low, high = limits[name]
    value = getattr(timing, name)
    return "" if low <= value <= high else f"{name} of {value} s is outside {low} to {high} s"


def _crossing_fault(intersection: Intersection, stage: int, timing: StageTiming, limits: Limits) -> str:
    """Why the times of `stage` are wrong for the people on its crossings; empty for a stage without any."""
    if not _has_crossings(intersection, stage):
        return ""
    alone = msgspec.structs.replace(intersection, stages=(intersection.stages[stage],))
    faults = [_range_fault(timing, name, limits) for name in ("walk_s", "ped_clearance_s")]
    faults += [fault.partition(".")[2] for fault in faults_of_crossings(alone, (timing,))]
    return ", ".join(fault for fault in faults if fault)


ChangeTexts = tuple[tuple[str, ...], ...]
"""A text for each change, by the stage that is left and the stage that is entered."""


def _judged_changes(intersection: Intersection) -> tuple[ChangeTexts, ChangeTexts]:
    """New conflicts and breaches of order of every change between two stages."""
    stages = range(len(intersection.stages))
    pairs_of = cache(lambda letters: frozenset(conflicting_pairs(intersection, letters)))
    conflicts = tuple(tuple(_new_conflicts(intersection, pairs_of, a, b) for b in stages) for a in stages)
    return conflicts, tuple(tuple(_order_breach(intersection, a, b) for b in stages) for a in stages)


def _new_conflicts(
    intersection: Intersection, pairs_of: Callable[[str], frozenset[tuple[int, int]]], stage: int, target: int
) -> str:
    states = [start(stage, 0.0), *change_states(intersection, stage, target)]
    return conflict_text(new_pairs([pairs_of(moving_lights(intersection, state)) for state in states]))


def new_pairs(pairs: Sequence[frozenset[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Conflicting pairs that a change brings, of those in each of its states, the stage that is left first.

    Leaving a conflict is no breach, so that what is shown already counts only if it is in the last state too.
    """
    shown, *changing, target = pairs
    return sorted(target.union(*(each - shown for each in changing)))


def conflict_text(pairs: list[tuple[int, int]]) -> str:
    """`pairs` of movements as a sentence, or an empty text."""
    return f"movements {', '.join(f'{first} and {second}' for first, second in pairs)} conflict" if pairs else ""


def change_states(intersection: Intersection, stage: int, target: int) -> list[SignalState]:
    """All that is shown in turn from a request for `target` in the green of `stage` until `target` is green."""
    first = request_stage(intersection, start(stage, 0.0), target, 0.0)
    intervals = _CHANGE[_CHANGE.index(first.interval) :]
    return [msgspec.structs.replace(first, interval=interval) for interval in intervals]


def moving_lights(intersection: Intersection, signal: SignalState, people: str = "G") -> str:
    """The letters of `signal`, with `people` for a crossing that people are still leaving although it is red."""
    letters = lights(intersection, signal)
    if signal.interval is not Interval.PED_CLEARANCE:
        return letters
    closing = closing_movements(intersection.stages[signal.from_stage], intersection.stages[signal.stage])
    return "".join(
        people if index in closing and intersection.movements[index].is_crossing else letter
        for index, letter in enumerate(letters)
    )


def _order_breach(intersection: Intersection, stage: int, target: int) -> str:
    """What breaks the order anywhere in a change; the clearance of people is the yellow of a crossing."""
    states = [start(stage, 0.0), *change_states(intersection, stage, target)]
    return breaches_text([moving_lights(intersection, state, people="y") for state in states])


def breaches_text(shown: Sequence[str]) -> str:
    """Everything that breaks the order in letters shown one after the other; or an empty text."""
    return ", ".join(text for old, new in itertools.pairwise(shown) if (text := order_text(old, new)))


def order_text(before: str, after: str) -> str:
    """What breaks the order green, yellow, red from `before` to `after`, one letter a movement; or an empty text."""
    breaches = [
        f"movement {index} goes from {old} to {new}"
        for index, (old, new) in enumerate(zip(before, after, strict=True))
        if (old in GREEN_LETTERS and new == "r") or (old == "y" and new in GREEN_LETTERS)
    ]
    return ", ".join(breaches)
