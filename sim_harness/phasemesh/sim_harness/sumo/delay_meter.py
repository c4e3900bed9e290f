"""How much delay arises at every signal: what a trainer rewards, and nobody on the street can measure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from phasemesh.sim_harness.sumo.connection import VehicleOnLane
from phasemesh.sim_harness.sumo.net_file import NetFile, read_net_file
from phasemesh.sim_harness.sumo.network import CityNetwork

REACH_M = 300.0
"""How far up an approach delay counts."""


class TrafficSource(Protocol):
    """Where the meter looks: a `Simulation`, or a fake one in tests."""

    def vehicles_by_lane(self, watched: frozenset[str]) -> dict[str, list[VehicleOnLane]]:
        """The vehicles whose front is on one of the `watched` lanes, by lane; empty lanes are left out."""

    def waiting_to_enter(self) -> list[str]:
        """The vehicles that are due and find no room to enter the network."""

    def route_of(self, vehicle_id: str) -> tuple[str, ...]:
        """The edges on the way of a vehicle."""


class DelayMeter:
    """Sums the delay that arises before and inside every intersection, in vehicle-seconds a second.

    A vehicle on an approach counts 1 - v / v_max, up to `REACH_M` or the next signal upstream, and so does one that
    crosses: who turns left permissively waits in the middle. One that waits to enter the network counts 1 at the first
    intersection on its way.
    """

    def __init__(self, source: TrafficSource, network: CityNetwork) -> None:
        """Assign lanes and edges of `network` to its intersections."""
        net = read_net_file(network.net_file)
        self._source = source
        self._count = len(network.controlled)
        self._owner_of_lane = _owners(net, network)
        self._limit_mps = {name: net.lanes[name].speed_limit_mps for name in self._owner_of_lane}
        self._owner_of_edge = {net.lanes[name].edge: owner for name, owner in self._owner_of_lane.items()}
        self._owner_of_waiting: dict[str, int | None] = {}
        self._watched = frozenset(self._owner_of_lane)

    def read(self) -> npt.NDArray[np.float32]:
        """The delay that arises now at every intersection of the network, [A], in its order."""
        delays = [0.0] * self._count
        for name, vehicles in self._source.vehicles_by_lane(self._watched).items():
            delays[self._owner_of_lane[name]] += _delay(vehicles, self._limit_mps[name])
        for vehicle_id in self._source.waiting_to_enter():
            owner = self._owner_on_the_way(vehicle_id)
            if owner is not None:
                delays[owner] += 1.0
        return np.array(delays, dtype=np.float32)

    def _owner_on_the_way(self, vehicle_id: str) -> int | None:
        if vehicle_id not in self._owner_of_waiting:
            edges = self._source.route_of(vehicle_id)
            owners = (self._owner_of_edge[edge] for edge in edges if edge in self._owner_of_edge)
            self._owner_of_waiting[vehicle_id] = next(owners, None)
        return self._owner_of_waiting[vehicle_id]


def _delay(vehicles: Sequence[VehicleOnLane], limit_mps: float) -> float:
    return sum(max(0.0, 1.0 - vehicle.speed_mps / limit_mps) for vehicle in vehicles)


def _owners(net: NetFile, network: CityNetwork) -> dict[str, int]:
    """The position of the intersection that is approached or crossed on each lane; the first one of several."""
    entering = _entering(net)
    onward = {connection.from_lane: connection.via for connection in net.connections if connection.via}
    owners: dict[str, int] = {}
    for index, intersection in enumerate(network.intersections):
        for lane in intersection.lanes:
            for name in _approach(net, entering, lane.id):
                owners.setdefault(name, index)
    for connection in net.connections:
        if connection.signal and connection.from_lane in owners:
            for name in _crossing(onward, connection.via):
                owners.setdefault(name, owners[connection.from_lane])
    return owners


def _crossing(onward: Mapping[str, str], via: str) -> tuple[str, ...]:
    """The internal lane `via` and those `onward` of it, in which a junction is crossed in several parts."""
    found: list[str] = []
    while via and via not in found:
        found.append(via)
        via = onward.get(via, "")
    return tuple(found)


def _entering(net: NetFile) -> Mapping[str, Sequence[str]]:
    """The lanes for vehicles that lead into each lane without a signal in between."""
    entering: dict[str, list[str]] = defaultdict(list)
    for connection in net.connections:
        is_road = not connection.signal and not connection.from_lane.startswith(":")
        if is_road and net.lanes[connection.from_lane].is_for_vehicles:
            entering[connection.to_lane].append(connection.from_lane)
    return entering


def _approach(net: NetFile, entering: Mapping[str, Sequence[str]], lane: str) -> tuple[str, ...]:
    """`lane` and the lanes upstream of it without a signal in between that begin within `REACH_M`."""
    found: dict[str, None] = {}
    waiting = deque([(lane, 0.0)])
    while waiting:
        name, offset_m = waiting.popleft()
        if offset_m >= REACH_M or name in found or not net.lanes[name].is_for_vehicles:
            continue
        found[name] = None
        waiting.extend((upstream, offset_m + net.lanes[name].length_m) for upstream in entering.get(name, ()))
    return tuple(found)
