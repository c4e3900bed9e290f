"""The page of one run: how it went beside other runs, where and when vehicles lost time, what the agents needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.collect import TickTotals
from phasemesh.sim_harness.metrics import iterate_trips
from phasemesh.sim_harness.report.bar_plots import WORST, intersections_png, latency_png
from phasemesh.sim_harness.report.facts import FACTS, SAFETY
from phasemesh.sim_harness.report.map_plot import edge_losses, map_png, read_road_map
from phasemesh.sim_harness.report.page import banner, fact_table, folded_list, heading, page, paragraph, picture, table
from phasemesh.sim_harness.report.table import RUN_COLUMNS, best_rule, columns_for, run_rows, summary_rows, table_text
from phasemesh.sim_harness.report.time_plots import due_bins, due_png, series_png
from phasemesh.sim_harness.result import LOCK_DELAY_S, RunResult

PAGE_NAME = "index.html"
TRIPS_NAME = "tripinfo.xml"
EDGES_NAME = "edges.xml"

DELAY_MEANING = (
    "Delay is the mean over all loaded vehicles of time lost on the road plus time waited before entering; vehicles "
    "that were still under way or never found room to enter count with what they lost so far. Duration and waiting "
    "are means over the vehicles that entered."
)


class RunMaterial(msgspec.Struct, frozen=True):
    """What a run's page is made of; `tick_ms` is as for `write_run_report`."""

    folder: Path
    result: RunResult
    others: tuple[RunResult, ...]
    net_file: Path
    tick_ms: tuple[float, ...] | None


class Plot(msgspec.Struct, frozen=True):
    """One picture of the page; `draw` gives None where the run left nothing to draw, which `absence` then says."""

    title: str
    caption: str
    absence: str
    draw: Callable[[RunMaterial], bytes | None]


def write_run_report(
    folder: Path,
    result: RunResult,
    others: Sequence[RunResult],
    net_file: Path,
    tick_ms: Sequence[float] | None = None,
) -> Path:
    """Write `index.html`, complete in itself, into the folder of a run.

    Args:
        folder: The run's folder, with `tripinfo.xml`, `edges.xml` and `records/` as far as the run left them.
        result: The run.
        others: Runs to compare with; those on other scenarios are left out.
        net_file: The scenario's network, also gzipped.
        tick_ms: Wall time of each tick of all agents without the wait for neighbours, in ms; taken from `records/`
            when None.

    Returns:
        The path of the page.

    Raises:
        InputError: The page cannot be written.
        MissingExtraError: Matplotlib is not installed.
    """
    beside = tuple(other for other in others if other.scenario == result.scenario)
    text = run_page(RunMaterial(folder, result, beside, net_file, None if tick_ms is None else tuple(tick_ms)))
    path = folder / PAGE_NAME
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def recorded_tick_ms(folder: Path) -> list[float]:
    """Wall time in ms of every tick recorded in a run's folder, without the wait; raises RecordError if unreadable."""
    totals = TickTotals()
    for path in sorted((folder / "records").glob("*.rec")):
        totals.note_file(path)
    return totals.tick_ms


def run_page(material: RunMaterial) -> str:
    """The HTML of the page."""
    result = material.result
    parts = [
        paragraph(f"Seed {result.seed}, {result.seconds:,.0f} s simulated.", "soft"),
        *_warnings(result),
        heading("This run beside the others" if material.others else "This run"),
        *_comparison(material),
        heading("Safety"),
        fact_table([(fact.title, fact.text(result)) for fact in SAFETY]),
        *_findings(result),
        heading("How it ran"),
        fact_table([(fact.title, fact.text(result)) for fact in FACTS]),
        *_lists(result),
    ]
    for plot in PLOTS:
        parts += [heading(plot.title), _drawn(plot, material)]
    return page(f"{result.controller} on {result.scenario}", parts)


def _warnings(result: RunResult) -> list[str]:
    warnings = []
    if result.is_unsafe:
        warnings.append(unsafe_line(result))
    if not result.is_complete:
        warnings.append(
            f"This run was interrupted after {result.seconds:,.0f} simulated seconds{_because(result)}. All numbers "
            "cover that part only and cannot be compared with complete runs."
        )
    if result.is_locked:
        warnings.append(
            f"The network locked up: the mean delay of {result.delay_s:,.0f} s is over {LOCK_DELAY_S:.0f} s."
        )
    if result.lost_agents:
        warnings.append(
            f"Agents lost during the run: {', '.join(result.lost_agents)}. Their cabinets went on by their own plans."
        )
    return [banner(text) for text in warnings]


