"""The three rewards of the dual-memory paper, from counts at one decision and at the next.

Source: DMIL, sections III (default) and VI-A (diffusion, entropy).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Rewards = NDArray[np.float64]

RELAXATION_VEH = 1.1
"""The paper's alpha: growth of a movement up to here is rewarded."""
THRESHOLD_VEH = 10.0
"""The paper's theta: growth from here on, beyond the relaxation, is punished."""


class RewardKind(StrEnum):
    """What a memory was taught to want."""

    DEFAULT = "default"
    DIFFUSION = "diffusion"
    ENTROPY = "entropy"


def default_reward(before: Counts, after: Counts) -> Rewards:
    """Over the movements of [..., M]: +1 for growth up to 1.1 vehicles, -1 for growth from 11.1 on, 0 between."""
    growth = after - before
    good, bad = growth <= RELAXATION_VEH, growth >= RELAXATION_VEH + THRESHOLD_VEH
    return np.asarray(good.sum(axis=-1) - bad.sum(axis=-1), dtype=np.float64)


def diffusion_reward(before: Counts, after: Counts) -> Rewards:
    """Minus the mean over the movements of the signed square of growth, in vehicles squared."""
    growth = (after - before).astype(np.float64)
    return np.asarray(-(np.sign(growth) * growth**2).mean(axis=-1))


def entropy_reward(before: Counts, after: Counts) -> Rewards:
    """The change of - sum s ln s over raw counts, which is no Shannon entropy: it falls as a queue grows."""
    return weighted_entropy(after) - weighted_entropy(before)


def normalised_entropy_reward(before: Counts, after: Counts) -> Rewards:
    """The change of the Shannon entropy of the shares of the movements: another objective, blind to size."""
    return _shannon(after) - _shannon(before)


def weighted_entropy(counts: Counts) -> Rewards:
    """- sum s ln s over the movements of [..., M], with 0 ln 0 = 0."""
    values = np.maximum(counts, 1).astype(np.float64)
    return np.asarray(-(values * np.log(values)).sum(axis=-1))


def _shannon(counts: Counts) -> Rewards:
    shares = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return np.asarray(-(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=-1))


REWARDS: dict[RewardKind, Callable[[Counts, Counts], Rewards]] = {
    RewardKind.DEFAULT: default_reward,
    RewardKind.DIFFUSION: diffusion_reward,
    RewardKind.ENTROPY: entropy_reward,
}
"""The reward of an intersection from its counts [..., M] before and after one control interval."""
