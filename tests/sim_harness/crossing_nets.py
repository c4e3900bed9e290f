"""One junction with a crossing as text: a road north that turns or goes straight on, a road east, and people.

    movement 0: `n` straight on        movement 1: `n` turning into the road of `e`, behind which the crossing lies
    movement 2: `e` straight on        movement 3: the crossing `:x_c0` over the exit of 1 and 2

Pavements lead to the walking areas at both ends of the crossing; they are no links of the junction.
"""

from __future__ import annotations

from pathlib import Path

CROSSING = ":x_c0_0"
"""The lane on which people walk."""
LENGTH_M = 8.0
"""How far it is across."""
ROWS = (("0000", "0100"), ("1100", "1100"), ("1001", "1011"), ("0000", "0110"))
"""Response and foes: the turn gives way to `e` and to people, `e` to `n` and, if there were no signal, to people."""
STRICT_ROWS = (*ROWS[:1], ("0100", "1100"), *ROWS[2:])
"""The same where the turn does not give way to people."""
PROGRAM = ("GgrG", "Ggrr", "yyrr", "rrGr", "rryr")
"""As netconvert builds it: people first, then a step in which they finish, then yellow."""

_EDGES = {"n": 200.0, "e": 150.0, "out_1": 200.0, "out_2": 200.0}
_PAVEMENTS = ("walk_in", "walk_out")


def write_corner(
    path: Path,
    program: tuple[str, ...] = PROGRAM,
    *,
    rows: tuple[tuple[str, str], ...] = ROWS,
    indices: tuple[int | None, ...] = (0, 1, 2, 3),
    back_index: int | None = None,
) -> Path:
    """Write the junction `x` to `path`.

    `indices` are the signal indices of the four links, None for a link that the signal does not show. `back_index` is a
    second index of the crossing, for those who come from its other end.
    """
    ways = [
        _way("walk_in", ":x_w0"),
        _way("n", "out_1", "s", indices[0]),
        _way("n", "out_2", "r", indices[1]),
        _way("e", "out_2", "s", indices[2]),
        _way(":x_w0", "walk_out"),
        _way(":x_w0", ":x_c0", "s", indices[3]),
        _way(":x_c0", ":x_w1", "s", back_index),
    ]
    steps = "".join(f"<phase duration='10' state='{state}'/>" for state in program)
    requests = "".join(
        f"<request index='{index}' response='{response}' foes='{foes}' cont='0'/>"
        for index, (response, foes) in enumerate(rows)
    )
    path.write_text(
        "<net version='1.20'>"
        + "".join(_edge(name, length_m) for name, length_m in _EDGES.items())
        + "".join(_edge(name, 200.0, "allow='pedestrian'") for name in _PAVEMENTS)
        + _edge(":x_c0", LENGTH_M, "allow='pedestrian'", "function='crossing'")
        + "".join(_edge(f":x_w{end}", 3.0, "allow='pedestrian'", "function='walkingarea'") for end in (0, 1))
        + f"<tlLogic id='x' type='static' programID='0' offset='0'>{steps}</tlLogic>"
        + "<junction id='x' type='traffic_light' x='0' y='0' incLanes='walk_in_0 n_0 e_0 :x_w0_0'>"
        + f"{requests}</junction>"
        + "".join(ways)
        + "</net>",
        encoding="utf-8",
    )
    return path


def _edge(name: str, length_m: float, allow: str = "", function: str = "") -> str:
    return (
        f"<edge id='{name}' {function}><lane id='{name}_0' index='0' speed='10.0' length='{length_m}' {allow}/></edge>"
    )


def _way(start: str, end: str, direction: str = "s", index: int | None = None) -> str:
    signal = "" if index is None else f"tl='x' linkIndex='{index}'"
    return f"<connection from='{start}' to='{end}' fromLane='0' toLane='0' dir='{direction}' {signal}/>"
