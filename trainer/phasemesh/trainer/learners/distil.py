"""Distillation of the look-ahead planner (expert iteration, Anthony, Tian and Barber, NeurIPS 2017).

Each update fits the actor to what the planner found in the episodes of its round; in the next round the actor is what
the planner starts from. The critic learns nothing here.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import torch

from phasemesh.trainer.actor import Actor
from phasemesh.trainer.cloning import clone
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.learners.learner import Core, Stats
from phasemesh.trainer.recipe import Recipe


class Distil:
    """Learns from costs instead of rewards, with the passes and batches of the recipe's warm start."""

    def __init__(self, actor: Actor, critic: Critic, recipe: Recipe, device: torch.device) -> None:
        """Every update has an optimiser of its own; the one kept here is never used."""
        self.core = Core(actor, critic, recipe, device, torch.optim.Adam)
        start = msgspec.structs.replace(recipe.warm_start, learning_rate=recipe.planner.learning_rate)
        self._recipe = msgspec.structs.replace(recipe, warm_start=start)

    def update(
        self,
        episodes: Sequence[Episode],
        random: np.random.Generator,
        *,
        learns_policy: bool,  # noqa: ARG002 (there is no critic that would have to learn first)
    ) -> Stats:
        """As in `Learner`; the policy learns always. The loss of the policy is the cross-entropy."""
        core, nothing = self.core, Stats(**dict.fromkeys(Stats.__struct_fields__, 0.0))
        cloned = clone(core.actor, episodes, self._recipe, random, core.device)
        return msgspec.structs.replace(nothing, policy_loss=cloned.loss, agreement=cloned.agreement)
