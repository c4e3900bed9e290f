"""The town of two neighbours that most tests of agents look at."""

from __future__ import annotations

import numpy as np

from agent_factories import (
    PAIR,
    WEST,
    FixedPolicy,
    Town,
)
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import TickRecord

TIMED_FIELDS = {"step_ms", "cpu_ms"}
"""What differs between two runs of the same tick, because it was measured."""


def make_town(*scores: float) -> Town:
    """Two neighbours whose policies always score the stages in the same way."""
    return Town(PAIR, lambda: FixedPolicy(*(scores or (1.0, 0.0))))


def policy_of(town: Town, name: IntersectionId = WEST) -> FixedPolicy:
    """The policy that `town` gave to `name`."""
    policy = town.residents[name].policy
    assert isinstance(policy, FixedPolicy)
    return policy


def singles(data: bytes) -> list[float]:
    """The numbers in a field of a record."""
    return [float(value) for value in np.frombuffer(data, dtype="<f4")]


def untimed(record: TickRecord) -> dict[str, object]:
    """`record` without what was measured."""
    return {name: getattr(record, name) for name in record.__struct_fields__ if name not in TIMED_FIELDS}
