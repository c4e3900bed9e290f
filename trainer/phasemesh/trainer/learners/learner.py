"""What all learners share: networks, optimiser, value scale, and the losses that are not theirs alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from phasemesh.contract.observation import FloatArray
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.actor_spec import MaskKind
from phasemesh.trainer.critic import Critic, ValueScale
from phasemesh.trainer.ego_mask import bernoulli_entropy, kl_to_prior, printed_penalty
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Batch, Lesson, Replayed, critic_input, masked_mean
from phasemesh.trainer.heads import evenness, likeness, weights_entropy
from phasemesh.trainer.layout import BoolArray
from phasemesh.trainer.learning_gains import Discounts
from phasemesh.trainer.recipe import LearnerRecipe, MaskLoss, MaskRecipe, Precision, Recipe
from phasemesh.trainer.returns import advantages
from phasemesh.trainer.reward_shares import make_shares

_OF_EDGES = frozenset({"mask_mean", "mask_spread", "mask_entropy"})
_MASK_LOSSES = {MaskLoss.KL: kl_to_prior, MaskLoss.PRINTED: printed_penalty}


class Stats(msgspec.Struct, frozen=True):
    """What one update was like, averaged over its batches.

    Losses, the policy's `entropy` in nats, how far the policy moved (`policy_kl`), how much of the returns' variance
    the critic explains, and the gradient's norm. `edges` is how many edges a batch had; mean and spread of the edge
    posterior over all contexts and its mean entropy are averages over edges, 0 where there are none. `agreement` is the
    share of decisions in which the actor wants what a planner found best, 0 without one. Of a hyper-action over `heads`
    heads (0 where nothing is weighed) `hyper_evenness` is its entropy as a share of the greatest, and `head_likeness`
    the mean correlation of two heads. `own_share` is the mean share of its reward that an agent kept, where it learns
    to share (else 0).
    """

    policy_loss: float
    value_loss: float
    mask_loss: float
    entropy: float
    policy_kl: float
    explained_variance: float
    grad_norm: float
    edges: float
    mask_mean: float
    mask_spread: float
    mask_entropy: float
    agreement: float = 0.0
    heads: float = 0.0
    hyper_evenness: float = 0.0
    head_likeness: float = 0.0
    own_share: float = 0.0


class Judged(NamedTuple):
    """What the critic makes of a batch: its loss, how much of the returns' variance it explains, and its heads.

    The loss is Huber's on normalised returns; 1 explains all of the variance, 0 is no better than the mean. `heads` are
    [N, B, k], or values alone [N, B].
    """

    loss: Tensor
    explained: Tensor
    heads: Tensor


class Terms(NamedTuple):
    """The parts of a loss for one batch, each a scalar; `policy_kl` and `judged.explained` are only measured."""

    policy: Tensor
    judged: Judged
    mask: Tensor
    entropy: Tensor
    policy_kl: Tensor


class Learner(Protocol):
    """Improves actor and critic from episodes that were played with the actor as it is."""

    core: Core

    def update(self, episodes: Sequence[Episode], random: np.random.Generator, *, learns_policy: bool) -> Stats:
        """One update; without `learns_policy` only the critic changes."""


class Core:
    """Networks, optimiser and value scale of a learner; everything that a checkpoint holds of it."""

    def __init__(
        self,
        actor: Actor,
        critic: Critic,
        recipe: Recipe,
        device: torch.device,
        optimiser: type[torch.optim.Adam | torch.optim.RMSprop],
    ) -> None:
        """Move both networks to `device`."""
        self.actor, self.critic = actor.to(device), critic.to(device)
        self.scale = ValueScale().to(device)
        self.shares = make_shares(recipe.reward, actor.spec.sites).to(device)
        self.recipe = recipe
        self.device = device
        self.hyper_entropy_weight = hyper_entropy_weight(recipe, 0)
        self.parameters = [*actor.parameters(), *critic.parameters()]
        self.optimiser = optimiser(self.parameters, lr=recipe.learner.learning_rate, eps=1e-5)

    def anneal(self, iteration: int) -> None:
        """Set the rate of learning and the weight of the hyper-action's entropy of `iteration`."""
        self.hyper_entropy_weight = hyper_entropy_weight(self.recipe, iteration)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe.learner, iteration)

    def lessons(self, episodes: Sequence[Episode]) -> list[Lesson]:
        """Advantages and targets of all `episodes` as the critic sees them now; the scale takes note of the targets.

        Learned shares of rewards take their step afterwards, from the same episodes: it counts from the next ones on.
        """
        lessons = [self._lesson(episode) for episode in episodes]
        self.shares.learn(self.actor, episodes, [self._discounts(episode) for episode in episodes])
        return lessons

    def _pace(self, episode: Episode) -> float:
        """Ticks of the recipe in one of `episode`.

        Discounts are per tick of the recipe and rewards are rates: a second weighs alike at every tick.
        """
        return episode.plan.tick_s / self.recipe.episodes.tick_s

    def _discounts(self, episode: Episode) -> Discounts:
        recipe, pace = self.recipe.learner, self._pace(episode)
        return Discounts(recipe.gamma**pace, recipe.lambda_**pace)

    def _lesson(self, episode: Episode) -> Lesson:
        rewards = self.shares.paid(episode)
        with torch.no_grad():
            reads = (part.to(self.device) for part in critic_input(episode))
            judge = self.critic.judging(episode.layout.names)
            hyper = torch.from_numpy(episode.hyper).to(self.device)
            values = self.scale.returns(self.critic.mixed(judge(*reads), hyper)).cpu().numpy()
        found = advantages(rewards[:-1] * np.float32(self._pace(episode)), values, *self._discounts(episode))
        target = found + values[:-1]
        self.scale.note(torch.from_numpy(target).to(self.device))
        return Lesson(episode, _standardised(found, episode.legal[:-1].sum(axis=-1) > 1), target)

    def summed_up(self, stats: Sequence[Stats]) -> Stats:
        """The figures of an update from those of its batches, and what agents kept of their rewards."""
        return msgspec.structs.replace(mean_stats(stats), own_share=self.shares.own_share())

    def computing(self) -> torch.autocast:
        """Within it networks compute in the precision of the recipe; weights and losses stay in single precision."""
        is_mixed = self.recipe.learner.precision is Precision.BFLOAT16
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_mixed)

    def judge(self, batch: Batch, replayed: Replayed) -> Judged:
        """The critic on `batch`, its heads weighed as the actor weighs them now."""
        with self.computing():
            heads = self.critic.judging(batch.agents)(*batch.critic).float()
        values = self.critic.mixed(heads, replayed.hyper)
        target = self.scale.normalised(batch.target)
        left = (target - values).detach().var() / target.var().clamp(min=1e-6)
        return Judged(nn.functional.smooth_l1_loss(values, target), 1.0 - left, heads)

    def descend(self, terms: Terms, replayed: Replayed, *, learns_policy: bool) -> float:
        """One step down the weighted sum of `terms`; the norm of the gradient before it was clipped.

        The hyper-action belongs to the value: it learns when the critic does.
        """
        recipe = self.recipe
        loss = recipe.learner.value_weight * terms.judged.loss
        if terms.judged.heads.dim() == replayed.hyper.dim():
            loss = loss - self.hyper_entropy_weight * weights_entropy(replayed.hyper).mean()
        if learns_policy:
            loss = loss + recipe.learner.policy_weight * terms.policy
            loss = loss - recipe.learner.entropy_weight * terms.entropy + recipe.mask.weight * terms.mask
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.parameters, recipe.learner.max_grad_norm)
        self.optimiser.step()
        return float(norm)


