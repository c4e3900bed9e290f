"""B9, LToS: rewards are given away in shares, and shares move to whoever can do something about them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from actor_kinds import SITES, make_town_actor
from actor_kinds import make_recipe as make_town_recipe
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st
from trainer_towns import LAYOUT, make_episode

from phasemesh.trainer.actor_spec import NetworkKind, SharingKind
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.learners.a2c import A2c
from phasemesh.trainer.learning_gains import Discounts, learning_gains
from phasemesh.trainer.recipe import Recipe, RewardRecipe, SharesKind, faults_of_recipe, find_recipe
from phasemesh.trainer.reward_shares import LearnedShares, SpatialShares, given, make_shares, receivers_of
from phasemesh.trainer.sharing import make_critic

pytestmark = pytest.mark.train
NUMBERED, NONE = NetworkKind.NUMBERED, SharingKind.NONE
DISCOUNTS = Discounts(0.0, 0.0)
"""Only what follows a decision at once counts, so that outcomes can be told in advance."""
A, B, C = 0, 1, 2
"""The town in a line: b is between a and c."""


def make_shares_of(**reward: Any) -> LearnedShares:
    """The high level for the town; the objective is the sum over a neighbourhood."""
    values: dict[str, Any] = {"spatial_discount": 1.0, "spatial_reach": 1, "shares": SharesKind.LEARNED, **reward}
    return LearnedShares(RewardRecipe(**values), SITES)


def make_a2c(**reward: Any) -> A2c:
    """A learner with the reward as told, untrained but always the same."""
    recipe = msgspec.structs.replace(make_town_recipe(NUMBERED, NONE), reward=RewardRecipe(**reward))
    actor = make_town_actor(NUMBERED, NONE)
    torch.manual_seed(3)
    return A2c(actor, make_critic(actor.spec), recipe, torch.device("cpu"))


def played(ticks: int = 120) -> Episode:
    """An episode of random traffic."""
    return make_episode(make_town_actor(NUMBERED, NONE), ticks=ticks)


def rewarded(episode: Episode, **columns: np.ndarray) -> Episode:
    """`episode` in which only the agents that are named are rewarded."""
    reward = np.zeros_like(episode.reward)
    for name, column in columns.items():
        reward[:, LAYOUT.names.index(name)] = column
    return msgspec.structs.replace(episode, reward=reward)


def hurt_by(episode: Episode, agent: int) -> np.ndarray:
    """A reward that is lost whenever `agent` wants its first stage."""
    return -(episode.stage[:, agent] == 0).astype(np.float32)


def mean_shares(shares: LearnedShares, episode: Episode) -> np.ndarray:
    """The mean shares over `episode`, [A, 1 + K]."""
    found: np.ndarray = shares.shares(episode).detach().mean(dim=0).numpy()
    return found


@settings(max_examples=20, deadline=None)
@for_all(seed=st.integers(0, 1000), size=st.floats(0.0, 20.0))
def test_b9_ltos_shares_are_one_in_all_and_rewards_are_only_moved(seed: int, size: float) -> None:
    """Whatever the weights of the high level: none is negative, and the sum of all rewards stays."""
    episode, shares = played(6), make_shares_of()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        shares.slope.copy_(size * torch.randn(shares.slope.shape, generator=random))
    found = shares.shares(episode).detach()

    assert float(found.min()) >= 0.0
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(6, 3))
    np.testing.assert_allclose(shares.paid(episode).sum(axis=1), episode.reward.sum(axis=1), rtol=1e-4)


def test_rewards_that_are_given_away_come_to_the_neighbours() -> None:
    """By hand: b gives a fifth to a and three tenths to c; a and c keep all."""
    shares = np.array([[[1.0, 0.0, 0.0], [0.5, 0.2, 0.3], [1.0, 0.0, 0.0]]], dtype=np.float32)
    found = given(np.array([[1.0, 10.0, 100.0]], dtype=np.float32), shares, receivers_of(LAYOUT))

    assert found.tolist() == [pytest.approx([3.0, 5.0, 103.0])]


def test_every_site_begins_with_its_own_share_and_equal_parts_for_the_others() -> None:
    """A place that a site does not have gets nothing."""
    found = mean_shares(make_shares_of(first_own_share=0.6), played(6))

    np.testing.assert_allclose(found, [[0.6, 0.4, 0.0], [0.6, 0.2, 0.2], [0.6, 0.4, 0.0]], atol=1e-6)


def test_b9_ltos_gives_its_reward_to_the_neighbour_that_decides_it() -> None:
    """What a does only hurts b: b learns to pay a, and neither itself nor c; a has nothing to give and stays."""
    episode = played()
    episode = rewarded(episode, b=hurt_by(episode, A))
    actor, shares = make_town_actor(NUMBERED, NONE), make_shares_of(share_rate=5.0)
    before = mean_shares(shares, episode)
    for _ in range(4):
        shares.learn(actor, [episode], [DISCOUNTS])
    after = mean_shares(shares, episode)

    assert after[B, 1] > before[B, 1] + 0.2
    assert after[B, 0] < before[B, 0] - 0.1
    assert after[B, 2] < before[B, 2]
    np.testing.assert_array_equal(after[[A, C]], before[[A, C]])


def test_b9_ltos_keeps_a_reward_that_it_decides_itself() -> None:
    """What b does hurts b alone: it keeps more than before."""
    episode = played()
    episode = rewarded(episode, b=hurt_by(episode, B))
    actor, shares = make_town_actor(NUMBERED, NONE), make_shares_of(share_rate=5.0)
    for _ in range(4):
        shares.learn(actor, [episode], [DISCOUNTS])

    assert mean_shares(shares, episode)[B, 0] > 0.7


def test_a_reward_is_worth_more_to_whoever_it_teaches() -> None:
    """The gain of the agent whose decisions a reward hangs on goes with it, that of the others does not."""
    episode = played()
    reward = hurt_by(episode, A)
    objective = np.stack((reward, reward, np.zeros_like(reward)), axis=1)
    gains = learning_gains(make_town_actor(NUMBERED, NONE), episode, objective, DISCOUNTS)
    worth = [float(np.mean((reward[:-1] - reward.mean()) * gains[:, agent])) for agent in (A, B, C)]

    assert gains.shape == (119, 3)
    assert worth[A] > 3.0 * abs(worth[B])
    assert worth[C] == 0.0


def test_too_short_an_episode_teaches_no_shares() -> None:
    """With one decision there are no two halves."""
    episode = played(2)

    assert not learning_gains(make_town_actor(NUMBERED, NONE), episode, episode.reward, DISCOUNTS).any()


def test_b9_ltos_with_shares_held_at_oneself_is_its_learner_without_sharing() -> None:
    """Bit for bit, after two updates on the same episodes."""
    held = make_a2c(shares=SharesKind.LEARNED, first_own_share=1.0, share_rate=0.0, spatial_discount=0.9)
    alone = make_a2c(spatial_discount=0.0)
    for learner in (held, alone):
        random = np.random.default_rng(4)
        for ticks in (30, 40):
            learner.update([played(ticks)], random, learns_policy=True)

    for module in ("actor", "critic", "scale"):
        first, second = (getattr(each.core, module).state_dict() for each in (held, alone))
        assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_learned_shares_change_what_an_update_does() -> None:
    """The same learner and episodes, but rewards go elsewhere; the figures say what was kept."""
    shared = make_a2c(shares=SharesKind.LEARNED, first_own_share=0.5)
    alone = make_a2c(spatial_discount=0.0)
    kept = [
        each.update([played(30)], np.random.default_rng(4), learns_policy=True).own_share for each in (shared, alone)
    ]

    assert kept == [pytest.approx(0.5), 0.0]
    first, second = (each.core.actor.state_dict() for each in (shared, alone))
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_recipe_learns_shares_only_with_a_network_each() -> None:
    """LToS is `ia2c` in everything but who is paid."""
    ltos, ia2c = find_recipe("ltos"), find_recipe("ia2c")

    assert msgspec.structs.replace(ltos, reward=ia2c.reward) == ia2c
    assert msgspec.structs.replace(ltos.reward, shares=SharesKind.SPATIAL) == ia2c.reward
    assert faults_of_recipe(msgspec.structs.replace(Recipe(), reward=ltos.reward)) == [
        "reward.shares is learned, for which sharing.kind must be none, not full"
    ]
    assert isinstance(make_shares(ia2c.reward, SITES), SpatialShares)
