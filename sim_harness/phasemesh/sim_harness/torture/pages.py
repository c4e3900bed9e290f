"""The page of a run under attack: what was injected, how deep each agent fell, and what must not have happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.attack import EVIDENCE_NAME, Evidence
from phasemesh.sim_harness.faults.fault import Depth
from phasemesh.sim_harness.report.figures import BLUE, OTHERS, PALE, VERMILION, new_figure, plain, png, tidy
from phasemesh.sim_harness.report.page import banner, fact_table, folded_list, heading, page, paragraph, picture, table
from phasemesh.sim_harness.torture.judge import Judgement, Verdict
from phasemesh.sim_harness.torture.timeline import Timeline, read_timelines

PAGE_NAME = "index.html"
JUDGEMENT_NAME = "torture.json"
MINUTE_S = 60.0
COLOURS: dict[Depth, str] = {
    Depth.COORDINATED: PALE,
    Depth.MISSES: PALE,
    Depth.ISOLATED: OTHERS[1],
    Depth.LOCAL: OTHERS[0],
    Depth.RELEASED: VERMILION,
    Depth.FLASH: "#000000",
}
HEADERS = (
    "Fault",
    "Means",
    "At, s",
    "Lasted, s",
    "Targets",
    "Deepest",
    "Fallback ticks",
    "Back after, s",
    "Allowed, s",
    "Verdict",
)


def write_torture_report(folder: Path, judgement: Judgement, run_folder: Path) -> Path:
    """Write `index.html` and `torture.json` into `folder`; raises InputError when they cannot be written."""
    try:
        (folder / JUDGEMENT_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(judgement)))
        path = folder / PAGE_NAME
        path.write_text(_page(judgement, run_folder), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    return path


def verdict_rows(judgement: Judgement) -> list[list[str]]:
    """One row a fault, under `HEADERS`."""
    return [_row(verdict) for verdict in judgement.verdicts]


def _row(verdict: Verdict) -> list[str]:
    return [
        f"{verdict.fault} {verdict.title}",
        verdict.means,
        f"{verdict.at_s:,.0f}",
        f"{verdict.length_s:,.0f}",
        str(len(verdict.targets)),
        verdict.deepest,
        f"{verdict.fallback_ticks:,}",
        "never" if verdict.recovered_s is None else f"{verdict.recovered_s:,.0f}",
        f"{verdict.allowed_s:,.0f}",
        "failed" if verdict.failures else "as required",
    ]


def total_rows(judgement: Judgement) -> list[tuple[str, str]]:
    """What is true of the run as a whole: a title and a text each."""
    tortured, calm = judgement.tortured, judgement.calm
    ratio = f", ratio {tortured.delay_s / calm.delay_s:.3f}" if calm.delay_s else ""
    failed = sum(bool(verdict.failures) for verdict in judgement.verdicts)
    return [
        ("Faults injected", f"{len(judgement.verdicts):,}, of which {failed:,} did not go as required"),
        ("Trips of the monitor", f"{tortured.monitor_trips:,}"),
        ("Collisions on the street", _both(judgement, "street")),
        ("Crashes inside junctions, both vehicles moving", _both(judgement, "crashes")),
        ("Overlaps inside junctions with a vehicle that waits", _both(judgement, "overlaps")),
        ("Records", f"{judgement.lost.declared:,} lost and declared, {judgement.lost.undeclared:,} lost in silence"),
        ("Delay", f"{tortured.delay_s:,.2f} s with faults, {calm.delay_s:,.2f} s without{ratio}"),
        ("Fallback ticks", f"{tortured.fallback_ticks:,} of {tortured.ticks:,}"),
        ("Deadline misses", f"{tortured.deadline_misses:,}"),
        ("Deaths of agents", f"{tortured.agent_deaths:,}"),
    ]


def _both(judgement: Judgement, what: str) -> str:
    """A count of collisions in both runs."""
    return f"{getattr(judgement.collisions, what):,} with faults, {getattr(judgement.calm_collisions, what):,} without"


def _page(judgement: Judgement, run_folder: Path) -> str:
    evidence = msgspec.json.decode((run_folder / EVIDENCE_NAME).read_bytes(), type=Evidence)
    parts = [paragraph(f"Seed {judgement.seed}, {judgement.seconds:,.0f} s simulated.", "soft")]
    parts += [banner(failure) for failure in judgement.all_failures]
    parts += [heading("The run as a whole"), fact_table(total_rows(judgement))]
    parts += [folded_list("What is wrong with the records", judgement.lost.findings)] if judgement.lost.findings else []
    depths = depth_png(read_timelines(run_folder, evidence), judgement.seconds)
    parts += [heading("How deep the agents stood"), picture(depths, CAPTION)]
    parts += [heading("Every fault"), table(HEADERS, verdict_rows(judgement))]
    told = [(f"{each.fault} at {each.at_s:,.0f} s", "; ".join(each.outcomes)) for each in judgement.verdicts]
    parts += [heading("What the faults told"), fact_table([row for row in told if row[1]])]
    return page(f"{judgement.scenario} under attack", parts)


CAPTION = (
    "One line an agent: grey is coordinated, blue isolated, orange its local plan, red the cabinet's own plan, "
    "black flash."
)


def depth_png(timelines: Mapping[IntersectionId, Timeline], seconds: float) -> bytes:
    """The depth of every agent over a run of `seconds`, one line each."""
    figure = new_figure(9.5, 1.2 + 0.25 * max(3, len(timelines)))
    axes = figure.subplots()
    names = sorted(timelines)
    for place, name in enumerate(names):
        for begin_s, length_s, depth in depth_spans(timelines[name].points(), seconds):
            axes.broken_barh([(begin_s / MINUTE_S, length_s / MINUTE_S)], (place - 0.4, 0.8), color=COLOURS[depth])
    axes.set_yticks(range(len(names)), [plain(name) for name in names], fontsize=8)
    tidy(axes, x="Simulated time since the start, min", grid="x")
    return png(figure)


def depth_spans(points: Sequence[tuple[float, Depth]], seconds: float) -> list[tuple[float, float, Depth]]:
    """Begin, length and depth of every stretch between changes of depth; the last one lasts to the end of the run."""
    ends = [*(at_s for at_s, _ in points[1:]), seconds]
    return [(begin_s, end_s - begin_s, depth) for (begin_s, depth), end_s in zip(points, ends, strict=False)]


def sweep_png(labels: Sequence[str], ratios: Sequence[float]) -> bytes:
    """Delay of disturbed runs over that of the undisturbed one, as bars."""
    figure = new_figure(9.5, 1.2 + 0.45 * max(3, len(labels)))
    axes = figure.subplots()
    axes.barh(range(len(labels)), list(ratios), color=BLUE, height=0.6)
    axes.axvline(1.0, color=VERMILION, linewidth=1.4)
    axes.set_yticks(range(len(labels)), [plain(label) for label in labels])
    axes.invert_yaxis()
    tidy(axes, x="Mean delay over that of the undisturbed run", grid="x")
    return png(figure)
