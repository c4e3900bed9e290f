"""Proximal policy optimisation (Schulman et al., arXiv 1707.06347) over whole cities, recurrent by short segments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from phasemesh.trainer.actor import Actor
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Batch, Replayed, batches, masked_mean, replay
from phasemesh.trainer.learners.learner import Core, Stats, Terms, entropy_of, mask_loss, shuffled, stats_of
from phasemesh.trainer.recipe import Recipe


class Ppo:
    """Several passes over the same episodes, held near the policy that played them by clipping."""

    def __init__(self, actor: Actor, critic: Critic, recipe: Recipe, device: torch.device) -> None:
        """Learn with Adam (Kingma and Ba, ICLR 2015)."""
        self.core = Core(actor, critic, recipe, device, torch.optim.Adam)

    def update(self, episodes: Sequence[Episode], random: np.random.Generator, *, learns_policy: bool) -> Stats:
        """As in `Learner`."""
        recipe = self.core.recipe.learner
        lessons = self.core.lessons(episodes)
        found = []
        for _ in range(recipe.epochs):
            groups = [
                batches(
                    lesson,
                    random,
                    segment_ticks=recipe.segment_ticks,
                    rows=recipe.rows_per_batch,
                    share=min(recipe.share_per_epoch, recipe.decisions_per_epoch / lesson.advantage.size),
                )
                for lesson in lessons
            ]
            found += [self._step(batch, learns_policy=learns_policy) for batch in shuffled(groups, random)]
        return self.core.summed_up(found)

    def _step(self, batch: Batch, *, learns_policy: bool) -> Stats:
        core = self.core
        batch = batch.to(core.device)
        with core.computing():
            replayed = replay(core.actor, batch, core.recipe.mask.temperature)
        ratio = torch.exp(replayed.taken(batch.stage) - batch.log_probability)
        terms = Terms(
            policy=masked_mean(clipped_loss(ratio, batch.advantage, core.recipe.learner.clip), batch.has_choice),
            judged=core.judge(batch, replayed),
            mask=mask_loss(core.recipe.mask, replayed, batch),
            entropy=entropy_of(replayed, batch),
            policy_kl=moved(replayed, batch),
        )
        return stats_of(terms, replayed, batch, core.descend(terms, replayed, learns_policy=learns_policy))


def clipped_loss(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped surrogate as a loss, element by element: no gain from moving further than `clip`."""
    return -torch.minimum(ratio * advantage, ratio.clamp(1.0 - clip, 1.0 + clip) * advantage)


def moved(replayed: Replayed, batch: Batch) -> Tensor:
    """Estimate of KL(policy that played || policy now): mean of (r - 1) - log r, which is never negative."""
    log_ratio = (replayed.taken(batch.stage) - batch.log_probability).detach()
    return masked_mean(torch.expm1(log_ratio) - log_ratio, batch.has_choice)
