"""Grids that are generated on demand: a network by netgenerate and a demand of our own, cached by their recipe."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.scenarios.scenario import Scenario, read_config
from phasemesh.sim_harness.sumo.binaries import sumo_program

MAX_SIDE = 26
"""Columns are named by one letter."""
SOURCE = "generated with SUMO's netgenerate"
LICENCE = "Apache-2.0, as phasemesh"

_GRID_NAME = re.compile(r"grid([1-9]\d*)x([1-9]\d*)")
_COMMENT = re.compile(rb"<!--.*?-->\s*", re.DOTALL)
_CONFIG_NAME = "grid.sumocfg"


class GridRecipe(msgspec.Struct, frozen=True):
    """Everything that a grid is made from; a changed value makes another grid.

    Every road has two lanes and, before each signal, a pocket for left turns. From each end of each road
    `mean_flow_vehph` vehicles an hour enter, more from north and south in the first third of the window and more from
    east and west in the last, as `axis_factors` say. Roads differ by up to `spread`; `turn_share` of the vehicles turn
    once, half of them left, at a crossing drawn evenly.
    """

    columns: int
    rows: int
    road_m: float = 200.0
    pocket_m: float = 60.0
    mean_flow_vehph: float = 450.0
    axis_factors: tuple[float, ...] = (1.3, 1.0, 0.7)
    spread: float = 0.15
    turn_share: float = 0.4
    window_s: float = 3600.0
    seed: int = 1


class _Road(msgspec.Struct, frozen=True):
    """One direction of one road: the nodes on it, with the nodes to its left and right at each crossing."""

    name: str
    is_vertical: bool
    nodes: tuple[str, ...]
    left: tuple[tuple[str, ...], ...]
    right: tuple[tuple[str, ...], ...]


def parse_grid(name: str) -> GridRecipe | None:
    """The recipe of `gridNxM` (N columns, M rows), or None for another name; raises ScenarioError when too large."""
    match = _GRID_NAME.fullmatch(name)
    if match is None:
        return None
    columns, rows = int(match[1]), int(match[2])
    if max(columns, rows) > MAX_SIDE:
        raise ScenarioError(f"{name}: a generated grid has at most {MAX_SIDE} columns and rows")
    return GridRecipe(columns=columns, rows=rows)


def grid_scenario(name: str, recipe: GridRecipe) -> Scenario:
    """The scenario of `recipe`, from the cache or made now.

    Raises:
        MissingExtraError: SUMO's netgenerate is not installed.
        ScenarioError: netgenerate refuses, or the cache cannot be written.
    """
    folder = cache_folder() / f"{name}-{_key(recipe)}"
    try:
        if not folder.is_dir():
            _make(recipe, folder)
    except OSError as error:
        raise ScenarioError(f"{folder}: cannot be written: {error}") from error
    return read_config(folder / _CONFIG_NAME, name=name, source=SOURCE, licence=LICENCE)


def cache_folder() -> Path:
    """Where generated scenarios are kept: under XDG_CACHE_HOME, or under `.cache` of the home folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "phasemesh" / "scenarios"


def _key(recipe: GridRecipe) -> str:
    """Names a recipe, this generator and the SUMO that builds the network."""
    try:
        sumo = version("eclipse-sumo")
    except PackageNotFoundError:
        sumo = "unknown"
    content = msgspec.json.encode((recipe, sumo, Path(__file__).read_text(encoding="utf-8")))
    return hashlib.sha256(content).hexdigest()[:16]


def _make(recipe: GridRecipe, folder: Path) -> None:
    """Fill a temporary folder beside `folder` and rename it, so that a half-made scenario is never seen."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        _write_network(recipe, made / "grid.net.xml")
        (made / "grid.rou.xml").write_text(demand(recipe), encoding="utf-8")
        (made / _CONFIG_NAME).write_text(_config(recipe), encoding="utf-8")
        _publish(made, folder)


def _publish(made: Path, folder: Path) -> None:
    """Rename `made` to `folder`; another process that was faster made the same files."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _write_network(recipe: GridRecipe, path: Path) -> None:
    command = _command(recipe, path)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if line.strip()), "no reason given")
        raise ScenarioError(f"netgenerate failed: {reason}")
    path.write_bytes(_COMMENT.sub(b"", path.read_bytes()))


def _command(recipe: GridRecipe, path: Path) -> list[str]:
    options = {
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
        "no-warnings": "true",
        "output-file": path,
    }
    pairs = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [str(sumo_program("netgenerate")), "--grid", *pairs]


def _config(recipe: GridRecipe) -> str:
    return (
        "<configuration>\n"
        '  <net-file value="grid.net.xml"/>\n'
        '  <route-files value="grid.rou.xml"/>\n'
        '  <begin value="0"/>\n'
        f'  <end value="{recipe.window_s:g}"/>\n'
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
        _flow(road, recipe, period, float(factor))
        for period in range(periods)
        for road, factor in zip(roads, factors, strict=True)
    )
    return f"<routes>\n{routes}{flows}</routes>\n"


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
            edges.append(f"{start}{end}.{recipe.road_m - recipe.pocket_m:.2f}")
    return f'    <route edges="{" ".join(edges)}" probability="{share:.6f}"/>\n'


def _flow(road: _Road, recipe: GridRecipe, period: int, factor: float) -> str:
    """Poisson arrivals of one road in one period; rows see the factors of the columns in reverse order."""
    axis = recipe.axis_factors if road.is_vertical else recipe.axis_factors[::-1]
    length_s = recipe.window_s / len(axis)
    rate_hz = recipe.mean_flow_vehph * axis[period] * factor / 3600.0
    return (
        f'  <flow id="{road.name}_{period}" route="{road.name}" begin="{period * length_s:g}"'
        f' end="{(period + 1) * length_s:g}" period="exp({rate_hz:.5f})" departLane="best" departSpeed="max"/>\n'
    )