def _because(result: RunResult) -> str:
    return f": {result.why_incomplete.rstrip('.')}" if result.why_incomplete else ""


def _comparison(material: RunMaterial) -> list[str]:
    rows = run_rows(material.result, material.others)
    best = best_rule(rows[0], summary_rows([material.result, *material.others]))
    headers, cells = table_text(rows, columns_for(rows, RUN_COLUMNS))
    told = (
        f"The best rule among these runs is {best.label}: median delay {best.median_delay_s:,.2f} s, "
        f"runs {len(best.measured)}."
        if best
        else "Among these runs is no complete one of a rule over the same simulated time, so there is no ratio."
    )
    return [table(headers, cells, marked=frozenset({0})), paragraph(told), paragraph(DELAY_MEANING, "soft")]


def unsafe_line(result: RunResult) -> str:
    """One line about a run of ours in which the monitor tripped."""
    first = f"; the first is {result.monitor_findings[0]}" if result.monitor_findings else ""
    return (
        f"{result.controller} on {result.scenario}, seed {result.seed}: trips of the monitor:"
        f" {result.monitor_trips:,}{first}"
    )


def _findings(result: RunResult) -> list[str]:
    """The first findings of the monitor in words; the counts by check stand in the table."""
    return [folded_list("First findings of the monitor", result.monitor_findings)] if result.monitor_findings else []


def _lists(result: RunResult) -> list[str]:
    lists = {
        "Changes to the network's signal programs": result.program_changes,
        "Signals left to their own programs": result.watched_signals,
    }
    return [folded_list(title, items) for title, items in lists.items() if items]


def _drawn(plot: Plot, material: RunMaterial) -> str:
    """A picture, or the reason why there is none: an interrupted run may lack a file or leave it broken."""
    try:
        png = plot.draw(material)
    except InputError as error:
        return paragraph(f"Not drawn: {error}")
    return paragraph(plot.absence) if png is None else picture(png, plot.caption)


def _series(material: RunMaterial) -> bytes | None:
    return series_png(run_rows(material.result, material.others)) if material.result.series else None


def _due(material: RunMaterial) -> bytes | None:
    path = material.folder / TRIPS_NAME
    bins = due_bins(iterate_trips(path)) if path.exists() else ()
    return due_png(bins) if bins else None


def _map(material: RunMaterial) -> bytes | None:
    path = material.folder / EDGES_NAME
    return map_png(read_road_map(material.net_file), edge_losses(path)) if path.exists() else None


def _intersections(material: RunMaterial) -> bytes | None:
    return intersections_png(material.result.intersections) if material.result.intersections else None


def _latency(material: RunMaterial) -> bytes | None:
    tick_ms = recorded_tick_ms(material.folder) if material.tick_ms is None else material.tick_ms
    return latency_png(tick_ms) if tick_ms else None


PLOTS: tuple[Plot, ...] = (
    Plot(
        "Delay and queue over time",
        "Above: mean delay of all vehicles due so far. Below: vehicles halting before commanded signals. "
        "The thick line is this run.",
        "The run kept no series.",
        _series,
    ),
    Plot(
        "Where time was lost",
        "Time lost on each edge for each vehicle that used it; grey edges were not used, dots are signals. "
        "Time lost inside junctions is not drawn.",
        "The run left no edge measurements.",
        _map,
    ),
    Plot(
        "Intersections",
        f"Means over the run, the longest queue first, at most the worst {WORST}. "
        "Wait is that of the vehicle waiting longest.",
        "No intersection was looked at.",
        _intersections,
    ),
    Plot(
        "Delay by the time vehicles were due",
        "Vehicles due late in the run may still be under way; they count with what they lost so far.",
        "The run left no trips.",
        _due,
    ),
    Plot(
        "Time a tick takes",
        "All ticks of all agents; the wait for the neighbours' messages is left out.",
        "No tick was recorded.",
        _latency,
    ),
)
"""In the order of the page."""
