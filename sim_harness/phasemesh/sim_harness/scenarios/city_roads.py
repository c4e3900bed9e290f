"""The road graph of a generated city, and ways through it: from one end of the network to another, turn by turn."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import msgspec
import numpy as np

from phasemesh.contract.intersection import Turn
from phasemesh.sim_harness.sumo.net_file import NetFile
from phasemesh.sim_harness.sumo.right_of_way import TURNS

MAX_TRIES = 60
"""Walks that are begun at an entrance, at most; those that come back to where they were are given up."""
ROUTES_PER_ENTRY = 12

Route = tuple[str, ...]
Flows = dict[tuple[str, str], float]
"""What goes from edge to edge, as a share of all traffic."""


class CityRoads(msgspec.Struct, frozen=True):
    """Edges of a network: `turns` to those that follow, the junction `ahead` of each, and how many `lanes` it has.

    `entries` are the edges that nothing leads to, in the order of the file.
    """

    turns: dict[str, tuple[tuple[str, Turn], ...]]
    ahead: dict[str, str]
    lanes: dict[str, int]
    entries: tuple[str, ...]


class Entrance(msgspec.Struct, frozen=True):
    """Where vehicles enter: the share of all traffic, and the ways that they take with their shares of it."""

    edge: str
    share: float
    routes: tuple[tuple[Route, float], ...]


def roads_of(net: NetFile) -> CityRoads:
    """The road graph of `net`, without what lies inside junctions."""
    lanes: dict[str, int] = defaultdict(int)
    for lane in net.lanes.values():
        if lane.is_for_vehicles and not lane.function:
            lanes[lane.edge] += 1
    turns: dict[str, dict[str, Turn]] = {edge: {} for edge in lanes}
    for way in net.connections:
        if way.from_edge in lanes and way.to_edge in lanes:
            turns[way.from_edge].setdefault(way.to_edge, TURNS.get(way.direction, Turn.STRAIGHT))
    led_to = {edge for following in turns.values() for edge in following}
    return CityRoads(
        turns={edge: tuple(following.items()) for edge, following in turns.items()},
        ahead=_junctions_ahead(net, lanes),
        lanes=dict(lanes),
        entries=tuple(edge for edge in lanes if edge not in led_to and turns[edge]),
    )


def _junctions_ahead(net: NetFile, lanes: dict[str, int]) -> dict[str, str]:
    ahead = {
        net.lanes[lane].edge: junction.id
        for junction in net.junctions.values()
        for lane in junction.incoming_lanes
        if lane in net.lanes
    }
    return {edge: ahead.get(edge, "") for edge in lanes}


def entrances(
    roads: CityRoads, random: np.random.Generator, *, spread: float, left_share: float, right_share: float
) -> tuple[Entrance, ...]:
    """Where vehicles enter and which ways they take; entrances from which no way leads out are left out.

    The share of an entrance follows its lanes, and differs by up to `spread`.
    """
    weights = {Turn.LEFT: left_share, Turn.RIGHT: right_share, Turn.STRAIGHT: 1.0 - left_share - right_share}
    found: dict[str, tuple[float, tuple[tuple[Route, float], ...]]] = {}
    for edge in roads.entries:
        weight = roads.lanes[edge] * (1.0 + spread * (2.0 * float(random.random()) - 1.0))
        routes = _routes(roads, edge, weights, random)
        if routes:
            found[edge] = (weight, routes)
    total = sum(weight for weight, _ in found.values())
    return tuple(Entrance(edge, weight / total, routes) for edge, (weight, routes) in found.items())


def _routes(
    roads: CityRoads, entry: str, weights: dict[Turn, float], random: np.random.Generator
) -> tuple[tuple[Route, float], ...]:
    """Ways from `entry`, each with its share; a way that was walked twice has twice the share."""
    walks = [_walk(roads, entry, weights, random) for _ in range(MAX_TRIES)]
    done = [walk for walk in walks if walk][:ROUTES_PER_ENTRY]
    return tuple((route, done.count(route) / len(done)) for route in dict.fromkeys(done))


def _walk(roads: CityRoads, entry: str, weights: dict[Turn, float], random: np.random.Generator) -> Route:
    """A way from `entry` to where no edge follows, which passes no junction twice; empty where it would have to."""
    route, passed = [entry], {roads.ahead[entry]}
    while following := roads.turns[route[-1]]:
        choices = [(edge, turn) for edge, turn in following if roads.ahead[edge] not in passed]
        if not choices:
            return ()
        route.append(_chosen(choices, weights, float(random.random())))
        passed.add(roads.ahead[route[-1]])
    return tuple(route)


def _chosen(choices: list[tuple[str, Turn]], weights: dict[Turn, float], share: float) -> str:
    """The edge at `share` of the way through the weights of `choices`."""
    heights = [weights.get(turn, 0.0) + 1e-6 for _, turn in choices]
    left = share * sum(heights)
    for (edge, _), height in zip(choices, heights, strict=True):
        left -= height
        if left < 0.0:
            return edge
    return choices[-1][0]


def flows_of(ways: tuple[Entrance, ...]) -> Flows:
    """What goes from edge to edge, as shares of all traffic."""
    flows: Flows = defaultdict(float)
    for entrance in ways:
        for route, share in entrance.routes:
            for here, there in pairwise(route):
                flows[here, there] += entrance.share * share
    return dict(flows)
