"""Incoming lanes of a signal and their detection zones, continued upstream until another signal; its crossings."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator

from phasemesh.contract.intersection import ZONES_M, Lane, Movement
from phasemesh.contract.timing import WALKING_SPEED_MPS
from phasemesh.contract.units import LaneId
from phasemesh.sim_harness.sumo.net_file import NetConnection, NetFile
from phasemesh.sim_harness.sumo.zones import ZONE_LENGTH_M, Zone, ZonePiece

VEHICLE_SPACE_M = 7.5
"""Road that a standing vehicle takes, its gap included (SUMO's default car)."""
WAITING_PEOPLE = 20.0
"""People who make a crossing full, as many as vehicles make a lane of 150 m full (engineering choice)."""


class UpstreamLanes:
    """Which lanes lead into a lane without a signal in between, with the internal lanes that are crossed."""

    def __init__(self, net: NetFile) -> None:
        """Index the connections of `net`."""
        self._net = net
        self._inner = {c.from_lane: c for c in net.connections if c.from_lane.startswith(":")}
        self._entering: dict[str, list[NetConnection]] = defaultdict(list)
        for connection in net.connections:
            if not connection.signal and not connection.from_lane.startswith(":"):
                self._entering[connection.to_lane].append(connection)

    def zone(self, lane: str) -> Zone:
        """The pieces within `ZONE_LENGTH_M` of the end of `lane`, nearest first, each lane once by its shortest way."""
        pieces: dict[str, ZonePiece] = {}
        waiting = deque([(lane, 0.0)])
        while waiting:
            name, offset_m = waiting.popleft()
            length_m = self._net.lanes[name].length_m
            if offset_m >= ZONE_LENGTH_M or (name in pieces and pieces[name].offset_m <= offset_m):
                continue
            pieces[name] = ZonePiece(lane_id=name, length_m=length_m, offset_m=offset_m)
            for inner, upstream in self._ways_into(name):
                reached_m = offset_m + length_m
                for crossed in inner:
                    _keep_nearest(pieces, ZonePiece(crossed, self._net.lanes[crossed].length_m, reached_m))
                    reached_m += self._net.lanes[crossed].length_m
                waiting.append((upstream, reached_m))
        return tuple(sorted(pieces.values(), key=lambda piece: piece.offset_m))

    def _ways_into(self, lane: str) -> Iterator[tuple[list[str], str]]:
        """For each connection into `lane`: the internal lanes crossed, from the downstream end, and where it starts."""
        for connection in self._entering[lane]:
            if self._net.lanes[connection.from_lane].is_for_vehicles:
                yield list(reversed(self._crossed(connection))), connection.from_lane

    def _crossed(self, connection: NetConnection) -> list[str]:
        crossed: list[str] = []
        via = connection.via
        while via in self._net.lanes and via not in crossed:
            crossed.append(via)
            following = self._inner.get(via)
            via = following.via if following else ""
        return crossed


def _keep_nearest(pieces: dict[str, ZonePiece], piece: ZonePiece) -> None:
    known = pieces.get(piece.lane_id)
    if piece.offset_m < ZONE_LENGTH_M and (known is None or piece.offset_m < known.offset_m):
        pieces[piece.lane_id] = piece


def incoming_lanes(
    net: NetFile, upstream: UpstreamLanes, movements: tuple[Movement, ...]
) -> tuple[tuple[Lane, ...], tuple[Zone, ...]]:
    """The lanes of `movements` in the order of their signal indices, and the zone of each; crossings have none."""
    crossed = {lane: movement.is_crossing for movement in movements for lane in movement.lanes}
    zones = tuple(() if is_crossing else upstream.zone(name) for name, is_crossing in crossed.items())
    lanes = tuple(
        _waiting_place(net, name) if is_crossing else _lane(net, name, zone)
        for (name, is_crossing), zone in zip(crossed.items(), zones, strict=True)
    )
    return lanes, zones


def _waiting_place(net: NetFile, name: LaneId) -> Lane:
    """Where people wait to use the crossing `name`; its length is that of their way across."""
    source = net.lanes[name]
    return Lane(
        id=name,
        approach=source.edge,
        length_m=source.length_m,
        speed_limit_mps=WALKING_SPEED_MPS,
        zone_capacity_veh=(WAITING_PEOPLE, WAITING_PEOPLE, WAITING_PEOPLE),
    )


def _lane(net: NetFile, name: LaneId, zone: Zone) -> Lane:
    source = net.lanes[name]
    near, middle, far = (_capacity_veh(zone, length_m) for length_m in ZONES_M)
    return Lane(
        id=name,
        approach=source.edge,
        length_m=source.length_m,
        speed_limit_mps=source.speed_limit_mps,
        zone_capacity_veh=(near, middle, far),
    )


def _capacity_veh(zone: Zone, length_m: float) -> float:
    seen_m = sum(max(0.0, min(piece.length_m, length_m - piece.offset_m)) for piece in zone)
    return max(1.0, seen_m / VEHICLE_SPACE_M)
