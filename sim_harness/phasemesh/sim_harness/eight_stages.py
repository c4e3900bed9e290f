"""The crossing of the dual-memory paper: four approaches of three lanes, eight stages, right turns always green.

Directions are those that traffic comes from; left turns lead from E to S, from N to E, from W to N, from S to W.
Source: DMIL, section III.
"""

from __future__ import annotations

from phasemesh.contract.intersection import Intersection, Lane, Movement, Stage, Turn
from phasemesh.contract.units import IntersectionId, LaneId

DIRECTIONS = ("E", "N", "W", "S")
TURNS = (Turn.RIGHT, Turn.STRAIGHT, Turn.LEFT)
MOVEMENTS = len(DIRECTIONS) * len(TURNS)
"""Movement `TURN_COUNT * direction + turn` comes from that direction and takes that turn."""
TURN_COUNT = len(TURNS)

_F, _L = 1, 2
STAGE_TABLE: dict[str, tuple[tuple[int, int], ...]] = {
    "EW-F": ((0, _F), (2, _F)),
    "EW-L": ((0, _L), (2, _L)),
    "NS-F": ((1, _F), (3, _F)),
    "NS-L": ((1, _L), (3, _L)),
    "E-FL": ((0, _F), (0, _L)),
    "N-FL": ((1, _F), (1, _L)),
    "W-FL": ((2, _F), (2, _L)),
    "S-FL": ((3, _F), (3, _L)),
}
"""Stages by name: the (direction, turn) that each serves beside all right turns."""
_RIGHT_TURNS = tuple(range(0, MOVEMENTS, TURN_COUNT))


def eight_stage_crossing(name: str = "crossing") -> Intersection:
    """The crossing as an intersection; movements conflict unless some stage serves both."""
    movements = [(direction, turn) for direction in DIRECTIONS for turn in TURNS]
    stages = tuple(Stage(name=name, protected=_served(served)) for name, served in STAGE_TABLE.items())
    return Intersection(
        id=IntersectionId(name),
        lanes=tuple(_lane(direction, turn) for direction, turn in movements),
        movements=tuple(
            Movement(direction, turn, lanes=(_lane_id(direction, turn),), exits=()) for direction, turn in movements
        ),
        stages=stages,
        conflicts=_conflicts(stages),
        yields_to=("0" * MOVEMENTS,) * MOVEMENTS,
    )


def _served(pairs: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return tuple(sorted((*_RIGHT_TURNS, *(TURN_COUNT * direction + turn for direction, turn in pairs))))


def _conflicts(stages: tuple[Stage, ...]) -> tuple[str, ...]:
    together = {(first, second) for stage in stages for first in stage.served for second in stage.served}
    return tuple("".join("01"[(i, j) not in together] for j in range(MOVEMENTS)) for i in range(MOVEMENTS))


def _lane_id(direction: str, turn: Turn) -> LaneId:
    return LaneId(f"{direction}_{turn}")


def _lane(direction: str, turn: Turn) -> Lane:
    return Lane(
        id=_lane_id(direction, turn),
        approach=direction,
        length_m=150.0,
        speed_limit_mps=13.9,
        zone_capacity_veh=(6.5, 13.0, 20.0),
    )
