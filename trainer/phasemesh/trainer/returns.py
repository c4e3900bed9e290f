"""Rewards shared over the road graph, and advantages over time; pure numpy."""

from __future__ import annotations

import numpy as np

from phasemesh.contract.observation import FloatArray
from phasemesh.trainer.layout import IntArray


def spatial_weights(hops: IntArray, discount: float, reach: int) -> FloatArray:
    """How much the reward of each agent (column) counts for each other (row), [A, A]: discount ** hops up to `reach`.

    With discount 1 an agent has the sum over its neighbourhood, with 0 its own reward alone. Source: BayesG, the
    spatially discounted return; Chu, Chinchali and Katti, ICLR 2020.
    """
    is_near = (hops >= 0) & (hops <= reach)
    weights: FloatArray = np.where(is_near, float(discount) ** np.maximum(hops, 0), 0.0).astype(np.float32)
    return weights


def shared_rewards(rewards: FloatArray, weights: FloatArray) -> FloatArray:
    """Rewards [T, A] after sharing with `weights` [A, A]."""
    shared: FloatArray = rewards @ weights.T
    return shared


def advantages(rewards: FloatArray, values: FloatArray, gamma: float, lambda_: float) -> FloatArray:
    """Generalised advantage estimates [T, A] (Schulman et al., ICLR 2016) from rewards [T, A] and values [T + 1, A].

    The last row of `values` is that of the situation after the last tick: an episode is cut off, not over.
    """
    delta = rewards + gamma * values[1:] - values[:-1]
    found = np.zeros_like(rewards)
    running = np.zeros_like(rewards[0])
    for tick in reversed(range(len(rewards))):
        running = delta[tick] + gamma * lambda_ * running
        found[tick] = running
    return found


def traces(values: FloatArray, decay: float) -> FloatArray:
    """Sums over the past of `values` [T, A] that fade by `decay` a tick: the transpose of a discounted sum ahead."""
    found = np.zeros_like(values)
    running = np.zeros_like(values[0])
    for tick in range(len(values)):
        running = values[tick] + decay * running
        found[tick] = running
    return found
