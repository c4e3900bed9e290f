"""The one interface between an agent and whatever scores its stages."""

from __future__ import annotations

from typing import Protocol

from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput


class Policy(Protocol):
    """Scores the stages of an intersection; a pure function of its input."""

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """The outputs of the policy graph, or why there are none; never raises at run time."""
