"""Plots of one run's intersections and of the time that its ticks took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from phasemesh.sim_harness.report.figures import BLUE, GREY, OTHERS, VERMILION, log_axis, new_figure, plain, png, tidy
from phasemesh.sim_harness.result import IntersectionResult

WORST = 40
"""Intersections shown at most."""
BINS_PER_DECADE = 20
SHORTEST_MS = 0.001
"""Shorter ticks are drawn at the left end of the logarithmic axis."""


def worst_intersections(
    intersections: Mapping[str, IntersectionResult], count: int = WORST
) -> list[tuple[str, IntersectionResult]]:
    """The `count` intersections with the longest mean queue, the worst first."""
    ranked = sorted(intersections.items(), key=lambda item: (-item[1].mean_queue_veh, -item[1].mean_wait_s, item[0]))
    return ranked[:count]


def intersections_png(intersections: Mapping[str, IntersectionResult]) -> bytes:
    """Mean queue and mean wait of the worst intersections as bars side by side."""
    shown = worst_intersections(intersections)
    figure = new_figure(9.5, 1.2 + 0.21 * max(3, len(shown)))
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(shown))
    left.barh(places, [each.mean_queue_veh for _, each in shown], color=BLUE, height=0.7)
    right.barh(places, [each.mean_wait_s for _, each in shown], color=OTHERS[0], height=0.7)
    left.set_yticks(places, [plain(name) for name, _ in shown], fontsize=8)
    left.set_ylim(len(shown) - 0.4, -0.6)
    tidy(left, x="Mean queue, veh", grid="x")
    tidy(right, x="Mean of the longest wait, s", grid="x")
    right.tick_params(axis="y", length=0)
    return png(figure)


def latency_png(tick_ms: Sequence[float]) -> bytes:
    """Histogram of wall time per tick on a logarithmic axis, with median and 99th percentile marked."""
    values = np.maximum(SHORTEST_MS, np.asarray(tick_ms, dtype=np.float64))
    low, high = np.log10(values.min()), np.log10(values.max())
    low, high = np.floor(low * 10.0) / 10.0, np.ceil(high * 10.0) / 10.0 + 0.05
    edges = np.logspace(low, high, max(2, round((high - low) * BINS_PER_DECADE) + 1))
    figure = new_figure(9.5, 3.6)
    axes = figure.subplots()
    axes.hist(values, bins=list(edges), color=BLUE, alpha=0.85)
    log_axis(axes, edges[0], edges[-1])
    for share, colour, dash in ((50, GREY, "--"), (99, VERMILION, "-")):
        mark_ms = float(np.percentile(values, share))
        axes.axvline(mark_ms, color=colour, linestyle=dash, linewidth=1.8, label=f"p{share}: {mark_ms:.3g} ms")
    tidy(axes, x="Wall time of a tick, waiting for neighbours left out, ms", y="Ticks")
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return png(figure)
