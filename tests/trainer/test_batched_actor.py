"""B3, B4: the batched actor answers row by row as the exported one, whatever the shapes, and hears only neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from trainer_towns import LAYOUT, make_episode

from phasemesh.contract.observation import HIDDEN_SIZE, LANE_FEATURES, MESSAGE_SIZE, SITE_SIZE, STAGE_FEATURES
from phasemesh.trainer.batched import ILLEGAL, Decided, decide, encode
from phasemesh.trainer.networks import UniversalActor

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def actor() -> UniversalActor:
    """An actor of fixed weights large enough for every input to matter."""
    torch.manual_seed(3)
    actor = UniversalActor()
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.mul_(2.0)
    return actor


class Row:
    """One intersection with random inputs."""

    def __init__(self, lanes: int, stages: int, neighbours: int, random: np.random.Generator) -> None:
        """Every neighbour is valid or not by chance."""
        self.lanes = self._random(random, lanes, len(LANE_FEATURES))
        self.stage_lanes = self._random(random, stages, lanes, 2)
        self.stage_state = self._random(random, stages, len(STAGE_FEATURES))
        self.messages = self._random(random, neighbours, MESSAGE_SIZE)
        self.valid = torch.from_numpy((random.random(neighbours) < 0.7).astype(np.float32))
        self.noise = self._random(random, neighbours).clamp(1e-6, 1.0 - 1e-6)
        self.hidden = self._random(random, HIDDEN_SIZE) * 2.0 - 1.0

    @staticmethod
    def _random(random: np.random.Generator, *shape: int) -> Tensor:
        return torch.from_numpy(random.random(shape, dtype=np.float32))


def padded(parts: list[Tensor], *sizes: int) -> Tensor:
    """The `parts` as rows of one tensor, filled up to `sizes` with sevens, which nobody may look at."""
    rows = torch.full((len(parts), *sizes), 7.0)
    for row, part in zip(rows, parts, strict=True):
        row[tuple(slice(size) for size in part.shape)] = part
    return rows


def together(actor: UniversalActor, rows: list[Row]) -> Decided:
    """The batched answer to all `rows` at once."""
    lanes, stages, neighbours = (
        max(len(getattr(row, name)) for row in rows) for name in ("lanes", "stage_state", "messages")
    )
    has_lane = torch.stack([(torch.arange(lanes) < len(row.lanes)).float() for row in rows])
    shares = padded([row.stage_lanes for row in rows], stages, lanes, 2) * has_lane[:, None, :, None]
    legal = torch.stack([torch.arange(stages) < len(row.stage_state) for row in rows])
    valid = torch.stack([torch.nn.functional.pad(row.valid, (0, neighbours - len(row.valid))) for row in rows])
    with torch.no_grad():
        encoded = encode(
            actor,
            padded([row.lanes for row in rows], lanes, len(LANE_FEATURES)),
            has_lane,
            shares,
            padded([row.messages for row in rows], neighbours, MESSAGE_SIZE),
        )
        return decide(
            actor,
            encoded,
            padded([row.stage_state for row in rows], stages, len(STAGE_FEATURES)),
            legal,
            valid,
            padded([row.noise for row in rows], neighbours).clamp(max=0.99),
            torch.stack([row.hidden for row in rows]),
        )


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(2, 8), st.integers(1, 5)), min_size=1, max_size=6),
    st.integers(0, 2**32 - 1),
)
def test_the_batched_actor_answers_row_by_row_as_the_exported_one(
    actor: UniversalActor, shapes: list[tuple[int, int, int]], seed: int
) -> None:
    """For any mixture of shapes: same mask, and scores, posterior and state to the last digits."""
    random = np.random.default_rng(seed)
    rows = [Row(*shape, random) for shape in shapes]
    for row in rows:
        row.noise = row.noise.clamp(max=0.99)
    found = together(actor, rows)

    for index, row in enumerate(rows):
        stages, neighbours = len(row.stage_state), len(row.messages)
        with torch.no_grad():
            scores, hidden, probability, mask, _ = actor(
                row.lanes, row.stage_lanes, row.stage_state, row.messages, row.valid, row.noise, row.hidden,
                torch.zeros(SITE_SIZE),
            )  # fmt: skip
        torch.testing.assert_close(found.scores[index, :stages], scores, atol=2e-5, rtol=1e-5)
        torch.testing.assert_close(found.hidden[index], hidden, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found.probability[index, :neighbours], probability, atol=1e-5, rtol=1e-5)
        assert torch.equal(found.mask[index, :neighbours], mask)
        assert not found.mask[index, neighbours:].any()
        assert (found.scores[index, stages:] == ILLEGAL).all()


def test_b3_no_edge_is_ever_drawn_outside_of_the_road_graph(actor: UniversalActor) -> None:
    """In 10^5 draws under every noise a row without a neighbour draws none."""
    rows = [Row(4, 2, 4, np.random.default_rng(seed)) for seed in range(500)]
    allowed = torch.stack([row.valid for row in rows])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.zeros_like(allowed)
    for _ in range(51):
        for row in rows:
            row.noise = torch.rand(4, generator=generator).clamp(1e-6, 0.99)
        drawn += together(actor, rows).mask

    assert 51 * drawn.numel() > 10**5
    assert not drawn[allowed == 0].any()
    assert (drawn[allowed == 1] > 0).float().mean() > 0.5


def test_b4_a_mask_of_all_ones_is_the_unmasked_mean_of_all_neighbours(actor: UniversalActor) -> None:
    """As if one neighbour said the mean of what three say: embedding is linear, and nothing is gated."""
    row = open_row(1.0 - 1e-6)
    mean = open_row(1.0 - 1e-6)
    mean.messages, mean.valid, mean.noise = row.messages.mean(dim=0, keepdim=True), row.valid[:1], row.noise[:1]
    found, expected = decide_one(actor, row), decide_one(actor, mean)

    assert found.mask.tolist() == [[1.0] * 3]
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.hidden, expected.hidden, atol=1e-5, rtol=1e-5)


def test_b4_a_mask_of_all_zeros_leaves_the_agents_own_features_alone(actor: UniversalActor) -> None:
    """Bit for bit as without any neighbour, whatever the neighbours say; with all ones it would matter."""
    row, alone, other = (open_row(1e-6) for _ in range(3))
    alone.valid[:] = 0.0
    other.messages = other.messages[[2, 0, 1]] + 0.5
    found = decide_one(actor, row)

    assert found.mask.tolist() == [[0.0] * 3]
    for each in (alone, other):
        assert torch.equal(decide_one(actor, each).scores, found.scores)
        assert torch.equal(decide_one(actor, each).hidden, found.hidden)
    heard, otherwise = open_row(1.0 - 1e-6), open_row(1.0 - 1e-6)
    otherwise.messages = other.messages
    assert not torch.equal(decide_one(actor, heard).scores, decide_one(actor, otherwise).scores)


def open_row(noise: float) -> Row:
    """The same intersection with three valid neighbours under one noise."""
    row = Row(6, 3, 3, np.random.default_rng(5))
    row.valid[:], row.noise[:] = 1.0, noise
    return row


def decide_one(actor: UniversalActor, row: Row) -> Decided:
    """The answer to one row without padding."""
    with torch.no_grad():
        encoded = encode(actor, row.lanes[None], torch.ones(1, 6), row.stage_lanes[None], row.messages[None])
        legal = torch.ones(1, 3, dtype=torch.bool)
        return decide(actor, encoded, row.stage_state[None], legal, row.valid[None], row.noise[None], row.hidden[None])


def test_padding_of_a_city_is_never_chosen(actor: UniversalActor) -> None:
    """Agents with fewer stages than the widest want only stages that they have and that are legal."""
    episode = make_episode(actor, ticks=30)

    ticks, agents = np.indices(episode.stage.shape)
    assert episode.legal[ticks, agents, episode.stage].all()
    assert not episode.legal[:, ~LAYOUT.has_stage].any()
