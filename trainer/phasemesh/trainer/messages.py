"""What agents tell each other in a city that is computed at once: the wire's content without the wire."""

from __future__ import annotations

import numpy as np

from phasemesh.contract.messages import HALF_MAX
from phasemesh.contract.observation import MESSAGE_SIZE, POLICY_SIZE, SUMMARY_SIZE, FloatArray
from phasemesh.contract.topics import PEER_STATE
from phasemesh.trainer.layout import BoolArray, IntArray, Layout


def told_by(summary: FloatArray, policy: FloatArray, hidden: FloatArray) -> FloatArray:
    """The messages [A, D] of all agents as they arrive: `compose` and `vector` of the contract, for all rows at once.

    Args:
        summary: Of this tick, [A, 2F].
        policy: Stage probabilities of the tick before, [A, S]; more than 16 are cut off.
        hidden: Recurrent states of the tick before, [A, H]; they lose what half precision cannot hold.
    """
    told = np.zeros((len(summary), MESSAGE_SIZE), dtype=np.float32)
    told[:, :SUMMARY_SIZE] = summary
    stages = min(policy.shape[1], POLICY_SIZE)
    told[:, SUMMARY_SIZE : SUMMARY_SIZE + stages] = policy[:, :stages]
    told[:, SUMMARY_SIZE + POLICY_SIZE :] = np.clip(hidden, -HALF_MAX, HALF_MAX).astype(np.float16)
    return told


class Inbox:
    """Which message each agent holds of each neighbour when some are lost: the newest, while it is fresh."""

    def __init__(self, layout: Layout) -> None:
        """Begin with nothing heard."""
        self._has_neighbour = layout.has_neighbour
        self._neighbours = layout.neighbours
        self._never = PEER_STATE.stale_after_ticks + 1
        self.age: IntArray = np.full(layout.neighbours.shape, self._never, dtype=np.int64)
        self._held = np.zeros((*layout.neighbours.shape, MESSAGE_SIZE), dtype=np.float32)

    def take(self, told: FloatArray, is_lost: BoolArray) -> tuple[FloatArray, BoolArray]:
        """A tick's messages `told` [A, D], some of which `is_lost` [A, K]: the rows held [A, K, D] and which count."""
        arrives = self._has_neighbour & ~is_lost
        self.age = np.where(arrives, 0, np.minimum(self.age + 1, self._never))
        self._held = np.where(arrives[..., None], told[self._neighbours], self._held)
        valid = self._has_neighbour & (self.age <= PEER_STATE.stale_after_ticks)
        return self._held * valid[..., None], valid
