"""Whose reward an agent is paid: by distance, as the recipe says, or in shares that each agent learns to give away.

Learned shares follow LToS (Yi, Li, Wang and Lu, Learning to Share in Multi-Agent Reinforcement Learning, 2022): a
high-level policy of each agent gives away its reward, in shares that are 1 in all, to itself and its neighbours; the
low-level policies learn from what they are given, and the high level raises what all are paid.

In the paper the low-level policy and its value read the shares, so that the high level follows that value's gradient.
Here a policy must be an ordinary one on the street, which knows no shares: they act through learning alone, and the
high level follows the objective through one step of that learning. See ADR 0018.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from phasemesh.contract.observation import SUMMARY_SIZE, FloatArray
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.actor_spec import SiteSpec
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.layout import BoolArray, IntArray, Layout
from phasemesh.trainer.learning_gains import Discounts, learning_gains
from phasemesh.trainer.recipe import RewardRecipe, SharesKind
from phasemesh.trainer.returns import shared_rewards, spatial_weights

_LEAST_SPREAD = 1e-6
"""What varies less does not vary."""


class Shares(Protocol):
    """Whose reward each agent is paid."""

    def paid(self, episode: Episode) -> FloatArray:
        """What each agent is paid at every tick, [T, A]."""

    def learn(self, actor: Actor, episodes: Sequence[Episode], discounts: Sequence[Discounts]) -> None:
        """Improve from `episodes` that were played with `actor` as it is."""

    def own_share(self) -> float:
        """The mean share that an agent kept when it was last asked what it pays; 0 where nothing is learned."""


class SpatialShares(nn.Module):
    """Everybody is paid the rewards around, discounted by distance; see `RewardRecipe`."""

    def __init__(self, recipe: RewardRecipe) -> None:
        """There is nothing to learn."""
        super().__init__()
        self._recipe = recipe

    def paid(self, episode: Episode) -> FloatArray:
        """As in `Shares`."""
        weights = spatial_weights(episode.layout.hops, self._recipe.spatial_discount, self._recipe.spatial_reach)
        return shared_rewards(episode.reward, weights)

    def learn(self, actor: Actor, episodes: Sequence[Episode], discounts: Sequence[Discounts]) -> None:
        """Nothing."""

    def own_share(self) -> float:
        """As in `Shares`."""
        return 0.0


class Receivers(NamedTuple):
    """Who may get a share of whose reward: rows of agents [A, 1 + K], the agent itself first, and which are there."""

    agents: IntArray
    are_there: BoolArray


def receivers_of(layout: Layout) -> Receivers:
    """Every agent and its neighbours."""
    itself = np.arange(len(layout.names))[:, None]
    return Receivers(
        np.concatenate((itself, layout.neighbours), axis=1),
        np.concatenate((np.ones_like(itself, dtype=np.bool_), layout.has_neighbour), axis=1),
    )


class LearnedShares(nn.Module):
    """A high-level policy for every site: softmax of one layer over the summary that it tells its neighbours.

    The objective is what `SpatialShares` pays, so that agents are taught to serve what other recipes pay them for.
    """

    def __init__(self, recipe: RewardRecipe, sites: Sequence[SiteSpec]) -> None:
        """Every site begins with `first_own_share` for itself and the rest in equal parts; draws nothing."""
        super().__init__()
        self._rate = recipe.share_rate
        self._objective = SpatialShares(recipe)
        self._places = {site.name: place for place, site in enumerate(sites)}
        self._kept = recipe.first_own_share
        width = 1 + max(site.neighbours for site in sites)
        self.slope = nn.Parameter(torch.zeros(len(sites), SUMMARY_SIZE, width))
        self.bias = nn.Parameter(torch.log(torch.tensor([_first(site, width, self._kept) for site in sites])))

    def shares(self, episode: Episode) -> Tensor:
        """The share of its reward that each agent gives to each of its receivers, [T, A, 1 + K]."""
        are_there = receivers_of(episode.layout).are_there
        rows, width = [self._places[name] for name in episode.layout.names], are_there.shape[1]
        seen = torch.from_numpy(episode.told[..., :SUMMARY_SIZE]).to(self.slope)
        scores = torch.einsum("tad,adk->tak", seen, self.slope[rows, :, :width]) + self.bias[rows, :width]
        absent = torch.from_numpy(~are_there).to(scores.device)
        return torch.softmax(scores.masked_fill(absent, float("-inf")), dim=-1)

    def paid(self, episode: Episode) -> FloatArray:
        """As in `Shares`: what was given away comes to somebody, so that nothing is lost or made."""
        with torch.no_grad():
            shares = self.shares(episode)
        self._kept = float(shares[..., 0].mean())
        return given(episode.reward, shares.cpu().numpy(), receivers_of(episode.layout))

    def learn(self, actor: Actor, episodes: Sequence[Episode], discounts: Sequence[Discounts]) -> None:
        """One step up the objective, the mean over `episodes`; at rate 0 nothing is computed."""
        if self._rate == 0.0:
            return
        parameters = (self.slope, self.bias)
        worth = [self._worth(actor, *each) for each in zip(episodes, discounts, strict=True)]
        found = torch.autograd.grad(torch.stack(worth).mean(), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, found, strict=True):
                parameter.add_(gradient, alpha=self._rate)

    def _worth(self, actor: Actor, episode: Episode, discounts: Discounts) -> Tensor:
        """What the objective gains from the shares: a sum over agents of means over time, without a unit."""
        gains = learning_gains(actor, episode, self._objective.paid(episode), discounts)
        receivers = receivers_of(episode.layout).agents
        worth = _even(episode.reward[:-1])[..., None] * _scaled(gains)[:, receivers]
        return (self.shares(episode)[:-1] * torch.from_numpy(worth).to(self.slope)).mean(dim=0).sum()

    def own_share(self) -> float:
        """As in `Shares`."""
        return self._kept


def given(rewards: FloatArray, shares: FloatArray, receivers: Receivers) -> FloatArray:
    """What each agent gets [T, A] when `rewards` [T, A] are given away in `shares` [T, A, 1 + K]."""
    found = np.zeros_like(rewards)
    ticks = np.arange(len(rewards))[:, None, None]
    np.add.at(found, (ticks, receivers.agents[None]), rewards[..., None] * shares * receivers.are_there)
    return found


def make_shares(recipe: RewardRecipe, sites: Sequence[SiteSpec]) -> SpatialShares | LearnedShares:
    """The shares of `recipe` for `sites`."""
    return LearnedShares(recipe, sites) if recipe.shares is SharesKind.LEARNED else SpatialShares(recipe)


def _first(site: SiteSpec, width: int, own: float) -> list[float]:
    """The first shares of `site`, those of places that it does not have as well."""
    return [own, *([(1.0 - own) / max(1, site.neighbours)] * (width - 1))]


def _even(values: FloatArray) -> FloatArray:
    """`values` [T, A] around the mean of each agent, over their spread in all: a level is no news."""
    return _scaled(values - values.mean(axis=0))


def _scaled(values: FloatArray) -> FloatArray:
    """`values` over their spread in all; zeros where nothing varies."""
    spread = float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
    scaled: FloatArray = (values / spread if spread > _LEAST_SPREAD else np.zeros_like(values)).astype(np.float32)
    return scaled
