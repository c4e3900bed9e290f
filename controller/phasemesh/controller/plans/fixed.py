"""Fixed time: all stages in order, with equal greens."""

from __future__ import annotations

from phasemesh.contract.command import TIME_EPSILON_S, Interval, elapsed_green_s
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.history import ServiceHistory
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming

GREEN_S = 20.0
"""Green of every stage, unless its minimum is longer or its maximum shorter."""


class FixedPlan:
    """Cycles through the stages; the elapsed green is all that it knows of the past."""

    def __init__(self, intersection: Intersection, timings: tuple[StageTiming, ...], green_s: float = GREEN_S) -> None:
        """Split the cycle of `intersection` into greens of `green_s` inside the limits of each stage."""
        self._stages_count = len(intersection.stages)
        self._greens_s = tuple(max(timing.min_green_s, min(green_s, timing.max_green_s)) for timing in timings)

    def choose(self, snapshot: Snapshot, _history: ServiceHistory, /) -> int:
        """The stage in force until its green is over, then the next one."""
        signal = snapshot.signal
        is_over = elapsed_green_s(signal, snapshot.now_s) >= self._greens_s[signal.stage] - TIME_EPSILON_S
        if signal.interval is not Interval.GREEN or not is_over:
            return signal.stage
        return (signal.stage + 1) % self._stages_count
