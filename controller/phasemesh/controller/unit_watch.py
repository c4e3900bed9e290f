"""What an agent watches in its controller unit from tick to tick: who controls it, and whether it does as it says.

The rules are those of `safety.unit_rules`; here is only what they must remember.
"""

from __future__ import annotations

import math

import msgspec

from phasemesh.contract.command import (
    LEASE_RULE,
    AppliedCommand,
    CommandKind,
    Interval,
    SignalState,
    change_s,
)
from phasemesh.contract.detection import COMMANDABLE_MODES, ControlMode, Snapshot
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.site import config_digest
from phasemesh.contract.timing import StageTiming, UnitTiming
from phasemesh.controller.safety.case import ConfigCase, Finding, LeaseCase, ModeCase, ReadbackCase, StartupCase
from phasemesh.controller.safety.request_rules import is_readable
from phasemesh.controller.safety.unit_rules import (
    config_agrees,
    lease_sound,
    readback_agrees,
    startup_over,
    unit_commandable,
)

ROUNDED_INTERVALS = 3
"""Intervals of a change, each of which a cabinet may round up to a whole step."""
MAX_TIME_S = 1e12
"""No clock shows more, nor does single precision lose a feature that follows from it."""
MAX_COUNT = 2**62
"""No counter reaches it; larger numbers have no place in a record."""


