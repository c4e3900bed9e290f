"""One virtual controller unit: it times the changes, judges every command itself and falls back to its own plan.

The unit shares the pure rules with the agents but none of their state: a wrong agent cannot make it show a conflict.
Its clock is whatever its owner feeds into `step()`: simulated seconds or monotonic seconds.
"""

from __future__ import annotations

import msgspec

from phasemesh.contract.command import (
    LEASE_RULE,
    TIME_EPSILON_S,
    AppliedCommand,
    Command,
    CommandKind,
    Interval,
    SignalState,
    advance,
    lights,
    request_stage,
    start,
)
from phasemesh.contract.detection import INVALID_READING, ControlMode, LaneReading, Snapshot, plausible
from phasemesh.contract.errors import SiteError
from phasemesh.contract.history import empty_history, note_calls, note_signal
from phasemesh.contract.intersection import Intersection, faults_of_intersection
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.plans.plan import LocalPlan
from phasemesh.controller.safety.case import GuardCase, Verdict
from phasemesh.controller.safety.guard import Guard

MIN_LEASE_S = 10.0
LEASE_TICKS = 3


UNHEARD_RULES = frozenset({"I13", "I17"})
"""Rules whose breach shows that the command cannot be trusted at all: it does not renew the lease."""


def lease_s(tick_s: float) -> float:
    """How long one command keeps the cabinet obedient, in seconds."""
    return max(MIN_LEASE_S, LEASE_TICKS * tick_s)


class Lease(msgspec.Struct, frozen=True):
    """The agent's life that may command, its latest sequence number, and until when in cabinet time."""

    boot_id: int
    seq: int
    until_s: float


