"""H7, H15: a critic that looks along the roads and nowhere else."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor
from trainer_towns import LAYOUT, make_episode

from phasemesh.trainer.actor_spec import HeadsSpec
from phasemesh.trainer.attention_critic import WIDTH, AttentionCritic
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import CriticInput, Lesson, batches, critic_input
from phasemesh.trainer.networks import UniversalActor

pytestmark = pytest.mark.train
PART_OF_AGENT = frozenset({"lanes", "stage_state", "current", "told", "stage", "legal"})


@pytest.fixture(scope="module")
def episode() -> Episode:
    """A few ticks on the line of three."""
    torch.manual_seed(0)
    return make_episode(UniversalActor(), ticks=12)


def make_critic(**heads: int | bool) -> AttentionCritic:
    """An untrained critic whose attention is not even."""
    torch.manual_seed(3)
    critic = AttentionCritic(HeadsSpec(**{"count": 4, **heads}))
    with torch.no_grad():
        critic.query.weight.mul_(40.0)
    return critic


def heads_of(critic: AttentionCritic, reads: CriticInput) -> Tensor:
    """All heads without gradients."""
    with torch.no_grad():
        found: Tensor = critic(*reads)
    return found


def shares_of(critic: AttentionCritic, reads: CriticInput) -> Tensor:
    """How much each agent looks at itself and at its neighbours, [T, A, 1 + K, attention heads]."""
    with torch.no_grad():
        units = critic.units(reads.lanes, reads.has_lane, reads.current_shares, reads.current_state)
        return critic.attention(units, reads.offsets[0], reads.has_neighbour[0])[0]


def test_h7_every_agent_divides_its_attention_among_itself_and_its_neighbours(episode: Episode) -> None:
    """In all 1, and none for neighbours that do not exist."""
    shares = shares_of(make_critic(), critic_input(episode))

    torch.testing.assert_close(shares.sum(dim=2), torch.ones(shares.shape[0], 3, shares.shape[-1]))
    assert not shares[:, ~np.pad(LAYOUT.has_neighbour, ((0, 0), (1, 0)), constant_values=True)].any()
    assert shares.std(dim=0).max() > 0.01


def test_h7_an_isolated_agent_looks_at_itself_alone(episode: Episode) -> None:
    """With a share of 1."""
    reads = critic_input(episode)
    alone = reads._replace(has_neighbour=torch.zeros_like(reads.has_neighbour))
    shares = shares_of(make_critic(), alone)

    assert (shares[:, :, 0] == 1.0).all()
    assert not shares[:, :, 1:].any()


def turned(episode: Episode, order: list[int]) -> Episode:
    """The same episode with its agents in another order."""
    layout, place = episode.layout, np.argsort(order)
    changed = msgspec.structs.replace(
        layout,
        names=tuple(layout.names[index] for index in order),
        stage_lanes=layout.stage_lanes[order],
        has_lane=layout.has_lane[order],
        has_stage=layout.has_stage[order],
        has_neighbour=layout.has_neighbour[order],
        neighbours=place[layout.neighbours[order]],
        hops=layout.hops[order][:, order],
    )
    parts = {name: getattr(episode, name)[:, order] for name in PART_OF_AGENT}
    return msgspec.structs.replace(episode, layout=changed, **parts)


@pytest.mark.parametrize("order", [[2, 1, 0], [1, 2, 0]])
def test_h7_another_order_of_the_agents_gives_the_same_values_in_that_order(episode: Episode, order: list[int]) -> None:
    """Names and numbers mean nothing."""
    critic = make_critic()
    expected = heads_of(critic, critic_input(episode))[:, order]

    torch.testing.assert_close(heads_of(critic, critic_input(turned(episode, order))), expected)


@pytest.mark.parametrize(("attends", "concerned"), [(True, {0, 1}), (False, {0})])
def test_what_an_agent_sees_changes_its_own_value_and_its_neighbours(
    episode: Episode, attends: bool, concerned: set[int]
) -> None:
    """Those of no other; without attention its own alone (H10)."""
    critic = make_critic(attends=attends)
    lanes = episode.lanes.copy()
    lanes[:, 0] += 0.5
    moved = heads_of(critic, critic_input(msgspec.structs.replace(episode, lanes=lanes)))
    differs = moved != heads_of(critic, critic_input(episode))

    assert {agent for agent in range(3) if differs[:, agent].any()} == concerned


def test_padding_does_not_reach_the_value(episode: Episode) -> None:
    """Lanes that an intersection does not have may hold anything."""
    critic = make_critic()
    lanes = episode.lanes.copy()
    lanes[:, ~episode.layout.has_lane] = 9.0
    stranger = msgspec.structs.replace(episode, lanes=lanes)

    torch.testing.assert_close(
        heads_of(critic, critic_input(stranger)), heads_of(critic, critic_input(episode)), atol=1e-6, rtol=1e-6
    )


def test_a_batch_of_segments_is_judged_as_the_whole_episode_is(episode: Episode) -> None:
    """Rows of several segments side by side do not look at each other."""
    critic = make_critic()
    whole = heads_of(critic, critic_input(episode))
    nothing = np.zeros((episode.ticks - 1, 3), dtype=np.float32)
    (batch,) = batches(Lesson(episode, nothing, nothing), np.random.default_rng(0), segment_ticks=5, rows=100)
    found = heads_of(critic, batch.critic)

    starts = [
        int(np.flatnonzero((episode.lanes == row.numpy()).all(axis=(1, 2, 3)))[0]) for row in batch.lanes[0].split(3)
    ]
    assert len(starts) == 2
    for column, start in enumerate(starts):
        torch.testing.assert_close(found[:, 3 * column : 3 * column + 3], whole[start : start + 5])


def test_h15_nothing_grows_with_the_square_of_the_agents() -> None:
    """On a ring of 16 or 512 agents an agent looks at three, itself included."""
    critic = make_critic()
    for agents in (16, 512):
        offsets = torch.stack((torch.ones(agents), -torch.ones(agents)), dim=1).long()
        offsets[0, 1], offsets[-1, 0] = agents - 1, 1 - agents
        shares, told = critic.attention(torch.randn(2, agents, WIDTH), offsets, torch.ones(agents, 2))

        assert shares.shape[:3] == told.shape[:3] == (2, agents, 3)
