"""The high-resolution events of a signal: begins and ends of intervals between two sights of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S, Interval, SignalState, closing_movements
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.telemetry.event_codes import MAX_PARAMETER, EventCode


class Event(msgspec.Struct, frozen=True):
    """One entry of the log: cabinet time in seconds, what happened, to which phase, detector or rule, and in words."""

    at_s: float
    code: EventCode
    parameter: int
    text: str = ""


def event(at_s: float, code: EventCode, parameter: float, text: str = "") -> Event:
    """An event of the log's resolution of 0.1 s, with a parameter that its readers accept."""
    return Event(round(at_s, 1), code, int(min(max(parameter, 0), MAX_PARAMETER)), text)


class Boundary(msgspec.Struct, frozen=True):
    """The beginning of an interval of a change from one stage to another, in cabinet time."""

    at_s: float
    interval: Interval
    ended: Interval


def signal_events(
    intersection: Intersection, timings: tuple[StageTiming, ...], before: SignalState, after: SignalState
) -> Iterator[Event]:
    """What happened from the sight `before` to the sight `after`, in order.

    A change is told from its last interval backwards by the times of its stage, so that intervals which began and ended
    between two sights are there too; of several whole changes only the last is known.
    """
    if after == before:
        return
    # A change may begin in the very moment in which the green before it was seen to begin.
    told_s = before.since_s - TIME_EPSILON_S if before.interval is Interval.GREEN else before.since_s + TIME_EPSILON_S
    for boundary in _boundaries(intersection, timings, after):
        if boundary.at_s > told_s:
            yield from _events_of(intersection, after, boundary)


def _boundaries(
    intersection: Intersection, timings: tuple[StageTiming, ...], signal: SignalState
) -> tuple[Boundary, ...]:
    """The intervals of the present change of `signal` up to the one that is shown, first to last."""
    shown = (Interval.GREEN, *_intervals(intersection, timings, signal))
    boundaries: list[Boundary] = []
    at_s = signal.since_s
    for position in range(_position(shown, signal.interval), 0, -1):
        ended = shown[position - 1]
        boundaries.append(Boundary(at_s, shown[position], ended))
        at_s -= _length_s(timings[signal.from_stage], ended)
    return tuple(reversed(boundaries))


def _position(shown: tuple[Interval, ...], interval: Interval) -> int:
    """Where the interval that is shown stands in a change; the last place if the change should not have it."""
    later = shown[1:]
    return 1 + later.index(interval) if interval in later else len(later)


def _intervals(intersection: Intersection, timings: tuple[StageTiming, ...], signal: SignalState) -> Iterator[Interval]:
    """The intervals of the change of `signal` that take time, and the green at its end."""
    timing = timings[signal.from_stage]
    closing = closing_movements(intersection.stages[signal.from_stage], intersection.stages[signal.stage])
    if any(intersection.movements[index].is_crossing for index in closing) and timing.ped_clearance_s > 0:
        yield Interval.PED_CLEARANCE
    if closing:
        yield Interval.YELLOW
    if closing and timing.red_clearance_s > 0:
        yield Interval.RED_CLEARANCE
    yield Interval.GREEN


def _length_s(timing: StageTiming, interval: Interval) -> float:
    return {
        Interval.GREEN: 0.0,
        Interval.PED_CLEARANCE: timing.ped_clearance_s,
        Interval.YELLOW: timing.yellow_s,
        Interval.RED_CLEARANCE: timing.red_clearance_s,
    }[interval]


def _events_of(intersection: Intersection, signal: SignalState, boundary: Boundary) -> Iterator[Event]:
    closed, opened = signal.from_stage + 1, signal.stage + 1
    if boundary.interval is Interval.GREEN:
        if signal.from_stage != signal.stage:
            yield from _ends(boundary, closed)
            yield event(boundary.at_s, EventCode.PHASE_INACTIVE, closed)
        yield event(boundary.at_s, EventCode.PHASE_ON, opened)
        yield event(boundary.at_s, EventCode.GREEN_BEGIN, opened)
        if _has_crossing(intersection, signal.stage):
            yield event(boundary.at_s, EventCode.WALK_BEGIN, opened)
    elif boundary.interval is Interval.PED_CLEARANCE:
        yield event(boundary.at_s, EventCode.PED_CLEARANCE_BEGIN, closed)
    elif boundary.interval is Interval.YELLOW:
        yield event(boundary.at_s, EventCode.GREEN_TERMINATION, closed)
        if boundary.ended is Interval.PED_CLEARANCE:
            yield event(boundary.at_s, EventCode.DONT_WALK_BEGIN, closed)
        yield event(boundary.at_s, EventCode.YELLOW_BEGIN, closed)
    else:
        yield from _ends(boundary, closed)
        yield event(boundary.at_s, EventCode.RED_CLEARANCE_BEGIN, closed)


def _ends(boundary: Boundary, closed: int) -> Iterator[Event]:
    code = {Interval.YELLOW: EventCode.YELLOW_END, Interval.RED_CLEARANCE: EventCode.RED_CLEARANCE_END}
    if boundary.ended in code:
        yield event(boundary.at_s, code[boundary.ended], closed)


def _has_crossing(intersection: Intersection, stage: int) -> bool:
    return any(intersection.movements[index].is_crossing for index in intersection.stages[stage].served)
