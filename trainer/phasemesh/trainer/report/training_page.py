"""The page of a training: how it went, whom its agents listened to, and where vehicles lost time under its policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.report.map_plot import maps_png
from phasemesh.sim_harness.report.page import banner, folded_list, heading, page, paragraph, picture, table
from phasemesh.sim_harness.report.run_report import DELAY_MEANING, PAGE_NAME
from phasemesh.trainer.evaluation import EVALUATION_NAME, RULE, Evaluation, read_evaluation
from phasemesh.trainer.report.curve_plots import delays_png, updates_png
from phasemesh.trainer.report.ego_plots import SHOWN_EDGES, ego_map_png, heat_png, rows_png
from phasemesh.trainer.report.run_curves import RunCurves, grouped
from phasemesh.trainer.report.shown_day import ShownDay

RUN_HEADERS = (
    "Run",
    "Recipe",
    "Scenarios",
    "Seed",
    "Iterations",
    "Minutes",
    "Decisions a second",
    "Update, s",
    "Alarms",
    "Monitor trips",
    "Revision",
)
EVALUATION_HEADERS = ("Run", "Scenario", "Seeds", "Policy, s", "Min to max", f"{RULE}, s", "Min to max ", "Ratio")


class Picture(msgspec.Struct, frozen=True):
    """One figure file, and what the page says about it."""

    name: str
    title: str
    caption: str
    png: bytes


def write_training_report(folder: Path, runs: Sequence[RunCurves], day: ShownDay | None) -> Path:
    """Write `index.html`, complete in itself, and each figure as a file beside it; the page's path is returned.

    Raises:
        InputError: The folder cannot be written.
        MissingExtraError: Matplotlib is not installed.
    """
    pictures = [*_of_training(runs), *(_of_day(day) if day else ())]
    files = {f"{each.name}.png": each.png for each in pictures}
    files[PAGE_NAME] = training_page(runs, day, pictures).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written: {error.strerror}") from error
    return folder / PAGE_NAME


def training_page(runs: Sequence[RunCurves], day: ShownDay | None, pictures: Sequence[Picture]) -> str:
    """The HTML of the page."""
    names = ", ".join(dict.fromkeys(run.description.recipe_name for run in runs))
    parts = [
        *(banner(text) for text in _warnings(runs)),
        table(RUN_HEADERS, [_run_cells(run) for run in runs]),
        *_evaluations(runs),
        *(_day_line(day) if day else ()),
    ]
    for each in pictures:
        parts += [heading(each.title), picture(each.png, each.caption)]
    return page(f"Training of {names}", [*parts, *_alarm_lists(runs)])


def _of_training(runs: Sequence[RunCurves]) -> Iterator[Picture]:
    groups = grouped(runs)
    yield Picture(
        "learning-curves",
        "Learning curves",
        "Mean delay of the episodes that were played, whose demand and faults are drawn: thick smoothed, thin as it "
        "was. Runs that differ in their seed alone are one line, and the shade is the range between them.",
        delays_png(groups),
    )
    yield Picture(
        "updates",
        "Updates",
        "Parts of the loss and what each update was like, averaged over its batches. Vermilion lines are iterations "
        "with an alarm.",
        updates_png(groups),
    )


def _of_day(day: ShownDay) -> Iterator[Picture]:
    where = f"{day.scenario}, seed {day.seed}"
    if day.graph.edges:
        yield Picture(
            "ego-graph",
            "The ego graph over time",
            f"Probability of each directed edge on {where}; at most the {SHOWN_EDGES} edges that change most.",
            heat_png(day.graph),
        )
        yield Picture(
            "ego-map",
            "The ego graph on the roads",
            "Mean over time; an arrow goes from the signal that speaks to the one that listens.",
            ego_map_png(day.graph, day.road_map, day.positions_m),
        )
        yield Picture(
            "ego-rows",
            "Ego rows",
            "Row i is whom agent i listens to, mean over time; cells without colour are no neighbours.",
            rows_png(day.graph),
        )
    titles = {name: f"{name}: delay {day.delay_s[name]:.1f} s" for name in day.losses_s}
    yield Picture(
        "congestion",
        "Where time was lost",
        f"Time lost on each edge for each vehicle that used it on {where}, by who decided; grey edges were not used, "
        "dots are signals.",
        maps_png(day.road_map, {titles[name]: losses for name, losses in day.losses_s.items()}),
    )


def _warnings(runs: Sequence[RunCurves]) -> Iterator[str]:
    for run in runs:
        if trips := sum(row.monitor_trips for row in run.rows):
            yield f"{run.folder}: the monitor of the lights tripped {trips} times, which must never happen."
        if alarms := run.rows[-1].alarms:
            yield f"{run.folder}: ends with an alarm: {', '.join(alarms)}."


def _run_cells(run: RunCurves) -> list[str]:
    described, rows = run.description, run.rows
    return [
        run.folder.resolve().name,
        described.recipe_name,
        ", ".join(described.scenarios),
        str(described.seed),
        str(rows[-1].iteration + 1),
        f"{rows[-1].elapsed_s / 60.0:.1f}",
        f"{median(row.steps_per_s for row in rows):,.0f}",
        f"{median(row.update_s for row in rows):.1f}",
        str(sum(bool(row.alarms) for row in rows)),
        str(sum(row.monitor_trips for row in rows)),
        described.revision[:12] + ("+" if described.revision.endswith("+") else "") or "-",
    ]


def _evaluations(runs: Sequence[RunCurves]) -> list[str]:
    found = [(run, read_evaluation(run.folder)) for run in runs]
    cells = [row for run, evaluation in found if evaluation for row in _evaluation_cells(run, evaluation)]
    if not cells:
        return [paragraph(f"No run has an {EVALUATION_NAME}: train with --evaluate to have one.", "soft")]
    return [
        heading("Evaluation"),
        table(EVALUATION_HEADERS, cells),
        paragraph(
            "Medians over seeds that nothing was trained on, greedily, beside the rule at its own tick. "
            + DELAY_MEANING,
            "soft",
        ),
    ]


def _evaluation_cells(run: RunCurves, evaluation: Evaluation) -> Iterator[list[str]]:
    for each in evaluation.comparisons:
        yield [
            run.folder.resolve().name,
            each.scenario,
            str(len(evaluation.seeds)),
            f"{median(each.actor_s):.1f}",
            f"{min(each.actor_s):.1f} to {max(each.actor_s):.1f}",
            f"{median(each.rule_s):.1f}",
            f"{min(each.rule_s):.1f} to {max(each.rule_s):.1f}",
            f"{each.ratio:.3f}",
        ]


def _day_line(day: ShownDay) -> list[str]:
    delays = ", ".join(f"{name} {delay_s:.1f} s" for name, delay_s in day.delay_s.items())
    listening = (
        f" Mean probability of an edge: {float(day.graph.mean.mean()):.2f}." if day.graph.edges else " Nobody is heard."
    )
    return [
        paragraph(f"Played for this page: {day.scenario}, seed {day.seed}, greedily. Mean delay: {delays}.{listening}")
    ]


def _alarm_lists(runs: Sequence[RunCurves]) -> list[str]:
    lists = {
        run.folder.resolve().name: [
            f"iteration {row.iteration}: {', '.join(row.alarms)}" for row in run.rows if row.alarms
        ]
        for run in runs
    }
    return [folded_list(f"Alarms of {name}", lines) for name, lines in lists.items() if lines]
