"""Movements of one signal and what the junctions' foes say about each pair: conflict, and who gives way."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

import msgspec

from phasemesh.contract.intersection import Movement, Turn
from phasemesh.contract.units import LaneId
from phasemesh.sim_harness.sumo.net_file import CROSSING, WALKING_AREA, NetConnection, NetFile, NetJunction, NetLane

TURNS = {
    "s": Turn.STRAIGHT,
    "l": Turn.LEFT,
    "L": Turn.LEFT,
    "r": Turn.RIGHT,
    "R": Turn.RIGHT,
    "t": Turn.U_TURN,
}
"""The direction of a SUMO connection; partial turns count as turns."""


class Link(msgspec.Struct, frozen=True):
    """One connection with its place among the links of its junction, which is its row in the right-of-way matrix.

    `crossing` is the lane on which people walk across; None for everything else.
    """

    connection: NetConnection
    junction: NetJunction
    row: int
    is_for_vehicles: bool
    crossing: NetLane | None

    def is_foe_of(self, other: Link) -> bool:
        """Whether the two paths cross or merge; without a matrix, all paths of different approaches do.

        People on two crossings never hinder each other.
        """
        if self.junction.id != other.junction.id or (self.crossing and other.crossing):
            return False
        if not self.junction.rows:
            return self.connection.from_edge != other.connection.from_edge
        return self._bit(1, other) or other._bit(1, self)

    def yields_to(self, other: Link) -> bool:
        """Whether the matrix makes this link give way to `other`."""
        return self.junction.id == other.junction.id and self._bit(0, other)

    def _bit(self, column: int, other: Link) -> bool:
        if self.row >= len(self.junction.rows):
            return False
        letters = self.junction.rows[self.row][column]
        return other.row < len(letters) and letters[-1 - other.row] == "1"


class SignalLinks(msgspec.Struct, frozen=True):
    """The links of one signal by signal index, and those of its junctions that no signal shows."""

    signal: str
    by_index: tuple[tuple[Link, ...], ...]
    unsignalled: tuple[Link, ...]


class RightOfWay(msgspec.Struct, frozen=True):
    """What derives from the foes, by signal index.

    `vehicles` are the indices that any vehicle needs, `crossings` those that people on foot need, `turning` those
    that only turn, `outside` those that give way to a link that no signal shows. `conflicts` and `yields_to` are as in
    `Intersection`.
    """

    vehicles: frozenset[int]
    crossings: frozenset[int]
    turning: frozenset[int]
    outside: frozenset[int]
    conflicts: tuple[tuple[bool, ...], ...]
    yields_to: tuple[tuple[bool, ...], ...]

    @property
    def needed(self) -> frozenset[int]:
        """The indices that somebody needs, on wheels or on foot."""
        return self.vehicles | self.crossings

    def are_compatible(self, first: int, second: int) -> bool:
        """Whether the two may be green at once, at least with the one that yields shown permissively."""
        return not self.conflicts[first][second] or self.yields_to[first][second] or self.yields_to[second][first]


def links_of_signals(net: NetFile) -> dict[str, SignalLinks]:
    """The links of every signal that has a program; indices without a connection stay empty."""
    groups: dict[str, dict[int, list[Link]]] = defaultdict(lambda: defaultdict(list))
    loose: dict[str, list[Link]] = defaultdict(list)
    for link in _links(net):
        if link.connection.signal:
            groups[link.connection.signal][link.connection.index].append(link)
        else:
            loose[link.junction.id].append(link)
    return {
        signal: SignalLinks(
            signal=signal,
            by_index=tuple(tuple(groups[signal][index]) for index in range(len(program.steps[0][0]))),
            unsignalled=tuple(link for junction in _junction_ids(groups[signal]) for link in loose[junction]),
        )
        for signal, program in net.programs.items()
    }


def _links(net: NetFile) -> list[Link]:
    """All links; their rows follow the incoming lanes of the junction and the file's order of connections.

    Ways along a pavement have no row. A crossing may have a second index for those who come from its other end; they
    cross the same paths, so that the row of the first counts for them too.
    """
    leaving: dict[str, list[NetConnection]] = defaultdict(list)
    for connection in net.connections:
        leaving[connection.from_lane].append(connection)
    links = []
    for junction in net.junctions.values():
        ordered = [connection for lane in junction.incoming_lanes for connection in leaving[lane]]
        rows = enumerate(connection for connection in ordered if not _is_along_a_pavement(net, connection))
        for row, connection in rows:
            crossing = net.lanes[connection.to_lane] if _function(net, connection.to_lane) == CROSSING else None
            links.append(Link(connection, junction, row, _is_for_vehicles(net, connection), crossing))
            backwards = [back for back in leaving[crossing.id] if back.signal] if crossing else []
            links += [Link(back, junction, row, is_for_vehicles=False, crossing=crossing) for back in backwards]
    return links


def _function(net: NetFile, lane: str) -> str:
    return net.lanes[lane].function if lane in net.lanes else ""


def _is_along_a_pavement(net: NetFile, connection: NetConnection) -> bool:
    """Whether people use a connection without crossing a road (as SUMO's MSRightOfWayJunction leaves them out)."""
    start, end = _function(net, connection.from_lane), _function(net, connection.to_lane)
    return end == WALKING_AREA or (start == WALKING_AREA and end != CROSSING)


def _is_for_vehicles(net: NetFile, connection: NetConnection) -> bool:
    ends = (net.lanes.get(connection.from_lane), net.lanes.get(connection.to_lane))
    return all(lane is not None and lane.is_for_vehicles for lane in ends)


def _junction_ids(groups: dict[int, list[Link]]) -> dict[str, None]:
    return dict.fromkeys(link.junction.id for links in groups.values() for link in links)


def right_of_way(links: SignalLinks) -> RightOfWay:
    """Conflicts and yielding of the movements of one signal, from the foes of its junctions."""
    groups = links.by_index
    vehicles = frozenset(i for i, group in enumerate(groups) if any(link.is_for_vehicles for link in group))
    crossings = frozenset(i for i, group in enumerate(groups) if any(link.crossing for link in group))
    turning = frozenset(i for i in vehicles if turn_of(groups[i]) is not Turn.STRAIGHT)
    conflicts = tuple(
        tuple(i != j and bool(_foes(groups[i], groups[j])) for j in range(len(groups))) for i in range(len(groups))
    )
    return RightOfWay(
        vehicles=vehicles,
        crossings=crossings,
        turning=turning,
        outside=frozenset(i for i in turning if any(a.yields_to(b) for a in groups[i] for b in links.unsignalled)),
        conflicts=conflicts,
        yields_to=tuple(
            tuple(conflicts[i][j] and i in turning and _always_yields(groups[i], groups[j]) for j in range(len(groups)))
            for i in range(len(groups))
        ),
    )


def _foes(first: tuple[Link, ...], second: tuple[Link, ...]) -> list[tuple[Link, Link]]:
    return [(a, b) for a, b in product(first, second) if a.is_foe_of(b)]


def _always_yields(first: tuple[Link, ...], second: tuple[Link, ...]) -> bool:
    return all(a.yields_to(b) for a, b in _foes(first, second))


def turn_of(group: tuple[Link, ...]) -> Turn:
    """The turn of a movement of several links: straight as soon as one of them is; a crossing where people walk."""
    if any(link.crossing for link in group):
        return Turn.CROSSING
    turns = [TURNS.get(link.connection.direction, Turn.STRAIGHT) for link in group if link.is_for_vehicles]
    return Turn.STRAIGHT if not turns or Turn.STRAIGHT in turns else turns[0]


def movement_of(group: tuple[Link, ...]) -> Movement:
    """The movement of one signal index; without lanes and exits where nobody needs it.

    The lanes of a crossing are the ways across, its approach is the edge of the first of them.
    """
    ways = {link.crossing.id: link.crossing for link in group if link.crossing}
    if ways:
        first = next(iter(ways.values()))
        return Movement(first.edge, Turn.CROSSING, lanes=tuple(LaneId(way) for way in ways), exits=())
    driven = [link.connection for link in group if link.is_for_vehicles]
    return Movement(
        approach=driven[0].from_edge if driven else "",
        turn=turn_of(group),
        lanes=tuple(LaneId(lane) for lane in dict.fromkeys(c.from_lane for c in driven)),
        exits=tuple(LaneId(lane) for lane in dict.fromkeys(c.to_lane for c in driven)),
    )
