"""The adapter for one or a few signals of a SUMO that others run: a direct TraCI client.

A whole city goes through one bridge process instead: a crashed TraCI client ends a simulation for all its clients.
There is no controller unit below TraCI, so this driver carries one: the same `Cabinet` as the service. Beside it there
is only SUMO, which the driver asks whether each letter of the signal really lets in the lanes that the site says.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.errors import EndpointError, MissingExtraError, SiteError
from phasemesh.contract.intersection import ZONES_M, Intersection, Lane, Movement, Turn
from phasemesh.contract.site import config_digest
from phasemesh.contract.units import LaneId
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.sumo_letters import to_sumo
from phasemesh.controller.cabinet.cabinet import Cabinet

HALTING_MPS = 0.1
"""Below this speed a vehicle stands (SUMO's own definition)."""
VEHICLE_SPACE_M = 7.5
"""Room that a standing vehicle takes, its gap included."""


def _traci() -> ModuleType:
    try:
        import traci  # noqa: PLC0415 (the edge works without SUMO; only this driver needs it)
    except ImportError as error:
        raise MissingExtraError("adapter traci: SUMO's client is missing; pip install 'phasemesh[sim]'") from error
    module: ModuleType = traci
    return module


class TraciAddress(NamedTuple):
    """Where a SUMO listens and which traffic light is meant: `traci://host:port/tls_id`."""

    host: str
    port: int
    tls_id: str


def parse_address(text: str) -> TraciAddress:
    """The parts of `traci://host:port/tls_id`; raises SiteError when one is missing."""
    address = urlsplit(text)
    try:
        port = address.port
    except ValueError:
        port = None
    if address.scheme != "traci" or not address.hostname or not port or len(address.path) < 2:
        raise SiteError(f"cabinet address {text!r}: must look like traci://host:port/tls_id")
    return TraciAddress(address.hostname, port, unquote(address.path[1:]))


class Link(NamedTuple):
    """What one letter of a traffic light lets in: lanes that it opens, and lanes that they lead to."""

    lanes: frozenset[LaneId]
    exits: frozenset[LaneId]


def _link(ways: Sequence[Sequence[str]]) -> Link:
    return Link(frozenset(LaneId(way[0]) for way in ways), frozenset(LaneId(way[1]) for way in ways))


class TraciSession:
    """One TraCI client that steps the simulation and serves the few drivers of this process."""

    def __init__(self, host: str, port: int) -> None:
        """Connect; raises EndpointError when nobody answers at `host:port`."""
        traci = _traci()
        self.trouble: tuple[type[Exception], ...] = (traci.TraCIException, traci.FatalTraCIError, OSError)
        try:
            self.connection: Any = traci.connect(port=port, host=host, numRetries=3)
        except self.trouble as error:
            raise EndpointError(f"adapter traci: no SUMO answers at {host}:{port}; start it first") from error
        self.drivers: list[TraciDriver] = []
        self.step_count = 0

    @property
    def now_s(self) -> float:
        """Simulated time in seconds."""
        return float(self.connection.simulation.getTime())

    def links(self, tls_id: str) -> tuple[Link, ...]:
        """What each letter of the traffic light `tls_id` lets in; raises EndpointError when SUMO cannot tell."""
        try:
            found = self.connection.trafficlight.getControlledLinks(tls_id)
        except self.trouble as error:
            raise EndpointError(f"adapter traci: SUMO does not tell what {tls_id!r} controls: {error}") from error
        return tuple(_link(ways) for ways in found)

    def step(self) -> None:
        """Show all lights, simulate one step, then let every driver's cabinet see what came of it."""
        for driver in self.drivers:
            driver.show()
        self.connection.simulationStep()
        self.step_count += 1
        for driver in self.drivers:
            driver.note_step(self.step_count, self.now_s)

    def close(self) -> None:
        """Disconnect, which lets other clients go on."""
        self.connection.close(wait=False)


class TraciDriver:
    """Drives the traffic light `tls_id` through a cabinet of its own."""

    def __init__(self, session: TraciSession, tls_id: str, cabinet: Cabinet) -> None:
        """Join `session`, which steps this driver with all others; raises EndpointError for an unknown `tls_id`."""
        self._session = session
        self._tls_id = tls_id
        self._cabinet = cabinet
        self._shown = ""
        self._seen: dict[LaneId, frozenset[str]] = {}
        self._crossings = _crossings(cabinet.intersection)
        self._digest = _digest(cabinet, session.links(tls_id))
        session.drivers.append(self)

    def attach(self, boot_id: int) -> DriverFault | None:
        """As in `Driver`."""
        if not self._cabinet.attach(boot_id):
            return DriverFault(f"a newer agent than boot {boot_id} holds {self._tls_id}")
        return None

    def observe(self, after_step: int, timeout_s: float) -> Snapshot | DriverFault | None:  # noqa: ARG002 (steps itself)
        """As in `Driver`; simulates until the step is reached, since this client owns the clock."""
        try:
            while self._session.step_count <= after_step:
                self._session.step()
        except self._session.trouble as error:
            return DriverFault(f"SUMO: {error}")
        return msgspec.structs.replace(self._cabinet.snapshot(), config_digest=self._digest)

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`."""
        return self._cabinet.command(command)

    def close(self) -> None:
        """Leave the session; the traffic light keeps its last lights until somebody else sets it."""
        if self in self._session.drivers:
            self._session.drivers.remove(self)

    def show(self) -> None:
        """Set the lights of the cabinet."""
        letters = self._cabinet.lights
        self._shown = to_sumo(letters, self._shown or letters)
        self._session.connection.trafficlight.setRedYellowGreenState(self._tls_id, self._shown)

    def note_step(self, step: int, now_s: float) -> None:
        """Read the detectors and step the cabinet."""
        exits = _exits(self._cabinet)
        people = self._people() if self._crossings else {}
        readings = tuple(
            self._read_crossing(lane, people.get(lane.approach, {}))
            if lane.id in self._crossings
            else self._read(lane, exits[lane.id])
            for lane in self._cabinet.intersection.lanes
        )
        self._cabinet.step(step, now_s, readings)

    def _people(self) -> dict[str, dict[str, float]]:
        """How long each person has stood before a crossing of the intersection, by the edge of that crossing."""
        person = self._session.connection.person
        edges = {lane.approach for lane in self._cabinet.intersection.lanes if lane.id in self._crossings}
        waiting: dict[str, dict[str, float]] = {}
        for name in person.getIDList():
            if float(person.getSpeed(name)) < HALTING_MPS and (edge := str(person.getNextEdge(name))) in edges:
                waiting.setdefault(edge, {})[name] = float(person.getWaitingTime(name))
        return waiting

    def _read_crossing(self, lane: Lane, waits_s: dict[str, float]) -> LaneReading:
        """The people who stand before a crossing; it has nothing downstream."""
        arrived = waits_s.keys() - self._seen.get(lane.id, frozenset())
        self._seen[lane.id] = frozenset(waits_s)
        count = float(len(waits_s))
        return LaneReading(
            queue_veh=count,
            vehicles_50m_veh=count,
            vehicles_100m_veh=count,
            vehicles_150m_veh=count,
            arrivals_veh=float(len(arrived)),
            wait_s=max(waits_s.values(), default=0.0),
            mean_speed_mps=0.0 if waits_s else lane.speed_limit_mps,
            downstream_queue_veh=0.0,
            downstream_vehicles_veh=0.0,
            downstream_room_ratio=1.0,
        )

    def _read(self, lane: Lane, exits: tuple[LaneId, ...]) -> LaneReading:
        vehicle = self._session.connection.vehicle
        distances = {
            name: lane.length_m - float(vehicle.getLanePosition(name))
            for name in self._session.connection.lane.getLastStepVehicleIDs(lane.id)
        }
        near = {name: distance for name, distance in distances.items() if distance <= ZONES_M[2]}
        speeds = {name: float(vehicle.getSpeed(name)) for name in near}
        halting = [name for name, speed in speeds.items() if speed < HALTING_MPS]
        arrived = near.keys() - self._seen.get(lane.id, frozenset())
        self._seen[lane.id] = frozenset(near)
        downstream = self._downstream(exits)
        return LaneReading(
            queue_veh=len(halting),
            vehicles_50m_veh=_within(near, ZONES_M[0]),
            vehicles_100m_veh=_within(near, ZONES_M[1]),
            vehicles_150m_veh=len(near),
            arrivals_veh=len(arrived),
            wait_s=max((float(vehicle.getWaitingTime(name)) for name in halting), default=0.0),
            mean_speed_mps=sum(speeds.values()) / len(speeds) if speeds else lane.speed_limit_mps,
            downstream_queue_veh=downstream.queue_veh,
            downstream_vehicles_veh=downstream.vehicles_veh,
            downstream_room_ratio=downstream.room_ratio,
        )

    def _downstream(self, exits: tuple[LaneId, ...]) -> _Downstream:
        lane = self._session.connection.lane
        count = max(1, len(exits))
        vehicles = [float(lane.getLastStepVehicleNumber(name)) for name in exits]
        room = [
            1.0 - min(1.0, number * VEHICLE_SPACE_M / float(lane.getLength(name)))
            for name, number in zip(exits, vehicles, strict=True)
        ]
        return _Downstream(
            queue_veh=sum(float(lane.getLastStepHaltingNumber(name)) for name in exits) / count,
            vehicles_veh=sum(vehicles) / count,
            room_ratio=sum(room) / count if exits else 1.0,
        )


def _digest(cabinet: Cabinet, links: tuple[Link, ...]) -> str:
    """The name of what is really followed: the configuration of `cabinet`, over the lanes that SUMO's letters open."""
    intersection = cabinet.intersection
    if len(links) == len(intersection.movements) and all(map(_lets_in, links, intersection.movements)):
        return cabinet.snapshot().config_digest
    followed = tuple(
        Movement("", Turn.STRAIGHT, lanes=tuple(sorted(link.lanes)), exits=tuple(sorted(link.exits))) for link in links
    )
    return config_digest(msgspec.structs.replace(intersection, movements=followed), cabinet.timings)


def _lets_in(link: Link, movement: Movement) -> bool:
    """Whether `link` opens what `movement` says; SUMO counts a crossing among the lanes that people come to."""
    if movement.is_crossing:
        return link.exits.issuperset(movement.lanes)
    return link.lanes.issuperset(movement.lanes) and link.exits.issuperset(movement.exits)


class _Downstream(NamedTuple):
    queue_veh: float
    vehicles_veh: float
    room_ratio: float


def _crossings(intersection: Intersection) -> frozenset[LaneId]:
    """Where people wait for a green."""
    return frozenset(lane for movement in intersection.movements if movement.is_crossing for lane in movement.lanes)


def _within(distances_m: dict[str, float], limit_m: float) -> int:
    return sum(distance <= limit_m for distance in distances_m.values())


def _exits(cabinet: Cabinet) -> dict[LaneId, tuple[LaneId, ...]]:
    exits: dict[LaneId, set[LaneId]] = {lane.id: set() for lane in cabinet.intersection.lanes}
    for movement in cabinet.intersection.movements:
        for lane in movement.lanes:
            exits[lane].update(movement.exits)
    return {lane: tuple(sorted(found)) for lane, found in exits.items()}
