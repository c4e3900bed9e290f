"""Fixed time: all stages in order, by the clock where the site has a schedule, else with equal greens."""

from __future__ import annotations

import math

from phasemesh.contract.command import TIME_EPSILON_S, Interval, elapsed_green_s
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.history import ServiceHistory
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.schedule import Pattern, ScheduleRow, pattern_at, patterns, shortest_green_s
from phasemesh.contract.timing import StageTiming

GREEN_S = 20.0
"""Green of every stage without a schedule, unless its minimum is longer or its maximum shorter."""
CLOCK_DIGITS = 6
"""Decimals to which a position in a cycle is rounded, so that a rounding error never looks like a whole cycle."""


class FixedPlan:
    """Cycles through the stages; elapsed green and time of day are all that it knows of the past.

    Where the signal and the clock of a schedule differ, after a change of pattern, a hold or a jump of the clock, the
    greens are shortened or stretched until both agree again, whichever is done sooner; no stage is left out.
    """

    def __init__(
        self,
        intersection: Intersection,
        timings: tuple[StageTiming, ...],
        schedule: tuple[ScheduleRow, ...] = (),
        green_s: float = GREEN_S,
    ) -> None:
        """Follow `schedule` at `intersection`; without one, give every stage `green_s` inside its limits."""
        self._stages_count = len(intersection.stages)
        self._greens_s = tuple(max(shortest_green_s(each), min(green_s, each.max_green_s)) for each in timings)
        self._patterns = patterns(intersection, timings, schedule)

    def choose(self, snapshot: Snapshot, _history: ServiceHistory, /) -> int:
        """The stage in force until its green is over, then the next one."""
        signal = snapshot.signal
        if signal.interval is not Interval.GREEN:
            return signal.stage
        is_over = elapsed_green_s(signal, snapshot.now_s) >= self._green_s(snapshot) - TIME_EPSILON_S
        return (signal.stage + 1) % self._stages_count if is_over else signal.stage

    def _green_s(self, snapshot: Snapshot) -> float:
        """How long the green in force is to last."""
        stage = snapshot.signal.stage
        if not self._patterns:
            return self._greens_s[stage]
        begun_s = snapshot.day_s - elapsed_green_s(snapshot.signal, snapshot.now_s)
        return adjusted_green_s(pattern_at(self._patterns, snapshot.day_s), stage, begun_s)


def adjusted_green_s(pattern: Pattern, stage: int, begun_s: float) -> float:
    """How long a green of `stage` lasts that began at `begun_s` of the day, in seconds.

    The green ends with the clock if its limits allow that, else it goes towards the clock as far as they allow, in the
    direction that needs fewer cycles.
    """
    green_s = pattern.greens_s[stage]
    end_s = begun_s + green_s - pattern.offset_s - pattern.ends_s[stage]
    late_s = round(end_s, CLOCK_DIGITS) % pattern.cycle_s
    early_s = pattern.cycle_s - late_s
    cycle_loses_s = math.fsum(pattern.greens_s) - math.fsum(pattern.shortest_s)
    cycle_gains_s = math.fsum(pattern.longest_s) - math.fsum(pattern.greens_s)
    if late_s * cycle_gains_s <= early_s * cycle_loses_s:
        return max(pattern.shortest_s[stage], green_s - late_s)
    return min(pattern.longest_s[stage], green_s + early_s)