def learning_rate(recipe: LearnerRecipe, iteration: int) -> float:
    """The rate of learning of `iteration`: linear from the recipe's to `final_rate` of it."""
    done = min(1.0, iteration / recipe.anneal_iterations)
    return recipe.learning_rate * (1.0 - (1.0 - recipe.final_rate) * done)


def hyper_entropy_weight(recipe: Recipe, iteration: int) -> float:
    """What a nat of the hyper-action's entropy is worth in `iteration`: linear to `final_entropy_weight`."""
    heads, done = recipe.heads, min(1.0, iteration / recipe.learner.anneal_iterations)
    return heads.entropy_weight + (heads.final_entropy_weight - heads.entropy_weight) * done


def mask_loss(recipe: MaskRecipe, replayed: Replayed, batch: Batch) -> Tensor:
    """The regulariser of the edge posterior, averaged over all steps of the batch; 0 where no posterior is learned."""
    if recipe.kind is not MaskKind.BAYES:
        return replayed.probability.new_zeros(())
    return _MASK_LOSSES[recipe.loss](replayed.probability, recipe.prior, batch.valid).mean()


def entropy_of(replayed: Replayed, batch: Batch) -> Tensor:
    """The policy's mean entropy over the ticks that left a choice."""
    return masked_mean(replayed.entropy, batch.has_choice)


def stats_of(terms: Terms, replayed: Replayed, batch: Batch, grad_norm: float) -> Stats:
    """The figures of one batch, before the step that it led to."""
    edges = replayed.probability.detach()[batch.valid > 0]
    return Stats(
        policy_loss=terms.policy.item(),
        value_loss=terms.judged.loss.item(),
        mask_loss=terms.mask.item(),
        entropy=terms.entropy.item(),
        policy_kl=terms.policy_kl.item(),
        explained_variance=terms.judged.explained.item(),
        grad_norm=grad_norm,
        edges=float(len(edges)),
        mask_mean=edges.mean().item() if len(edges) else 0.0,
        mask_spread=edges.std(correction=0).item() if len(edges) else 0.0,
        mask_entropy=bernoulli_entropy(edges).mean().item() if len(edges) else 0.0,
        **_of_heads(terms.judged.heads.detach(), replayed.hyper.detach()),
    )


def _of_heads(heads: Tensor, hyper: Tensor) -> dict[str, float]:
    """The figures of a hyper-action; none where the critic has nothing to weigh."""
    if heads.dim() < hyper.dim():
        return {}
    return {"heads": float(hyper.shape[-1]), "hyper_evenness": evenness(hyper), "head_likeness": likeness(heads)}


def mean_stats(stats: Sequence[Stats]) -> Stats:
    """The figures of an update from those of its batches."""
    edges = [each.edges for each in stats]
    return Stats(
        **{
            name: _mean([getattr(each, name) for each in stats], edges if name in _OF_EDGES else None)
            for name in Stats.__struct_fields__
        }
    )


def _mean(values: Sequence[float], weights: Sequence[float] | None) -> float:
    """The mean of `values`; 0 where nothing has weight."""
    if weights is not None and not any(weights):
        return 0.0
    return float(np.average(values, weights=weights))


def shuffled(groups: Sequence[Iterator[Batch]], random: np.random.Generator) -> Iterator[Batch]:
    """The batches of all `groups`, which are cities, in random order."""
    every = [batch for group in groups for batch in group]
    for index in random.permutation(len(every)):
        yield every[index]


def _standardised(values: FloatArray, where: BoolArray) -> FloatArray:
    """`values` with mean 0 and spread 1 over the entries that are `where`, so that every city weighs alike."""
    chosen = values[where] if where.any() else values
    scaled: FloatArray = ((values - chosen.mean()) / max(float(chosen.std()), 1e-3)).astype(np.float32)
    return scaled
