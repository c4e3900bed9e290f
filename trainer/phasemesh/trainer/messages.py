"""What agents tell each other in a city that is computed at once: the wire's content without the wire."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from phasemesh.contract.messages import HALF_MAX
from phasemesh.contract.observation import MESSAGE_SIZE, POLICY_SIZE, SUMMARY_SIZE, FloatArray
from phasemesh.contract.topics import PEER_STATE
from phasemesh.controller.ladder import FRESH, Raised, Standing, next_standing
from phasemesh.controller.ladder_table import LadderEvent
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


class _Sent(NamedTuple):
    """The messages of one tick: what was told [A, D], and where [A, K] it is on its way, with how late it comes."""

    told: FloatArray
    is_sent: BoolArray
    late_ticks: IntArray


_SILENCE = (Raised(LadderEvent.NEIGHBOURS_STALE, "no neighbour is fresh"),)


class Inbox:
    """Which message each agent holds of each neighbour when some are lost or late: the newest, while it is fresh.

    An agent whose neighbours were all silent uses none of them for as long as the ladder of the street isolates it.
    """

    def __init__(self, layout: Layout, tick_s: float) -> None:
        """Begin with nothing heard; ticks are `tick_s` apart."""
        self._tick_s = tick_s
        self._tick = 0
        self._standings: list[Standing] = [FRESH] * len(layout.names)
        self._has_neighbour = layout.has_neighbour
        self._neighbours = layout.neighbours
        self._never = PEER_STATE.stale_after_ticks + 1
        self.age: IntArray = np.full(layout.neighbours.shape, self._never, dtype=np.int64)
        self._held = np.zeros((*layout.neighbours.shape, MESSAGE_SIZE), dtype=np.float32)
        self._sent: deque[_Sent] = deque(maxlen=self._never)

    def take(
        self, told: FloatArray, is_lost: BoolArray, late_ticks: IntArray | None = None
    ) -> tuple[FloatArray, BoolArray]:
        """A tick's messages `told` [A, D], some of which `is_lost` [A, K]: the rows held [A, K, D], and which are used.

        Those with `late_ticks` [A, K] above 0 come so many ticks later; then a newer one may have come before them.
        """
        late = np.zeros(is_lost.shape, dtype=np.int64) if late_ticks is None else late_ticks
        self._sent.appendleft(_Sent(told, self._has_neighbour & ~is_lost, late))
        self.age = np.minimum(self.age + 1, self._never)
        for age, sent in enumerate(self._sent):
            self._receive(age, sent)
        fresh = self._has_neighbour & (self.age <= PEER_STATE.stale_after_ticks)
        valid = fresh & ~self._isolated(fresh)[:, None]
        self._tick += 1
        return self._held * valid[..., None], valid

    def _isolated(self, fresh: BoolArray) -> BoolArray:
        """Whom the ladder isolates [A] when so many neighbours are `fresh` [A, K]; it knows no other trouble here."""
        now_s = self._tick * self._tick_s
        is_silent = [bool(some.any()) and not row.any() for some, row in zip(self._has_neighbour, fresh, strict=True)]
        self._standings = [
            next_standing(before, _SILENCE if silent else (), now_s)
            for before, silent in zip(self._standings, is_silent, strict=True)
        ]
        return np.array([bool(standing.in_force) for standing in self._standings])

    def _receive(self, age: int, sent: _Sent) -> None:
        """Take in what was `sent` so many ticks ago and comes only now, unless something newer is held."""
        arrives = sent.is_sent & (sent.late_ticks == age) & (age < self.age)
        if arrives.any():
            self.age = np.where(arrives, age, self.age)
            self._held = np.where(arrives[..., None], sent.told[self._neighbours], self._held)
