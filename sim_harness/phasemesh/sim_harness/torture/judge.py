"""Whether a city survived: each fault against its row of the table, and the run against one without faults."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.attack import EVIDENCE_NAME, Evidence, Happened
from phasemesh.sim_harness.faults.fault import LONG_S, Depth, Fault, Variant
from phasemesh.sim_harness.faults.means import MEANS
from phasemesh.sim_harness.faults.table import ROWS
from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.torture.collisions import Collisions, read_collisions
from phasemesh.sim_harness.torture.losses import LostRecords, lost_records
from phasemesh.sim_harness.torture.memories import damaged_memories
from phasemesh.sim_harness.torture.timeline import Timeline, read_timelines
from phasemesh.sim_harness.torture.witnesses import WITNESSES, Scene

ON_THE_WAY_TICKS = 1.0
"""An agent counts the age of a message from its arrival, which may be in the tick after that of its sending."""
STEP_S = 1.0
"""Events fall between two steps of the simulation."""
RECONNECT_WALL_S = 2.0
"""Longest pause between two tries of a socket to connect again, in wall time."""


class Verdict(msgspec.Struct, frozen=True):
    """One fault: what it did, how long the slowest target needed, how long one may need at most, and what is wrong.

    `recovered_s` counts from the end of the fault and is None when a target did not recover; `failures` is empty when
    everything is as required.
    """

    fault: str
    title: str
    means: str
    targets: tuple[IntersectionId, ...]
    at_s: float
    length_s: float
    deepest: str
    fallback_ticks: int
    recovered_s: float | None
    allowed_s: float
    outcomes: tuple[str, ...]
    failures: tuple[str, ...]


class Judgement(msgspec.Struct, frozen=True):
    """A run under attack beside the same run without, `calm`; `failures` are those of the run as a whole."""

    scenario: str
    seed: int
    seconds: float
    tortured: RunResult
    calm: RunResult
    lost: LostRecords
    collisions: Collisions
    calm_collisions: Collisions
    verdicts: tuple[Verdict, ...]
    failures: tuple[str, ...]

    @property
    def all_failures(self) -> tuple[str, ...]:
        """Everything that is not as required, one line each."""
        return (
            *self.failures,
            *(f"{each.fault} at {each.at_s:.0f} s: {failure}" for each in self.verdicts for failure in each.failures),
        )


def judge(folder: Path, tortured: RunResult, calm_folder: Path, calm: RunResult) -> Judgement:
    """Judge the run under attack that left its outputs in `folder` against the run `calm` that left `calm_folder`."""
    evidence = msgspec.json.decode((folder / EVIDENCE_NAME).read_bytes(), type=Evidence)
    timelines = read_timelines(folder, evidence)
    lost = lost_records(folder, evidence.lives)
    crashed = read_collisions(folder), read_collisions(calm_folder)
    happened = sorted(evidence.happened, key=lambda each: each.began_s)
    verdicts = tuple(_verdict(each, timelines, happened, tortured) for each in happened if each.planned.fault in ROWS)
    return Judgement(
        scenario=tortured.scenario,
        seed=tortured.seed,
        seconds=tortured.seconds,
        tortured=tortured,
        calm=calm,
        lost=lost,
        collisions=crashed[0],
        calm_collisions=crashed[1],
        verdicts=verdicts,
        failures=(
            *_failures_of_run(tortured, lost),
            *damaged_memories(folder),
            *crashed[0].more_than(crashed[1]),
            *_failures_of_pair(tortured, calm),
            *(f"{each.fault} was due at {each.start_s:.0f} s and never began" for each in evidence.never_begun),
        ),
    )


def _failures_of_pair(tortured: RunResult, calm: RunResult) -> Iterator[str]:
    """Why the two runs cannot be compared."""
    if not tortured.is_complete:
        yield f"the run was interrupted: {tortured.why_incomplete or 'Ctrl-C'}"
    if not calm.is_complete:
        yield f"the run without faults was interrupted: {calm.why_incomplete or 'Ctrl-C'}"


def _failures_of_run(tortured: RunResult, lost: LostRecords) -> Iterator[str]:
    if tortured.monitor_trips:
        yield f"the monitor tripped {tortured.monitor_trips} times: {'; '.join(tortured.monitor_findings[:3])}"
    if lost.undeclared:
        yield f"{lost.undeclared} records are missing without being declared: {'; '.join(lost.findings[:3])}"
    if tortured.lost_agents:
        yield f"agents lost for good: {', '.join(tortured.lost_agents)}"
    if tortured.latched_faults:
        yield f"cabinets in flash at the end: {', '.join(tortured.latched_faults)}"


def _verdict(
    each: Happened, timelines: Mapping[IntersectionId, Timeline], happened: list[Happened], result: RunResult
) -> Verdict:
    planned, row = each.planned, ROWS[each.planned.fault]
    allowed_s = result.tick_s + row.clean_s
    window = planned.start_s, each.over_s + allowed_s
    targets = [timelines[name] for name in planned.targets]
    deepest = max(timeline.deepest(*window) for timeline in targets)
    returns = [_return(each, name, timelines[name], happened, result.tick_s) for name in planned.targets]
    known = [one.after_s for one in returns if one.after_s is not None]
    recovered_s = max(known) if len(known) == len(returns) else None
    scene = Scene(planned, each.over_s, window[1], result.tick_s, timelines)
    failures = [*_failures_of_depth(row, each, targets), *_failures_of_recovery(returns)]
    failures += _failures_of_age(window, targets)
    failures += WITNESSES[planned.means](scene) if planned.means in WITNESSES else ()
    failures += _failures_of_end(each)
    failures += _failures_of_others(each, window, timelines, happened)
    return Verdict(
        fault=row.id,
        title=row.title,
        means=planned.means,
        targets=planned.targets,
        at_s=planned.start_s,
        length_s=each.over_s - planned.start_s,
        deepest=deepest.name,
        fallback_ticks=sum(timeline.fallback_ticks(*window, result.tick_s) for timeline in targets),
        recovered_s=recovered_s,
        allowed_s=max(one.allowed_s for one in returns),
        outcomes=tuple(outcome.text for outcome in each.outcomes),
        failures=tuple(failures),
    )


def _failures_of_depth(row: Fault, each: Happened, targets: list[Timeline]) -> Iterator[str]:
    """A target that fell too far, or a fault that nobody noticed, which then proves nothing."""
    window = each.planned.start_s, each.over_s
    depths = [timeline.deepest(*window) for timeline in targets]
    deepest, shallowest = max(depths), min(depths)
    variant = _variant(row, each)
    allowed = row.deepest if variant.deepest is None else variant.deepest
    if deepest > allowed:
        yield f"fell to {deepest.name}, may fall to {allowed.name}"
    if shallowest < variant.least:
        yield f"fell only to {shallowest.name}: the fault had no effect"


def _failures_of_end(each: Happened) -> Iterator[str]:
    """What the fault itself found wrong, a fault that was never over, and one that should have told and did not."""
    yield from (outcome.text for outcome in each.outcomes if not outcome.is_good)
    if each.is_given_up:
        yield f"given up at {each.over_s:.0f} s: what it took was not there again"
    if MEANS[each.planned.means].has_findings and not each.outcomes:
        yield "told nothing of what it found"


def _failures_of_age(window: tuple[float, float], targets: list[Timeline]) -> Iterator[str]:
    """Messages that were used although they were too old, by whatever way they came late (invariant I22)."""
    if (ticks := max(timeline.stale_ticks(*window) for timeline in targets)) > ON_THE_WAY_TICKS:
        yield f"used a message that had outlived its limit by {ticks:g} ticks"


def _variant(row: Fault, each: Happened) -> Variant:
    return next(variant for variant in row.variants if variant.means == each.planned.means)


class _Return(NamedTuple):
    """How long after the end of a fault a target was coordinated again, None for never, and how long it may take."""

    after_s: float | None
    allowed_s: float


def _return(
    each: Happened, name: IntersectionId, timeline: Timeline, happened: list[Happened], tick_s: float
) -> _Return:
    """The return of `name` from the fault `each`.

    A silence of its neighbours has a clean period of its own, which counts from when it ended; it must have ended a
    tick after the faults that can have caused it, and sockets have their time to connect.
    """
    row, over_s = ROWS[each.planned.fault], each.over_s
    recovered_s = timeline.recovered_s(over_s)
    due_s = over_s + tick_s + row.clean_s
    for moment, apart_until_s in timeline.apart(over_s, math.inf if recovered_s is None else recovered_s):
        if moment.at_s > due_s or (moment.is_alone and not _is_silenced(name, timeline, moment.at_s, happened, tick_s)):
            break
        due_s = max(due_s, apart_until_s)
    return _Return(None if recovered_s is None else recovered_s - over_s, due_s - over_s)


def _is_silenced(
    name: IntersectionId, timeline: Timeline, at_s: float, happened: list[Happened], tick_s: float
) -> bool:
    """Whether a fault at `name` or at one of its neighbours explains that it hears nobody at `at_s`."""
    concerned = {name, *timeline.neighbours}
    return any(
        other.planned.start_s <= at_s <= other.over_s + tick_s + RECONNECT_WALL_S * (_steps_per_s(other) or 0.0)
        and concerned.intersection((*other.planned.targets, *other.planned.peers))
        for other in happened
    )


def _steps_per_s(each: Happened) -> float | None:
    return MEANS[each.planned.means].steps_per_s


def _failures_of_recovery(returns: list[_Return]) -> Iterator[str]:
    for after_s, allowed_s in returns:
        if after_s is None:
            yield "did not come back to COORDINATED"
        elif after_s > allowed_s + STEP_S:
            yield f"back in COORDINATED after {after_s:.0f} s, allowed are {allowed_s:.0f} s"


def _failures_of_others(
    each: Happened, window: tuple[float, float], timelines: Mapping[IntersectionId, Timeline], happened: list[Happened]
) -> Iterator[str]:
    """Agents that had nothing to do with a fault and yet lost more than their neighbours' messages."""
    if each.planned.length_s > LONG_S:
        return
    busy = {
        name
        for other in happened
        if other.planned.start_s <= window[1] and other.over_s + _clean_s(other) >= window[0]
        for name in (*other.planned.targets, *other.planned.peers)
    }
    for name, timeline in timelines.items():
        if name not in busy and (depth := timeline.deepest(*window)) > Depth.ISOLATED:
            yield f"took {name} along, which fell to {depth.name}"


def _clean_s(each: Happened) -> float:
    return ROWS[each.planned.fault].clean_s if each.planned.fault in ROWS else 0.0
