"""Which signals follow each other on the road, through unsignalised junctions and the joints of joined signals.

A signal follows another when the quickest way there passes no third one; on winding detours through side streets every
signal of a town could be reached from every other.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable

from phasemesh.sim_harness.sumo.net_file import NetConnection, NetFile


class Roads:
    """The edges that vehicles may follow, with the signals that stand at their ends."""

    def __init__(self, net: NetFile) -> None:
        """Index the connections of `net` that vehicles may use."""
        self._travel_s = {lane.edge: lane.length_m / lane.speed_limit_mps for lane in net.lanes.values()}
        self._next_edges: dict[str, set[str]] = defaultdict(set)
        self._signals_at_end: dict[str, set[str]] = defaultdict(set)
        self._exits: dict[str, set[str]] = defaultdict(set)
        for connection in net.connections:
            if _is_driven(net, connection):
                self._next_edges[connection.from_edge].add(connection.to_edge)
                if connection.signal:
                    self._signals_at_end[connection.from_edge].add(connection.signal)
                    self._exits[connection.signal].add(connection.to_edge)

    def downstream(self, signal: str, stopping: frozenset[str]) -> set[str]:
        """The signals of `stopping` whose quickest way from `signal` passes no other of them.

        The search ends when no way is left that has passed none (`direct` counts these).
        """
        waiting = [(self._travel_s[edge], False, edge) for edge in self._exits[signal]]
        heapq.heapify(waiting)
        direct = len(waiting)
        seen: set[str] = set()
        has_third: dict[str, bool] = {}
        while direct:
            travel_s, is_past_one, edge = heapq.heappop(waiting)
            direct -= not is_past_one
            if edge in seen:
                continue
            seen.add(edge)
            ahead = self._signals_at_end[edge] & stopping - {signal}
            for other in ahead:
                has_third.setdefault(other, is_past_one)
            is_past_one = is_past_one or bool(ahead)
            for following in self._next_edges[edge] - seen:
                heapq.heappush(waiting, (travel_s + self._travel_s[following], is_past_one, following))
                direct += not is_past_one
        return {other for other, is_past_one in has_third.items() if not is_past_one}


def _is_driven(net: NetFile, connection: NetConnection) -> bool:
    ends = (net.lanes[connection.from_lane], net.lanes[connection.to_lane])
    return not connection.from_edge.startswith(":") and all(lane.is_for_vehicles for lane in ends)


def neighbours_of(net: NetFile, signals: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each of `signals` its neighbours among them, sorted; who follows whom on the road is neighbour both ways."""
    roads = Roads(net)
    stopping = frozenset(signals)
    mutual: dict[str, set[str]] = {signal: set() for signal in stopping}
    for signal in stopping:
        for other in roads.downstream(signal, stopping):
            mutual[signal].add(other)
            mutual[other].add(signal)
    return {signal: tuple(sorted(others)) for signal, others in mutual.items()}
