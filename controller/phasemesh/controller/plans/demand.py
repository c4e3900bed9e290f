"""What local plans make of the detectors: which lanes call, and which lanes each stage serves."""

from __future__ import annotations

from phasemesh.contract.detection import LaneReading, plausible
from phasemesh.contract.intersection import Intersection, Stage
from phasemesh.contract.schedule import shortest_green_s
from phasemesh.contract.timing import StageTiming

MAX_OUT_S = 50.0
"""Longest green while another stage is called, unless the stage's own maximum is shorter."""


def max_outs_s(timings: tuple[StageTiming, ...], max_out_s: float = MAX_OUT_S) -> tuple[float, ...]:
    """For each stage the longest green while others call, in seconds; never below its shortest green."""
    return tuple(max(shortest_green_s(timing), min(max_out_s, timing.max_green_s)) for timing in timings)


def has_call(reading: LaneReading) -> bool:
    """Whether somebody is near the stop line, or the detector cannot be trusted and therefore calls constantly."""
    trusted = plausible(reading)
    return trusted.vehicles_50m_veh > 0 or not trusted.is_valid


def calling_lanes(readings: tuple[LaneReading, ...]) -> frozenset[int]:
    """Positions of the lanes, and of the waiting places of crossings, that call."""
    return frozenset(index for index, reading in enumerate(readings) if has_call(reading))


def movement_lanes(intersection: Intersection) -> tuple[frozenset[int], ...]:
    """For each movement the positions of its lanes."""
    position = {lane.id: index for index, lane in enumerate(intersection.lanes)}
    return tuple(frozenset(position[lane] for lane in movement.lanes) for movement in intersection.movements)


def lane_movements(intersection: Intersection) -> tuple[frozenset[int], ...]:
    """For each lane the signal indices of its movements."""
    return tuple(
        frozenset(index for index, movement in enumerate(intersection.movements) if lane.id in movement.lanes)
        for lane in intersection.lanes
    )


def whole_lanes(intersection: Intersection, stage: Stage) -> frozenset[int]:
    """Positions of the lanes of which `stage` serves all movements."""
    return frozenset(index for index, some in enumerate(lane_movements(intersection)) if some and some <= stage.served)


def extending_lanes(intersection: Intersection, stage: Stage) -> frozenset[int]:
    """Positions of the lanes whose vehicles extend a green of `stage`.

    These are the lanes of which it serves all movements. On any other lane the first vehicle may wait for another
    stage, and would hold this one until its maximum; such a lane counts only where the stage has no better one. People
    at a crossing need no extension.
    """
    lanes = movement_lanes(intersection)
    served = frozenset[int]().union(
        *(lanes[index] for index in stage.served if not intersection.movements[index].is_crossing)
    )
    return served & whole_lanes(intersection, stage) or served


def lane_shares(intersection: Intersection, stage: Stage, permissive_weight: float) -> tuple[tuple[int, float], ...]:
    """Position and share of each lane that `stage` serves; a permissive movement counts `permissive_weight`."""
    protected, permissive = frozenset(stage.protected), frozenset(stage.permissive)
    shares = [
        (len(some & protected) + permissive_weight * len(some & permissive)) / max(1, len(some))
        for some in lane_movements(intersection)
    ]
    return tuple((index, share) for index, share in enumerate(shares) if share > 0.0)
