"""H1, H3, H14: the weights over value heads, what they make of the heads, and what is said of them at the edge."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from phasemesh.contract.observation import HYPER_SIZE
from phasemesh.trainer.actor_spec import Mixing
from phasemesh.trainer.heads import evenness, likeness, mixed_value, told_weights, weights_entropy, weights_of

pytestmark = pytest.mark.train
HEADS = torch.tensor([[3.0, -1.0, 7.0, 5.0]])
COUNTS = (1, 8, 32, 64)


def random_weights(seed: int, count: int, rows: int = 1) -> Tensor:
    """Weights far from even."""
    scores = 3.0 * torch.randn((rows, count), generator=torch.Generator().manual_seed(seed))
    return weights_of(scores, Mixing.LEARNED)


@pytest.mark.parametrize("head", range(4))
def test_h1_all_weight_on_one_head_is_its_value(head: int) -> None:
    """And no other head has a part in it."""
    assert mixed_value(HEADS, torch.eye(4)[head]).item() == HEADS[0, head].item()


def test_h1_even_weights_are_the_mean_of_all_heads() -> None:
    """Whatever the scores say."""
    even = weights_of(torch.tensor([[9.0, -4.0, 0.0, 1.0]]), Mixing.UNIFORM)

    assert mixed_value(HEADS, even).item() == pytest.approx(3.5)


def test_h10_the_strongest_head_alone_is_the_path_of_h1_and_can_still_change() -> None:
    """One-hot to the bit where it is best, with the gradient of the soft weights."""
    scores = torch.tensor([[0.1, 0.2, 0.9, -3.0]], requires_grad=True)
    value = mixed_value(HEADS, weights_of(scores, Mixing.ARGMAX))
    value.sum().backward()

    assert value.item() == pytest.approx(7.0)
    assert scores.grad is not None
    assert scores.grad[0, 2] > 0.0 > scores.grad[0, 1]


@given(seed=st.integers(0, 10_000), count=st.sampled_from(COUNTS), mixing=st.sampled_from(Mixing))
def test_weights_are_none_below_zero_and_one_in_all(seed: int, count: int, mixing: Mixing) -> None:
    """However they are mixed and however many there are."""
    scores = 5.0 * torch.randn((3, count), generator=torch.Generator().manual_seed(seed))
    weights = weights_of(scores, mixing)

    assert (weights >= -1e-6).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3))


def test_h3_a_step_up_the_entropy_makes_weights_more_even() -> None:
    """With nothing else in the loss."""
    scores = torch.tensor([2.0, 0.0, -1.0], requires_grad=True)
    before = weights_entropy(weights_of(scores, Mixing.LEARNED))
    (-before).backward()
    assert scores.grad is not None
    after = weights_entropy(weights_of(scores.detach() - 0.1 * scores.grad, Mixing.LEARNED))

    assert after > before


@pytest.mark.parametrize("count", COUNTS[1:])
def test_h14_evenness_is_one_for_even_weights_and_zero_for_one_head_alone(count: int) -> None:
    """And in between for everything in between."""
    assert evenness(torch.full((5, count), 1.0 / count)) > 0.999
    assert evenness(torch.eye(count)[:3]) < 0.001
    assert 0.1 < evenness(random_weights(3, count, rows=50)) < 0.95


def test_h14_heads_are_alike_when_they_rise_and_fall_together() -> None:
    """Whatever their size; heads of their own are not."""
    common = torch.randn((200, 1), generator=torch.Generator().manual_seed(1))
    own = torch.randn((200, 6), generator=torch.Generator().manual_seed(2))

    assert likeness(common * torch.arange(1.0, 7.0) + 5.0) == pytest.approx(1.0, abs=1e-4)
    assert abs(likeness(own)) < 0.2
    assert likeness(common) == evenness(torch.ones(5, 1)) == 0.0


@given(seed=st.integers(0, 10_000), count=st.sampled_from((2, *COUNTS)))
def test_what_is_told_is_still_a_distribution_and_hides_nothing_but_detail(seed: int, count: int) -> None:
    """Eight places, 1 in all; two that differ in what is told differ at least as much in themselves."""
    first, second = random_weights(seed, count), random_weights(seed + 1, count)
    told = told_weights(first)

    assert told.shape == (1, HYPER_SIZE)
    assert told.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert (told - told_weights(second)).abs().sum() <= (first - second).abs().sum() + 1e-5


def test_what_is_told_of_eight_heads_is_what_they_weigh() -> None:
    """Of more, neighbouring ones are added up."""
    eight = random_weights(1, HYPER_SIZE)
    sixteen = torch.arange(16.0) / 120.0

    assert torch.equal(told_weights(eight), eight)
    torch.testing.assert_close(told_weights(sixteen), torch.arange(1.0, 32.0, 4.0) / 120.0)
    assert told_weights(torch.ones(1)).tolist() == [1.0] + 7 * [0.0]


def test_the_entropy_of_even_weights_is_the_logarithm_of_their_number() -> None:
    """And that of one head is 0."""
    assert weights_entropy(torch.full((4,), 0.25)).item() == pytest.approx(math.log(4.0))
    assert weights_entropy(torch.ones(1)).item() == 0.0
