"""The report over many runs: all rows as JSON and CSV, and a page with a table and a plot for each scenario."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.report.page import banner, heading, page, paragraph, picture, table
from phasemesh.sim_harness.report.run_report import DELAY_MEANING, PAGE_NAME, unsafe_line
from phasemesh.sim_harness.report.strip_plot import strip_png
from phasemesh.sim_harness.report.table import COLUMNS, Summary, columns_for, summary_rows, table_text
from phasemesh.sim_harness.result import LOCK_DELAY_S, RunResult

JSON_NAME = "results.json"
CSV_NAME = "results.csv"
LEFT_OUT = frozenset({"series", "intersections", "versions", "program_changes", "monitor_findings"})
"""Fields that do not fit a cell; `results.json` has them."""


def write_compare_report(folder: Path, results: Sequence[RunResult]) -> Path:
    """Write `results.json`, `results.csv` and `index.html` into `folder`, which is made; the page's path is returned.

    Raises:
        InputError: There is no result, or the folder cannot be written.
        MissingExtraError: Matplotlib is not installed.
    """
    if not results:
        raise InputError("there is no result to report")
    files = {
        JSON_NAME: msgspec.json.format(msgspec.json.encode(list(results))),
        CSV_NAME: results_csv(results).encode(),
        PAGE_NAME: compare_page(results).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    return folder / PAGE_NAME


def results_csv(results: Sequence[RunResult]) -> str:
    """One line a run under a header; nested values have a column each, lists are joined by semicolons."""
    rows = [_flat(result) for result in results]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(result: RunResult) -> dict[str, object]:
    """The cells of a run; counts by rule, check or source are one cell, since other runs know others."""
    cells: dict[str, object] = {}
    fields: Mapping[str, Any] = msgspec.to_builtins(result)
    for name, value in fields.items():
        if name in LEFT_OUT:
            continue
        if name == "guard_rejections":
            cells[name] = sum(value.values())
            cells[f"{name}_by_rule"] = _counts(value)
        elif name in ("monitor_trips_by_check", "sources"):
            cells[name] = _counts(value)
        elif isinstance(value, dict):
            cells |= {f"{name}_{key}": part for key, part in value.items()}
        else:
            cells[name] = ";".join(value) if isinstance(value, list | tuple) else value
    return cells | {"is_locked": result.is_locked}


def _counts(counts: Mapping[str, int]) -> str:
    return ";".join(f"{name}={count}" for name, count in counts.items())


def compare_page(results: Sequence[RunResult]) -> str:
    """The HTML of the page."""
    rows = summary_rows(results)
    scenarios = list(dict.fromkeys(row.scenario for row in rows))
    parts = [
        paragraph(f"{len(results):,} runs on {len(scenarios):,} scenario(s).", "soft"),
        *_warnings(results),
    ]
    for scenario in scenarios:
        parts += _section(scenario, [row for row in rows if row.scenario == scenario])
    notes = (
        DELAY_MEANING,
        f"Runs with more than {LOCK_DELAY_S:.0f} s of delay count as locked. Medians, means and the range are over all "
        "complete runs, locked ones included; the number of locked runs stands apart. Counts of vehicles are means "
        "over the runs, collisions and trips of the monitor are summed up.",
        "The monitor watches the lights that SUMO really showed; under a controller of ours it must never trip.",
        "The ratio compares the median delay with that of the rule whose median is smallest on the same scenario, "
        "over the same simulated time; without such a rule there is none.",
    )
    return page("Comparison of controllers", [*parts, heading("Notes"), *(paragraph(note, "soft") for note in notes)])


def _warnings(results: Sequence[RunResult]) -> list[str]:
    interrupted = sum(not result.is_complete for result in results)
    text = f"{interrupted} of {len(results)} runs were interrupted; they are left out wherever a complete run exists."
    unsafe = [unsafe_line(result) for result in results if result.is_unsafe]
    return [banner(line) for line in (*unsafe, *([text] if interrupted else []))]


def _section(scenario: str, rows: Sequence[Summary]) -> list[str]:
    runs = [run for row in rows for run in row.measured]
    headers, cells = table_text(rows, columns_for(rows, COLUMNS))
    marked = frozenset(index for index, row in enumerate(rows) if row.is_best_rule)
    best = ", ".join(row.label for row in rows if row.is_best_rule) or "none among these runs"
    return [
        heading(scenario),
        paragraph(f"{_span('Simulated', [run.seconds for run in runs])} s. Best rule: {best}.", "soft"),
        table(headers, cells, marked),
        picture(
            strip_png(rows),
            "Delay of every run, one dot a run; the bar is the median, the best rule is orange. "
            f"Crosses right of the dashed line at {LOCK_DELAY_S:.0f} s are locked runs.",
        ),
    ]


def _span(title: str, values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{title} {low:,.0f}" if low == high else f"{title} {low:,.0f} to {high:,.0f}"
