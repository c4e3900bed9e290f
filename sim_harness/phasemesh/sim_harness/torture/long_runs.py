"""A long run on the wall clock, many times as fast: whether agents grow, leak descriptors or miss deadlines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.site import Pace
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.report.figures import BLUE, OTHERS, new_figure, png, tidy
from phasemesh.sim_harness.report.page import banner, fact_table, heading, page, picture
from phasemesh.sim_harness.request import resolve
from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.screen import Screen
from phasemesh.sim_harness.stalls import LongRun, Sample, Stalls, read_long_run
from phasemesh.sim_harness.torture.course import Course, request_of, streets_of
from phasemesh.sim_harness.torture.pages import PAGE_NAME

SAMPLE_EVERY_S = 30.0
SETTLED_SHARE = 0.2
"""The first part of a run is left out of the fit: caches fill, pages are touched for the first time."""
BLOCKS = 12
"""Samples are averaged in so many blocks before the fit, since neighbouring samples say nearly the same."""
SIGMAS = 3.0
"""A slope counts as one when it is farther from zero than so many of its standard errors."""
HOUR_S = 3600.0
COMM_DEADLINE_MS = 200.0
SOAK_NAME = "soak.json"


class Slope(msgspec.Struct, frozen=True):
    """A straight line through measurements: its rise in an hour of wall time and the standard error of that."""

    per_hour: float
    error_per_hour: float

    @property
    def is_rising(self) -> bool:
        """Whether it rises beyond its own error."""
        return self.per_hour > SIGMAS * self.error_per_hour


class Soak(msgspec.Struct, frozen=True):
    """What a soak found; memory in kilobytes a agent, `missed` counts messages that came too late or not at all."""

    result: RunResult
    speed: float
    pss: Slope
    descriptors: Slope
    threads: Slope
    pss_first_mb: float
    pss_last_mb: float
    missed: int
    links: int
    stalls: Stalls
    failures: tuple[str, ...]


def run_soak(course: Course, hours: float, speed: float) -> Soak:
    """Run `course` for `hours` simulated hours at `speed` times the wall clock, and write table and plot.

    Deadlines scale with the pace: a fast city has as much less time for everything.
    """
    course = msgspec.structs.replace(course, seconds=hours * HOUR_S)
    request = msgspec.structs.replace(
        request_of(course, "run", ()),
        pace=Pace.REALTIME.value,
        speed=speed,
        comm_deadline_ms=COMM_DEADLINE_MS / speed,
        sample_every_s=SAMPLE_EVERY_S,
    )
    with Screen(f"{course.scenario} for {hours:g} h at {speed:g} times") as screen:
        result = City(resolve(request), screen).run()
    links = sum(map(len, streets_of(course).values()))
    long_run = read_long_run(Path(request.report))
    soak = judge_soak(result, long_run, speed, links)
    _write(course.report, soak, long_run)
    return soak


def judge_soak(result: RunResult, long_run: LongRun, speed: float, links: int) -> Soak:
    """What `long_run` shows; `links` are the directed links of the city."""
    samples = settled(long_run.samples)
    pss = fit([sample.wall_s for sample in samples], [_mean(sample, "pss_mb") * 1000.0 for sample in samples])
    descriptors = fit([sample.wall_s for sample in samples], [_mean(sample, "descriptors") for sample in samples])
    threads = fit([sample.wall_s for sample in samples], [_mean(sample, "threads") for sample in samples])
    soak = Soak(
        result=result,
        speed=speed,
        pss=pss,
        descriptors=descriptors,
        threads=threads,
        pss_first_mb=_mean(samples[0], "pss_mb"),
        pss_last_mb=_mean(samples[-1], "pss_mb"),
        missed=result.deadline_misses,
        links=links,
        stalls=long_run.stalls,
        failures=(),
    )
    return msgspec.structs.replace(soak, failures=tuple(_failures(soak)))


def _failures(soak: Soak) -> list[str]:
    failures = [] if soak.result.is_complete else ["the run was interrupted"]
    for name, slope, unit in (
        ("PSS", soak.pss, "kB"),
        ("descriptors", soak.descriptors, ""),
        ("threads", soak.threads, ""),
    ):
        if slope.is_rising:
            failures.append(f"{name} rise by {slope.per_hour:.2f} ± {slope.error_per_hour:.2f} {unit} an hour")
    excused = soak.stalls.count * soak.links
    if soak.missed > excused:
        failures.append(f"{soak.missed} messages missed their deadline; stalls of the machine explain {excused}")
    if soak.result.monitor_trips:
        failures.append(f"the monitor tripped {soak.result.monitor_trips} times")
    return failures


def settled(samples: Sequence[Sample]) -> list[Sample]:
    """The samples behind the first part of a run; those without any agent are left out."""
    alive = [sample for sample in samples if sample.needs]
    return alive[math.floor(len(alive) * SETTLED_SHARE) :]


def _mean(sample: Sample, what: str) -> float:
    return float(np.mean([getattr(needs, what) for needs in sample.needs.values()]))


def fit(wall_s: Sequence[float], values: Sequence[float]) -> Slope:
    """The least-squares line through the means of `BLOCKS` blocks of measurements; zero with fewer than three."""
    count = min(BLOCKS, len(values))
    if count < 3:
        return Slope(0.0, 0.0)
    x = np.array([block.mean() for block in np.array_split(np.asarray(wall_s) / HOUR_S, count)])
    y = np.array([block.mean() for block in np.array_split(np.asarray(values), count)])
    centred = x - x.mean()
    spread = float((centred**2).sum())
    slope = float((centred * (y - y.mean())).sum()) / spread
    rest = y - y.mean() - slope * centred
    return Slope(slope, math.sqrt(float((rest**2).sum()) / (count - 2) / spread))


def soak_rows(soak: Soak) -> list[tuple[str, str]]:
    """What a soak found: a title and a text each."""
    return [
        (
            "Simulated",
            f"{soak.result.seconds / HOUR_S:.1f} h at {soak.speed:g} times, {soak.result.wall_s:,.0f} s of wall time",
        ),
        (
            "PSS of an agent",
            f"{soak.pss_first_mb:.2f} MB, at the end {soak.pss_last_mb:.2f} MB; {_told(soak.pss)} kB/h",
        ),
        ("Descriptors of an agent", f"{_told(soak.descriptors)} an hour"),
        ("Threads of an agent", f"{_told(soak.threads)} an hour"),
        ("Messages that missed their deadline", f"{soak.missed:,} in {soak.result.ticks:,} ticks"),
        (
            "Stalls of the machine",
            f"{soak.stalls.count:,}, {soak.stalls.total_s:.1f} s in all, at most {1000 * soak.stalls.longest_s:.0f} ms",
        ),
        ("Fallback ticks", f"{soak.result.fallback_ticks:,}"),
        ("Trips of the monitor", f"{soak.result.monitor_trips:,}"),
    ]


def _told(slope: Slope) -> str:
    return f"{slope.per_hour:+.2f} ± {slope.error_per_hour:.2f}"


def _write(folder: Path, soak: Soak, long_run: LongRun) -> None:
    (folder / SOAK_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(soak)))
    parts = [banner(failure) for failure in soak.failures]
    parts += [fact_table(soak_rows(soak)), heading("What the agents hold"), picture(_png(long_run), CAPTION)]
    (folder / PAGE_NAME).write_text(page(f"{soak.result.scenario}, a long run", parts), encoding="utf-8")


CAPTION = "Means over all agents: proportional set size, open descriptors, threads."


def _png(long_run: LongRun) -> bytes:
    figure = new_figure(9.5, 6.0)
    samples = [sample for sample in long_run.samples if sample.needs]
    minutes = [sample.wall_s / 60.0 for sample in samples]
    rows = figure.subplots(3, 1, sharex=True)
    shown = (("pss_mb", "PSS, MB"), ("descriptors", "Descriptors"), ("threads", "Threads"))
    for axes, (what, label), colour in zip(rows, shown, (BLUE, OTHERS[0], OTHERS[2]), strict=True):
        axes.plot(minutes, [_mean(sample, what) for sample in samples], color=colour)
        tidy(axes, x="Wall time, min" if axes is rows[-1] else "", y=label)
    return png(figure)
