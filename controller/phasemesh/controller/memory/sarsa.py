"""On-policy learning of stage values, and what every table that learns by it offers."""

from __future__ import annotations

from typing import Protocol

import msgspec

from phasemesh.controller.memory.entries import Estimate
from phasemesh.controller.memory.equivalence import Situation


class SarsaRule(msgspec.Struct, frozen=True):
    """How fast values move and how far they look ahead. Source: Sutton and Barto, 2018, section 6.4."""

    learning_rate: float = 0.1
    gamma: float = 0.95

    def target(self, reward: float, q_next: float) -> float:
        """What Q(s, a) is moved towards: the reward and the value of the stage that was really chosen next."""
        return reward + self.gamma * q_next

    def moved(self, q: float, target: float) -> float:
        """`q` after one step towards `target`."""
        return q + self.learning_rate * (target - q)


class Recalled(msgspec.Struct, frozen=True):
    """A stage that a table knows for a situation, with its estimate and the table it is from: `ltm`, `stm`, `q`."""

    stage: int
    estimate: Estimate
    source: str


class MemorySize(msgspec.Struct, frozen=True):
    """How many keys a table holds: long-term, short-term, or in a plain table of values."""

    ltm: int = 0
    stm: int = 0
    q: int = 0

    def numbers(self, stages: int) -> int:
        """How many numbers these are as the paper counts them: three a long-term entry, one a stage otherwise."""
        return 3 * self.ltm + stages * (self.stm + self.q)

    def packed_bytes(self, movements: int, stages: int) -> int:
        """How many bytes that takes without any overhead: a byte a movement, a stage, and eight bytes a value."""
        return self.ltm * (movements + 1 + 8) + (self.stm + self.q) * (movements + 8 * stages)


class StageTable(Protocol):
    """A table of stage values by situation."""

    def read(self, situation: Situation) -> Recalled | None:
        """The best known stage, or None where nothing is known."""

    def q_of(self, situation: Situation, stage: int) -> float:
        """Q(situation, stage); 0 where it is unknown."""

    def insert(self, situation: Situation, stage: int, q: float, target: float, at_s: float) -> frozenset[bytes]:
        """Write the new value `q`, which was moved towards `target`; returns long-term keys that changed."""

    def size(self) -> MemorySize:
        """How many keys it holds."""


Row = dict[int, Estimate]
"""Estimates by stage, in the frame of their key."""


def best_of(row: Row) -> tuple[int, Estimate]:
    """The stage of the largest Q in `row`, of several the least."""
    stage = max(row, key=lambda each: (row[each].q, -each))
    return stage, row[stage]


def noted(row: Row, stage: int, q: float, target: float) -> Row:
    """`row` with the value of `stage` overwritten by `q` and the visit counted; rows may be shared and never change."""
    return {**row, stage: row.get(stage, Estimate(q)).noted(q, target)}
