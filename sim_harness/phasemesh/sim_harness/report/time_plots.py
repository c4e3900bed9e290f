"""Plots of one run over time: delay and queue beside other runs, and delay by the time vehicles were due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from phasemesh.sim_harness.metrics import Trip
from phasemesh.sim_harness.report.figures import BLUE, DASHES, OTHERS, VERMILION, new_figure, plain, png, tidy
from phasemesh.sim_harness.report.table import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MINUTE_S = 60.0
LEGEND_ROWS = 14
"""A legend with more entries is set in more columns."""
DUE_BINS = 24


class DueBin(msgspec.Struct, frozen=True):
    """Vehicles due within one span of time: its start and length since the first one was due, and their delays."""

    start_s: float
    length_s: float
    vehicles: int
    mean_delay_s: float
    p90_delay_s: float


def series_png(rows: Sequence[Summary]) -> bytes:
    """Mean delay so far and halting vehicles over time, one line for each run; the first run is highlighted."""
    figure = new_figure(9.5, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for index, row in reversed(list(enumerate(rows))):
        _draw_run(upper, lower, row, index)
    tidy(upper, x="", y="Mean delay so far, s")
    tidy(lower, x="Simulated time since the start, min", y="Halting at signals, veh")
    for axes in (upper, lower):
        axes.set_ylim(bottom=0.0)
        axes.margins(x=0.01)
    handles, labels = upper.get_legend_handles_labels()
    columns = 1 + (len(rows) - 1) // LEGEND_ROWS
    figure.legend(handles[::-1], labels[::-1], loc="outside right upper", frameon=False, ncols=columns, fontsize=9)
    return png(figure)


def _draw_run(upper: Axes, lower: Axes, row: Summary, index: int) -> None:
    """Row 0 is the run of the report, drawn last and on top."""
    colour = BLUE if index == 0 else OTHERS[(index - 1) % len(OTHERS)]
    dash = "-" if index == 0 else DASHES[(index - 1) // len(OTHERS) % len(DASHES)]
    width, order = (2.6, 3.0) if index == 0 else (1.1, 2.0)
    series = row.runs[0].series
    minutes = [point.time_s / MINUTE_S for point in series]
    label = plain(row.label)
    delays, queues = [point.delay_s for point in series], [point.queue_veh for point in series]
    upper.plot(minutes, delays, dash, color=colour, linewidth=width, zorder=order, label=label)
    lower.plot(minutes, queues, dash, color=colour, linewidth=width, zorder=order)


def due_png(bins: Sequence[DueBin]) -> bytes:
    """Mean and 90th percentile of delay by the time at which vehicles were due."""
    figure = new_figure(9.5, 3.6)
    axes = figure.subplots()
    edges = [each.start_s / MINUTE_S for each in bins]
    edges.append((bins[-1].start_s + bins[-1].length_s) / MINUTE_S)
    nan = float("nan")
    means = [each.mean_delay_s if each.vehicles else nan for each in bins]
    high = [each.p90_delay_s if each.vehicles else nan for each in bins]
    axes.stairs(high, edges, color=VERMILION, linestyle="--", linewidth=1.4, label="90th percentile", baseline=None)
    axes.stairs(means, edges, color=BLUE, linewidth=2.4, label="mean", baseline=None)
    tidy(axes, x="Due since the first vehicle was due, min", y="Delay of the vehicles, s")
    axes.set_ylim(bottom=0.0)
    axes.margins(x=0.01)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return png(figure)


def due_bins(trips: Iterable[Trip], count: int = DUE_BINS) -> tuple[DueBin, ...]:
    """Delays of all loaded vehicles in `count` equal spans of the time at which they were due; none without trips.

    A vehicle is due when it wanted to enter. One that never entered was due its departure delay before the end, which
    is the last moment that any trip tells of.
    """
    every = list(trips)
    end_s = max((_last_seen_s(trip) for trip in every), default=0.0)
    due_s = np.array([(end_s if trip.depart_s is None else trip.depart_s) - trip.depart_delay_s for trip in every])
    if not every:
        return ()
    delays_s = np.array([trip.delay_s for trip in every])
    length_s = max(1.0, float(np.ptp(due_s))) / count
    places = np.minimum(count - 1, ((due_s - due_s.min()) / length_s).astype(int))
    return tuple(_due_bin(delays_s[places == place], place * length_s, length_s) for place in range(count))


def _last_seen_s(trip: Trip) -> float:
    return trip.depart_delay_s if trip.depart_s is None else trip.depart_s + trip.duration_s


def _due_bin(delays_s: np.ndarray, start_s: float, length_s: float) -> DueBin:
    if not len(delays_s):
        return DueBin(start_s, length_s, 0, 0.0, 0.0)
    return DueBin(start_s, length_s, len(delays_s), float(delays_s.mean()), float(np.percentile(delays_s, 90)))
