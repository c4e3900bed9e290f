"""A SUMO network file as plain records: the lanes, connections, junctions and programs that signals need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.sumo.xml_stream import Element, elements

CROSSING = "crossing"
"""SUMO's name for what an edge is on which people cross a road."""
WALKING_AREA = "walkingarea"
"""SUMO's name for a corner of a junction, where people wait and turn."""


class NetLane(msgspec.Struct, frozen=True):
    """One lane; `is_for_vehicles` is false where only pedestrians may go.

    `function` is what SUMO calls its edge (`CROSSING`, `WALKING_AREA`, `internal`); empty for a road.
    """

    id: str
    edge: str
    length_m: float
    speed_limit_mps: float
    is_for_vehicles: bool
    function: str


class NetConnection(msgspec.Struct, frozen=True):
    """One link from lane to lane; `via` is the internal lane that it crosses, `signal` and `index` who shows it green.

    `via` and `signal` are empty where there is none, `index` is then -1.
    """

    from_lane: str
    to_lane: str
    from_edge: str
    to_edge: str
    via: str
    direction: str
    signal: str
    index: int


class NetJunction(msgspec.Struct, frozen=True):
    """One junction; `rows` holds for each link its response and its foes, bit 0 at the right end."""

    id: str
    position_m: tuple[float, float]
    incoming_lanes: tuple[str, ...]
    rows: tuple[tuple[str, str], ...]


class NetProgram(msgspec.Struct, frozen=True):
    """The program of one signal: its sumo steps as state and duration in seconds."""

    signal: str
    steps: tuple[tuple[str, float], ...]


class NetFile(msgspec.Struct, frozen=True):
    """All that was read, by id, in the order of the file; of several programs of a signal the last, as in SUMO."""

    path: Path
    lanes: dict[str, NetLane]
    connections: tuple[NetConnection, ...]
    junctions: dict[str, NetJunction]
    programs: dict[str, NetProgram]


def read_net_file(path: Path) -> NetFile:
    """The records of the network `path` (`.net.xml`, also gzipped); raises ScenarioError with one line."""
    reader = _Reader()
    try:
        for element in elements(path):
            reader.take(element)
        net = reader.finished(path)
    except LookupError as error:
        raise ScenarioError(f"{path}: is not a SUMO network: an element lacks its parent or {error}") from error
    except ValueError as error:
        raise ScenarioError(f"{path}: is not a SUMO network: {error}") from error
    if not net.lanes:
        raise ScenarioError(f"{path}: is not a SUMO network: it has no lanes")
    return net


class _Reader:
    """Collects records; children of an element follow it in the stream, so the last parent is the open one."""

    def __init__(self) -> None:
        self._lanes: dict[str, NetLane] = {}
        self._edge = ""
        self._function = ""
        self._connections: list[NetConnection] = []
        self._junctions: list[tuple[dict[str, str], list[tuple[str, str]]]] = []
        self._programs: list[tuple[str, list[tuple[str, float]]]] = []

    def take(self, element: Element) -> None:
        name, attributes = element
        match name:
            case "edge":
                self._edge, self._function = attributes["id"], attributes.get("function", "")
            case "lane":
                lane = _lane(self._edge, self._function, attributes)
                self._lanes[lane.id] = lane
            case "connection":
                self._connections.append(_connection(attributes))
            case "junction":
                self._junctions.append((attributes, []))
            case "request":
                self._junctions[-1][1].append((attributes["response"], attributes["foes"]))
            case "tlLogic":
                self._programs.append((attributes["id"], []))
            case "phase":
                self._programs[-1][1].append((attributes["state"], float(attributes["duration"])))

    def finished(self, path: Path) -> NetFile:
        return NetFile(
            path=path,
            lanes=self._lanes,
            connections=tuple(self._connections),
            junctions={junction.id: junction for junction in _junctions(self._junctions)},
            programs={signal: _program(signal, tuple(steps)) for signal, steps in self._programs if steps},
        )


def _lane(edge: str, function: str, attributes: dict[str, str]) -> NetLane:
    return NetLane(
        id=attributes["id"],
        edge=edge,
        length_m=float(attributes["length"]),
        speed_limit_mps=float(attributes["speed"]),
        is_for_vehicles=attributes.get("allow", "") != "pedestrian" and attributes.get("disallow", "") != "all",
        function=function,
    )


def _connection(attributes: dict[str, str]) -> NetConnection:
    return NetConnection(
        from_lane=f"{attributes['from']}_{attributes['fromLane']}",
        to_lane=f"{attributes['to']}_{attributes['toLane']}",
        from_edge=attributes["from"],
        to_edge=attributes["to"],
        via=attributes.get("via", ""),
        direction=attributes.get("dir", "s"),
        signal=attributes.get("tl", ""),
        index=int(attributes.get("linkIndex", -1)),
    )


def _junctions(found: list[tuple[dict[str, str], list[tuple[str, str]]]]) -> Iterator[NetJunction]:
    for attributes, rows in found:
        if attributes.get("type") != "internal":
            yield NetJunction(
                id=attributes["id"],
                position_m=(float(attributes["x"]), float(attributes["y"])),
                incoming_lanes=tuple(attributes.get("incLanes", "").split()),
                rows=tuple(rows),
            )


def _program(signal: str, steps: tuple[tuple[str, float], ...]) -> NetProgram:
    if len({len(state) for state, _ in steps}) > 1:
        raise ValueError(f"the states of signal {signal!r} differ in length")
    return NetProgram(signal, steps)
