"""The agent of one intersection: `Agent.tick` is the nine steps of a control interval, one call each.

All that touches the world is handed in: driver, transport and clocks. The deciding itself is in `decision`, pure.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.messages import compose, encode_message, hello
from phasemesh.contract.observation import FloatArray
from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput
from phasemesh.contract.units import NS_PER_MS, IntersectionId, MonoNs
from phasemesh.controller.adapters.driver import Driver, DriverFault
from phasemesh.controller.clock import Clock, MonotonicClock
from phasemesh.controller.decision import Choice, Decider, Mind, Observed
from phasemesh.controller.ladder import Standing
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.memory.agent_memory import AgentMemory
from phasemesh.controller.memory.recall import Remembered
from phasemesh.controller.peers.echo import Echo
from phasemesh.controller.peers.gather import Gathered, gather
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.transport import Transport
from phasemesh.controller.policy.noise import deterministic_noise, mask_noise
from phasemesh.controller.recording import Ticked, record_of
from phasemesh.controller.safety.case import DeadlineCase, Finding, Verdict
from phasemesh.controller.safety.input_rules import deadline_kept
from phasemesh.controller.stopwatch import Stopwatch
from phasemesh.controller.telemetry.records import TickRecord
from phasemesh.controller.trouble import Circumstances
from phasemesh.controller.unit_watch import applied_fault, is_outranked


class AgentSettings(msgspec.Struct, frozen=True):
    """What distinguishes one agent's life: its name, boot, the noise's seed, and how it paces itself.

    `waits_for_step` says that all agents count the same steps (lockstep), so that a neighbour's message of this very
    step can be waited for; otherwise anything new since the last tick counts. `is_timed` makes rule I23 judge the wall
    time of a tick, which in lockstep says nothing about the street. `latched` are the events of earlier lives that no
    operator has reset yet. `speed` is how many seconds of cabinet time pass in a second of the decision clock.
    """

    intersection_id: IntersectionId
    boot_id: int
    seed: int
    is_deterministic: bool
    waits_for_step: bool
    is_timed: bool
    comm_deadline_ms: float
    latched: tuple[LadderEvent, ...] = ()
    speed: float = 1.0


STREET = DeadlineCase(inference_ms=0.0, comm_ms=0.0, command_ms=0.0, misses_before=0)
"""Nothing took any time; its limits are those of a street, where cabinet time is that of the wall."""


class Sensed(NamedTuple):
    """The first two steps of a tick, as the other seven need them."""

    snapshot: Snapshot
    observed: Observed
    noise: FloatArray
    started_ns: MonoNs
    decided_ns: MonoNs
    stopwatch: Stopwatch


class Decided(NamedTuple):
    """Step 6 of a tick: where the agent stands, under which circumstances, what it remembered and what it wants."""

    standing: Standing
    circumstances: Circumstances
    choice: Choice
    remembered: Remembered | None


class Judged(NamedTuple):
    """Step 7 of a tick: the verdict of the guard and the cabinet time at which it was given."""

    verdict: Verdict
    now_s: float


class Agent:
    """Runs one intersection; call `tick` with every new snapshot of a control interval."""

    def __init__(
        self,
        settings: AgentSettings,
        decider: Decider,
        driver: Driver,
        transport: Transport,
        mailbox: Mailbox,
        *,
        decision_clock: Clock,
        memory: AgentMemory | None = None,
    ) -> None:
        """Decide with `decider`; `decision_clock` judges lateness: the monotonic clock, or simulated time."""
        self.memory = memory
        self._settings = settings
        self._decider = decider
        self._driver = driver
        self._transport = transport
        self.mailbox = mailbox
        self._echo = Echo(settings.intersection_id, mailbox, decider.tick_s)
        self._clock = MonotonicClock()
        self._decision_clock = decision_clock
        self._mind: Mind | None = None
        self._sensed: Sensed | None = None
        self._tick = 0
        self._seq = 0
        self._misses = 0
        self._is_late = False
        self._late_answer: Finding | None = None
        self._circumstances = Circumstances()

    def tick(self, snapshot: Snapshot) -> TickRecord:
        """One control interval: observe, publish, receive, mask, infer, recall, guard, command, record."""
        return self.act(self.sense(snapshot))

    def sense(self, snapshot: Snapshot) -> Sensed:
        """Steps 1 and 2; apart from `act`, so that agents sharing a thread can all speak before any listens."""
        sensed = self._observe(snapshot)
        self._publish(sensed)
        return sensed

    def act(self, sensed: Sensed) -> TickRecord:
        """Steps 3 to 9."""
        gathered = self._receive(sensed)
        inputs = self._mask(sensed, gathered)
        output, late = self._infer(sensed, inputs, gathered)
        decided = self._recall(sensed, output, gathered, late)
        judged = self._guard(sensed, decided.choice)
        applied = self._command(sensed, decided.choice, judged)
        return self._record(sensed, gathered, output, decided, judged, applied)

    def say_hello(self) -> None:
        """Announce this life to the neighbours and hear theirs, before the first tick."""
        self._seq += 1
        message = hello(self._settings.intersection_id, self._settings.boot_id, self._seq)
        self._transport.publish(encode_message(message))
        for arrival in self._transport.poll(0.0):
            self.mailbox.accept(arrival, self._tick)

    def note_driver_fault(self, reason: str) -> None:
        """The driver gave no snapshot: the next tick stands on RELEASED, unless it is the first of this life."""
        if self._mind is not None:
            self._circumstances = msgspec.structs.replace(self._circumstances, driver_fault=reason)

    def note_orders(self, orders: tuple[LadderEvent, ...], *, latch_is_reset: bool = False) -> None:
        """What operators want of the next tick: `orders` in force, and whether what is latched is reset."""
        self._circumstances = msgspec.structs.replace(
            self._circumstances,
            orders=orders,
            latch_is_reset=latch_is_reset or self._circumstances.latch_is_reset,
        )

    def note_clock_step(self, clock_step_s: float) -> None:
        """The wall clock jumped by `clock_step_s` since the tick before (I24); it is only recorded."""
        self._circumstances = msgspec.structs.replace(self._circumstances, clock_step_s=clock_step_s)

    @property
    def standing(self) -> Standing | None:
        """Where the last tick stood on the ladder; None before the first."""
        return None if self._tick == 0 else self._known_mind().standing

    @property
    def was_late(self) -> bool:
        """Whether the last tick missed a deadline of rule I23."""
        return self._misses > 0

    def release(self) -> None:
        """Give the intersection back to its cabinet at once, for an orderly end; a dead cabinet needs no farewell."""
        if self._sensed is None:
            return
        self._seq += 1
        self._driver.apply(self._command_of(self._sensed, CommandKind.RELEASE, 0, self._now_s(self._sensed)))

    def _observe(self, snapshot: Snapshot) -> Sensed:
        watch = Stopwatch()
        mind = self._mind or self._decider.new_mind(snapshot, self._settings.latched)
        self._mind = mind
        observed = self._decider.observe(mind, snapshot)
        noise = self._noise(snapshot.step)
        started_ns = self._clock.mono_ns()
        sensed = Sensed(snapshot, observed, noise, started_ns, self._decision_clock.mono_ns(), watch)
        self._sensed = sensed
        watch.lap()
        return sensed

    def _noise(self, step: int) -> FloatArray:
        count = max(1, len(self._decider.intersection.neighbours))
        if self._settings.is_deterministic:
            return deterministic_noise(count)
        return mask_noise(self._settings.seed, self._settings.intersection_id, step, count)

    def _publish(self, sensed: Sensed) -> None:
        mind, observed = self._known_mind(), sensed.observed
        self._seq += 1
        message = compose(
            self._settings.intersection_id,
            self._settings.boot_id,
            self._seq,
            observed.snapshot.step,
            summary=observed.observation.summary,
            policy=mind.policy,
            hidden=observed.hidden,
            heard=self._echo.spoken(self._tick),
        )
        self._transport.publish(encode_message(message))
        sensed.stopwatch.lap()
        sensed.stopwatch.pause()

    def _receive(self, sensed: Sensed) -> Gathered:
        sensed.stopwatch.resume()
        step = sensed.observed.snapshot.step if self._settings.waits_for_step else None
        deadline_ns = sensed.started_ns + round(self._settings.comm_deadline_ms * NS_PER_MS)
        own_step = sensed.observed.snapshot.step
        gathered = gather(self._transport, self.mailbox, self._tick, step, deadline_ns, self._clock.mono_ns, own_step)
        sensed.stopwatch.lap()
        return gathered

    def _mask(self, sensed: Sensed, gathered: Gathered) -> PolicyInput:
        inputs = self._decider.mask(self._known_mind(), sensed.observed, gathered.views, sensed.noise)
        sensed.stopwatch.lap()
        return inputs

    def _infer(
        self, sensed: Sensed, inputs: PolicyInput, gathered: Gathered
    ) -> tuple[PolicyOutput | PolicyFault, Finding | None]:
        """The policy's answer, and what rule I23 says of the time that it took, or the last command's answer."""
        before_ns = self._decision_clock.mono_ns()
        output = self._decider.infer(inputs)
        case = DeadlineCase(
            inference_ms=(self._decision_clock.mono_ns() - before_ns) / NS_PER_MS,
            comm_ms=gathered.waited_ms if self._settings.is_timed else 0.0,
            command_ms=self._spent_ms(sensed),
            misses_before=self._misses,
            # A city that runs faster leaves as much less time; the comm deadline of a site is wall time already.
            inference_limit_ms=STREET.inference_limit_ms / self._settings.speed,
            command_limit_ms=STREET.command_limit_ms / self._settings.speed,
            comm_deadline_ms=self._settings.comm_deadline_ms,
        )
        late = deadline_kept(case)
        self._is_late = late is not None
        sensed.stopwatch.lap()
        return output, late or self._late_answer

    def _recall(
        self, sensed: Sensed, output: PolicyOutput | PolicyFault, gathered: Gathered, late: Finding | None
    ) -> Decided:
        mind, observed = self._known_mind(), sensed.observed
        circumstances = msgspec.structs.replace(self._circumstances, late=late)
        self._circumstances = Circumstances()
        standing = self._decider.stand(mind, observed, output, gathered.views, circumstances)
        remembered = None
        if self.memory is not None and isinstance(output, PolicyOutput):
            remembered = self.memory.look_up(observed.snapshot, observed.legal)
        choice = self._decider.choose(observed, output, standing.rung, late, remembered)
        sensed.stopwatch.lap()
        return Decided(standing, circumstances, choice, remembered)

    def _guard(self, sensed: Sensed, choice: Choice) -> Judged:
        now_s = self._now_s(sensed)
        verdict = self._decider.guard(sensed.observed, choice, now_s)
        sensed.stopwatch.lap()
        return Judged(verdict, now_s)

    def _now_s(self, sensed: Sensed) -> float:
        """Cabinet time now: that of the snapshot and what the decision clock says has passed since."""
        return sensed.observed.snapshot.now_s + self._spent_ms(sensed) / 1000.0 * self._settings.speed

    def _spent_ms(self, sensed: Sensed) -> float:
        return (self._decision_clock.mono_ns() - sensed.decided_ns) / NS_PER_MS

    def _command(self, sensed: Sensed, choice: Choice, judged: Judged) -> AppliedCommand | DriverFault:
        answer = self._driver.apply(self._command_of(sensed, choice.kind, judged.verdict.stage, judged.now_s))
        self._judge_answer(self._spent_ms(sensed))
        applied = self._readable(answer)
        if isinstance(applied, DriverFault):
            self.note_driver_fault(applied.reason)
        elif is_outranked(applied):
            self._circumstances = msgspec.structs.replace(self._circumstances, is_outranked=True)
        sensed.stopwatch.lap()
        return applied

    def _judge_answer(self, answer_ms: float) -> None:
        """Judge by rule I23 when the command was answered; a tick that misses is counted once, whatever it missed."""
        case = DeadlineCase(
            inference_ms=0.0,
            comm_ms=0.0,
            command_ms=0.0,
            misses_before=self._misses,
            command_limit_ms=STREET.command_limit_ms / self._settings.speed,
            answer_ms=answer_ms,
        )
        self._late_answer = None if self._is_late else deadline_kept(case)
        self._misses = self._misses + 1 if self._is_late or self._late_answer else 0

    def _readable(self, answer: AppliedCommand | DriverFault) -> AppliedCommand | DriverFault:
        """`answer` itself, or the fault that no cabinet of this intersection could have given it."""
        if isinstance(answer, DriverFault):
            return answer
        fault = applied_fault(self._decider.intersection, answer)
        return DriverFault(fault) if fault else answer

    def _command_of(self, sensed: Sensed, kind: CommandKind, stage: int, approved_s: float) -> Command:
        return Command(
            intersection_id=self._settings.intersection_id,
            boot_id=self._settings.boot_id,
            seq=self._seq,
            step=sensed.snapshot.step,
            decided_s=sensed.snapshot.now_s,
            kind=kind,
            stage=stage,
            approved_s=approved_s,
        )

    def _record(
        self,
        sensed: Sensed,
        gathered: Gathered,
        output: PolicyOutput | PolicyFault,
        decided: Decided,
        judged: Judged,
        applied: AppliedCommand | DriverFault,
    ) -> TickRecord:
        mind, answer = self._known_mind(), applied if isinstance(applied, AppliedCommand) else None
        boot_id = self._settings.boot_id
        unit = self._decider.note_answer(sensed.observed, decided.choice, answer, judged.now_s, boot_id)
        self._mind = self._decider.next_mind(sensed.observed, output, decided.standing, unit)
        if self.memory is not None:
            executed = answer.signal.stage if answer else None
            self.memory.note(sensed.observed.snapshot, sensed.observed.legal, decided.choice.source, executed)
        # Being heard is nothing that this agent can act on, so that it is settled only here, to be told.
        hears_us = self._echo.hears_us(gathered.views, self._tick)
        self._tick += 1
        sensed.stopwatch.lap()
        return record_of(
            Ticked(
                tick=self._tick - 1,
                snapshot=sensed.snapshot,
                observed=sensed.observed,
                mind=mind,
                noise=sensed.noise,
                gathered=gathered,
                hears_us=hears_us,
                output=output,
                standing=decided.standing,
                circumstances=decided.circumstances,
                choice=decided.choice,
                remembered=decided.remembered,
                verdict=judged.verdict,
                now_s=judged.now_s,
                applied=applied,
                stopwatch=sensed.stopwatch,
            )
        )

    def _known_mind(self) -> Mind:
        if self._mind is None:
            raise RuntimeError("an agent must observe before it speaks")
        return self._mind
