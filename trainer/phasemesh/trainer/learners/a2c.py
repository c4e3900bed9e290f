"""Advantage actor-critic (Mnih et al., ICML 2016), synchronous: BayesG's own learner, one pass over every episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from phasemesh.trainer.actor import Actor
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Batch, batches, masked_mean, replay
from phasemesh.trainer.learners.learner import Core, Stats, Terms, entropy_of, mask_loss, shuffled, stats_of
from phasemesh.trainer.recipe import Recipe


class A2c:
    """Follows the policy gradient of each batch once."""

    def __init__(self, actor: Actor, critic: Critic, recipe: Recipe, device: torch.device) -> None:
        """Learn with RMSprop, as the paper does."""
        self.core = Core(actor, critic, recipe, device, torch.optim.RMSprop)

    def update(self, episodes: Sequence[Episode], random: np.random.Generator, *, learns_policy: bool) -> Stats:
        """As in `Learner`."""
        recipe = self.core.recipe.learner
        groups = [
            batches(lesson, random, segment_ticks=recipe.segment_ticks, rows=recipe.rows_per_batch)
            for lesson in self.core.lessons(episodes)
        ]
        steps = [self._step(batch, learns_policy=learns_policy) for batch in shuffled(groups, random)]
        return self.core.summed_up(steps)

    def _step(self, batch: Batch, *, learns_policy: bool) -> Stats:
        core = self.core
        batch = batch.to(core.device)
        with core.computing():
            replayed = replay(core.actor, batch, core.recipe.mask.temperature)
        log_probability = replayed.taken(batch.stage)
        terms = Terms(
            policy=masked_mean(-log_probability * batch.advantage, batch.has_choice),
            judged=core.judge(batch, replayed),
            mask=mask_loss(core.recipe.mask, replayed, batch),
            entropy=entropy_of(replayed, batch),
            policy_kl=masked_mean((batch.log_probability - log_probability).detach(), batch.has_choice),
        )
        return stats_of(terms, replayed, batch, core.descend(terms, replayed, learns_policy=learns_policy))