class Cabinet:
    """A virtual controller unit for one intersection; not safe for use from several threads."""

    def __init__(
        self,
        intersection: Intersection,
        timings: tuple[StageTiming, ...],
        plan: LocalPlan,
        *,
        tick_s: float,
        now_s: float,
        step: int = 0,
    ) -> None:
        """Start in the first stage at `now_s`; raises SiteError when the intersection contradicts itself."""
        faults = faults_of_intersection(intersection)
        if faults:
            raise SiteError(f"intersection {intersection.id}: {faults[0]} ({len(faults)} faults); correct the site")
        self.intersection = intersection
        self._timings = timings
        self._plan = plan
        self._tick_s = tick_s
        self._guard = Guard(intersection, timings)
        self._signal = start(0, now_s)
        self._history = empty_history(intersection, now_s)
        self._readings: tuple[LaneReading, ...] = (INVALID_READING,) * len(intersection.lanes)
        self._lease: Lease | None = None
        self._mode = ControlMode.OWN_PLAN
        self._step = step
        self._now_s = now_s
        self._own_plan_s = 0.0

    @property
    def lights(self) -> str:
        """The letters that the signal shows now, one a movement."""
        return lights(self.intersection, self._signal)

    @property
    def own_plan_s(self) -> float:
        """Seconds so far in which no agent held the lease."""
        return self._own_plan_s

    @property
    def mode(self) -> ControlMode:
        """Who chooses the stages now."""
        return self._mode

    def snapshot(self) -> Snapshot:
        """Signal, lease and detectors at the present step."""
        return Snapshot(
            intersection_id=self.intersection.id,
            step=self._step,
            now_s=self._now_s,
            signal=self._signal,
            mode=self._mode,
            lease_until_s=self._lease.until_s if self._lease else self._now_s,
            lease_boot_id=self._lease.boot_id if self._lease else None,
            readings=self._readings,
        )

    def attach(self, boot_id: int) -> bool:
        """Note the life of an agent that is about to command; False when a newer life is already known."""
        if self._lease is not None and boot_id < self._lease.boot_id:
            return False
        if self._lease is None or boot_id > self._lease.boot_id:
            self._lease = Lease(boot_id=boot_id, seq=-1, until_s=self._now_s)
        return True

    def step(self, step: int, now_s: float, readings: tuple[LaneReading, ...] | None = None) -> None:
        """Go on to `now_s`: end intervals that are over, note detectors, and run the own plan without a live lease."""
        elapsed_s, self._step, self._now_s = now_s - self._now_s, step, now_s
        self._signal = _as_shown(self._signal, advance(self._signal, self._timings, now_s), self._timings, now_s)
        self._history = note_signal(self._history, self.intersection, self._signal, now_s)
        if readings is not None:
            self.read(readings)
        if self._lease is None or now_s > self._lease.until_s + TIME_EPSILON_S:
            self._mode = ControlMode.OWN_PLAN
        if self._mode is ControlMode.OWN_PLAN:
            self._own_plan_s += elapsed_s
            self._follow_own_plan()

    def read(self, readings: tuple[LaneReading, ...]) -> None:
        """Note what the detectors say now, in the order of the lanes; implausible readings become invalid ones."""
        self._readings = tuple(plausible(reading) for reading in readings)
        self._history = note_calls(self._history, self.snapshot())

    def command(self, command: Command) -> AppliedCommand:
        """Obey `command` as far as lease and guard allow; what is not allowed leaves the signal as it is."""
        if not self._is_from_leaseholder(command):
            return self._applied(command, self._signal.stage, is_accepted=False, rule=LEASE_RULE)
        if command.kind is CommandKind.RELEASE:
            return self._release(command)
        verdict = self._judge(command.kind, command.stage, command.decided_s)
        if verdict.rule not in UNHEARD_RULES:
            self._lease = Lease(command.boot_id, command.seq, self._now_s + lease_s(self._tick_s))
            self._mode = ControlMode.AGENT
            self._obey(verdict.stage)
        return self._applied(command, verdict.stage, is_accepted=verdict.is_accepted, rule=verdict.rule)

    def _is_from_leaseholder(self, command: Command) -> bool:
        """Whether `command` comes from the life that holds the lease, or from a newer one; nothing changes yet."""
        if command.intersection_id != self.intersection.id:
            return False
        lease = self._lease
        return lease is None or (command.boot_id, command.seq) > (lease.boot_id, lease.seq)

    def _release(self, command: Command) -> AppliedCommand:
        self._lease = Lease(command.boot_id, command.seq, self._now_s)
        self._mode = ControlMode.OWN_PLAN
        return self._applied(command, self._signal.stage, is_accepted=True, rule="")

    def _follow_own_plan(self) -> None:
        wanted = self._plan.choose(self.snapshot(), self._history)
        self._obey(self._judge(CommandKind.STAGE, wanted, self._now_s).stage)

    def _judge(self, kind: CommandKind, stage: int, decided_s: float) -> Verdict:
        return self._guard.judge(
            GuardCase(
                intersection=self.intersection,
                timings=self._timings,
                signal=self._signal,
                history=self._history,
                now_s=self._now_s,
                max_age_s=self._tick_s,
                kind=kind,
                stage=stage,
                decided_s=decided_s,
            )
        )

    def _obey(self, stage: int) -> None:
        self._signal = request_stage(self.intersection, self._signal, stage, self._now_s)
        self._history = note_signal(self._history, self.intersection, self._signal, self._now_s)

    def _applied(self, command: Command, stage: int, *, is_accepted: bool, rule: str) -> AppliedCommand:
        return AppliedCommand(
            step=command.step,
            requested_stage=command.stage,
            stage=stage,
            is_accepted=is_accepted,
            rule=rule,
            signal=self._signal,
            lease_until_s=self._lease.until_s if self._lease else self._now_s,
        )


def _as_shown(before: SignalState, after: SignalState, timings: tuple[StageTiming, ...], now_s: float) -> SignalState:
    """`after` as a cabinet shows it, whose lights change only at steps.

    An interval counts from the step that first shows it, and a red clearance is shown even where a coarse step would
    jump over it; neither makes a difference when all times are whole numbers of steps.
    """
    if after == before:
        return after
    skips_red = before.interval is Interval.YELLOW and after.interval is Interval.GREEN
    if skips_red and timings[before.from_stage].red_clearance_s > 0:
        return msgspec.structs.replace(after, interval=Interval.RED_CLEARANCE, since_s=now_s)
    return msgspec.structs.replace(after, since_s=now_s)
