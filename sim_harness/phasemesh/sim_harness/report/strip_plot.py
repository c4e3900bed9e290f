"""The delays of all runs on one scenario, a line of dots for each controller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from phasemesh.sim_harness.report.figures import BLUE, GREY, OTHERS, VERMILION, log_axis, new_figure, plain, png, tidy
from phasemesh.sim_harness.report.table import Summary
from phasemesh.sim_harness.result import LOCK_DELAY_S

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_FROM_RATIO = 8.0
"""Delays that differ by more are drawn on a logarithmic axis."""
JITTER = 0.22
"""Half the height over which the seeds of a controller are spread, in rows."""
LEAST_S = 0.1
"""Where a run without delay stands on a logarithmic axis."""


def strip_png(rows: Sequence[Summary]) -> bytes:
    """One dot a run, a bar at each median, crosses for locked runs; `rows` from top to bottom, all measured runs."""
    delays_s = [max(LEAST_S, run.delay_s) for row in rows for run in row.measured]
    figure = new_figure(9.5, 1.3 + 0.42 * max(2, len(rows)))
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    if max(delays_s) > LOCK_DELAY_S:
        axes.axvline(LOCK_DELAY_S, color=GREY, linestyle="--", linewidth=1.2)
    if max(delays_s) > LOG_FROM_RATIO * min(delays_s):
        log_axis(axes, 0.8 * min(delays_s), 1.2 * max(delays_s))
    else:
        axes.set_xlim(0.0, 1.06 * max(delays_s))
    axes.set_yticks(range(len(rows)), [plain(row.label) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    tidy(axes, x="Delay, s", grid="x")
    return png(figure)


def _draw_row(axes: Axes, place: int, row: Summary) -> None:
    colour = OTHERS[0] if row.is_best_rule else BLUE
    for height, run in zip(spread(place, len(row.measured)), row.measured, strict=True):
        marker, shade = ("x", VERMILION) if run.is_locked else ("o", colour)
        delay_s = max(LEAST_S, run.delay_s)
        axes.plot(delay_s, height, marker=marker, color=shade, markersize=6, alpha=0.8, linestyle="none")
    axes.vlines(max(LEAST_S, row.median_delay_s), place - 0.34, place + 0.34, color=OTHERS[-1], linewidth=2)


def spread(place: int, count: int) -> list[float]:
    """Heights for `count` dots, evenly spread around the row `place`."""
    step = 2.0 * JITTER / max(1, count - 1)
    return [place if count == 1 else place - JITTER + step * index for index in range(count)]
