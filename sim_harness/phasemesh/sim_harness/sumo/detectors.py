"""Virtual detectors: what the lanes of every intersection report, read from the simulation step by step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from phasemesh.contract.detection import LaneReading
from phasemesh.contract.intersection import ZONES_M, Intersection, Lane
from phasemesh.contract.units import IntersectionId, LaneId
from phasemesh.sim_harness.sumo.connection import HALTING_MPS, VehicleOnLane, WaitingPerson
from phasemesh.sim_harness.sumo.zones import Zone, ZonePiece

VEHICLE_SPACE_M = 7.5
"""Road that one standing vehicle takes: SUMO's default car of 5 m and its gap of 2.5 m."""


class LaneSource(Protocol):
    """Where detectors look: a `Simulation`, or a fake one in tests."""

    def vehicles_by_lane(self, watched: frozenset[str]) -> dict[str, list[VehicleOnLane]]:
        """The vehicles whose front is on one of the `watched` lanes, by lane; empty lanes are left out."""

    def people_waiting(self, crossings: frozenset[str]) -> dict[str, list[WaitingPerson]]:
        """Who stands before one of `crossings` (edges); asked only where there are any."""

    def lane_length_m(self, lane_id: str) -> float:
        """Length of a lane in metres."""


class _Piece(msgspec.Struct, frozen=True):
    """A piece of a zone: a vehicle at position p on it stands `end_m - p` before the stop line and counts `weight`."""

    lane_id: str
    end_m: float
    weight: float


class _LanePlan(msgspec.Struct, frozen=True):
    """Where one incoming lane looks: the pieces of its zone and its exits; a crossing has neither."""

    lane: Lane
    is_crossing: bool
    pieces: tuple[_Piece, ...]
    exits: tuple[str, ...]


class _ExitView(msgspec.Struct, frozen=True):
    """What stands on the first `ZONES_M[2]` of one exit, or on average on several."""

    queue_veh: float
    vehicles_veh: float
    room_ratio: float


class Detectors:
    """The detectors of a city.

    A vehicle on an upstream lane that feeds several incoming lanes of an intersection counts in full for each of them,
    as real advance detectors cannot know where it will turn; with `is_shared` it counts as an equal share of one
    instead, so that no vehicle is seen twice by an intersection.

    A crossing counts the people who stand before it, in every zone alike; it has nothing downstream.
    """

    def __init__(
        self,
        source: LaneSource,
        intersections: Iterable[Intersection],
        zones: Mapping[IntersectionId, Sequence[Zone]],
        *,
        is_shared: bool = False,
    ) -> None:
        """Plan the reading; `zones` holds one zone for each lane of each intersection, in the order of its lanes."""
        self._source = source
        self._plans = {
            intersection.id: _plans(intersection, zones[intersection.id], is_shared=is_shared)
            for intersection in intersections
        }
        every = [plan for plans in self._plans.values() for plan in plans]
        self._exits = tuple(dict.fromkeys(plan.exits for plan in every))
        names = dict.fromkeys(name for exits in self._exits for name in exits)
        self._exit_lengths_m = {name: min(ZONES_M[2], source.lane_length_m(name)) for name in names}
        self._watched = frozenset(names) | {piece.lane_id for plan in every for piece in plan.pieces}
        self._crossings = frozenset(plan.lane.approach for plan in every if plan.is_crossing)
        self._before: dict[tuple[IntersectionId, LaneId], frozenset[str]] = {}

    def read(self) -> dict[IntersectionId, tuple[LaneReading, ...]]:
        """Readings of every lane, in the order of `Intersection.lanes`; arrivals count from the previous call on."""
        vehicles = self._source.vehicles_by_lane(self._watched)
        exits = {name: _exit_view(vehicles.get(name, ()), seen_m) for name, seen_m in self._exit_lengths_m.items()}
        downstream = {names: _mean_view([exits[name] for name in names]) for names in self._exits}
        people = self._source.people_waiting(self._crossings) if self._crossings else {}
        return {
            name: tuple(
                self._read_crossing(name, plan, people.get(plan.lane.approach, ()))
                if plan.is_crossing
                else self._read_lane(name, plan, vehicles, downstream[plan.exits])
                for plan in plans
            )
            for name, plans in self._plans.items()
        }

    def _read_crossing(self, name: IntersectionId, plan: _LanePlan, people: Sequence[WaitingPerson]) -> LaneReading:
        seen = frozenset(person.id for person in people)
        arrivals = len(seen - self._before.get((name, plan.lane.id), frozenset()))
        self._before[name, plan.lane.id] = seen
        return LaneReading(
            queue_veh=float(len(people)),
            vehicles_50m_veh=float(len(people)),
            vehicles_100m_veh=float(len(people)),
            vehicles_150m_veh=float(len(people)),
            arrivals_veh=float(arrivals),
            wait_s=max((person.wait_s for person in people), default=0.0),
            mean_speed_mps=0.0 if people else plan.lane.speed_limit_mps,
            downstream_queue_veh=_FREE.queue_veh,
            downstream_vehicles_veh=_FREE.vehicles_veh,
            downstream_room_ratio=_FREE.room_ratio,
        )

    def _read_lane(
        self,
        name: IntersectionId,
        plan: _LanePlan,
        vehicles: Mapping[str, Sequence[VehicleOnLane]],
        downstream: _ExitView,
    ) -> LaneReading:
        seen = [
            (piece.end_m - vehicle.position_m, vehicle, piece.weight)
            for piece in plan.pieces
            if piece.lane_id in vehicles
            for vehicle in vehicles[piece.lane_id]
            if piece.end_m - vehicle.position_m <= ZONES_M[2]
        ]
        before = self._before.get((name, plan.lane.id), frozenset())
        self._before[name, plan.lane.id] = frozenset([vehicle.id for _, vehicle, _ in seen])
        return _reading(plan.lane, seen, before, downstream)


