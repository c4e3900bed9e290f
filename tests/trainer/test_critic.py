"""B7: the critic looks at what neighbours do, at nobody else, and answers on one scale."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from trainer_towns import make_episode

from phasemesh.trainer.critic import Critic, ValueScale
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import critic_input
from phasemesh.trainer.networks import UniversalActor

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def episode() -> Episode:
    """A few ticks on the line of three."""
    torch.manual_seed(0)
    return make_episode(UniversalActor(), ticks=12)


def values(critic: Critic, episode: Episode) -> torch.Tensor:
    """The values of all agents at all ticks."""
    with torch.no_grad():
        return critic(*critic_input(episode))


@pytest.mark.parametrize(("actor", "concerned"), [(0, {1}), (1, {0, 2}), (2, {1})])
def test_b7_an_action_changes_the_value_of_neighbours_alone(episode: Episode, actor: int, concerned: set[int]) -> None:
    """Not that of the agent itself, which would bias its advantage, and not that of others."""
    torch.manual_seed(1)
    critic = Critic()
    stage = episode.stage.copy()
    stage[:, actor] = (stage[:, actor] + 1) % 2

    moved = values(critic, msgspec.structs.replace(episode, stage=stage)) != values(critic, episode)

    assert {agent for agent in range(3) if moved[:, agent].any()} == concerned


def test_padding_does_not_reach_the_value(episode: Episode) -> None:
    """Lanes that an intersection does not have may hold anything."""
    critic = Critic()
    lanes = episode.lanes.copy()
    lanes[:, ~episode.layout.has_lane] = 9.0
    stranger = msgspec.structs.replace(episode, lanes=lanes)

    torch.testing.assert_close(values(critic, stranger), values(critic, episode))


def test_the_scale_follows_mean_and_spread_of_the_returns() -> None:
    """After some looks normalised returns have mean 0 and spread 1, and the way back is exact."""
    scale = ValueScale()
    returns = torch.from_numpy(np.random.default_rng(0).normal(-300.0, 40.0, 1000).astype(np.float32))
    for _ in range(30):
        scale.note(returns)

    normalised = scale.normalised(returns)
    assert normalised.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert normalised.std().item() == pytest.approx(1.0, abs=1e-2)
    torch.testing.assert_close(scale.returns(normalised), returns)
