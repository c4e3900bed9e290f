"""Actuated control on the intersection's own detectors: extend, gap out, max out, skip what nobody calls."""

from __future__ import annotations

from phasemesh.contract.command import TIME_EPSILON_S, Interval, elapsed_green_s
from phasemesh.contract.detection import LaneReading, Snapshot, plausible
from phasemesh.contract.history import ServiceHistory
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming

MAX_OUT_S = 50.0
"""Longest green while another stage is called, unless the stage's own maximum is shorter."""


class ActuatedPlan:
    """Rests in green while nobody else calls; a detector that cannot be trusted calls constantly."""

    def __init__(
        self, intersection: Intersection, timings: tuple[StageTiming, ...], max_out_s: float = MAX_OUT_S
    ) -> None:
        """Precompute which lanes call for which movements of `intersection`."""
        position = {lane.id: index for index, lane in enumerate(intersection.lanes)}
        self._served = tuple(stage.served for stage in intersection.stages)
        self._lanes = tuple(frozenset(position[lane] for lane in movement.lanes) for movement in intersection.movements)
        self._min_greens_s = tuple(timing.min_green_s for timing in timings)
        self._max_outs_s = tuple(max(timing.min_green_s, min(max_out_s, timing.max_green_s)) for timing in timings)

    def choose(self, snapshot: Snapshot, _history: ServiceHistory, /) -> int:
        """The stage in force while it is extended or nobody else calls, then the next called one in cyclic order."""
        signal = snapshot.signal
        if signal.interval is not Interval.GREEN:
            return signal.stage
        calls = frozenset(index for index, reading in enumerate(snapshot.readings) if _has_call(reading))
        if self._is_extended(signal.stage, elapsed_green_s(signal, snapshot.now_s), calls):
            return signal.stage
        return self._next_called(signal.stage, calls)

    def _is_extended(self, stage: int, green_s: float, calls: frozenset[int]) -> bool:
        if green_s < self._min_greens_s[stage] - TIME_EPSILON_S:
            return True
        has_vehicles = any(self._lanes[movement] & calls for movement in self._served[stage])
        return has_vehicles and green_s < self._max_outs_s[stage] - TIME_EPSILON_S

    def _next_called(self, stage: int, calls: frozenset[int]) -> int:
        for step in range(1, len(self._served)):
            candidate = (stage + step) % len(self._served)
            if any(self._lanes[movement] & calls for movement in self._served[candidate] - self._served[stage]):
                return candidate
        return stage


def _has_call(reading: LaneReading) -> bool:
    trusted = plausible(reading)
    return trusted.vehicles_50m_veh > 0 or not trusted.is_valid
