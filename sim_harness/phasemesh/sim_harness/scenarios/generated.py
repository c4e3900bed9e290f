"""Grids that are generated on demand: a network by netgenerate and a demand of our own, cached by their recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.scenarios import netgenerate
from phasemesh.sim_harness.scenarios.cache import kept
from phasemesh.sim_harness.scenarios.netgenerate import LICENCE, SOURCE, generate_network
from phasemesh.sim_harness.scenarios.scenario import Scenario, read_config

MAX_SIDE = 26
"""Columns are named by one letter."""

_GRID_NAME = re.compile(r"(grid|walk)([1-9]\d*)x([1-9]\d*)")
_CONFIG_NAME = "grid.sumocfg"
_PEOPLE_NAME = "grid.people.xml"
_WALKED_FLOW_VEHPH = 250.0
"""Vehicles an hour and road where people walk, whose greens are longer and whose turns give way to them."""
_WALKED_PEOPLE_PH = 60.0
"""People an hour towards each signal from each side: about a hundred an hour use each crossing."""


class GridRecipe(msgspec.Struct, frozen=True):
    """Everything that a grid is made from; a changed value makes another grid.

    Every road has two lanes and, before each signal, a pocket for left turns. From each end of each road
    `mean_flow_vehph` vehicles an hour enter, more from north and south in the first third of the window and more from
    east and west in the last, as `axis_factors` say. Roads differ by up to `spread`; `turn_share` of the vehicles turn
    once, half of them left, at a crossing drawn evenly.

    `column_factors`, one a column, multiply what enters its ends, so that signals have demand of their own; none are
    ones.

    With `people_ph` above 0 every road has pavements and every arm of a signal a crossing. So many people an hour set
    out towards each signal from each side, more or fewer by up to `spread`, and go straight on, to the left, or on to
    the next block in even shares; each crosses at least one road.
    """

    columns: int
    rows: int
    road_m: float = 200.0
    pocket_m: float = 60.0
    mean_flow_vehph: float = 450.0
    axis_factors: tuple[float, ...] = (1.3, 1.0, 0.7)
    spread: float = 0.15
    turn_share: float = 0.4
    people_ph: float = 0.0
    column_factors: tuple[float, ...] = ()
    window_s: float = 3600.0
    seed: int = 1


ROWS = {
    "mixed3x1": GridRecipe(columns=3, rows=1, column_factors=(0.3, 1.0, 1.8)),
    "same3x1": GridRecipe(columns=3, rows=1, road_m=400.0, axis_factors=(1.0,), spread=0.0, turn_share=0.0),
}
"""Three signals in a row: of the first each has a demand of its own, of the second all have the same one."""


class _Road(msgspec.Struct, frozen=True):
    """One direction of one road: the nodes on it, with the nodes to its left and right at each crossing."""

    name: str
    is_vertical: bool
    nodes: tuple[str, ...]
    left: tuple[tuple[str, ...], ...]
    right: tuple[tuple[str, ...], ...]


class _Outing(msgspec.Struct, frozen=True):
    """Where people set out before one signal, and the edges to which they go."""

    name: str
    start: str
    ends: tuple[str, ...]


def parse_grid(name: str) -> GridRecipe | None:
    """The recipe of `gridNxM` (N columns, M rows), of `walkNxM`, which has people on foot too, or of one of `ROWS`.

    None for other names; raises ScenarioError when it is too large.
    """
    if name in ROWS:
        return ROWS[name]
    match = _GRID_NAME.fullmatch(name)
    if match is None:
        return None
    columns, rows = int(match[2]), int(match[3])
    if max(columns, rows) > MAX_SIDE:
        raise ScenarioError(f"{name}: a generated grid has at most {MAX_SIDE} columns and rows")
    if match[1] == "grid":
        return GridRecipe(columns=columns, rows=rows)
    return GridRecipe(columns=columns, rows=rows, mean_flow_vehph=_WALKED_FLOW_VEHPH, people_ph=_WALKED_PEOPLE_PH)


def grid_scenario(name: str, recipe: GridRecipe) -> Scenario:
    """The scenario of `recipe`, from the cache or made now.

    Raises:
        MissingExtraError: SUMO's netgenerate is not installed.
        ScenarioError: netgenerate refuses, or the cache cannot be written.
    """
    folder = kept(name, recipe, (Path(__file__), Path(netgenerate.__file__)), lambda folder: _make(recipe, folder))
    return read_config(folder / _CONFIG_NAME, name=name, source=SOURCE, licence=LICENCE)


def _make(recipe: GridRecipe, folder: Path) -> None:
    generate_network("grid", _options(recipe), folder / "grid.net.xml")
    (folder / "grid.rou.xml").write_text(demand(recipe), encoding="utf-8")
    if recipe.people_ph > 0.0:
        (folder / _PEOPLE_NAME).write_text(people(recipe), encoding="utf-8")
    (folder / _CONFIG_NAME).write_text(_config(recipe), encoding="utf-8")


def _options(recipe: GridRecipe) -> dict[str, object]:
    options: dict[str, object] = {
        "grid.x-number": recipe.columns,
        "grid.y-number": recipe.rows,
        "grid.length": recipe.road_m,
        "grid.attach-length": recipe.road_m,
        "default.lanenumber": 2,
        "default.speed": 13.89,
        "default-junction-type": "traffic_light",
        "no-turnarounds": "true",
        "turn-lanes": 1,
        "turn-lanes.length": recipe.pocket_m,
    }
    return options | _CROSSING_OPTIONS if recipe.people_ph > 0.0 else options


_CROSSING_OPTIONS: dict[str, object] = {
    "default.junctions.radius": 6.0,
    "sidewalks.guess": "true",
    "crossings.guess": "true",
    "tls.crossing-min.time": 7,
    "tls.crossing-clearance.time": 12,
}
"""Pavements and crossings. Corners of 6 m leave a turning vehicle room to wait beside people who begin to cross; with
netgenerate's 4 m their outlines touch. The network's own program gives people 7 s of walk (MUTCD 4E.06) and, with its
yellow of 3 s, 15 s for the 16 m across."""


_PEOPLE_OPTIONS = '  <collision.check-junctions value="true"/>\n  <pedestrian.striping.jamtime value="-1"/>\n'
"""Where people walk, SUMO also looks for collisions inside junctions, where the crossings lie, and people keep waiting
at red: otherwise they would walk after 300 s."""


def _config(recipe: GridRecipe) -> str:
    has_people = recipe.people_ph > 0.0
    routes = f"grid.rou.xml,{_PEOPLE_NAME}" if has_people else "grid.rou.xml"
    return (
        "<configuration>\n"
        '  <net-file value="grid.net.xml"/>\n'
        f'  <route-files value="{routes}"/>\n'
        '  <begin value="0"/>\n'
        f'  <end value="{recipe.window_s:g}"/>\n'
        f"{_PEOPLE_OPTIONS if has_people else ''}"
        "</configuration>\n"
    )


def demand(recipe: GridRecipe) -> str:
    """The route file of `recipe`: for each road its routes with their shares, and random arrivals for each period.

    Arrivals are drawn by SUMO from its own seed, so that each seed of a run sees other traffic of the same kind.
    """
    random = np.random.default_rng(recipe.seed)
    roads = list(_roads(recipe))
    factors = random.uniform(1.0 - recipe.spread, 1.0 + recipe.spread, len(roads))
    routes = "".join(_routes(road, recipe) for road in roads)
    periods = len(recipe.axis_factors)
    flows = "".join(
        _flow(road, recipe, period, float(factor) * _column_factor(road, recipe))
        for period in range(periods)
        for road, factor in zip(roads, factors, strict=True)
    )
    return f"<routes>\n{routes}{flows}</routes>\n"


def _column_factor(road: _Road, recipe: GridRecipe) -> float:
    """What the demand of `road` is multiplied by: columns have a letter each, rows have no factor."""
    if not road.is_vertical or not recipe.column_factors:
        return 1.0
    return recipe.column_factors[ord(road.nodes[1][0]) - ord("A")]


def people(recipe: GridRecipe) -> str:
    """The route file of the people of `recipe`: random departures along every road towards every signal."""
    random = np.random.default_rng(recipe.seed)
    outings = [outing for road in _roads(recipe) for outing in _outings(road, recipe)]
    factors = random.uniform(1.0 - recipe.spread, 1.0 + recipe.spread, len(outings))
    flows = "".join(
        _people_flow(f"{outing.name}_{number}", recipe, outing.start, end, float(factor) / len(outing.ends))
        for outing, factor in zip(outings, factors, strict=True)
        for number, end in enumerate(outing.ends)
    )
    return f"<routes>\n{flows}</routes>\n"


def _outings(road: _Road, recipe: GridRecipe) -> Iterator[_Outing]:
    """Those of each signal on `road`."""
    for number, node in enumerate(road.nodes[1:-1]):
        ahead = road.nodes[number + 2 : number + 4]
        ends = (f"{node}{ahead[0]}", f"{node}{road.left[number][1]}", *(f"{a}{b}" for a, b in pairwise(ahead)))
        yield _Outing(f"{road.name}_{number}", _pocket(road.nodes[number], node, recipe), ends)


def _people_flow(name: str, recipe: GridRecipe, start: str, end: str, share: float) -> str:
    return (
        f'  <personFlow id="{name}" begin="0" end="{recipe.window_s:g}" departPos="random"'
        f' period="exp({recipe.people_ph * share / 3600.0:.6f})">'
        f'<walk from="{start}" to="{end}" arrivalPos="random"/></personFlow>\n'
    )


def _roads(recipe: GridRecipe) -> Iterator[_Road]:
    """Both directions of every column and row; a column is driven northwards first, a row eastwards."""
    grid = [[f"{chr(ord('A') + x)}{y}" for y in range(recipe.rows)] for x in range(recipe.columns)]
    columns = [(f"bottom{x}", *grid[x], f"top{x}") for x in range(recipe.columns)]
    rows = [(f"left{y}", *(column[y] for column in grid), f"right{y}") for y in range(recipe.rows)]
    for is_vertical, lines, crossing in ((True, columns, rows), (False, rows, columns)):
        for number, line in enumerate(lines):
            ahead = tuple(other[number + 1 :] for other in crossing)
            behind = tuple(tuple(reversed(other[: number + 2])) for other in crossing)
            left, right = (behind, ahead) if is_vertical else (ahead, behind)
            yield _Road(f"from_{line[0]}", is_vertical, line, left, right)
            yield _Road(f"from_{line[-1]}", is_vertical, line[::-1], right[::-1], left[::-1])


def _routes(road: _Road, recipe: GridRecipe) -> str:
    share = recipe.turn_share / (2 * len(road.left))
    lines = [_route(road.nodes, recipe, 1.0 - recipe.turn_share)]
    for crossing, sides in enumerate(zip(road.left, road.right, strict=True)):
        lines += [_route((*road.nodes[: crossing + 1], *side), recipe, share) for side in sides]
    return f'  <routeDistribution id="{road.name}">\n{"".join(lines)}  </routeDistribution>\n'


def _route(nodes: tuple[str, ...], recipe: GridRecipe, share: float) -> str:
    edges: list[str] = []
    for start, end in pairwise(nodes):
        edges.append(f"{start}{end}")
        if end != nodes[-1]:
            edges.append(_pocket(start, end, recipe))
    return f'    <route edges="{" ".join(edges)}" probability="{share:.6f}"/>\n'


def _pocket(start: str, end: str, recipe: GridRecipe) -> str:
    """The edge before the signal `end` on which left turns have a lane of their own."""
    return f"{start}{end}.{recipe.road_m - recipe.pocket_m:.2f}"


def _flow(road: _Road, recipe: GridRecipe, period: int, factor: float) -> str:
    """Poisson arrivals of one road in one period; rows see the factors of the columns in reverse order."""
    axis = recipe.axis_factors if road.is_vertical else recipe.axis_factors[::-1]
    length_s = recipe.window_s / len(axis)
    rate_hz = recipe.mean_flow_vehph * axis[period] * factor / 3600.0
    return (
        f'  <flow id="{road.name}_{period}" route="{road.name}" begin="{period * length_s:g}"'
        f' end="{(period + 1) * length_s:g}" period="exp({rate_hz:.5f})" departLane="best" departSpeed="max"/>\n'
    )