class Promise(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a cabinet accepted, in cabinet time: from `since_s` on it shows `stage` or the change to it.

    The change is over by `due_s`, and the promise ends with the lease at `until_s`. `boot_id` is the life that asked.
    """

    stage: int
    since_s: float
    due_s: float
    until_s: float
    boot_id: int


class UnitWatch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is remembered of a unit, in cabinet time.

    `valid_since_s` is the beginning of the unbroken row of states that were read, `taken_s` until when the unit was
    controlled by somebody whom no agent may disturb: None for never, infinite while it is. `broken_since_s` is since
    when the unit should have shown its promise and does not, and `strikes` how many ticks in a row found it so.
    """

    valid_since_s: float | None = None
    taken_s: float | None = None
    promise: Promise | None = None
    broken_since_s: float | None = None
    strikes: int = 0


class UnitRules:
    """The rules between one agent and its unit; holds only what never changes, so that its methods are pure."""

    def __init__(
        self,
        intersection: Intersection,
        timings: tuple[StageTiming, ...],
        unit: UnitTiming,
        *,
        tick_s: float,
        steps_per_tick: int,
    ) -> None:
        """Judge the unit of `intersection`, whose times are `timings` and `unit`."""
        self._timings = timings
        self._unit = unit
        self._tick_s = tick_s
        self._slack_s = ROUNDED_INTERVALS * tick_s / steps_per_tick
        self._digest = config_digest(intersection, timings)

    def look(self, watch: UnitWatch, snapshot: Snapshot) -> tuple[UnitWatch, tuple[Finding, ...]]:
        """What is remembered after `snapshot`, and the findings of the rules I11, I12, I14, I16 and I19."""
        now_s = snapshot.now_s
        valid_since_s = _since(watch.valid_since_s, now_s)
        taken_s = _taken_s(watch, snapshot)
        clear_s = math.inf if taken_s is None else now_s - taken_s
        read = _read_back(watch, snapshot)
        readback = readback_agrees(ReadbackCase(read.broken_since_s is None, _overdue_s(read, now_s), watch.strikes))
        findings = (
            unit_commandable(ModeCase(snapshot.mode, clear_s, self._unit.resume_s)),
            startup_over(StartupCase(now_s - valid_since_s, self._unit.startup_window_s)),
            lease_sound(LeaseCase(snapshot.lease_s, self._tick_s)),
            readback,
            config_agrees(ConfigCase(self._digest, snapshot.config_digest)),
        )
        seen = UnitWatch(
            valid_since_s=valid_since_s,
            taken_s=taken_s,
            promise=read.promise,
            broken_since_s=read.broken_since_s,
            strikes=_strikes(read, found=readback is not None),
        )
        return seen, tuple(finding for finding in findings if finding is not None)

    def note(
        self, watch: UnitWatch, kind: CommandKind, applied: AppliedCommand | None, now_s: float, boot_id: int
    ) -> UnitWatch:
        """`watch` after a command at `now_s` that was answered with `applied`, or not at all."""
        if kind is CommandKind.RELEASE:
            return msgspec.structs.replace(watch, promise=None, broken_since_s=None, strikes=0)
        if applied is None or not applied.is_accepted:
            return msgspec.structs.replace(watch, promise=None)
        promise = Promise(
            stage=applied.stage,
            since_s=now_s,
            due_s=self._change_end_s(applied.signal) + self._slack_s,
            until_s=applied.lease_until_s,
            boot_id=boot_id,
        )
        return msgspec.structs.replace(watch, promise=promise)

    def _change_end_s(self, signal: SignalState) -> float:
        """When the change that `signal` shows is over at the latest; the beginning of a green."""
        if signal.interval is Interval.GREEN:
            return signal.since_s
        return signal.since_s + change_s(self._timings[signal.from_stage])


def is_outranked(applied: AppliedCommand) -> bool:
    """Whether a command was refused because the cabinet obeys a newer life of the agent (I18)."""
    return not applied.is_accepted and applied.rule == LEASE_RULE


def snapshot_fault(intersection: Intersection, snapshot: Snapshot) -> str:
    """Why `snapshot` cannot be a state of `intersection`, or nothing; no such state may reach a decision (I12)."""
    lanes = len(intersection.lanes)
    if snapshot.intersection_id != intersection.id:
        return f"the cabinet is that of {snapshot.intersection_id!r}"
    if len(snapshot.readings) != lanes:
        return f"the cabinet reports {len(snapshot.readings)} lanes, the site has {lanes}"
    times_s = (snapshot.now_s, snapshot.signal.since_s, snapshot.day_s)
    if not _are_times(times_s) or not is_readable(intersection, snapshot.signal, snapshot.now_s):
        return f"the cabinet shows what cannot be read: {snapshot.signal} at {snapshot.now_s}"
    if not _are_counts((snapshot.step, snapshot.lease_boot_id or 0)):
        return f"the cabinet counts what cannot be counted: step {snapshot.step}, boot {snapshot.lease_boot_id}"
    return ""


def applied_fault(intersection: Intersection, applied: AppliedCommand) -> str:
    """Why `applied` cannot be the answer of the cabinet of `intersection`, or nothing."""
    is_read = is_readable(intersection, applied.signal, 0.0) and 0 <= applied.stage < len(intersection.stages)
    times_s, counts = (applied.signal.since_s, applied.lease_until_s), (applied.step, applied.requested_stage)
    if is_read and _are_times(times_s) and _are_counts(counts):
        return ""
    return f"the cabinet answers what cannot be read: stage {applied.stage}, {applied.signal}"


def _are_times(times_s: tuple[float, ...]) -> bool:
    """Whether all are numbers that a clock may show; every comparison with NaN is false."""
    return all(-MAX_TIME_S <= time_s <= MAX_TIME_S for time_s in times_s)


def _are_counts(counts: tuple[int, ...]) -> bool:
    return all(-MAX_COUNT <= count <= MAX_COUNT for count in counts)


def _taken_s(watch: UnitWatch, snapshot: Snapshot) -> float | None:
    # Nobody saw when it ended: what counts is the first look that finds the unit free, not the last that did not.
    if snapshot.mode not in COMMANDABLE_MODES:
        return math.inf
    return None if watch.taken_s is None else min(watch.taken_s, snapshot.now_s)


def _since(before_s: float | None, now_s: float) -> float:
    """The beginning of an unbroken row; a cabinet whose clock went back was restarted and begins another."""
    return now_s if before_s is None or before_s > now_s else before_s


def _read_back(watch: UnitWatch, snapshot: Snapshot) -> UnitWatch:
    """`watch` with its promise compared: `broken_since_s` is None when the unit does as it said."""
    promise = watch.promise
    if promise is None:
        return watch
    if _is_void(promise, snapshot):
        return msgspec.structs.replace(watch, promise=None, broken_since_s=None)
    if snapshot.mode is not ControlMode.AGENT or snapshot.signal.stage != promise.stage:
        due_s = promise.since_s
    elif snapshot.signal.interval is not Interval.GREEN and snapshot.now_s > promise.due_s:
        due_s = promise.due_s
    else:
        return msgspec.structs.replace(watch, broken_since_s=None)
    return msgspec.structs.replace(watch, broken_since_s=_since(watch.broken_since_s, due_s))


def _is_void(promise: Promise, snapshot: Snapshot) -> bool:
    """Whether nothing holds the unit to `promise`: others control it, its lease is over, or it was restarted."""
    is_others = snapshot.lease_boot_id is not None and snapshot.lease_boot_id > promise.boot_id
    is_in_time = promise.since_s <= snapshot.now_s <= promise.until_s
    return snapshot.mode not in COMMANDABLE_MODES or is_others or not is_in_time


def _overdue_s(watch: UnitWatch, now_s: float) -> float:
    return 0.0 if watch.broken_since_s is None else now_s - watch.broken_since_s


def _strikes(watch: UnitWatch, *, found: bool) -> int:
    if found:
        return watch.strikes + 1
    return 0 if watch.broken_since_s is None and watch.promise is not None else watch.strikes
