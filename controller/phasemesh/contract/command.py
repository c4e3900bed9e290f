"""What is asked of a signal, what is really shown, and the one pure sequencer between the two.

The sequencer is the only code that times a change of stage: cabinet, drivers and trainer all use it. A change that
closes crossings first lets the people on them walk to the other side while all vehicles keep what they have. Then it
shows yellow to the movements that lose their green or its protection, then red clearance, then the next stage; other
movements that are green in both stages stay as they were until the change is over.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from phasemesh.contract.intersection import Intersection, Stage, stage_lights
from phasemesh.contract.timing import StageTiming
from phasemesh.contract.units import Int64, IntersectionId

TIME_EPSILON_S = 1e-6
"""Slack of every comparison of times, so that sums of steps do not fall short by a rounding error."""


LEASE_RULE = "I18"
"""In an `AppliedCommand`: refused because a newer life holds the lease, or because the command was obeyed before."""


class Interval(StrEnum):
    """The part of a stage that is being shown."""

    GREEN = "green"
    PED_CLEARANCE = "ped_clearance"
    YELLOW = "yellow"
    RED_CLEARANCE = "red_clearance"


class SignalState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a signal shows: `stage` in green, or the change from `from_stage` to `stage`.

    `since_s` is the cabinet time at which `interval` began.
    """

    stage: Int64
    from_stage: Int64
    interval: Interval
    since_s: float


class CommandKind(StrEnum):
    """All that may be asked of a cabinet (invariant I17)."""

    STAGE = "stage"
    RELEASE = "release"


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request of an agent for one stage, or for the end of its own control.

    `boot_id` names the life of the agent and `seq` rises within it; `step` is the cabinet step that it answers and
    `decided_s` the cabinet time of that step, from which its age counts. `approved_s` is the cabinet time at which the
    agent's guard let it pass; a cabinet obeys nothing without it (invariant I25).
    """

    intersection_id: IntersectionId
    boot_id: Int64
    seq: Int64
    step: Int64
    decided_s: float
    kind: CommandKind
    stage: Int64
    approved_s: float | None = None


class AppliedCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a command: the stage in force, the rule that changed the request (or none), what is shown."""

    step: Int64
    requested_stage: Int64
    stage: Int64
    is_accepted: bool
    rule: str
    signal: SignalState
    lease_until_s: float


def start(stage: int, now_s: float) -> SignalState:
    """The state of a signal that shows `stage` from `now_s` on."""
    return SignalState(stage=stage, from_stage=stage, interval=Interval.GREEN, since_s=now_s)


def request_stage(intersection: Intersection, signal: SignalState, stage: int, now_s: float) -> SignalState:
    """`signal` after a request for `stage`; a request during a change, or for the current stage, alters nothing."""
    if signal.interval is not Interval.GREEN or stage == signal.stage:
        return signal
    interval = _first_interval(intersection, intersection.stages[signal.stage], intersection.stages[stage])
    return SignalState(stage=stage, from_stage=signal.stage, interval=interval, since_s=now_s)


def _first_interval(intersection: Intersection, before: Stage, after: Stage) -> Interval:
    closing = closing_movements(before, after)
    if any(intersection.movements[index].is_crossing for index in closing):
        return Interval.PED_CLEARANCE
    return Interval.YELLOW if closing else Interval.GREEN


def closing_movements(before: Stage, after: Stage) -> frozenset[int]:
    """Movements that a change from `before` to `after` must clear: those that lose their green or their protection.

    A turn that was protected must not meet, without warning, the traffic to which it yields from now on.
    """
    return (before.served - after.served) | (frozenset(before.protected) & frozenset(after.permissive))


def advance(signal: SignalState, timings: tuple[StageTiming, ...], now_s: float) -> SignalState:
    """`signal` at `now_s`: the intervals of a change end after exactly the times of the stage that they close."""
    timing = timings[signal.from_stage]
    if signal.interval is Interval.PED_CLEARANCE and _has_lasted(signal, timing.ped_clearance_s, now_s):
        end_s = signal.since_s + timing.ped_clearance_s
        signal = msgspec.structs.replace(signal, interval=Interval.YELLOW, since_s=end_s)
    if signal.interval is Interval.YELLOW and _has_lasted(signal, timing.yellow_s, now_s):
        end_s = signal.since_s + timing.yellow_s
        signal = msgspec.structs.replace(signal, interval=Interval.RED_CLEARANCE, since_s=end_s)
    if signal.interval is Interval.RED_CLEARANCE and _has_lasted(signal, timing.red_clearance_s, now_s):
        end_s = signal.since_s + timing.red_clearance_s
        signal = msgspec.structs.replace(signal, interval=Interval.GREEN, since_s=end_s)
    return signal


def _has_lasted(signal: SignalState, duration_s: float, now_s: float) -> bool:
    return now_s - signal.since_s >= duration_s - TIME_EPSILON_S


def change_s(timing: StageTiming) -> float:
    """The longest that a change away from a stage with `timing` takes, in seconds."""
    return timing.ped_clearance_s + timing.yellow_s + timing.red_clearance_s


def lights(intersection: Intersection, signal: SignalState) -> str:
    """The letters shown by `signal`, one a movement: `G` protected, `g` permissive, `y` yellow, `r` red.

    A crossing shows `G` for walk and `r` otherwise; people who are on it when the walk ends have their clearance. A
    change from a stage to itself is no change: all is red, as while a unit starts or flashes.
    """
    target = intersection.stages[signal.stage]
    if signal.interval is Interval.GREEN:
        return stage_lights(intersection, target)
    if signal.stage == signal.from_stage:
        return "r" * len(intersection.movements)
    origin = intersection.stages[signal.from_stage]
    closing = closing_movements(origin, target)
    before = stage_lights(intersection, origin)
    return "".join(
        _closing_letter(letter, signal.interval, is_crossing=intersection.movements[index].is_crossing)
        if index in closing
        else letter
        for index, letter in enumerate(before)
    )


def _closing_letter(letter: str, interval: Interval, *, is_crossing: bool) -> str:
    if is_crossing or interval is Interval.RED_CLEARANCE:
        return "r"
    return "y" if interval is Interval.YELLOW else letter


def elapsed_green_s(signal: SignalState, now_s: float) -> float:
    """Seconds since the green of the current stage began; 0 during a change."""
    return now_s - signal.since_s if signal.interval is Interval.GREEN else 0.0
