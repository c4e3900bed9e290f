"""Actuated control on the intersection's own detectors: extend, gap out, max out, skip what nobody calls.

The passage time is the way through the nearest detection zone: 50 m take 3.6 s at 50 km/h, so a green is extended as
long as vehicles follow each other more closely than that.
"""

from __future__ import annotations

from phasemesh.contract.command import TIME_EPSILON_S, Interval, elapsed_green_s
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.history import ServiceHistory
from phasemesh.contract.intersection import Intersection, Stage
from phasemesh.contract.schedule import shortest_green_s
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.plans.demand import (
    MAX_OUT_S,
    calling_lanes,
    extending_lanes,
    max_outs_s,
    movement_lanes,
    whole_lanes,
)


class ActuatedPlan:
    """Rests in green while nobody else calls; a detector that cannot be trusted calls constantly."""

    def __init__(
        self, intersection: Intersection, timings: tuple[StageTiming, ...], max_out_s: float = MAX_OUT_S
    ) -> None:
        """Precompute which lanes of `intersection` extend each stage, and which call for it from each other one."""
        stages = intersection.stages
        self._extending = tuple(extending_lanes(intersection, stage) for stage in stages)
        self._calling = tuple(tuple(_calling_lanes(intersection, stage, other) for other in stages) for stage in stages)
        self._shortest_s = tuple(shortest_green_s(timing) for timing in timings)
        self._max_outs_s = max_outs_s(timings, max_out_s)

    def choose(self, snapshot: Snapshot, _history: ServiceHistory, /) -> int:
        """The stage in force while it is extended or nobody else calls, then the next called one in cyclic order."""
        signal = snapshot.signal
        if signal.interval is not Interval.GREEN:
            return signal.stage
        calls = calling_lanes(snapshot.readings)
        if self._is_extended(signal.stage, elapsed_green_s(signal, snapshot.now_s), calls):
            return signal.stage
        return self._next_called(signal.stage, calls)

    def _is_extended(self, stage: int, green_s: float, calls: frozenset[int]) -> bool:
        if green_s < self._shortest_s[stage] - TIME_EPSILON_S:
            return True
        return bool(self._extending[stage] & calls) and green_s < self._max_outs_s[stage] - TIME_EPSILON_S

    def _next_called(self, stage: int, calls: frozenset[int]) -> int:
        count = len(self._extending)
        following = ((stage + step) % count for step in range(1, count))
        return next((each for each in following if self._calling[stage][each] & calls), stage)


def _calling_lanes(intersection: Intersection, stage: Stage, other: Stage) -> frozenset[int]:
    """Lanes that call for `other` while `stage` is green: those of the movements that get a green, or a better one.

    A turn that yields may wait for a gap that never comes, so that it calls for a stage that protects it, unless its
    lane is shared with movements which that stage does not serve.
    """
    lanes = movement_lanes(intersection)
    unserved = frozenset[int]().union(*(lanes[index] for index in other.served - stage.served))
    yielding = frozenset(stage.permissive) & frozenset(other.protected)
    turning = frozenset[int]().union(*(lanes[index] for index in yielding))
    return unserved | (turning & whole_lanes(intersection, other))
