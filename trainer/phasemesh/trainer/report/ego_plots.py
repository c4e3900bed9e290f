"""Pictures of the ego graphs of an episode: over time, on the road network, and as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from phasemesh.contract.observation import FloatArray
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.report.figures import GREY, PALE, line_collection, new_figure, plain, png, tidy
from phasemesh.sim_harness.report.map_plot import COLOURS, RoadMap, lay_out_map, map_height_in
from phasemesh.trainer.report.ego_graph import EgoGraph

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN = 9.5
NO_EDGE = "#F4F4F4"
SHOWN_EDGES = 60
"""Most edges in the heat map: those whose posterior changes most."""
SHOWN_NAMES = 40
"""More agents than this are numbered in the rows instead of named."""
TIME_BINS = 240
LEAST_CONTRAST = 0.1
"""Least difference of probability between the ends of the heat map's colours."""
MINUTE_S = 60.0
ARROW_SHARE = 0.72
"""How far an arrow reaches, as a share of the way between two signals."""
ARROW_OFFSET = 0.035
"""How far the arrows of both directions stand apart, likewise."""


def shown_edges(graph: EgoGraph) -> list[int]:
    """The edges of the heat map in their own order: all, or those whose posterior changes most."""
    spread = graph.posterior.std(axis=0)
    kept = np.argsort(-spread, kind="stable")[:SHOWN_EDGES]
    return sorted(int(edge) for edge in kept)


def binned(values: FloatArray, bins: int = TIME_BINS) -> FloatArray:
    """Means over at most `bins` equal spans of time, [bins, E] from [T, E]."""
    parts = np.array_split(values, min(bins, len(values)))
    means: FloatArray = np.stack([part.mean(axis=0) for part in parts]).astype(np.float32)
    return means


def heat_limits(values: FloatArray) -> tuple[float, float]:
    """The probabilities at both ends of the colours: those that occur, and never so near that noise has a colour."""
    low, high = float(values.min()), float(values.max())
    missing = max(0.0, LEAST_CONTRAST - (high - low)) / 2.0
    return max(0.0, low - missing), min(1.0, high + missing)


def heat_png(graph: EgoGraph) -> bytes:
    """The posterior of each directed edge over time."""
    edges = shown_edges(graph)
    figure = new_figure(WIDTH_IN, 1.3 + 0.19 * max(4, len(edges)))
    axes = figure.subplots()
    minutes = (
        float(graph.times_s[-1] + graph.times_s[1] - graph.times_s[0]) / MINUTE_S if len(graph.times_s) > 1 else 1.0
    )
    values = binned(graph.posterior[:, edges])
    low, high = heat_limits(values)
    image = axes.imshow(
        values.T,
        aspect="auto",
        cmap=COLOURS,
        vmin=low,
        vmax=high,
        interpolation="nearest",
        extent=(0.0, minutes, len(edges) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(edges)), [_edge_name(graph, edge) for edge in edges], fontsize=7)
    tidy(axes, x="Simulated time, min")
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="Probability of the edge", shrink=min(1.0, 8.0 / max(4, len(edges)) + 0.3))
    return png(figure)


def _edge_name(graph: EgoGraph, edge: int) -> str:
    listener, speaker = (_short(graph.names[end]) for end in graph.edges[edge])
    return f"{listener} hears {speaker}"


def _short(name: str) -> str:
    """The end of a long name, which is what tells the signals of a city apart."""
    return plain(name if len(name) <= 14 else f"..{name[-12:]}")


def rows_png(graph: EgoGraph) -> bytes:
    """Mean posteriors as a matrix: row i is what agent i hears, and empty outside of its neighbours."""
    is_edge = np.zeros((len(graph.names), len(graph.names)), dtype=bool)
    for agent, neighbour in graph.edges:
        is_edge[agent, neighbour] = True
    size = min(9.0, 2.4 + 0.24 * len(graph.names))
    figure = new_figure(size + 1.2, size)
    axes = figure.subplots()
    axes.set_facecolor(NO_EDGE)
    image = axes.imshow(np.ma.masked_array(graph.rows, ~is_edge), cmap=COLOURS, vmin=0.0, vmax=1.0)
    _name_both_axes(axes, graph.names)
    axes.set_xlabel("Neighbour heard")
    axes.set_ylabel("Agent")
    figure.colorbar(image, ax=axes, label="Mean probability of the edge", shrink=0.8)
    return png(figure)


def _name_both_axes(axes: Axes, names: Sequence[str]) -> None:
    places = range(len(names))
    if len(names) > SHOWN_NAMES:
        return
    labels = [_short(name) for name in names]
    axes.set_xticks(places, labels, fontsize=7, rotation=90)
    axes.set_yticks(places, labels, fontsize=7)


def ego_map_png(graph: EgoGraph, road_map: RoadMap, positions_m: Mapping[IntersectionId, tuple[float, float]]) -> bytes:
    """The mean posterior of each edge as an arrow from who speaks to who listens, on the roads."""
    figure = new_figure(WIDTH_IN, map_height_in(road_map))
    axes = figure.subplots()
    axes.add_collection(line_collection(list(road_map.edges.values()), colors=PALE, linewidths=0.8))
    places = np.array([positions_m[name] for name in graph.names])
    arrows = np.array([_arrow(places[speaker], places[listener]) for listener, speaker in graph.edges]).reshape(-1, 4)
    drawn = axes.quiver(
        *arrows.T, graph.mean, cmap=COLOURS, clim=(0.0, 1.0), angles="xy", scale_units="xy", scale=1.0, width=0.0035,
        headwidth=4.5, zorder=3,
    )  # fmt: skip
    axes.scatter(places[:, 0], places[:, 1], s=34.0, color=GREY, edgecolors="white", linewidths=0.8, zorder=4)
    lay_out_map(axes)
    figure.colorbar(drawn, ax=axes, label="Mean probability of the edge", shrink=0.9)
    return png(figure)


def _arrow(start: np.ndarray, end: np.ndarray) -> list[float]:
    """Begin and length of an arrow from `start` towards `end`, a little to the right of the straight line."""
    way = end - start
    begin = start + 0.5 * (1.0 - ARROW_SHARE) * way + ARROW_OFFSET * np.array([way[1], -way[0]])
    return [*begin.tolist(), *(ARROW_SHARE * way).tolist()]
