"""The agent of one intersection with the trainer in place of its policy: the street's own steps 1, 6, 7 and 8."""

from __future__ import annotations

import msgspec
import numpy as np

from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.observation import HIDDEN_SIZE, HYPER_SIZE, FloatArray
from phasemesh.contract.tensors import PolicyFault, PolicyOutput
from phasemesh.contract.timing import SIMULATED_UNIT, StageTiming, UnitTiming
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.decision import Decider, Mind, Observed
from phasemesh.controller.plans.table import DEFAULT_PLAN, PLANS
from phasemesh.controller.trouble import Circumstances

BOOT_ID = 1
_NO_POLICY = PolicyFault("the trainer decides")
_NO_HIDDEN = np.zeros(HIDDEN_SIZE, dtype=np.float32)
_NO_MASK = np.zeros(0, dtype=np.float32)
_EVEN_HYPER = np.full(HYPER_SIZE, 1.0 / HYPER_SIZE, dtype=np.float32)


class StreetAgent:
    """Observes, and commands what the trainer wants, as the street's agent would: same ladder, guard and cabinet."""

    def __init__(
        self,
        cabinet: Cabinet,
        timings: tuple[StageTiming, ...],
        *,
        tick_s: float,
        steps_per_tick: int,
        unit: UnitTiming = SIMULATED_UNIT,
    ) -> None:
        """Take the lease of `cabinet`, whose step must be that of the first tick."""
        self.intersection = cabinet.intersection
        self._cabinet = cabinet
        self._decider = Decider(
            cabinet.intersection,
            timings,
            policy=_NO_POLICY,
            plan=PLANS[DEFAULT_PLAN](cabinet.intersection, timings),
            tick_s=tick_s,
            steps_per_tick=steps_per_tick,
            unit=unit,
        )
        cabinet.attach(BOOT_ID)
        self._mind: Mind | None = None
        self._seq = 0

    def observe(self) -> Observed:
        """Step 1 at the cabinet's present step."""
        snapshot = self._cabinet.snapshot()
        self._mind = self._mind or self._decider.new_mind(snapshot)
        return self._decider.observe(self._mind, snapshot)

    def act(self, observed: Observed, stage: int) -> AppliedCommand:
        """Steps 6 to 8: what became of the wish for `stage`; an illegal wish ends as the best legal stage."""
        if self._mind is None:
            raise RuntimeError("an agent must observe before it acts")
        output = _answer(stage, len(observed.legal))
        standing = self._decider.stand(self._mind, observed, output, (), Circumstances())
        choice = self._decider.choose(observed, output, standing.rung, None)
        now_s = observed.snapshot.now_s
        verdict = self._decider.guard(observed, choice, now_s)
        self._seq += 1
        applied = self._cabinet.command(
            Command(
                intersection_id=self.intersection.id,
                boot_id=BOOT_ID,
                seq=self._seq,
                step=observed.snapshot.step,
                decided_s=now_s,
                kind=choice.kind,
                stage=verdict.stage,
                approved_s=now_s,
            )
        )
        unit = self._decider.note_answer(observed, choice, applied, now_s, BOOT_ID)
        carried = self._decider.next_mind(observed, output, standing, unit)
        # What the policy carries on is the trainer's to keep; here it must never look like a state of its own.
        self._mind = msgspec.structs.replace(carried, hidden=_NO_HIDDEN)
        return applied


def _answer(stage: int, stages: int) -> PolicyOutput:
    """What a policy that wants `stage` above all would have answered."""
    scores: FloatArray = np.zeros(stages, dtype=np.float32)
    scores[stage] = 1.0
    return PolicyOutput(scores, _NO_HIDDEN, _NO_MASK, _NO_MASK, _EVEN_HYPER)
