"""The rule `approach` on the intersection's own detectors: the stage wins that serves most vehicles near the stop line.

No neighbour is needed. Two limits keep the rule from standing still where vehicles block each other and no count ever
changes: a longest green while others call, and a longest wait.
"""

from __future__ import annotations

from collections.abc import Collection

from phasemesh.contract.command import TIME_EPSILON_S, Interval, elapsed_green_s
from phasemesh.contract.detection import LaneReading, Snapshot, plausible
from phasemesh.contract.history import ServiceHistory, movement_waits_s
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.schedule import shortest_green_s
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.plans.demand import lane_shares, max_outs_s

CAP_VEH = 8.0
"""Vehicles a lane that a green can serve before the next decision matters."""
LOST_TIME_VEH = 3.0
"""What a switch costs, in vehicles a lane that could have passed meanwhile."""
PERMISSIVE_WEIGHT = 0.5
"""What a movement that must yield counts beside a protected one."""
PATIENCE_S = 90.0
"""A called movement that has waited this long in red is served next; below every profile's maximum wait (I7)."""
TIE_VEH = 1e-4
"""Scores that differ by no more are equal; then the stage in force stays."""


class ApproachPlan:
    """Counts the vehicles on the last 100 m of every served lane and takes the lost time of a switch off."""

    def __init__(self, intersection: Intersection, timings: tuple[StageTiming, ...]) -> None:
        """Precompute which lanes of `intersection` each stage serves."""
        self._intersection = intersection
        self._served = tuple(stage.served for stage in intersection.stages)
        self._shares = tuple(lane_shares(intersection, stage, PERMISSIVE_WEIGHT) for stage in intersection.stages)
        self._shortest_s = tuple(shortest_green_s(timing) for timing in timings)
        self._max_outs_s = max_outs_s(timings)

    def choose(self, snapshot: Snapshot, history: ServiceHistory, /) -> int:
        """The stage in force for its minimum green, then who waited too long, then the best score."""
        signal = snapshot.signal
        green_s = elapsed_green_s(signal, snapshot.now_s)
        if signal.interval is not Interval.GREEN or green_s < self._shortest_s[signal.stage] - TIME_EPSILON_S:
            return signal.stage
        scores = self._scores(signal.stage, counts_veh(snapshot.readings))
        candidates = self._candidates(signal.stage, green_s, self._waits_s(signal.stage, history, snapshot.now_s))
        best = max(scores[stage] for stage in candidates)
        near_best = [stage for stage in candidates if scores[stage] >= best - TIE_VEH]
        return signal.stage if signal.stage in near_best else near_best[0]

    def _scores(self, current: int, vehicles: tuple[float, ...]) -> list[float]:
        caps_veh = [CAP_VEH if stage == current else CAP_VEH - LOST_TIME_VEH for stage in range(len(self._shares))]
        return [
            sum(share * min(vehicles[lane], cap_veh) for lane, share in shares)
            for shares, cap_veh in zip(self._shares, caps_veh, strict=True)
        ]

    def _waits_s(self, current: int, history: ServiceHistory, now_s: float) -> dict[int, float]:
        """How long each called movement that the stage in force does not serve has waited."""
        waits_s = movement_waits_s(history, self._intersection, now_s)
        return {
            index: wait_s for index, wait_s in enumerate(waits_s) if wait_s > 0.0 and index not in self._served[current]
        }

    def _candidates(self, current: int, green_s: float, waits_s: dict[int, float]) -> list[int]:
        """The stages that may win: those for the longest wait, those for any wait after a long green, or all."""
        longest_s = max(waits_s.values(), default=0.0)
        if longest_s >= PATIENCE_S - TIME_EPSILON_S:
            return self._serving([index for index, wait_s in waits_s.items() if wait_s == longest_s])
        if waits_s and green_s >= self._max_outs_s[current] - TIME_EPSILON_S:
            return self._serving(waits_s)
        return list(range(len(self._served)))

    def _serving(self, movements: Collection[int]) -> list[int]:
        return [stage for stage, served in enumerate(self._served) if served.intersection(movements)]


def counts_veh(readings: tuple[LaneReading, ...]) -> tuple[float, ...]:
    """Vehicles, or people who wait to cross, near the stop line of each lane.

    A lane whose detector cannot be trusted counts as the mean of the others, and at least as one: it calls constantly,
    but a dead detector neither wins nor loses a green by itself.
    """
    trusted = [plausible(reading) for reading in readings]
    seen = [reading.vehicles_100m_veh for reading in trusted if reading.is_valid]
    neutral_veh = max(1.0, sum(seen) / max(1, len(seen)))
    return tuple(reading.vehicles_100m_veh if reading.is_valid else neutral_veh for reading in trusted)
