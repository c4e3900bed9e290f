"""Faults F13 and F15: a policy that answers what is not finite, or too slowly."""

from __future__ import annotations

import msgspec
import numpy as np

from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.clock import Clock
from phasemesh.controller.policy.runtime import Policy
from phasemesh.sim_harness.faults.schedule import Schedule

POLICY_MEANS = frozenset({"policy-nan", "policy-slow"})


class SlowClock:
    """Goes by `inner`, and loses by `hold_up` the time that a slow machine would have lost."""

    def __init__(self, inner: Clock) -> None:
        """Go by `inner`."""
        self._inner = inner
        self._held_up_ns = 0

    def go_by(self, inner: Clock) -> None:
        """Go by `inner` from now on."""
        self._inner = inner

    def mono_ns(self) -> MonoNs:
        """As in `Clock`."""
        return MonoNs(self._inner.mono_ns() + self._held_up_ns)

    def hold_up(self, length_s: float) -> None:
        """Let `length_s` pass at once."""
        self._held_up_ns += round(length_s * NS_PER_S)


class FaultyPolicy:
    """Asks `inner`, and spoils its answer or its time as `schedule` says."""

    def __init__(self, inner: Policy, schedule: Schedule, clock: SlowClock) -> None:
        """Spoil the answers of `inner`; `clock` is the one that judges how long they take."""
        self._inner = inner
        self._schedule = schedule
        self._clock = clock

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """As in `Policy`."""
        output: PolicyOutput | PolicyFault = self._inner.infer(inputs)
        for fault in self._schedule.active(POLICY_MEANS):
            if fault.means == "policy-slow":
                self._clock.hold_up(fault.strength)
            elif isinstance(output, PolicyOutput):
                output = msgspec.structs.replace(output, stage_logits=np.full_like(output.stage_logits, np.nan))
        return output
