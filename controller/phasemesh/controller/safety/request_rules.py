"""The rules that judge a request for a stage, one function each; the order of precedence is that of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S, CommandKind, Interval, SignalState
from phasemesh.contract.detection import COMMANDABLE_MODES
from phasemesh.contract.intersection import Intersection, conflicting_pairs
from phasemesh.controller.safety.case import Finding, GuardCase, Reaction
from phasemesh.controller.safety.duty import (
    Duty,
    duty_of,
    has_reached,
    reverting_movement,
    wait_warning,
    waits_of_concern_s,
)
from phasemesh.controller.safety.junction import MIN_CHANGE_S, Junction, conflict_text, moving_lights

_KINDS = frozenset(CommandKind)


class Situation(msgspec.Struct, frozen=True):
    """A case beside the tables of its intersection and the duty of the moment.

    `asked` is the stage that a whitelisted, fresh request asks for, or None; `target` is the same where it differs
    from the stage in force, so that granting it would alter the signal. `can_read` says whether the signal names
    stages of the intersection and its times are finite; `waiting` holds the waits of concern, by movement, in seconds.
    """

    junction: Junction
    case: GuardCase
    can_read: bool
    waiting: Mapping[int, float]
    duty: Duty | None
    asked: int | None
    target: int | None


def situate(junction: Junction, case: GuardCase) -> Situation:
    """`case` with what follows from it.

    A release that will be granted ends every duty, and where nobody may command, others care for the duties.
    """
    signal, now_s = case.signal, case.now_s
    can_read = is_readable(case.intersection, signal, now_s)
    waiting = waits_of_concern_s(junction, signal, case.history, now_s) if can_read else {}
    is_admitted = not whitelist_fault(case) and is_fresh(case)
    if case.mode not in COMMANDABLE_MODES or (is_admitted and case.kind == CommandKind.RELEASE):
        return Situation(junction, case, can_read, waiting, duty=None, asked=None, target=None)
    duty = duty_of(junction, signal, case.history, now_s, waiting) if can_read else None
    asked = int(case.stage) if is_admitted else None
    return Situation(junction, case, can_read, waiting, duty, asked, None if asked == signal.stage else asked)


def is_readable(intersection: Intersection, signal: SignalState, now_s: float) -> bool:
    """Whether `signal` names stages of `intersection` and its times are finite."""
    count = len(intersection.stages)
    has_stages = 0 <= signal.stage < count and 0 <= signal.from_stage < count
    return has_stages and math.isfinite(now_s) and math.isfinite(signal.since_s)


def whitelist_fault(case: GuardCase) -> str:
    """Why the request of `case` is no command of this intersection, or an empty text."""
    if not is_readable(case.intersection, case.signal, case.now_s):
        return "the signal or its times cannot be read"
    if case.kind not in _KINDS:
        return f"unknown kind {case.kind!r}"
    if case.kind == CommandKind.RELEASE:
        return ""
    if type(case.stage) is not int:
        return f"stage {case.stage!r} is not a whole number"
    if not 0 <= case.stage < len(case.intersection.stages):
        return f"there is no stage {case.stage}"
    return ""


def is_fresh(case: GuardCase) -> bool:
    """Whether the request is at most `max_age_s` old and not from the future."""
    return -TIME_EPSILON_S <= case.now_s - case.decided_s <= case.max_age_s + TIME_EPSILON_S


def whitelisted(situation: Situation) -> Finding | None:
    """I17: only known kinds, only stages that exist, only finite numbers."""
    fault = whitelist_fault(situation.case)
    return Finding("I17", Reaction.REJECT, fault) if fault else None


def fresh(situation: Situation) -> Finding | None:
    """I13: a late request is dropped, never granted late."""
    case = situation.case
    if is_fresh(case):
        return None
    age_s = case.now_s - case.decided_s
    return Finding("I13", Reaction.REJECT, f"decided {age_s:.3f} s ago, at most {case.max_age_s:.3f} s are allowed")


def without_conflict(situation: Situation) -> Finding | None:
    """I1: two conflicting movements are never let in together; a conflict that is shown already is for an operator."""
    junction, case = situation.junction, situation.case
    if junction.is_conflict_free or not situation.can_read:
        return None
    if situation.target is not None and (text := junction.new_conflicts[case.signal.stage][situation.target]):
        return Finding("I1", Reaction.REJECT, f"stage {situation.target}: {text}")
    return shown_conflict(junction, case.signal)


def shown_conflict(junction: Junction, signal: SignalState) -> Finding | None:
    """I1 on what a readable `signal` shows, whatever is asked for: two conflicting movements are for an operator."""
    if junction.is_conflict_free:
        return None
    shown = conflict_text(conflicting_pairs(junction.intersection, moving_lights(junction.intersection, signal)))
    return Finding("I1", Reaction.LATCH, f"shown now: {shown}") if shown else None


def in_order(situation: Situation) -> Finding | None:
    """I2: green, yellow, red and nothing else; a running change is finished first."""
    if situation.target is None:
        return None
    signal = situation.case.signal
    if signal.interval is not Interval.GREEN:
        return Finding("I2", Reaction.HOLD, f"the change to stage {signal.stage} is running")
    breach = situation.junction.order_breaches[signal.stage][situation.target]
    return Finding("I2", Reaction.REJECT, breach) if breach else None


def yellow_in_range(situation: Situation) -> Finding | None:
    """I3: no change from or to a stage whose yellow is outside its range."""
    return _change_fault(situation, "I3", situation.junction.faults.yellow)


def clearance_in_range(situation: Situation) -> Finding | None:
    """I4: no change from or to a stage whose red clearance is outside its range."""
    return _change_fault(situation, "I4", situation.junction.faults.clearance)


def _change_fault(situation: Situation, rule: str, faults: tuple[str, ...]) -> Finding | None:
    if situation.target is None:
        return None
    for stage in (situation.case.signal.stage, situation.target):
        if faults[stage]:
            return Finding(rule, Reaction.REJECT, f"stage {stage}: {faults[stage]}")
    return None


def min_green_over(situation: Situation) -> Finding | None:
    """I5: a green that has not lasted its minimum is held."""
    green_s = _green_to_end_s(situation)
    if green_s is None:
        return None
    min_green_s = situation.junction.timings[situation.case.signal.stage].min_green_s
    if has_reached(green_s, min_green_s):
        return None
    return Finding("I5", Reaction.HOLD, f"green for {green_s:.1f} s of at least {min_green_s:.1f} s")


def _green_to_end_s(situation: Situation) -> float | None:
    """How long the green has lasted that the request would end, in seconds; None when it would end none."""
    signal = situation.case.signal
    if situation.target is None or signal.interval is not Interval.GREEN:
        return None
    return situation.case.now_s - signal.since_s


def max_green_kept(situation: Situation) -> Finding | None:
    """I6: a green ends at its maximum when others call, and at its absolute maximum in any case."""
    return _forced(situation, "I6")


def max_wait_kept(situation: Situation) -> Finding | None:
    """I7: a called movement that has waited its maximum is served next; at two thirds of it the wait is told."""
    forced = _forced(situation, "I7")
    if forced is not None:
        return forced
    warning = wait_warning(situation.junction, situation.waiting)
    return Finding("I7", Reaction.LOG, warning) if warning else None


def _forced(situation: Situation, rule: str) -> Finding | None:
    duty = situation.duty
    if duty is None or duty.rule != rule or duty.stage == situation.asked:
        return None
    return Finding(rule, Reaction.FORCE, duty.detail, duty.stage)


def people_kept(situation: Situation) -> Finding | None:
    """I8: a walk lasts its minimum, people may finish it, and no change has times too short for them."""
    if situation.target is None:
        return None
    short = _change_fault(situation, "I8", situation.junction.faults.crossing)
    if short is not None:
        return short
    signal = situation.case.signal
    if signal.interval is Interval.PED_CLEARANCE:
        return Finding("I8", Reaction.HOLD, f"people are clearing a crossing of stage {signal.from_stage}")
    green_s, walk_s = _green_to_end_s(situation), situation.junction.walk_s[signal.stage]
    if green_s is None or walk_s == 0.0 or has_reached(green_s, walk_s):
        return None
    return Finding("I8", Reaction.HOLD, f"walk for {green_s:.1f} s of at least {walk_s:.1f} s")


def rings_kept(situation: Situation) -> Finding | None:
    """I9: only movements that the table of concurrency lists together are green together."""
    if situation.target is None:
        return None
    fault = situation.junction.faults.ring[situation.target]
    return Finding("I9", Reaction.REJECT, f"stage {situation.target}: {fault}") if fault else None


def red_revert_over(situation: Situation) -> Finding | None:
    """I10: a movement that has closed is not opened again before its yellow and its least red are over."""
    case, target = situation.case, situation.target
    if target is None or case.signal.interval is not Interval.GREEN:
        return None
    movement = reverting_movement(situation.junction, case.signal, case.history, target, case.now_s)
    if movement is None:
        return None
    closed_s = case.now_s - case.history.movement_green_s[movement]
    least_s = situation.junction.revert_s[movement]
    detail = f"movement {movement} closed {closed_s:.1f} s ago, it opens after {least_s:.1f} s at the earliest"
    return Finding("I10", Reaction.HOLD, detail)


def commandable(situation: Situation) -> Finding | None:
    """I11: nothing is granted to anybody who commands during preemption, manual control, stop time or flash."""
    mode = situation.case.mode
    return None if mode in COMMANDABLE_MODES else Finding("I11", Reaction.REJECT, f"the cabinet is in {mode}")


def rate_kept(situation: Situation) -> Finding | None:
    """I15: however short a minimum green is, a signal begins at most one change a second."""
    green_s = _green_to_end_s(situation)
    if green_s is None or has_reached(green_s, MIN_CHANGE_S):
        return None
    return Finding("I15", Reaction.HOLD, f"the stage in force began {green_s:.1f} s ago, at least {MIN_CHANGE_S:.0f} s")
