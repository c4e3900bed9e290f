"""Rules as teachers: what a rule of the harness would want, seen through the same tensors as the actor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import HIDDEN_SIZE, MESSAGE_SIZE, SITE_SIZE
from phasemesh.contract.tensors import PolicyInput
from phasemesh.controller.policy.selection import choose_stage
from phasemesh.sim_harness.rules import SCORES

if TYPE_CHECKING:
    from phasemesh.trainer.env import AgentView

_EMPTY = {
    "neighbour_messages": np.zeros((1, MESSAGE_SIZE), dtype=np.float32),
    "neighbour_valid": np.zeros(1, dtype=np.float32),
    "mask_noise": np.full(1, 0.5, dtype=np.float32),
    "hidden": np.zeros(HIDDEN_SIZE, dtype=np.float32),
    "site": np.zeros(SITE_SIZE, dtype=np.float32),
}
"""The inputs that no rule reads."""


def check_teacher(rule: str) -> None:
    """Refuse a rule that there is not; raises InputError naming those that there are."""
    if rule not in SCORES:
        raise InputError(f"there is no rule {rule!r} to learn from; known are {', '.join(SCORES)}")


def taught_stage(rule: str, view: AgentView) -> int:
    """The stage that `rule` wants in the situation `view`, chosen among the legal ones as on the street."""
    inputs = PolicyInput(
        lanes=view["lanes"], stage_lanes=view["stage_lanes"], stage_state=view["stage_state"], **_EMPTY
    )
    legal = tuple(bool(flag) for flag in view["action_mask"])
    scores = SCORES[rule](inputs).astype(np.float32)
    return choose_stage(scores, legal, int(np.argmax(view["stage_state"][:, 0])))
