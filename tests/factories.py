"""Small, valid pieces of the contract for tests; every argument has a default that makes a plain crossing."""

from __future__ import annotations

from phasemesh.contract.command import SignalState, start
from phasemesh.contract.detection import ControlMode, LaneReading, Snapshot
from phasemesh.contract.intersection import Intersection, Lane, Movement, Stage, Turn
from phasemesh.contract.site import config_digest
from phasemesh.contract.timing import BENCHMARK, StageTiming, TimingProfile, stage_timings
from phasemesh.contract.units import IntersectionId, LaneId

APPROACHES = ("north", "east", "south", "west")
CROSSING_LENGTH_M = 10.0
"""How far people walk over one arm of the crossing of `make_intersection`."""


def make_intersection(
    name: str = "crossing",
    neighbours: tuple[str, ...] = (),
    *,
    has_left_lanes: bool = False,
    has_crossings: bool = False,
) -> Intersection:
    """A four-way crossing: one through movement an approach, with left turns that yield on request.

    With `has_crossings` people walk over all four arms, each beside the through movements of the other axis; the
    crossings come after all movements of vehicles, and permissive left turns yield to them.
    """
    lanes, movements = [], []
    for approach in APPROACHES:
        lanes.append(_lane(approach, f"{approach}_0"))
        movements.append(_movement(approach, Turn.STRAIGHT, f"{approach}_0"))
        if has_left_lanes:
            lanes.append(_lane(approach, f"{approach}_1"))
            movements.append(_movement(approach, Turn.LEFT, f"{approach}_1"))
    for arm in APPROACHES if has_crossings else ():
        lanes.append(_waiting_place(arm))
        movements.append(Movement(arm, Turn.CROSSING, lanes=(LaneId(f"{arm}_walk"),), exits=()))
    conflicts, yields_to = _matrices(movements)
    return Intersection(
        id=IntersectionId(name),
        lanes=tuple(lanes),
        movements=tuple(movements),
        stages=_stages(movements),
        conflicts=conflicts,
        yields_to=yields_to,
        neighbours=tuple(IntersectionId(neighbour) for neighbour in neighbours),
    )


def _lane(approach: str, name: str) -> Lane:
    return Lane(
        id=LaneId(name), approach=approach, length_m=200.0, speed_limit_mps=13.9, zone_capacity_veh=(6.5, 13.0, 20.0)
    )


def _waiting_place(arm: str) -> Lane:
    return Lane(
        id=LaneId(f"{arm}_walk"),
        approach=arm,
        length_m=CROSSING_LENGTH_M,
        speed_limit_mps=1.4,
        zone_capacity_veh=(20.0, 20.0, 20.0),
    )


def _movement(approach: str, turn: Turn, lane: str) -> Movement:
    return Movement(approach=approach, turn=turn, lanes=(LaneId(lane),), exits=(LaneId(f"{lane}_out"),))


def _axis(movement: Movement) -> int:
    """The axis in whose stages a movement runs; people walk beside the traffic that does not cross their way."""
    return (APPROACHES.index(movement.approach) + movement.is_crossing) % 2


def _conflict(first: Movement, second: Movement) -> bool:
    if first.is_crossing or second.is_crossing:
        return first.is_crossing != second.is_crossing and bool(_arms(first) & _arms(second))
    if first.approach == second.approach:
        return False
    if _axis(first) != _axis(second):
        return True
    return first.turn is not second.turn


def _arms(movement: Movement) -> set[int]:
    """The arms of the junction whose crossing a movement touches: where it enters and where it leaves."""
    arm = APPROACHES.index(movement.approach)
    across = {Turn.STRAIGHT: 2, Turn.LEFT: 1, Turn.CROSSING: 0}[movement.turn]
    return {arm, (arm + across) % len(APPROACHES)}


def _matrices(movements: list[Movement]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    conflicts = tuple("".join("01"[_conflict(a, b)] for b in movements) for a in movements)
    yields_to = tuple(
        "".join("01"[_conflict(a, b) and _axis(a) == _axis(b) and a.turn is Turn.LEFT] for b in movements)
        for a in movements
    )
    return conflicts, yields_to


def _stages(movements: list[Movement]) -> tuple[Stage, ...]:
    stages = []
    for axis, name in enumerate(("north-south", "east-west")):
        mine = [index for index, movement in enumerate(movements) if _axis(movement) == axis]
        through = tuple(index for index in mine if movements[index].turn is not Turn.LEFT)
        left = tuple(index for index in mine if movements[index].turn is Turn.LEFT)
        stages.append(Stage(name=name, protected=through, permissive=left))
        if left:
            stages.append(Stage(name=f"{name} left", protected=left))
    return tuple(stages)


def make_timings(intersection: Intersection, profile: TimingProfile = BENCHMARK) -> tuple[StageTiming, ...]:
    """The times of every stage under `profile`."""
    return stage_timings(intersection, profile)


def make_reading(queue_veh: float = 0.0, vehicles_veh: float | None = None, **changes: float) -> LaneReading:
    """A valid reading with `queue_veh` halted of `vehicles_veh` vehicles in every zone."""
    vehicles = queue_veh if vehicles_veh is None else vehicles_veh
    values = {
        "queue_veh": queue_veh,
        "vehicles_50m_veh": vehicles,
        "vehicles_100m_veh": vehicles,
        "vehicles_150m_veh": vehicles,
        "arrivals_veh": 0.0,
        "wait_s": 0.0,
        "mean_speed_mps": 13.9,
        "downstream_queue_veh": 0.0,
        "downstream_vehicles_veh": 0.0,
        "downstream_room_ratio": 1.0,
    }
    return LaneReading(**{**values, **changes})


def make_snapshot(
    intersection: Intersection,
    *,
    step: int = 0,
    now_s: float = 0.0,
    signal: SignalState | None = None,
    readings: tuple[LaneReading, ...] | None = None,
    mode: ControlMode = ControlMode.AGENT,
    lease_boot_id: int | None = 1,
    lease_s: float = 10.0,
    digest: str | None = None,
    latched: tuple[str, ...] = (),
    day_s: float = 0.0,
) -> Snapshot:
    """A snapshot in which the first stage has been green from the start and no lane holds a vehicle.

    Without a `digest` the cabinet follows `intersection` under the times of `make_timings`.
    """
    return Snapshot(
        intersection_id=intersection.id,
        step=step,
        now_s=now_s,
        signal=signal or start(0, 0.0),
        mode=mode,
        lease_until_s=now_s + lease_s,
        lease_boot_id=lease_boot_id,
        readings=readings or (make_reading(),) * len(intersection.lanes),
        lease_s=lease_s,
        config_digest=config_digest(intersection, make_timings(intersection)) if digest is None else digest,
        latched=latched,
        day_s=day_s,
    )
