"""The paper's baseline: one table of all values that were ever learned, which nothing forgets."""

from __future__ import annotations

from phasemesh.controller.memory.equivalence import Equivalence, Match, Situation
from phasemesh.controller.memory.sarsa import MemorySize, Recalled, Row, best_of, noted


class QTable:
    """Values by key and stage. `rows` may be shared out and replaced, as communication does."""

    def __init__(self, equivalence: Equivalence) -> None:
        self.equivalence = equivalence
        self.rows: dict[bytes, Row] = {}

    def read(self, situation: Situation) -> Recalled | None:
        """As in `StageTable`."""
        match = self.equivalence.match(situation, self.rows)
        if match is None:
            return None
        stage, estimate = best_of(self.rows[match.key])
        return Recalled(self.equivalence.carried_back(match, stage), estimate, "q")

    def q_of(self, situation: Situation, stage: int) -> float:
        """As in `StageTable`."""
        match = self.equivalence.match(situation, self.rows)
        if match is None:
            return 0.0
        estimate = self.rows[match.key].get(self.equivalence.carried(match, stage))
        return estimate.q if estimate else 0.0

    def insert(self, situation: Situation, stage: int, q: float, target: float, at_s: float) -> frozenset[bytes]:  # noqa: ARG002 (protocol)
        """As in `StageTable`; a table of values has no long term."""
        match: Match = self.equivalence.match(situation, self.rows) or situation.own
        row = self.rows.get(match.key, {})
        self.rows[match.key] = noted(row, self.equivalence.carried(match, stage), q, target)
        return frozenset()

    def size(self) -> MemorySize:
        """As in `StageTable`."""
        return MemorySize(q=len(self.rows))
