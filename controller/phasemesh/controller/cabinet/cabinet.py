"""One virtual controller unit: it times the changes, judges every command itself and falls back to its own plan.

The unit shares the pure rules with the agents but none of their state: a wrong agent cannot make it show a conflict.
Its clock is whatever its owner feeds into `step()`: simulated seconds or monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S, AppliedCommand, Command, CommandKind, request_stage
from phasemesh.contract.detection import (
    COMMANDABLE_MODES,
    INVALID_READING,
    ControlMode,
    LaneReading,
    Snapshot,
    plausible,
)
from phasemesh.contract.errors import SiteError
from phasemesh.contract.history import empty_history, note_calls, note_signal
from phasemesh.contract.intersection import Intersection, faults_of_intersection
from phasemesh.contract.preemption import RailPreemption, faults_of_rail
from phasemesh.contract.site import config_digest
from phasemesh.contract.timing import SIMULATED_UNIT, StageTiming, UnitTiming
from phasemesh.controller.cabinet.arbiter import (
    Override,
    OverrideKind,
    fault_of_override,
    granted_stage,
    mode_of,
    override_of,
    still_live,
    strongest,
    with_override,
    without_override,
)
from phasemesh.controller.cabinet.bodies import CabinetFault, FaultReport
from phasemesh.controller.cabinet.display import (
    MODE_OF_FACE,
    Display,
    Face,
    advance_display,
    display_times,
    first_display,
    flash,
    frozen,
    letters,
)
from phasemesh.controller.cabinet.latches import LatchBook
from phasemesh.controller.cabinet.lease import Hearing, Lease, may_attach, refusal
from phasemesh.controller.cabinet.readback import ReadBack
from phasemesh.controller.cabinet.track_clearance import TrackClearance, next_clearance, stage_for_train
from phasemesh.controller.plans.plan import LocalPlan
from phasemesh.controller.safety.case import GuardCase, Verdict
from phasemesh.controller.safety.detectors import empty_health, note_readings, substituted
from phasemesh.controller.safety.guard import Guard
from phasemesh.controller.safety.unit_rules import least_lease_s

UNHEARD_RULES = frozenset({"I13", "I17"})
"""Rules whose breach shows that the command cannot be trusted at all: it does not renew the lease."""
TRANSIT_RULE = "transit"
"""In an `AppliedCommand`: transit priority replaced the stage that was asked for."""
DAY_S = 86_400.0
_ASKING_MODES = frozenset({ControlMode.PREEMPT, ControlMode.MANUAL})
"""Modes in which an override asks for its stage at every step."""


def day_of_cabinet(now_s: float) -> float:
    """The time of day of a cabinet whose time began at midnight, in seconds."""
    return now_s % DAY_S


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
        unit: UnitTiming = SIMULATED_UNIT,
        state_path: Path | None = None,
        day_s: Callable[[float], float] = day_of_cabinet,
        rail: RailPreemption | None = None,
    ) -> None:
        """Power comes at `now_s`; raises SiteError when the intersection contradicts itself.

        Args:
            intersection: What the unit controls.
            timings: The times of its stages, in stage order.
            plan: Chooses the stages while nobody else does.
            tick_s: The control interval of the agent, which limits the age of a command.
            now_s: Cabinet time of the start.
            step: The step that is present at the start.
            unit: Start-up times; the default shows the first stage at once.
            state_path: File in which latched faults outlast a power cut; None to forget them.
            day_s: From cabinet time to local seconds since midnight; no interval is timed by it.
            rail: What to show for a train; None where there are no tracks.
        """
        faults = faults_of_intersection(intersection) or (faults_of_rail(rail, intersection) if rail else [])
        if faults:
            raise SiteError(f"intersection {intersection.id}: {faults[0]} ({len(faults)} faults); correct the site")
        self.intersection = intersection
        self.timings = timings
        self._plan = plan
        self._tick_s = tick_s
        self._lease_s = least_lease_s(tick_s)
        self._guard = Guard(intersection, timings, unit)
        self._config_digest = config_digest(intersection, timings)
        self._day_s = day_s
        self._step = step
        self._now_s = now_s
        self._history = empty_history(intersection, now_s)
        self._health = empty_health(intersection, now_s)
        self._readings: tuple[LaneReading, ...] = (INVALID_READING,) * len(intersection.lanes)
        self._believed = self._readings
        self._lease: Lease | None = None
        self._has_agent = False
        self._overrides: tuple[Override, ...] = ()
        self._rail = rail
        self._clearance: TrackClearance | None = None
        self._own_plan_s = 0.0
        self._book = LatchBook(state_path, now_s, day_s(now_s))
        self._times = display_times(timings, unit.startup_flash_s)
        self._display = first_display(self._times, now_s, is_latched=bool(self._book.rules))
        self._readback = ReadBack(intersection, timings)
        self._mode = self._present_mode()
        self._shown: Display | None = None
        self._lights = ""
        self._show()

    @property
    def lights(self) -> str:
        """The letters that the signal shows now, one a movement; `o` and `O` while it flashes."""
        return self._lights

    @property
    def own_plan_s(self) -> float:
        """Seconds so far in which the own plan chose the stages."""
        return self._own_plan_s

    @property
    def mode(self) -> ControlMode:
        """Who chooses the stages now."""
        return self._mode

    @property
    def present_step(self) -> int:
        """The number of the present step."""
        return self._step

    @property
    def overrides(self) -> tuple[Override, ...]:
        """The overrides that are in force, strongest first."""
        return self._overrides

    @property
    def faults(self) -> FaultReport:
        """What is latched and what was reset, oldest first, and why the file of it cannot be written, if so."""
        return FaultReport(self._book.latched, self._book.resets, self._book.file_fault)

    def snapshot(self) -> Snapshot:
        """Signal, lease and detectors at the present step; readings are as they were received."""
        lease = self._lease
        return Snapshot(
            intersection_id=self.intersection.id,
            step=self._step,
            now_s=self._now_s,
            signal=self._display.signal,
            mode=self._mode,
            lease_until_s=lease.until_s if lease else self._now_s,
            lease_boot_id=lease.boot_id if lease else None,
            readings=self._readings,
            lease_s=self._lease_s,
            config_digest=self._config_digest,
            latched=self._book.rules,
            day_s=self._day_s(self._now_s),
        )

    def attach(self, boot_id: int) -> bool:
        """Note the life of an agent that is about to command; False when a newer life is already known."""
        if not may_attach(self._lease, boot_id):
            return False
        if self._lease is None or boot_id > self._lease.boot_id:
            self._lease = Lease(boot_id=boot_id, seq=-1, until_s=self._now_s)
        return True

    def step(self, step: int, now_s: float, readings: tuple[LaneReading, ...] | None = None) -> None:
        """Go on to `now_s`: end intervals that are over, note detectors, and ask for what the mode demands."""
        elapsed_s, self._step, self._now_s = now_s - self._now_s, step, now_s
        self._overrides = still_live(self._overrides, now_s)
        self._book.retry(now_s)
        self._advance(elapsed_s)
        if readings is not None:
            self.read(readings)
        if self._lease is None or now_s > self._lease.until_s + TIME_EPSILON_S:
            self._has_agent = False
        self._settle()
        if self._mode is ControlMode.OWN_PLAN:
            self._own_plan_s += elapsed_s
        self._ask()
        self._show()

    def read(self, readings: tuple[LaneReading, ...]) -> None:
        """Note what the detectors say now, in the order of the lanes; implausible readings become invalid ones."""
        self._readings = tuple(plausible(reading) for reading in readings)
        raw = msgspec.structs.replace(self.snapshot(), readings=readings)
        self._health = note_readings(self._health, raw)
        believed = substituted(raw, self._health)
        self._believed = believed.readings
        self._history = note_calls(self._history, believed)

    def command(self, command: Command) -> AppliedCommand:
        """Obey `command` as far as lease, mode and guard allow; what is not allowed leaves the signal as it is."""
        hearing = Hearing(self.intersection.id, self._lease, self._mode, self._now_s, self._tick_s)
        if rule := refusal(command, hearing):
            return self._applied(command, self._display.signal.stage, is_accepted=False, rule=rule)
        if command.kind is CommandKind.RELEASE:
            return self._release(command)
        verdict = self._judge(command.kind, command.stage, command.decided_s)
        if verdict.rule in UNHEARD_RULES:
            return self._applied(command, verdict.stage, is_accepted=False, rule=verdict.rule)
        self._lease = Lease(command.boot_id, command.seq, self._now_s + self._lease_s)
        self._has_agent = True
        self._settle()
        stage, is_replaced = self._with_transit(command.stage)
        if is_replaced:
            verdict = self._judge(command.kind, stage, command.decided_s)
        self._obey(verdict.stage)
        self._show()
        is_accepted = verdict.is_accepted and not is_replaced
        rule = verdict.rule or (TRANSIT_RULE if is_replaced else "")
        return self._applied(command, verdict.stage, is_accepted=is_accepted, rule=rule)

    def override(
        self, kind: OverrideKind, stage: int | None, ttl_s: float, *, reason: str, who: str
    ) -> Override | CabinetFault:
        """Put an override of `kind` in force for `ttl_s`, in place of an older one of its kind, or say why not."""
        fault = fault_of_override(self.intersection, kind, stage, ttl_s, self._rail)
        if fault:
            return CabinetFault(fault)
        override = Override(kind, stage, self._now_s, self._now_s + ttl_s, reason, who)
        self._overrides = with_override(self._overrides, override)
        self._settle()
        self._ask()
        self._show()
        return override

    def cancel(self, kind: OverrideKind) -> bool:
        """End the override of `kind`; False when there is none."""
        is_there = override_of(self._overrides, kind) is not None
        self._overrides = without_override(self._overrides, kind)
        self._settle()
        return is_there

    def latch(self, rule: str, detail: str) -> None:
        """Go to flash at once and stay there until an operator resets `rule`; for every monitor of these lights."""
        self._book.latch(rule, detail, self._now_s, self._day_s(self._now_s))
        if self._display.face is not Face.FLASH:
            self._display = flash(self._now_s)
        self._settle()
        self._show()

    def reset(self, rule: str, who: str, reason: str = "") -> str:
        """Clear the latched `rule`; the answer says in one line why not, or is empty."""
        return self._book.reset(rule, who, reason, self._now_s, self._day_s(self._now_s))

    def _advance(self, elapsed_s: float) -> None:
        before, override = self._display, strongest(self._overrides)
        kind = override.kind if override else None
        if kind is OverrideKind.STOP_TIME:
            before = frozen(before, elapsed_s)
        wants_flash = kind is OverrideKind.FLASH or bool(self._book.rules)
        self._display = advance_display(before, self._times, self.intersection, self._now_s, wants_flash=wants_flash)
        if self._display.face is not Face.STAGES:
            return
        if before.face is not Face.STAGES:
            self._history = empty_history(self.intersection, self._now_s)
        self._history = note_signal(self._history, self.intersection, self._display.signal, self._now_s)

    def _present_mode(self) -> ControlMode:
        mode = MODE_OF_FACE.get(self._display.face) or mode_of(self._overrides)
        return mode or (ControlMode.AGENT if self._has_agent else ControlMode.OWN_PLAN)

    def _settle(self) -> None:
        """Bring the mode up to date; whoever outranks the agent ends its lease (invariant I11)."""
        self._mode = self._present_mode()
        self._follow_train()
        if self._mode in COMMANDABLE_MODES:
            return
        self._has_agent = False
        if self._lease is not None and self._lease.until_s > self._now_s:
            self._lease = msgspec.structs.replace(self._lease, until_s=self._now_s)

    def _follow_train(self) -> None:
        """Note how far the clearing of the tracks has come; a train that is gone leaves nothing behind."""
        is_called = override_of(self._overrides, OverrideKind.RAIL) is not None
        if self._rail is None or not is_called:
            self._clearance = None
        else:
            self._clearance = next_clearance(self._clearance, self._rail, self._display, self._now_s)

    def _ask(self) -> None:
        if self._mode is ControlMode.OWN_PLAN:
            self._follow_own_plan()
        override = strongest(self._overrides)
        if self._mode in _ASKING_MODES and override is not None and override.stage is not None:
            self._follow(override.kind, self._stage_of(override.kind, override.stage))

    def _stage_of(self, kind: OverrideKind, stage: int) -> int:
        if kind is OverrideKind.RAIL and self._rail is not None:
            return stage_for_train(self._clearance, self._rail, stage)
        return stage

    def _follow(self, kind: OverrideKind, stage: int) -> None:
        verdict = self._judge(CommandKind.STAGE, stage, self._now_s)
        self._obey(granted_stage(kind, stage, verdict, self._display.signal.stage))

    def _follow_own_plan(self) -> None:
        seen = msgspec.structs.replace(self.snapshot(), readings=self._believed)
        wanted = self._plan.choose(seen, self._history)
        stage, _ = self._with_transit(wanted)
        self._obey(self._judge(CommandKind.STAGE, stage, self._now_s).stage)

    def _with_transit(self, stage: int) -> tuple[int, bool]:
        """The stage to ask for when `stage` is wished, and whether transit priority put another one in its place."""
        override = override_of(self._overrides, OverrideKind.TRANSIT)
        if override is None or override.stage is None or override.stage == stage:
            return stage, False
        return override.stage, True

    def _release(self, command: Command) -> AppliedCommand:
        self._lease = Lease(command.boot_id, command.seq, self._now_s)
        self._has_agent = False
        self._settle()
        return self._applied(command, self._display.signal.stage, is_accepted=True, rule="")

    def _judge(self, kind: CommandKind, stage: int, decided_s: float) -> Verdict:
        return self._guard.judge(
            GuardCase(
                intersection=self.intersection,
                timings=self.timings,
                signal=self._display.signal,
                history=self._history,
                now_s=self._now_s,
                max_age_s=self._tick_s,
                kind=kind,
                stage=stage,
                decided_s=decided_s,
            )
        )

    def _obey(self, stage: int) -> None:
        signal = request_stage(self.intersection, self._display.signal, stage, self._now_s)
        if signal is self._display.signal:
            return
        self._display = msgspec.structs.replace(self._display, signal=signal)
        self._history = note_signal(self._history, self.intersection, signal, self._now_s)

    def _show(self) -> None:
        """Show what the display says, unless read-back or guard object: then flash is shown in its place."""
        if self._display is self._shown:
            return
        self._shown = self._display
        shown = self._letters()
        conflict = self._guard.shown_conflict(self._display.signal, self._now_s)
        findings = (*self._readback.look(shown, self._now_s), *((conflict,) if conflict else ()))
        if not findings:
            self._lights = shown
        for finding in findings:
            self.latch(finding.rule, finding.detail)

    def _letters(self) -> str:
        return letters(self.intersection, self._display)

    def _applied(self, command: Command, stage: int, *, is_accepted: bool, rule: str) -> AppliedCommand:
        return AppliedCommand(
            step=command.step,
            requested_stage=command.stage,
            stage=stage,
            is_accepted=is_accepted,
            rule=rule,
            signal=self._display.signal,
            lease_until_s=self._lease.until_s if self._lease else self._now_s,
        )