def _reading(
    lane: Lane, seen: list[tuple[float, VehicleOnLane, float]], before: frozenset[str], downstream: _ExitView
) -> LaneReading:
    """The reading of `lane` from the distance, vehicle and weight of all that its zone sees."""
    queue = near = middle = count = arrivals = speeds_mps = wait_s = 0.0
    for distance_m, vehicle, weight in seen:
        count += weight
        speeds_mps += weight * vehicle.speed_mps
        if distance_m <= ZONES_M[1]:
            middle += weight
            near += weight if distance_m <= ZONES_M[0] else 0.0
        if vehicle.speed_mps < HALTING_MPS:
            queue += weight
            wait_s = max(wait_s, vehicle.wait_s)
        if vehicle.id not in before:
            arrivals += weight
    return LaneReading(
        queue_veh=queue,
        vehicles_50m_veh=near,
        vehicles_100m_veh=middle,
        vehicles_150m_veh=count,
        arrivals_veh=arrivals,
        wait_s=wait_s,
        mean_speed_mps=speeds_mps / count if count else lane.speed_limit_mps,
        downstream_queue_veh=downstream.queue_veh,
        downstream_vehicles_veh=downstream.vehicles_veh,
        downstream_room_ratio=downstream.room_ratio,
    )


def _plans(intersection: Intersection, zones: Sequence[Zone], *, is_shared: bool) -> tuple[_LanePlan, ...]:
    feeds: dict[str, int] = {}
    for zone in zones:
        for piece in zone:
            feeds[piece.lane_id] = feeds.get(piece.lane_id, 0) + 1
    crossed = {lane for movement in intersection.movements if movement.is_crossing for lane in movement.lanes}
    return tuple(
        _LanePlan(
            lane,
            lane.id in crossed,
            tuple(
                _piece(piece, feeds[piece.lane_id] if is_shared and position else 1)
                for position, piece in enumerate(zone)
            ),
            _exits_of(intersection, lane),
        )
        for lane, zone in zip(intersection.lanes, zones, strict=True)
    )


def _piece(piece: ZonePiece, shared_by: int) -> _Piece:
    return _Piece(piece.lane_id, piece.offset_m + piece.length_m, 1.0 / shared_by)


def _exits_of(intersection: Intersection, lane: Lane) -> tuple[str, ...]:
    exits = [exit_ for movement in intersection.movements if lane.id in movement.lanes for exit_ in movement.exits]
    return tuple(dict.fromkeys(exits))


_FREE = _ExitView(0.0, 0.0, 1.0)


def _exit_view(vehicles: Sequence[VehicleOnLane], seen_m: float) -> _ExitView:
    if not vehicles:
        return _FREE
    speeds_mps = [vehicle.speed_mps for vehicle in vehicles if vehicle.position_m <= seen_m]
    halting = sum(1 for speed_mps in speeds_mps if speed_mps < HALTING_MPS)
    taken = min(1.0, len(speeds_mps) * VEHICLE_SPACE_M / seen_m)
    return _ExitView(float(halting), float(len(speeds_mps)), 1.0 - taken)


def _mean_view(views: list[_ExitView]) -> _ExitView:
    """The mean over the exits of a lane; a lane that leads nowhere finds no queue and all the room."""
    if len(views) <= 1:
        return views[0] if views else _FREE
    return _ExitView(
        sum(view.queue_veh for view in views) / len(views),
        sum(view.vehicles_veh for view in views) / len(views),
        sum(view.room_ratio for view in views) / len(views),
    )
