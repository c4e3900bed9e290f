"""Tiny SUMO networks as text, written by hand so that every right of way in them is known."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Way(NamedTuple):
    """One connection between edges of one lane, by its signal and index where it has one."""

    start: str
    end: str
    direction: str = "s"
    signal: str = ""
    index: int = -1


class Node(NamedTuple):
    """A junction, the edges that end at it, and its rows of response and foes."""

    name: str
    incoming: tuple[str, ...]
    rows: tuple[tuple[str, str], ...] = ()


def write_net(
    path: Path,
    *,
    edges_m: dict[str, float],
    ways: tuple[Way, ...],
    nodes: tuple[Node, ...],
    programs: dict[str, tuple[str, ...]],
) -> Path:
    """Write the network to `path`; every edge has one lane, every step of a program lasts 10 s."""
    lines = [_edge(name, length_m) for name, length_m in edges_m.items()]
    lines += [_program(name, states) for name, states in programs.items()]
    lines += [_node(node) for node in nodes]
    lines += [_way(way) for way in ways]
    path.write_text("<net version='1.20'>" + "\n".join(lines) + "</net>", encoding="utf-8")
    return path


def _edge(name: str, length_m: float) -> str:
    allow = "allow='pedestrian'" if name.startswith("walk") else ""
    return f"<edge id='{name}'><lane id='{name}_0' index='0' speed='10.0' length='{length_m}' {allow}/></edge>"


def _program(name: str, states: tuple[str, ...]) -> str:
    steps = "".join(f"<phase duration='10' state='{state}'/>" for state in states)
    return f"<tlLogic id='{name}' type='static' programID='0' offset='0'>{steps}</tlLogic>"


def _node(node: Node) -> str:
    lanes = " ".join(f"{edge}_0" for edge in node.incoming)
    rows = "".join(
        f"<request index='{index}' response='{response}' foes='{foes}' cont='0'/>"
        for index, (response, foes) in enumerate(node.rows)
    )
    return f"<junction id='{node.name}' type='priority' x='0.0' y='0.0' incLanes='{lanes}'>{rows}</junction>"


def _way(way: Way) -> str:
    signal = f"tl='{way.signal}' linkIndex='{way.index}'" if way.signal else ""
    return f"<connection from='{way.start}' to='{way.end}' fromLane='0' toLane='0' dir='{way.direction}' {signal}/>"


def crossing(name: str, first: str, second: str, exits: tuple[str, str]) -> tuple[tuple[Way, ...], Node]:
    """Two one-way roads that cross at signal `name`: two through movements that are foes."""
    ways = (Way(first, exits[0], "s", name, 0), Way(second, exits[1], "s", name, 1))
    return ways, Node(name, (first, second), (("00", "10"), ("01", "01")))


def write_row(path: Path, between_m: tuple[float, ...] = (80.0, 40.0), middle: tuple[str, ...] = ("Gr", "rG")) -> Path:
    """Signals `a`, `b`, `c` on one road eastwards, each crossed by a side road; a plain node lies before `b`.

    `between_m` are the lengths of the road from `a` to that node and on to `b`; `middle` is the program of `b`.
    """
    ways_a, node_a = crossing("a", "west", "side_a", ("a_plain", "out_a"))
    ways_b, node_b = crossing("b", "plain_b", "side_b", ("b_c", "out_b"))
    ways_c, node_c = crossing("c", "b_c", "side_c", ("east", "out_c"))
    names = ("west", "side_a", "side_b", "side_c", "b_c", "east", "out_a", "out_b", "out_c")
    return write_net(
        path,
        edges_m={**dict.fromkeys(names, 200.0), "a_plain": between_m[0], "plain_b": between_m[1]},
        ways=(*ways_a, *ways_b, *ways_c, Way("a_plain", "plain_b")),
        nodes=(node_a, node_b, node_c, Node("plain", ("a_plain",), (("0", "0"),))),
        programs={"a": ("Gr", "yr", "rG", "ry"), "b": middle, "c": ("Gr", "rG")},
    )
