"""B6, H6: rewards shared over the road graph, and advantages over time, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from trainer_towns import LAYOUT

from phasemesh.trainer.layout import hops_between
from phasemesh.trainer.returns import advantages, shared_rewards, spatial_weights

pytestmark = pytest.mark.train
REWARDS = np.array([[1.0, 10.0, 100.0]], dtype=np.float32)


@pytest.mark.parametrize(
    ("discount", "reach", "expected"),
    [
        (0.5, 2, [1 + 5 + 25, 10 + 0.5 + 50, 100 + 5 + 0.25]),
        (0.5, 1, [1 + 5, 10 + 0.5 + 50, 100 + 5]),
        (1.0, 1, [11, 111, 110]),
        (0.0, 2, [1, 10, 100]),
    ],
)
def test_b6_rewards_on_a_line_of_three(discount: float, reach: int, expected: list[float]) -> None:
    """With 1 the sum over the neighbourhood, with 0 the own reward, in between discount ** hops."""
    shared = shared_rewards(REWARDS, spatial_weights(LAYOUT.hops, discount, reach))

    assert shared.tolist() == [expected]


def test_agents_without_a_way_to_each_other_share_nothing() -> None:
    """Whatever the discount and the reach."""
    weights = spatial_weights(hops_between([[1], [0], []]), 1.0, 9)

    assert weights.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_advantages_are_discounted_sums_of_surprises() -> None:
    """Two ticks by hand: gamma 0.5, lambda 0.5, and the value after the last tick counts."""
    rewards = np.array([[1.0], [2.0]], dtype=np.float32)
    values = np.array([[4.0], [6.0], [8.0]], dtype=np.float32)
    last = 2.0 + 0.5 * 8.0 - 6.0
    first = 1.0 + 0.5 * 6.0 - 4.0 + 0.25 * last

    assert advantages(rewards, values, 0.5, 0.5).tolist() == [[first], [last]]


def test_h6_with_lambda_1_an_advantage_is_the_return_less_the_value() -> None:
    """The whole discounted sum of rewards, bootstrapped at the end."""
    rewards = np.ones((3, 1), dtype=np.float32)
    values = np.array([[5.0], [5.0], [5.0], [8.0]], dtype=np.float32)

    found = advantages(rewards, values, 0.5, 1.0)

    assert found[0].tolist() == [1.0 + 0.5 + 0.25 + 0.125 * 8.0 - 5.0]


def test_h6_with_lambda_0_an_advantage_is_one_surprise() -> None:
    """What came and what it led to, less what was expected; nothing of what comes after."""
    random = np.random.default_rng(0)
    rewards, values = (random.normal(size=(size, 2)).astype(np.float32) for size in (5, 6))

    found = advantages(rewards, values, 0.9, 0.0)

    np.testing.assert_allclose(found, rewards + np.float32(0.9) * values[1:] - values[:-1], rtol=1e-5)
