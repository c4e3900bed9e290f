"""Drives of a local plan through guard and sequencer, a second a step, as a cabinet does it on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from factories import make_reading, make_snapshot
from phasemesh.contract.command import CommandKind, SignalState, advance, request_stage, start
from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.history import ServiceHistory, empty_history, note_calls, note_signal
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.plans.plan import LocalPlan
from phasemesh.controller.safety.case import GuardCase
from phasemesh.controller.safety.guard import Guard


class Second(NamedTuple):
    """What was shown after a second's decision, the wish of the plan, and the rule that overruled it, if any."""

    now_s: float
    signal: SignalState
    wanted: int
    rule: str


Readings = tuple[LaneReading, ...]


def quiet(intersection: Intersection) -> Readings:
    """Readings of an intersection at which nobody is."""
    return (make_reading(),) * len(intersection.lanes)


def drive(
    plan: LocalPlan,
    intersection: Intersection,
    timings: tuple[StageTiming, ...],
    readings: Iterable[Readings],
    *,
    day_s: Callable[[float], float] = lambda now_s: now_s,
    is_held: Callable[[float], bool] = lambda _now_s: False,
    first: int = 0,
) -> list[Second]:
    """One `Second` for each of `readings`; while `is_held` nothing is asked for, as if a guard kept the green."""
    guard, history, signal = Guard(intersection, timings), empty_history(intersection, 0.0), start(first, 0.0)
    seconds = []
    for step, seen in enumerate(readings):
        now_s = float(step)
        signal = advance(signal, timings, now_s)
        snapshot = make_snapshot(intersection, step=step, now_s=now_s, signal=signal, readings=seen)
        snapshot = msgspec.structs.replace(snapshot, day_s=day_s(now_s) % 86_400.0)
        history = note_calls(note_signal(history, intersection, signal, now_s), snapshot)
        wanted = signal.stage if is_held(now_s) else plan.choose(snapshot, history)
        verdict = guard.judge(_request(guard, snapshot, history, wanted))
        signal = request_stage(intersection, signal, verdict.stage, now_s)
        history = note_signal(history, intersection, signal, now_s)
        seconds.append(Second(now_s, signal, wanted, verdict.rule))
    return seconds


def _request(guard: Guard, snapshot: Snapshot, history: ServiceHistory, stage: int) -> GuardCase:
    return GuardCase(
        intersection=guard.intersection,
        timings=guard.timings,
        signal=snapshot.signal,
        history=history,
        now_s=snapshot.now_s,
        max_age_s=1.0,
        kind=CommandKind.STAGE,
        stage=stage,
        decided_s=snapshot.now_s,
    )
