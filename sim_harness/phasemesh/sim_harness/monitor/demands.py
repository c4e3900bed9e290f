"""What the monitor demands of one signal: its own reading of the matrices, the stages and their times."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from phasemesh.contract.intersection import Intersection, Stage, Turn
from phasemesh.contract.timing import StageTiming
from phasemesh.contract.units import IntersectionId

LEAST_YELLOW_S = 2.7
"""A yellow below this is no warning to drivers, whatever is configured (NEMA TS 2, minimum yellow change)."""
LEAST_WALK_S = 4.0
"""No walk interval is shorter, whatever is configured (MUTCD 4E.06)."""
SLOW_WALK_MPS = 1.07
"""Speed of the people whom a pedestrian clearance waits for: 3.5 ft/s (MUTCD 4E.06)."""
WALK_BUFFER_S = 3.0
"""Time between the end of the slowest people's way and the first conflicting green (MUTCD 4E.06)."""
LEAST_RED_S = 2.0
"""Red between the yellow of a movement and its next green (NEMA TS 2, red revert)."""


class Limits(msgspec.Struct, frozen=True):
    """What is demanded of one movement at the end of its green, in seconds.

    `yellows_s` are all durations that are right, in rising order; `empty_s` is from the end of its yellow or walk to a
    conflicting green.
    """

    min_green_s: float
    yellows_s: tuple[float, ...]
    walk_s: float
    empty_s: float


class Demands(msgspec.Struct, frozen=True):
    """One signal as the monitor sees it; a movement is its index, a stage its number.

    `foes` are the movements that conflict with each movement, `gives_way_to` those of them to which it yields when it
    is shown permissively, `crossings_m` the lengths of the crossings. `serving` are the stages that serve each
    movement, `stages_of` those that look alike, by their letters. `timings` are those of the stages; without them the
    signal runs a program that nobody here has timed. `least_yellow_s` is a floor under every configured yellow,
    `longest_change_s` the longest time from the end of a walk to the next stage. `known_limits` spares repeated work.
    """

    intersection_id: IntersectionId
    foes: tuple[frozenset[int], ...]
    gives_way_to: tuple[frozenset[int], ...]
    crossings_m: dict[int, float]
    serving: tuple[tuple[int, ...], ...]
    stages_of: dict[str, tuple[int, ...]]
    timings: tuple[StageTiming, ...]
    least_yellow_s: float
    longest_red_clearance_s: float
    longest_change_s: float
    known_limits: dict[tuple[int, tuple[int, ...]], Limits | None] = {}

    def limits(self, movement: int, candidates: tuple[int, ...]) -> Limits | None:
        """The least that is demanded by those of the stages `candidates` that serve `movement`, or by all that do.

        None where no stage serves it or none is timed.
        """
        key = (movement, candidates)
        if key not in self.known_limits:
            likely = [stage for stage in candidates if stage in self.serving[movement]]
            ended = [self.timings[stage] for stage in likely or self.serving[movement]]
            self.known_limits[key] = self._limits(movement, ended) if ended else None
        return self.known_limits[key]

    def _limits(self, movement: int, ended: Sequence[StageTiming]) -> Limits:
        empty_s = min(timing.red_clearance_s for timing in ended)
        if movement in self.crossings_m:
            walked_s = self.crossings_m[movement] / SLOW_WALK_MPS + WALK_BUFFER_S
            empty_s = max(walked_s, min(_after_walk_s(timing) for timing in ended))
        return Limits(
            min_green_s=min(timing.min_green_s for timing in ended),
            yellows_s=tuple(sorted({timing.yellow_s for timing in ended})),
            walk_s=max(LEAST_WALK_S, min(timing.walk_s for timing in ended)),
            empty_s=empty_s,
        )


def demands_of(intersection: Intersection, timings: Sequence[StageTiming], least_yellow_s: float) -> Demands:
    """The demands of `intersection`; `timings` in stage order, or none for a program that is not ours."""
    size = len(intersection.movements)
    return Demands(
        intersection_id=intersection.id,
        foes=tuple(_marked(row) for row in intersection.conflicts),
        gives_way_to=tuple(_marked(row) for row in intersection.yields_to),
        crossings_m=_crossings_m(intersection),
        serving=tuple(_serving(intersection, movement) if timings else () for movement in range(size)),
        stages_of=_stages_of(intersection) if timings else {},
        timings=tuple(timings),
        least_yellow_s=least_yellow_s,
        longest_red_clearance_s=max((timing.red_clearance_s for timing in timings), default=0.0),
        longest_change_s=max((_after_walk_s(timing) for timing in timings), default=0.0),
    )


def _marked(row: str) -> frozenset[int]:
    return frozenset(index for index, cell in enumerate(row) if cell == "1")


def _crossings_m(intersection: Intersection) -> dict[int, float]:
    length_m = {lane.id: lane.length_m for lane in intersection.lanes}
    return {
        index: max((length_m[lane] for lane in movement.lanes), default=0.0)
        for index, movement in enumerate(intersection.movements)
        if movement.turn is Turn.CROSSING
    }


def _serving(intersection: Intersection, movement: int) -> tuple[int, ...]:
    return tuple(
        number
        for number, stage in enumerate(intersection.stages)
        if movement in stage.protected or movement in stage.permissive
    )


def _letters_of(stage: Stage, size: int) -> str:
    return "".join(
        "G" if index in stage.protected else "g" if index in stage.permissive else "r" for index in range(size)
    )


def _stages_of(intersection: Intersection) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for number, stage in enumerate(intersection.stages):
        letters = _letters_of(stage, len(intersection.movements))
        found[letters] = (*found.get(letters, ()), number)
    return found


def _after_walk_s(timing: StageTiming) -> float:
    return timing.ped_clearance_s + timing.yellow_s + timing.red_clearance_s
