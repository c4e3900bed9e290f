"""Which stage must be shown next, whatever is asked for: the limits on greens (I6) and on waits (I7)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S, Interval, SignalState
from phasemesh.contract.history import ServiceHistory, movement_waits_s
from phasemesh.controller.safety.junction import Junction

WARNING_SHARE = 2 / 3
"""Share of a maximum wait at which the wait is told: 120 s of 180 s on the street (I7)."""


class Duty(msgspec.Struct, frozen=True):
    """The stage that `rule` demands, with a sentence that says why."""

    rule: str
    stage: int
    detail: str


def waits_of_concern_s(
    junction: Junction, signal: SignalState, history: ServiceHistory, now_s: float
) -> Mapping[int, float]:
    """How long each called movement without green has waited, in seconds.

    Nothing where it makes no difference: below two thirds of every maximum wait and below the maximum green.
    """
    timing = junction.timings[signal.stage]
    green_s = now_s - signal.since_s
    is_long = has_reached(green_s, timing.max_green_s) or has_reached(green_s, timing.absolute_max_green_s)
    if not is_long and not _may_wait(history, now_s, WARNING_SHARE * junction.shortest_max_wait_s):
        return {}
    served = junction.served[signal.stage]
    waits_s = movement_waits_s(history, junction.intersection, now_s)
    return {index: wait_s for index, wait_s in enumerate(waits_s) if wait_s > 0.0 and index not in served}


def _may_wait(history: ServiceHistory, now_s: float, limit_s: float) -> bool:
    """A cheap bound: no wait is longer than the longest time since a green, nor than the oldest call."""
    oldest_call_s = min((call_s for call_s in history.lane_call_s if call_s is not None), default=now_s)
    longest_s = now_s - max(oldest_call_s, min(history.movement_green_s, default=now_s))
    return has_reached(longest_s, limit_s)


def duty_of(
    junction: Junction, signal: SignalState, history: ServiceHistory, now_s: float, waiting: Mapping[int, float]
) -> Duty | None:
    """The duty at `now_s` towards those `waiting`; None in a running change or before the green in force may end.

    Where the stage that is due would open a movement too soon after its yellow (I10), the duty is to wait for it.
    """
    if not may_leave_green(junction, signal, now_s):
        return None
    duty = _wait_duty(junction, signal.stage, waiting) or _green_duty(
        junction, signal.stage, waiting, now_s - signal.since_s, history.stage_green_s
    )
    if duty is None or reverting_movement(junction, signal, history, duty.stage, now_s) is None:
        return duty
    return Duty(duty.rule, signal.stage, f"{duty.detail}; stage {duty.stage} follows as soon as its red is over")


def wait_warning(junction: Junction, waiting: Mapping[int, float]) -> str:
    """Who of those `waiting` has reached two thirds of a maximum wait, as a sentence, or an empty text."""
    long = [
        (wait_s, index)
        for index, wait_s in waiting.items()
        if has_reached(wait_s, WARNING_SHARE * junction.max_waits_s[index])
    ]
    if not long:
        return ""
    wait_s, index = max(long)
    return f"movement {index} has waited {wait_s:.1f} s of at most {junction.max_waits_s[index]:.1f} s"


def may_leave_green(junction: Junction, signal: SignalState, now_s: float) -> bool:
    """Whether no change is running and the green in force has lasted its minimum, its walk and the least of any."""
    if signal.interval is not Interval.GREEN:
        return False
    return has_reached(now_s - signal.since_s, junction.least_green_s[signal.stage])


def reverting_movement(
    junction: Junction, signal: SignalState, history: ServiceHistory, target: int, now_s: float
) -> int | None:
    """The first movement that a change to `target` would open too soon after its last green (I10), or None."""
    opens_s = now_s + junction.opening_s[signal.stage][target]
    for index in junction.opening[signal.stage][target]:
        if not has_reached(opens_s - history.movement_green_s[index], junction.revert_s[index]):
            return index
    return None


def has_reached(duration_s: float, limit_s: float) -> bool:
    """Whether `duration_s` is at least `limit_s`, a rounding error aside; never for a duration that is no number."""
    return duration_s >= limit_s - TIME_EPSILON_S


def _wait_duty(junction: Junction, current: int, waiting: Mapping[int, float]) -> Duty | None:
    overdue = {index: wait_s for index, wait_s in waiting.items() if has_reached(wait_s, junction.max_waits_s[index])}
    stage = _stage_for(junction, current, waiting, overdue)
    if stage is None:
        return None
    return Duty("I7", stage, f"a called movement has waited {max(overdue.values()):.1f} s, its maximum wait is over")


def _green_duty(
    junction: Junction,
    current: int,
    waiting: Mapping[int, float],
    green_s: float,
    stage_green_s: tuple[float, ...],
) -> Duty | None:
    timing = junction.timings[current]
    is_over = has_reached(green_s, timing.absolute_max_green_s)
    stage = None
    if is_over or has_reached(green_s, timing.max_green_s):
        stage = _stage_for(junction, current, waiting, waiting)
    if stage is None and is_over:
        stage = _longest_unserved(junction, current, stage_green_s)
    if stage is None:
        return None
    what = "absolute maximum green is over" if is_over else "maximum green is over while others call"
    return Duty("I6", stage, f"stage {current} has been green for {green_s:.1f} s, its {what}")


def _stage_for(
    junction: Junction, current: int, waiting: Mapping[int, float], wanted: Mapping[int, float]
) -> int | None:
    """The stage that serves the longest wait of `wanted`; of several the one that ends most waiting, then the first."""
    candidates = sorted({stage for index in wanted for stage in junction.serving[index]})
    reachable = [stage for stage in candidates if junction.may_change[current][stage]]

    def merit(stage: int) -> tuple[float, float]:
        served = junction.served[stage]
        longest_s = max(wanted[index] for index in served if index in wanted)
        return longest_s, math.fsum(waiting[index] for index in served if index in waiting)

    return max(reachable, key=merit, default=None)


def _longest_unserved(junction: Junction, current: int, stage_green_s: tuple[float, ...]) -> int | None:
    reachable = [stage for stage, may_change in enumerate(junction.may_change[current]) if may_change]
    return min(reachable, key=lambda stage: stage_green_s[stage], default=None)
