"""Everything about one intersection that the rules need and that never changes, computed once."""

from __future__ import annotations

import math

import msgspec

from phasemesh.contract.command import lights, request_stage, start
from phasemesh.contract.intersection import GREEN_LETTERS, Intersection, conflicting_pairs
from phasemesh.contract.timing import TIMING_RANGES, StageTiming


class Junction(msgspec.Struct, frozen=True):
    """Tables over stages and movements; a text is empty where there is nothing to object to.

    `new_conflicts[a][b]` and `order_breaches[a][b]` judge a change from stage a to stage b, `may_change[a][b]` says
    whether every rule on pairs of stages allows it. `serving[m]` are the stages that serve movement m, and
    `max_waits_s[m]` is the shortest of their maximum waits.
    """

    intersection: Intersection
    timings: tuple[StageTiming, ...]
    served: tuple[frozenset[int], ...]
    serving: tuple[tuple[int, ...], ...]
    max_waits_s: tuple[float, ...]
    yellow_faults: tuple[str, ...]
    clearance_faults: tuple[str, ...]
    new_conflicts: tuple[tuple[str, ...], ...]
    order_breaches: tuple[tuple[str, ...], ...]
    may_change: tuple[tuple[bool, ...], ...]
    is_conflict_free: bool


def survey(intersection: Intersection, timings: tuple[StageTiming, ...]) -> Junction:
    """The tables of `intersection` under `timings`, one timing a stage."""
    stages = range(len(intersection.stages))
    serving = tuple(
        tuple(stage for stage in stages if movement in intersection.stages[stage].served)
        for movement in range(len(intersection.movements))
    )
    yellow_faults = tuple(_range_fault(timing, "yellow_s") for timing in timings)
    clearance_faults = tuple(_range_fault(timing, "red_clearance_s") for timing in timings)
    conflicts = tuple(tuple(_new_conflicts(intersection, a, b) for b in stages) for a in stages)
    breaches = tuple(tuple(_order_breach(intersection, a, b) for b in stages) for a in stages)
    faults = [yellow + clearance for yellow, clearance in zip(yellow_faults, clearance_faults, strict=True)]
    return Junction(
        intersection=intersection,
        timings=timings,
        served=tuple(stage.served for stage in intersection.stages),
        serving=serving,
        max_waits_s=tuple(min((timings[stage].max_wait_s for stage in some), default=math.inf) for some in serving),
        yellow_faults=yellow_faults,
        clearance_faults=clearance_faults,
        new_conflicts=conflicts,
        order_breaches=breaches,
        may_change=tuple(
            tuple(a != b and not (conflicts[a][b] or breaches[a][b] or faults[a] or faults[b]) for b in stages)
            for a in stages
        ),
        is_conflict_free=not any(text for row in conflicts for text in row),
    )


def _range_fault(timing: StageTiming, name: str) -> str:
    low, high = TIMING_RANGES[name].simulation
    value = getattr(timing, name)
    return "" if low <= value <= high else f"{name} of {value} s is outside {low} to {high} s"


def _new_conflicts(intersection: Intersection, stage: int, target: int) -> str:
    """Conflicts in `target`, or in the change to it unless they are shown already: leaving a conflict is no breach."""
    signal = start(stage, 0.0)
    changing = lights(intersection, request_stage(intersection, signal, target, 0.0))
    shown = conflicting_pairs(intersection, lights(intersection, signal))
    pairs = {pair for pair in conflicting_pairs(intersection, changing) if pair not in shown}
    pairs.update(conflicting_pairs(intersection, lights(intersection, start(target, 0.0))))
    return conflict_text(sorted(pairs))


def conflict_text(pairs: list[tuple[int, int]]) -> str:
    """`pairs` of movements as a sentence, or an empty text."""
    return f"movements {', '.join(f'{first} and {second}' for first, second in pairs)} conflict" if pairs else ""


def _order_breach(intersection: Intersection, stage: int, target: int) -> str:
    signal = start(stage, 0.0)
    after = request_stage(intersection, signal, target, 0.0)
    return order_text(lights(intersection, signal), lights(intersection, after))


def order_text(before: str, after: str) -> str:
    """What breaks the order green, yellow, red from `before` to `after`, one letter a movement; or an empty text."""
    breaches = [
        f"movement {index} goes from {old} to {new}"
        for index, (old, new) in enumerate(zip(before, after, strict=True))
        if (old in GREEN_LETTERS and new == "r") or (old == "y" and new in GREEN_LETTERS)
    ]
    return ", ".join(breaches)
