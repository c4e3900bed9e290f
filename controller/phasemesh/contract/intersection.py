"""One signalised intersection: lanes, movements, stages, conflicts and neighbours; frozen and validated."""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

from phasemesh.contract.units import IntersectionId, LaneId

ZONES_M = (50.0, 100.0, 150.0)
"""Lengths of the detection zones before the stop line, in metres; upstream lanes count where a lane is shorter."""


class Turn(StrEnum):
    """The manoeuvre of a movement."""

    STRAIGHT = "straight"
    LEFT = "left"
    RIGHT = "right"
    U_TURN = "u_turn"
    CROSSING = "crossing"
    """People on foot; their lane is the place where they wait, as long as their way across."""


class Lane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One incoming lane, which is what a detector sees.

    `zone_capacity_veh` holds, for each length of `ZONES_M`, the vehicles that fit into the zone when they stand.
    """

    id: LaneId
    approach: str
    length_m: float
    speed_limit_mps: float
    zone_capacity_veh: tuple[float, float, float]


class Movement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A turn from one approach, signalled as one; its position in `Intersection.movements` is its signal index."""

    approach: str
    turn: Turn
    lanes: tuple[LaneId, ...]
    exits: tuple[LaneId, ...]

    @property
    def is_crossing(self) -> bool:
        """Whether people on foot use this movement: its green is the walk interval."""
        return self.turn is Turn.CROSSING


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Movements shown green together, by signal index: protected (`G`) or permissive (`g`, yielding)."""

    name: str
    protected: tuple[int, ...]
    permissive: tuple[int, ...] = ()

    @property
    def served(self) -> frozenset[int]:
        """Signal indices that this stage shows green."""
        return frozenset(self.protected) | frozenset(self.permissive)


class Intersection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, cache_hash=True):
    """Everything the rules need to know about one intersection.

    `conflicts` and `yields_to` are square matrices over movements, one string of `0` and `1` a row. `conflicts` is
    symmetric. `yields_to[i][j]` says that movement i, shown permissively, gives way to movement j, which makes the
    two compatible although they conflict. `concurrency` is the table of a ring-and-barrier controller (NTCIP 1202
    phaseConcurrency): movements that may be green together whatever their paths; empty where there are no rings.
    """

    id: IntersectionId
    lanes: tuple[Lane, ...]
    movements: tuple[Movement, ...]
    stages: tuple[Stage, ...]
    conflicts: tuple[str, ...]
    yields_to: tuple[str, ...]
    neighbours: tuple[IntersectionId, ...] = ()
    concurrency: tuple[str, ...] = ()

    def may_run_together(self, lights: str, first: int, second: int) -> bool:
        """Whether movements `first` and `second` may be shown as in `lights` (one letter a movement) at once."""
        if self.conflicts[first][second] == "0":
            return True
        if lights[first] == "g" and self.yields_to[first][second] == "1":
            return True
        return lights[second] == "g" and self.yields_to[second][first] == "1"


GREEN_LETTERS = frozenset("Gg")
MOVING_LETTERS = frozenset("Ggy")
"""Letters that let vehicles into the junction: protected green, permissive green, yellow."""


def conflicting_pairs(intersection: Intersection, lights: str) -> list[tuple[int, int]]:
    """Pairs of movements that `lights` lets in although they conflict (invariant I1 of the guard)."""
    moving = [index for index, letter in enumerate(lights) if letter in MOVING_LETTERS]
    return [
        (first, second)
        for position, first in enumerate(moving)
        for second in moving[position + 1 :]
        if not intersection.may_run_together(_as_green(lights), first, second)
    ]


def _as_green(lights: str) -> str:
    """`lights` with yellow read as the weaker green, since clearing vehicles still yield as they did before."""
    return lights.replace("y", "g")


def stage_lights(intersection: Intersection, stage: Stage) -> str:
    """The letters of a stage in green, one a movement."""
    letters = ["r"] * len(intersection.movements)
    for index in stage.protected:
        letters[index] = "G"
    for index in stage.permissive:
        letters[index] = "g"
    return "".join(letters)


def faults_of_intersection(intersection: Intersection) -> list[str]:
    """All contradictions in an intersection, each with its path; empty when there are none."""
    faults = _matrix_faults(intersection, "conflicts", intersection.conflicts)
    faults += _matrix_faults(intersection, "yields_to", intersection.yields_to)
    if intersection.concurrency:
        faults += _matrix_faults(intersection, "concurrency", intersection.concurrency)
    faults += _reference_faults(intersection)
    if faults:
        return faults
    return (
        _symmetry_faults(intersection)
        + _stage_faults(intersection)
        + _service_faults(intersection)
        + _crossing_faults(intersection)
    )


def crossing_length_m(intersection: Intersection, movement: int) -> float:
    """How far people walk on the crossing `movement`, in metres; 0 for a movement of vehicles."""
    if not intersection.movements[movement].is_crossing:
        return 0.0
    ways = intersection.movements[movement].lanes
    return max((lane.length_m for lane in intersection.lanes if lane.id in ways), default=0.0)


def _crossing_faults(intersection: Intersection) -> list[str]:
    crossings = [index for index, movement in enumerate(intersection.movements) if movement.is_crossing]
    faults = [
        f"movements[{index}].lanes: a crossing needs the place where its people wait"
        for index in crossings
        if not intersection.movements[index].lanes
    ]
    return faults + [
        f"stages[{number}].permissive: the crossing {index} can only be protected; vehicles yield, people do not"
        for number, stage in enumerate(intersection.stages)
        for index in crossings
        if index in stage.permissive
    ]


def concurrency_faults(intersection: Intersection, stage: Stage) -> list[str]:
    """Pairs of movements of `stage` that the ring-and-barrier table does not let run together (invariant I9)."""
    served = sorted(stage.served) if intersection.concurrency else []
    return [
        f"movements {first} and {second} are not concurrent"
        for position, first in enumerate(served)
        for second in served[position + 1 :]
        if intersection.concurrency[first][second] == "0"
    ]


def _matrix_faults(intersection: Intersection, name: str, rows: tuple[str, ...]) -> list[str]:
    size = len(intersection.movements)
    if len(rows) != size:
        return [f"{name}: has {len(rows)} rows for {size} movements"]
    return [
        f"{name}[{index}]: must be {size} letters of 0 and 1"
        for index, row in enumerate(rows)
        if len(row) != size or set(row) - {"0", "1"}
    ]


def _reference_faults(intersection: Intersection) -> list[str]:
    known = {lane.id for lane in intersection.lanes}
    size = len(intersection.movements)
    faults = [] if intersection.stages else ["stages: there is none"]
    faults += _lane_faults(intersection)
    if len(known) != len(intersection.lanes):
        faults.append("lanes: an id occurs twice")
    if len(set(intersection.neighbours)) != len(intersection.neighbours):
        faults.append("neighbours: an id occurs twice")
    if intersection.id in intersection.neighbours:
        faults.append("neighbours: the intersection names itself")
    for index, movement in enumerate(intersection.movements):
        faults += [f"movements[{index}].lanes: unknown lane {lane!r}" for lane in movement.lanes if lane not in known]
    for index, stage in enumerate(intersection.stages):
        outside = [signal for signal in (*stage.protected, *stage.permissive) if not 0 <= signal < size]
        faults += [f"stages[{index}]: no movement {signal}" for signal in outside]
        if set(stage.protected) & set(stage.permissive):
            faults.append(f"stages[{index}]: a movement is protected and permissive at once")
    return faults


def _lane_faults(intersection: Intersection) -> list[str]:
    faults = [] if intersection.lanes else ["lanes: there is none"]
    for index, lane in enumerate(intersection.lanes):
        sizes = {"length_m": lane.length_m, "speed_limit_mps": lane.speed_limit_mps}
        sizes |= {f"zone_capacity_veh[{zone}]": capacity for zone, capacity in enumerate(lane.zone_capacity_veh)}
        faults += [
            f"lanes[{index}].{name}: {value} must be a positive number"
            for name, value in sizes.items()
            if not (math.isfinite(value) and value > 0)
        ]
    return faults


def _symmetry_faults(intersection: Intersection) -> list[str]:
    size = len(intersection.movements)
    faults = [
        f"conflicts[{i}][{i}]: a movement cannot conflict with itself"
        for i in range(size)
        if intersection.conflicts[i][i] == "1"
    ]
    faults += [
        f"conflicts[{i}][{j}]: is {intersection.conflicts[i][j]} but conflicts[{j}][{i}] is"
        f" {intersection.conflicts[j][i]}; the matrix must be symmetric"
        for i in range(size)
        for j in range(i + 1, size)
        if intersection.conflicts[i][j] != intersection.conflicts[j][i]
    ]
    faults += [
        f"concurrency[{i}][{j}]: differs from concurrency[{j}][{i}]; the table must be symmetric"
        for i in range(len(intersection.concurrency))
        for j in range(i + 1, size)
        if intersection.concurrency[i][j] != intersection.concurrency[j][i]
    ]
    return faults


def _stage_faults(intersection: Intersection) -> list[str]:
    faults = []
    for index, stage in enumerate(intersection.stages):
        pairs = conflicting_pairs(intersection, stage_lights(intersection, stage))
        faults += [f"stages[{index}]: movements {i} and {j} conflict" for i, j in pairs]
        faults += [f"stages[{index}]: {fault}" for fault in concurrency_faults(intersection, stage)]
        if not stage.served:
            faults.append(f"stages[{index}]: serves no movement")
    return faults


def _service_faults(intersection: Intersection) -> list[str]:
    served = frozenset[int]().union(*(stage.served for stage in intersection.stages))
    return [
        f"movements[{index}]: no stage ever serves it"
        for index, movement in enumerate(intersection.movements)
        if index not in served and movement.lanes
    ]
