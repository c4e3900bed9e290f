"""The agent of one intersection: `Agent.tick` is the nine steps of a control interval, one call each.

All that touches the world is handed in: driver, transport and clocks. The deciding itself is in `decision`, pure.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec
import numpy as np

from phasemesh.contract.command import LEASE_RULE, AppliedCommand, Command, CommandKind
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.messages import compose, encode_message, hello
from phasemesh.contract.observation import FloatArray
from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput
from phasemesh.contract.units import NS_PER_MS, IntersectionId, MonoNs
from phasemesh.controller.adapters.driver import Driver, DriverFault
from phasemesh.controller.clock import Clock, MonotonicClock
from phasemesh.controller.decision import Choice, Decider, Mind, Observed
from phasemesh.controller.ladder import Conditions, Standing, next_standing
from phasemesh.controller.peers.gather import Gathered, gather
from phasemesh.controller.peers.mailbox import Mailbox, PeerView
from phasemesh.controller.peers.transport import Transport
from phasemesh.controller.policy.noise import deterministic_noise, mask_noise
from phasemesh.controller.safety.case import DeadlineCase, Finding, Reaction, Verdict
from phasemesh.controller.safety.input_rules import deadline_kept
from phasemesh.controller.telemetry.records import PeerInput, Rung, Source, TickRecord


class AgentSettings(msgspec.Struct, frozen=True):
    """What distinguishes one agent's life: its name, boot, the noise's seed, and how it paces itself.

    `waits_for_step` says that all agents count the same steps (lockstep), so that a neighbour's message of this very
    step can be waited for; otherwise anything new since the last tick counts. `is_timed` makes rule I23 judge the wall
    time of a tick, which in lockstep says nothing about the street.
    """

    intersection_id: IntersectionId
    boot_id: int
    seed: int
    is_deterministic: bool
    waits_for_step: bool
    is_timed: bool
    comm_deadline_ms: float


class Stopwatch:
    """Wall time of each step of a tick, and the CPU time of all of them."""

    def __init__(self) -> None:
        """Begin the first step."""
        self._cpu_ns = time.thread_time_ns()
        self._lap_ns = time.perf_counter_ns()
        self.step_ms: list[float] = []

    def lap(self) -> None:
        """End a step and begin the next."""
        now_ns = time.perf_counter_ns()
        self.step_ms.append((now_ns - self._lap_ns) / NS_PER_MS)
        self._lap_ns = now_ns

    def pause(self) -> None:
        """Leave out the time that passes until `resume`: others may work meanwhile."""
        self._cpu_ns = time.thread_time_ns() - self._cpu_ns

    def resume(self) -> None:
        """Go on after `pause`."""
        self._cpu_ns = time.thread_time_ns() - self._cpu_ns
        self._lap_ns = time.perf_counter_ns()

    @property
    def cpu_ms(self) -> float:
        """CPU time of this thread since the beginning, in milliseconds."""
        return (time.thread_time_ns() - self._cpu_ns) / NS_PER_MS


class Sensed(NamedTuple):
    """The first two steps of a tick, as the other seven need them."""

    snapshot: Snapshot
    observed: Observed
    noise: FloatArray
    started_ns: MonoNs
    decided_ns: MonoNs
    stopwatch: Stopwatch


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
    ) -> None:
        """Decide with `decider`; `decision_clock` judges lateness: the monotonic clock, or simulated time."""
        self._settings = settings
        self._decider = decider
        self._driver = driver
        self._transport = transport
        self.mailbox = mailbox
        self._clock = MonotonicClock()
        self._decision_clock = decision_clock
        self._mind: Mind | None = None
        self._tick = 0
        self._seq = 0
        self._late = 0
        self._driver_fault = ""
        self.standing: Standing | None = None

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
        watch, observed = sensed.stopwatch, sensed.observed
        gathered = self._receive(sensed)
        inputs = self._decider.mask(observed, gathered.views, sensed.noise)
        watch.lap()
        output, late = self._infer(sensed, inputs, gathered)
        choice = self._recall(sensed, output, gathered, late)
        judged = self._guard(sensed, choice)
        applied = self._command(sensed, judged.verdict)
        return self._record(sensed, gathered, output, choice, judged, applied)

    def say_hello(self) -> None:
        """Announce this life to the neighbours and hear theirs, before the first tick."""
        self._seq += 1
        message = hello(self._settings.intersection_id, self._settings.boot_id, self._seq)
        self._transport.publish(encode_message(message))
        for arrival in self._transport.poll(0.0):
            self.mailbox.accept(arrival, self._tick)

    def note_driver_fault(self, reason: str) -> None:
        """The driver gave no snapshot: the next tick starts from RELEASED, unless it is the first of this life."""
        if self._mind is not None:
            self._driver_fault = reason

    @property
    def was_late(self) -> bool:
        """Whether the last tick missed a deadline of rule I23."""
        return self._late > 0

    def release(self) -> None:
        """Give the intersection back to its cabinet at once, for an orderly end; a dead cabinet needs no farewell."""
        if self._mind is None:
            return
        self._seq += 1
        self._driver.apply(
            Command(
                intersection_id=self._settings.intersection_id,
                boot_id=self._settings.boot_id,
                seq=self._seq,
                step=self._mind.step,
                decided_s=0.0,
                kind=CommandKind.RELEASE,
                stage=0,
            )
        )

    def _observe(self, snapshot: Snapshot) -> Sensed:
        watch = Stopwatch()
        mind = self._mind or self._decider.new_mind(snapshot)
        self._mind = mind
        observed = self._decider.observe(mind, snapshot)
        noise = self._noise(snapshot.step)
        started_ns = self._clock.mono_ns()
        sensed = Sensed(snapshot, observed, noise, started_ns, self._decision_clock.mono_ns(), watch)
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
        )
        self._transport.publish(encode_message(message))
        sensed.stopwatch.lap()
        sensed.stopwatch.pause()

    def _receive(self, sensed: Sensed) -> Gathered:
        sensed.stopwatch.resume()
        step = sensed.observed.snapshot.step if self._settings.waits_for_step else None
        deadline_ns = sensed.started_ns + round(self._settings.comm_deadline_ms * NS_PER_MS)
        gathered = gather(self._transport, self.mailbox, self._tick, step, deadline_ns, self._clock.mono_ns)
        sensed.stopwatch.lap()
        return gathered

    def _infer(
        self, sensed: Sensed, inputs: PolicyInput, gathered: Gathered
    ) -> tuple[PolicyOutput | PolicyFault, Finding | None]:
        """The policy's answer, and what rule I23 says of the time that it took."""
        before_ns = self._decision_clock.mono_ns()
        output = self._decider.infer(inputs)
        case = DeadlineCase(
            inference_ms=(self._decision_clock.mono_ns() - before_ns) / NS_PER_MS,
            comm_ms=gathered.waited_ms if self._settings.is_timed else 0.0,
            command_ms=self._spent_ms(sensed),
            misses_before=self._late,
            comm_deadline_ms=self._settings.comm_deadline_ms,
        )
        late = deadline_kept(case)
        self._late = self._late + 1 if late else 0
        sensed.stopwatch.lap()
        return output, late

    def _recall(
        self, sensed: Sensed, output: PolicyOutput | PolicyFault, gathered: Gathered, late: Finding | None
    ) -> Choice:
        self.standing = next_standing(self.standing, self._conditions(output, gathered, late), self._now_s(sensed))
        if late is not None and late.reaction is Reaction.HOLD:
            choice = self._decider.hold(sensed.observed)
        else:
            may_use_policy = self.standing.rung in (Rung.COORDINATED, Rung.ISOLATED)
            choice = self._decider.recall(sensed.observed, output, may_use_policy=may_use_policy)
        sensed.stopwatch.lap()
        return choice

    def _conditions(self, output: PolicyOutput | PolicyFault, gathered: Gathered, late: Finding | None) -> Conditions:
        policy_fault = output.reason if isinstance(output, PolicyFault) else ""
        if late is not None and late.reaction is Reaction.REPLACE:
            policy_fault = late.detail
        driver_fault, self._driver_fault = self._driver_fault, ""
        return Conditions(
            driver_fault=driver_fault,
            policy_fault=policy_fault,
            neighbours=len(gathered.views),
            fresh_neighbours=sum(view.is_fresh for view in gathered.views),
        )

    def _guard(self, sensed: Sensed, choice: Choice) -> Judged:
        now_s = self._now_s(sensed)
        verdict = self._decider.guard(sensed.observed, choice.stage, now_s)
        sensed.stopwatch.lap()
        return Judged(verdict, now_s)

    def _now_s(self, sensed: Sensed) -> float:
        """Cabinet time now: that of the snapshot and what the decision clock says has passed since."""
        return sensed.observed.snapshot.now_s + self._spent_ms(sensed) / 1000.0

    def _spent_ms(self, sensed: Sensed) -> float:
        return (self._decision_clock.mono_ns() - sensed.decided_ns) / NS_PER_MS

    def _command(self, sensed: Sensed, verdict: Verdict) -> AppliedCommand | DriverFault:
        applied = self._driver.apply(
            Command(
                intersection_id=self._settings.intersection_id,
                boot_id=self._settings.boot_id,
                seq=self._seq,
                step=sensed.observed.snapshot.step,
                decided_s=sensed.observed.snapshot.now_s,
                kind=CommandKind.STAGE,
                stage=verdict.stage,
            )
        )
        if isinstance(applied, DriverFault):
            self._driver_fault = applied.reason
        elif applied.rule == LEASE_RULE:
            self._driver_fault = "the cabinet obeys a newer life of this agent"
        sensed.stopwatch.lap()
        return applied

    def _record(
        self,
        sensed: Sensed,
        gathered: Gathered,
        output: PolicyOutput | PolicyFault,
        choice: Choice,
        judged: Judged,
        applied: AppliedCommand | DriverFault,
    ) -> TickRecord:
        observed, standing, mind = sensed.observed, self._known_standing(), self._known_mind()
        self._mind = self._decider.next_mind(mind, observed, output)
        self._tick += 1
        sensed.stopwatch.lap()
        return TickRecord(
            tick=self._tick - 1,
            step=observed.snapshot.step,
            now_s=judged.now_s,
            snapshot=sensed.snapshot,
            peers=tuple(_peer_input(view) for view in gathered.views),
            mask_noise=_bytes(sensed.noise),
            history_before=mind.history,
            hidden_before=_bytes(mind.hidden),
            step_before=mind.step,
            legal=observed.legal,
            source=Source(choice.source),
            wanted_stage=choice.stage,
            stage=judged.verdict.stage,
            rule=judged.verdict.rule,
            is_accepted=judged.verdict.is_accepted,
            applied=None if isinstance(applied, DriverFault) else applied,
            rung=standing.rung,
            reason=standing.reason,
            comm_misses=gathered.misses,
            step_ms=tuple(sensed.stopwatch.step_ms),
            cpu_ms=sensed.stopwatch.cpu_ms,
            fault=_fault(output, applied),
            **_outputs(output),
        )

    def _known_mind(self) -> Mind:
        if self._mind is None:
            raise RuntimeError("an agent must observe before it speaks")
        return self._mind

    def _known_standing(self) -> Standing:
        if self.standing is None:
            raise RuntimeError("an agent must decide before it records")
        return self.standing


def _peer_input(view: PeerView) -> PeerInput:
    return PeerInput(peer=view.peer, age_ticks=view.age_ticks, is_fresh=view.is_fresh, message=view.message)


def _bytes(values: FloatArray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def _outputs(output: PolicyOutput | PolicyFault) -> dict[str, bytes]:
    if isinstance(output, PolicyFault):
        return dict.fromkeys(("logits", "mask", "mask_probability", "hyper_action"), b"")
    return {
        "logits": _bytes(output.stage_logits),
        "mask": _bytes(output.mask),
        "mask_probability": _bytes(output.mask_probability),
        "hyper_action": _bytes(output.hyper_action),
    }


def _fault(output: PolicyOutput | PolicyFault, applied: AppliedCommand | DriverFault) -> str:
    reasons = [answer.reason for answer in (output, applied) if isinstance(answer, PolicyFault | DriverFault)]
    return "; ".join(reasons)
