"""The network of a run as a map, its streets coloured by the time that vehicles lost on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.report.figures import PALE, VERMILION, Points, line_collection, new_figure, plain, png
from phasemesh.sim_harness.sumo.xml_stream import elements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 9.5
LEAST_IN, MOST_IN = 3.0, 9.0
TITLE_IN = 0.8
"""Paper for the titles of maps side by side, and for their numbers, which stand upright."""
TOP_PCT = 98.0
"""Edges with more loss than this percentile share the last colour, so that one jam does not hide the rest."""
MANY_SIGNALS = 60
COLOURS = "viridis_r"


class RoadMap(msgspec.Struct, frozen=True):
    """A network on paper: each edge by id as points in metres, and where the signals stand."""

    edges: dict[str, Points]
    signals: Points


def read_road_map(net_file: Path) -> RoadMap:
    """The edges outside junctions and the junctions with signals; raises ScenarioError if the file is broken."""
    lanes: dict[str, list[Points]] = {}
    signals: list[tuple[float, float]] = []
    edge, is_street = "", False
    try:
        for name, attributes in elements(net_file):
            if name == "edge":
                edge, is_street = attributes["id"], "function" not in attributes
            elif name == "lane" and is_street and "shape" in attributes:
                lanes.setdefault(edge, []).append(_points(attributes["shape"]))
            elif name == "junction" and attributes.get("type", "").startswith("traffic_light"):
                signals.append((float(attributes["x"]), float(attributes["y"])))
    except (LookupError, ValueError) as error:
        raise ScenarioError(f"{net_file}: is not a SUMO network: {error}") from error
    return RoadMap({name: shapes[len(shapes) // 2] for name, shapes in lanes.items()}, tuple(signals))


def _points(shape: str) -> Points:
    """The plane coordinates of a shape; a third coordinate, where there is one, is the height."""
    rows = [point.split(",") for point in shape.split()]
    return tuple((float(row[0]), float(row[1])) for row in rows)


def edge_losses(path: Path) -> dict[str, float]:
    """Seconds lost by each vehicle on every edge that saw one, from edgeData; raises ScenarioError if it is broken.

    Vehicles of an edge are those that drove onto it and those that began their trip there, over all intervals.
    """
    lost_s: defaultdict[str, float] = defaultdict(float)
    vehicles: Counter[str] = Counter()
    try:
        for name, row in elements(path):
            if name == "edge":
                lost_s[row["id"]] += float(row.get("timeLoss", 0.0))
                vehicles[row["id"]] += int(row.get("entered", 0)) + int(row.get("departed", 0))
    except (LookupError, ValueError) as error:
        raise ScenarioError(f"{path}: an edge lacks a usable {error}") from error
    return {edge: lost_s[edge] / count for edge, count in vehicles.items() if count}


def map_png(road_map: RoadMap, losses_s: dict[str, float]) -> bytes:
    """Edges coloured by seconds lost for each vehicle, unused ones grey, signals as dots."""
    figure = new_figure(WIDTH_IN, map_height_in(road_map))
    axes = figure.subplots()
    _draw(axes, road_map, losses_s, top_loss_s(losses_s.values()))
    _add_scale(figure, [axes], losses_s.values())
    return png(figure)


def maps_png(road_map: RoadMap, losses_s: dict[str, dict[str, float]]) -> bytes:
    """Maps side by side under their titles, with one scale of colours for all of them."""
    every = [value for each in losses_s.values() for value in each.values()]
    figure = new_figure(WIDTH_IN, TITLE_IN + map_height_in(road_map, share=1.0 / len(losses_s)))
    row = list(figure.subplots(1, len(losses_s), squeeze=False, sharey=True)[0])
    for axes, (title, each) in zip(row, losses_s.items(), strict=True):
        _draw(axes, road_map, each, top_loss_s(every))
        axes.set_title(plain(title), fontsize=10)
        axes.tick_params(axis="x", rotation=90)
    for axes in row[1:]:
        axes.set_ylabel("")
    _add_scale(figure, row, every)
    return png(figure)


def top_loss_s(values: Collection[float]) -> float:
    """The seconds from which on all edges have the last colour."""
    return max(1.0, float(np.percentile(list(values), TOP_PCT))) if values else 1.0


def _draw(axes: Axes, road_map: RoadMap, losses_s: dict[str, float], top_s: float) -> None:
    used = sorted((edge for edge in losses_s if edge in road_map.edges), key=lambda edge: losses_s[edge])
    unused = [points for edge, points in road_map.edges.items() if edge not in losses_s]
    values = np.array([losses_s[edge] for edge in used])
    axes.add_collection(line_collection(unused, colors=PALE, linewidths=0.8))
    widths = 1.2 + 2.3 * np.minimum(1.0, values / top_s)
    streets = line_collection([road_map.edges[edge] for edge in used], cmap=COLOURS, linewidths=widths)
    streets.set_array(values)
    streets.set_clim(0.0, top_s)
    axes.add_collection(streets)
    size = 10.0 if len(road_map.signals) > MANY_SIGNALS else 26.0
    axes.scatter(*_columns(road_map.signals), s=size, color=VERMILION, edgecolors="white", linewidths=0.6, zorder=3)
    lay_out_map(axes)


def lay_out_map(axes: Axes) -> None:
    """Metres on both axes, equally long."""
    axes.autoscale_view()
    axes.set_aspect("equal")
    axes.ticklabel_format(useOffset=False, style="plain")
    axes.tick_params(labelsize=8, color=PALE)
    axes.set_xlabel("East, m")
    axes.set_ylabel("North, m")
    axes.spines[:].set_color(PALE)


def _add_scale(figure: Figure, row: list[Axes], values: Collection[float]) -> None:
    """The scale of colours right of all maps in `row`."""
    top_s = top_loss_s(values)
    extend = "max" if values and max(values) > top_s else "neither"
    streets = row[-1].collections[1]
    figure.colorbar(streets, ax=row, label="Mean time lost on the edge, s per vehicle", extend=extend, shrink=0.9)


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def map_height_in(road_map: RoadMap, share: float = 1.0) -> float:
    """Paper for the network's own proportions on a `share` of the width, within limits."""
    x, y = _columns(tuple(point for points in road_map.edges.values() for point in points))
    if not x:
        return LEAST_IN
    wide, tall = max(x) - min(x), max(y) - min(y)
    return float(np.clip(0.8 * share * WIDTH_IN * tall / max(1.0, wide) + 0.7, LEAST_IN, MOST_IN))
