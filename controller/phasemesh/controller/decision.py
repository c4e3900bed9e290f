"""The pure part of a tick: what an agent decides from its state, snapshot, neighbours and noise.

Nothing here performs I/O or reads a clock, so that `phasemesh replay` re-runs any recorded tick and N agents in one
process decide exactly as N agents in N processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from phasemesh.contract.command import CommandKind
from phasemesh.contract.detection import Snapshot, plausible
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
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.memory.recall import Memory
from phasemesh.controller.peers.mailbox import PeerView
from phasemesh.controller.plans.plan import LocalPlan
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.selection import choose_stage, stage_probabilities
from phasemesh.controller.safety.case import GuardCase, PolicyCase, Verdict
from phasemesh.controller.safety.guard import Guard
from phasemesh.controller.safety.input_rules import policy_usable

RESET_AFTER_TICKS = 3
"""A gap longer than this resets the recurrent state: it no longer describes the present."""


class Mind(msgspec.Struct, frozen=True):
    """What an agent carries from tick to tick: history, recurrent state [H] and last stage probabilities [S]."""

    history: ServiceHistory
    hidden: FloatArray
    policy: FloatArray
    step: int


class Observed(msgspec.Struct, frozen=True):
    """Step 1 of the tick: the plausible snapshot, the history with it, the legal stages, and the tensors."""

    snapshot: Snapshot
    history: ServiceHistory
    hidden: FloatArray
    legal: tuple[bool, ...]
    observation: Observation


class Choice(msgspec.Struct, frozen=True):
    """Step 6 of the tick: the wanted stage and who wanted it (`policy`, `ltm`, `stm`, `plan` or `hold`)."""

    stage: int
    source: str


class Decider:
    """Decides for one intersection; holds only what never changes, so that every method is a pure function."""

    def __init__(
        self,
        intersection: Intersection,
        timings: tuple[StageTiming, ...],
        *,
        policy: Policy | PolicyFault,
        plan: LocalPlan,
        memory: Memory,
        tick_s: float,
        steps_per_tick: int,
    ) -> None:
        """Decide with `policy`; a fault in its place means that the local plan decides."""
        self.intersection = intersection
        self.timings = timings
        self._policy = policy
        self._plan = plan
        self._memory = memory
        self._tick_s = tick_s
        self._reset_after_steps = RESET_AFTER_TICKS * steps_per_tick
        self._guard = Guard(intersection, timings)
        self._encoder = Encoder(intersection)
        self._site = np.zeros(SITE_SIZE, dtype=np.float32)

    def new_mind(self, snapshot: Snapshot) -> Mind:
        """The mind of an agent that has seen nothing before `snapshot`."""
        return Mind(
            history=empty_history(self.intersection, snapshot.now_s),
            hidden=np.zeros(HIDDEN_SIZE, dtype=np.float32),
            policy=np.zeros(len(self.intersection.stages), dtype=np.float32),
            step=snapshot.step,
        )

    def observe(self, mind: Mind, snapshot: Snapshot) -> Observed:
        """Step 1: replace implausible readings, note who waits, and encode."""
        snapshot = msgspec.structs.replace(snapshot, readings=tuple(plausible(each) for each in snapshot.readings))
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
        )

    def mask(self, observed: Observed, views: Sequence[PeerView], noise: FloatArray) -> PolicyInput:
        """Step 4: the policy's inputs; only fresh neighbours are valid, and one empty row stands for having none."""
        rows = max(1, len(views))
        messages = np.zeros((rows, MESSAGE_SIZE), dtype=np.float32)
        valid = np.zeros(rows, dtype=np.float32)
        for index, view in enumerate(views):
            if view.message is not None and view.is_fresh:
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

    def hold(self, observed: Observed) -> Choice:
        """Step 6 of a late tick (rule I23): the stage in force."""
        return Choice(observed.snapshot.signal.stage, "hold")

    def recall(self, observed: Observed, output: PolicyOutput | PolicyFault, *, may_use_policy: bool) -> Choice:
        """Step 6: memory first, then the policy; the local plan when neither may be used."""
        if isinstance(output, PolicyFault) or not may_use_policy:
            return Choice(self._plan.choose(observed.snapshot, observed.history), "plan")
        remembered = self._memory.look_up(observed.observation, observed.legal)
        if remembered is not None and observed.legal[remembered.stage]:
            return Choice(remembered.stage, remembered.source)
        return Choice(choose_stage(output.stage_logits, observed.legal, observed.snapshot.signal.stage), "policy")

    def guard(self, observed: Observed, stage: int, now_s: float) -> Verdict:
        """Step 7: what the guard makes of the wish for `stage` at cabinet time `now_s`."""
        snapshot = observed.snapshot
        return self._guard.judge(
            GuardCase(
                intersection=self.intersection,
                timings=self.timings,
                signal=snapshot.signal,
                history=observed.history,
                now_s=now_s,
                max_age_s=self._tick_s,
                kind=CommandKind.STAGE,
                stage=stage,
                decided_s=snapshot.now_s,
            )
        )

    def next_mind(self, mind: Mind, observed: Observed, output: PolicyOutput | PolicyFault) -> Mind:
        """What is carried on: a policy that failed leaves an empty recurrent state."""
        if isinstance(output, PolicyFault):
            hidden, policy = np.zeros_like(mind.hidden), np.zeros_like(mind.policy)
        else:
            hidden, policy = output.hidden_next, stage_probabilities(output.stage_logits, observed.legal)
        return Mind(history=observed.history, hidden=hidden, policy=policy, step=observed.snapshot.step)
