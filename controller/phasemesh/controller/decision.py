"""The pure part of a tick: what an agent decides from its state, snapshot, neighbours and noise.

Nothing here performs I/O or reads a clock, so that `phasemesh replay` re-runs any recorded tick and N agents in one
process decide exactly as N agents in N processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from phasemesh.contract.command import AppliedCommand, CommandKind
from phasemesh.contract.detection import ControlMode, Snapshot
from phasemesh.contract.history import ServiceHistory, empty_history, note_calls, note_signal
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.messages import vector
from phasemesh.contract.observation import (
    HIDDEN_SIZE,
    MESSAGE_SIZE,
    SITE_SIZE,
    Encoder,
    FloatArray,
    Observation,
)
from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput, is_finite
from phasemesh.contract.timing import SIMULATED_UNIT, StageTiming, UnitTiming
from phasemesh.controller.ladder import FRESH, Standing, next_standing
from phasemesh.controller.ladder_table import COMMANDLESS_RUNGS, POLICY_RUNGS, LadderEvent, Rung
from phasemesh.controller.memory.recall import GateRules, Remembered, recollection
from phasemesh.controller.peers.mailbox import PeerView
from phasemesh.controller.plans.plan import LocalPlan
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.selection import choose_stage, stage_probabilities
from phasemesh.controller.safety.case import Finding, GuardCase, PolicyCase, Reaction, Verdict
from phasemesh.controller.safety.detectors import (
    DetectorHealth,
    empty_health,
    no_detector_trusted,
    note_readings,
    substituted,
)
from phasemesh.controller.safety.guard import Guard
from phasemesh.controller.safety.input_rules import policy_usable
from phasemesh.controller.trouble import Circumstances, neighbour_events, raised_events
from phasemesh.controller.unit_watch import UnitRules, UnitWatch

RESET_AFTER_TICKS = 3
"""A gap longer than this resets the recurrent state: it no longer describes the present."""


GATE = GateRules()
"""When memory is believed, the same for every agent."""


class Mind(msgspec.Struct, frozen=True):
    """What an agent carries from tick to tick.

    Beside the history these are the recurrent state [H], the last stage probabilities [S], and what it remembers of its
    detectors, of its unit and of its place on the ladder.
    """

    history: ServiceHistory
    hidden: FloatArray
    policy: FloatArray
    step: int
    detectors: DetectorHealth
    unit: UnitWatch
    standing: Standing


class Observed(msgspec.Struct, frozen=True):
    """Step 1 of the tick: what is believed of the snapshot, the legal stages, the tensors.

    `snapshot` holds no reading of a detector that is not trusted. `findings` are those about unit and detectors.
    """

    snapshot: Snapshot
    history: ServiceHistory
    hidden: FloatArray
    legal: tuple[bool, ...]
    observation: Observation
    detectors: DetectorHealth
    unit: UnitWatch
    findings: tuple[Finding, ...]


class Choice(msgspec.Struct, frozen=True):
    """Step 6 of the tick: the wanted stage and who wanted it.

    `source` is `policy`, `ltm`, `stm`, `plan`, `hold`, or `release` when the cabinet is asked for nothing but to follow
    its own plan.
    """

    stage: int
    source: str
    kind: CommandKind = CommandKind.STAGE


class Decider:
    """Decides for one intersection; holds only what never changes, so that every method is a pure function."""

    def __init__(
        self,
        intersection: Intersection,
        timings: tuple[StageTiming, ...],
        *,
        policy: Policy | PolicyFault,
        plan: LocalPlan,
        tick_s: float,
        steps_per_tick: int,
        unit: UnitTiming = SIMULATED_UNIT,
        gate: GateRules = GATE,
    ) -> None:
        """Decide with `policy`; a fault in its place means that the local plan decides."""
        self.intersection = intersection
        self.timings = timings
        self._policy = policy
        self._plan = plan
        self._gate = gate
        self.tick_s = tick_s
        self._reset_after_steps = RESET_AFTER_TICKS * steps_per_tick
        self._guard = Guard(intersection, timings, unit)
        self._unit = UnitRules(intersection, timings, unit, tick_s=tick_s, steps_per_tick=steps_per_tick)
        self._encoder = Encoder(intersection)
        self._site = np.zeros(SITE_SIZE, dtype=np.float32)

    def new_mind(self, snapshot: Snapshot, latched: tuple[LadderEvent, ...] = ()) -> Mind:
        """The mind of an agent that has seen nothing before `snapshot`; `latched` is left of an earlier life."""
        return Mind(
            history=empty_history(self.intersection, snapshot.now_s),
            hidden=np.zeros(HIDDEN_SIZE, dtype=np.float32),
            policy=np.zeros(len(self.intersection.stages), dtype=np.float32),
            step=snapshot.step,
            detectors=empty_health(self.intersection, snapshot.now_s),
            unit=UnitWatch(),
            standing=msgspec.structs.replace(FRESH, latched=latched),
        )

    def observe(self, mind: Mind, snapshot: Snapshot) -> Observed:
        """Step 1: judge unit and detectors, replace what is not trusted, note who waits, and encode."""
        unit, findings = self._unit.look(mind.unit, snapshot)
        conflict = self._guard.shown_conflict(snapshot.signal, snapshot.now_s)
        detectors = note_readings(mind.detectors, snapshot)
        blind = no_detector_trusted(detectors)
        snapshot = substituted(snapshot, detectors)
        history = note_signal(mind.history, self.intersection, snapshot.signal, snapshot.now_s)
        history = note_calls(history, snapshot)
        legal = self._guard.legal_stages(snapshot.signal, history, snapshot.now_s)
        has_gap = snapshot.step - mind.step > self._reset_after_steps
        return Observed(
            snapshot=snapshot,
            history=history,
            hidden=np.zeros_like(mind.hidden) if has_gap else mind.hidden,
            legal=legal,
            observation=self._encoder.encode(snapshot, history, legal),
            detectors=detectors,
            unit=unit,
            findings=(*findings, *(finding for finding in (conflict, blind) if finding is not None)),
        )

    def mask(self, mind: Mind, observed: Observed, views: Sequence[PeerView], noise: FloatArray) -> PolicyInput:
        """Step 4: the policy's inputs; only fresh neighbours are valid, and none while the ladder isolates the agent.

        One empty row stands for having no neighbour.
        """
        rows = max(1, len(views))
        messages = np.zeros((rows, MESSAGE_SIZE), dtype=np.float32)
        valid = np.zeros(rows, dtype=np.float32)
        is_isolated = _is_isolated(mind.standing, views, observed.snapshot.now_s)
        for index, view in enumerate(views):
            if view.message is not None and view.is_fresh and not is_isolated:
                messages[index] = vector(view.message)
                valid[index] = 1.0
        return PolicyInput(
            lanes=observed.observation.lanes,
            stage_lanes=self._encoder.stage_lanes,
            stage_state=observed.observation.stage_state,
            neighbour_messages=messages,
            neighbour_valid=valid,
            mask_noise=noise,
            hidden=observed.hidden,
            site=self._site,
        )

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """Step 5: the policy's answer if rule I20 accepts it, or why there is none."""
        output = self._policy if isinstance(self._policy, PolicyFault) else self._policy.infer(inputs)
        if isinstance(output, PolicyFault):
            return output
        case = PolicyCase(is_finite(output), len(output.stage_logits), len(self.intersection.stages))
        finding = policy_usable(case)
        return output if finding is None else PolicyFault(f"{finding.rule}: {finding.detail}")

    def stand(
        self,
        mind: Mind,
        observed: Observed,
        output: PolicyOutput | PolicyFault,
        views: Sequence[PeerView],
        circumstances: Circumstances,
    ) -> Standing:
        """Step 6, first part: where the agent stands on the ladder."""
        snapshot = observed.snapshot
        raised = raised_events(snapshot, observed.findings, output, views, circumstances)
        return next_standing(mind.standing, raised, snapshot.now_s, latch_is_reset=circumstances.latch_is_reset)

    def choose(
        self,
        observed: Observed,
        output: PolicyOutput | PolicyFault,
        rung: Rung,
        late: Finding | None,
        remembered: Remembered | None = None,
    ) -> Choice:
        """Step 6, second part: what the rung leaves to choose; the first late ticks hold the stage in force (I23).

        `remembered` is what memory was found to hold of the situation.
        """
        if rung in COMMANDLESS_RUNGS:
            return self.release(observed)
        if late is not None and late.reaction is Reaction.HOLD:
            return self.hold(observed)
        return self.recall(observed, output, may_use_policy=rung in POLICY_RUNGS, remembered=remembered)

    def release(self, observed: Observed) -> Choice:
        """Nothing is wanted: the cabinet follows its own plan."""
        return Choice(observed.snapshot.signal.stage, "release", CommandKind.RELEASE)

    def hold(self, observed: Observed) -> Choice:
        """The stage in force is wanted."""
        return Choice(observed.snapshot.signal.stage, "hold")

    def recall(
        self,
        observed: Observed,
        output: PolicyOutput | PolicyFault,
        *,
        may_use_policy: bool,
        remembered: Remembered | None = None,
    ) -> Choice:
        """Memory first where it may act, then the policy; the local plan when neither may be used."""
        if isinstance(output, PolicyFault) or not may_use_policy:
            return Choice(self._plan.choose(observed.snapshot, observed.history), "plan")
        found = recollection(remembered, observed.legal, self._gate)
        if found is not None:
            return Choice(found.stage, found.source)
        return Choice(choose_stage(output.stage_logits, observed.legal, observed.snapshot.signal.stage), "policy")

    def guard(self, observed: Observed, choice: Choice, now_s: float) -> Verdict:
        """Step 7: what the guard makes of `choice` at cabinet time `now_s`."""
        snapshot = observed.snapshot
        # Letting go asks for nothing, so it is lawful whoever controls the unit.
        mode = ControlMode.AGENT if choice.kind is CommandKind.RELEASE else snapshot.mode
        return self._guard.judge(
            GuardCase(
                intersection=self.intersection,
                timings=self.timings,
                signal=snapshot.signal,
                history=observed.history,
                now_s=now_s,
                max_age_s=self.tick_s,
                kind=choice.kind,
                stage=choice.stage,
                decided_s=snapshot.now_s,
                mode=mode,
            )
        )

    def note_answer(
        self, observed: Observed, choice: Choice, applied: AppliedCommand | None, now_s: float, boot_id: int
    ) -> UnitWatch:
        """Step 8: what is remembered of the unit after it answered a command of the life `boot_id`, or did not."""
        return self._unit.note(observed.unit, choice.kind, applied, now_s, boot_id)

    def next_mind(
        self, observed: Observed, output: PolicyOutput | PolicyFault, standing: Standing, unit: UnitWatch
    ) -> Mind:
        """What is carried on: a policy that failed leaves an empty recurrent state."""
        if isinstance(output, PolicyFault):
            hidden = np.zeros(HIDDEN_SIZE, dtype=np.float32)
            policy = np.zeros(len(self.intersection.stages), dtype=np.float32)
        else:
            hidden, policy = output.hidden_next, stage_probabilities(output.stage_logits, observed.legal)
        return Mind(
            history=observed.history,
            hidden=hidden,
            policy=policy,
            step=observed.snapshot.step,
            detectors=observed.detectors,
            unit=unit,
            standing=standing,
        )


def _is_isolated(before: Standing, views: Sequence[PeerView], now_s: float) -> bool:
    """Whether the standing of this tick will hold the neighbours back; no other event has a part in that."""
    return LadderEvent.NEIGHBOURS_STALE in next_standing(before, tuple(neighbour_events(views)), now_s).in_force
