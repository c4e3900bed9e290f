"""How much delay a poor network costs: messages lost and late, a city split in two, and none heard, over whole runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import fmean

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.report.page import heading, page, paragraph, picture, table
from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.screen import Screen
from phasemesh.sim_harness.torture.course import Course, Streets, length_s, request_of, streets_of
from phasemesh.sim_harness.torture.pages import PAGE_NAME, sweep_png
from phasemesh.sim_harness.worker import run_all

SWEEP_SEEDS = 3
SWEEP_NAME = "sweep.json"
HEADERS = ("Network", "Delay, s", "Ratio", "Deadline misses", "Collisions", "Monitor trips")

MEANING = (
    "A ratio of exactly 1 says that the policy decides the same whatever its neighbours tell it, as the rules written "
    "as network weights do."
)


class Condition(msgspec.Struct, frozen=True):
    """One state of the network: what it is called, and the faults that make it."""

    label: str
    faults: Callable[[Course, Streets], Iterator[PlannedFault]]


def _undisturbed(_course: Course, _streets: Streets) -> Iterator[PlannedFault]:
    return iter(())


def _messages(means: str, strength: float) -> Callable[[Course, Streets], Iterator[PlannedFault]]:
    def faults(course: Course, streets: Streets) -> Iterator[PlannedFault]:
        yield _fault(course, means, tuple(streets), strength=strength)

    return faults


def _split(course: Course, streets: Streets) -> Iterator[PlannedFault]:
    """No message across the border between two halves, drawn by the seed."""
    names = sorted(streets)
    half = set(Random(course.seed).sample(names, len(names) // 2))  # noqa: S311 (repeatable)
    for name in names:
        across = tuple(peer for peer in streets[name] if (peer in half) != (name in half))
        if across:
            yield _fault(course, "message-loss", (name,), strength=1.0, peers=across)


def _fault(
    course: Course,
    means: str,
    targets: tuple[IntersectionId, ...],
    *,
    strength: float,
    peers: tuple[IntersectionId, ...] = (),
) -> PlannedFault:
    """One fault from the beginning of the run to its end."""
    return PlannedFault(
        fault="sweep",
        means=means,
        targets=targets,
        start_s=0.0,
        length_s=length_s(course),
        peers=peers,
        strength=strength,
        seed=course.seed,
    )


CONDITIONS: tuple[Condition, ...] = (
    Condition("undisturbed", _undisturbed),
    Condition("10 % of messages lost", _messages("message-loss", 0.1)),
    Condition("30 % of messages lost", _messages("message-loss", 0.3)),
    Condition("messages 100 ms late", _messages("message-delay", 0.1)),
    Condition("messages 500 ms late", _messages("message-delay", 0.5)),
    Condition("split into two halves", _split),
    Condition("no messages at all", _messages("message-loss", 1.0)),
)


class SweepRow(msgspec.Struct, frozen=True):
    """One condition: means over the seeds, sums of everything that is counted, delay over that of the first row."""

    label: str
    delay_s: float
    ratio: float
    deadline_misses: int
    collisions: int
    monitor_trips: int
    seeds: tuple[int, ...]


def run_sweep(
    course: Course, workers: int, *, conditions: Sequence[Condition] = CONDITIONS, seeds: int = SWEEP_SEEDS
) -> list[SweepRow]:
    """Run all `conditions` on as many `seeds` from that of `course` on, and write a page into its report.

    The first condition is what the others are compared with.

    Raises:
        InputError: It was interrupted.
    """
    streets = streets_of(course)
    drawn = tuple(range(course.seed, course.seed + seeds))
    requests = [
        request_of(seeded, f"sweep/{index}-{seed}", tuple(condition.faults(seeded, streets)))
        for index, condition in enumerate(conditions)
        for seed in drawn
        for seeded in [msgspec.structs.replace(course, seed=seed)]
    ]
    with Screen("sweep") as screen:
        results = run_all(requests, workers=workers, on_done=lambda result: screen.note(_told(result)))
    if len(results) < len(requests):
        raise InputError("the sweep was interrupted; what was complete is in the folder `sweep` of the report")
    groups = [results[start : start + seeds] for start in range(0, len(results), seeds)]
    calm_s = fmean(result.delay_s for result in groups[0])
    rows = [_row(condition, group, calm_s, drawn) for condition, group in zip(conditions, groups, strict=True)]
    _write(course.report, course.scenario, rows)
    return rows


def _told(result: RunResult) -> str:
    return f"seed {result.seed}: delay {result.delay_s:.1f} s, {result.deadline_misses:,} missed deadlines"


def _row(condition: Condition, group: list[RunResult], calm_s: float, seeds: tuple[int, ...]) -> SweepRow:
    delay_s = fmean(result.delay_s for result in group)
    return SweepRow(
        label=condition.label,
        delay_s=delay_s,
        ratio=delay_s / calm_s if calm_s else 1.0,
        deadline_misses=sum(result.deadline_misses for result in group),
        collisions=sum(result.collisions for result in group),
        monitor_trips=sum(result.monitor_trips for result in group),
        seeds=seeds,
    )


def sweep_cells(rows: list[SweepRow]) -> list[list[str]]:
    """The table of a sweep, under `HEADERS`."""
    return [
        [
            row.label,
            f"{row.delay_s:.2f}",
            f"{row.ratio:.3f}",
            f"{row.deadline_misses:,}",
            f"{row.collisions:,}",
            f"{row.monitor_trips:,}",
        ]
        for row in rows
    ]


def _write(folder: Path, scenario: str, rows: list[SweepRow]) -> None:
    (folder / SWEEP_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    parts = [
        paragraph(f"Means over the seeds {', '.join(map(str, rows[0].seeds))}. {MEANING}"),
        heading("Delay in a poor network"),
        table(HEADERS, sweep_cells(rows)),
        picture(sweep_png([row.label for row in rows], [row.ratio for row in rows]), "Delay ratios of all conditions."),
    ]
    (folder / PAGE_NAME).write_text(page(f"{scenario} in a poor network", parts), encoding="utf-8")
