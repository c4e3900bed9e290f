"""Short-term and long-term memory: insertion, staging, replacement and reading. Source: DMIL, algorithms 1 and 2."""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.controller.memory.entries import Estimate, LtmEntry, ltm_entry, merged
from phasemesh.controller.memory.equivalence import Equivalence, Situation
from phasemesh.controller.memory.sarsa import MemorySize, Recalled, Row, best_of, noted


class StageWhen(StrEnum):
    """When the short-term memory is staged: when it is full (algorithm 1) or every so many decisions (section V)."""

    FULL = "full"
    PERIOD = "period"


class StageRank(StrEnum):
    """What makes a situation worth staging: its best value, its visits, or value and then visits."""

    Q = "q"
    VISITS = "visits"
    Q_THEN_VISITS = "q_then_visits"


class DualMemoryRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of a dual memory; raises InputError for those that cannot work.

    `capacity` is the size of the short-term memory in keys and, under PERIOD, the decisions between stagings; the share
    `kappa` of it, at least one key, is staged, of situations with at least `min_visits`. A value replaces another in
    the long term when it is better by `delta_rel` of its size and by `delta_abs`. `scale_power` divides values by that
    power of what the counts of a situation share, so that returns which grow with counts compare: 1 for entropy, 2 for
    diffusion.
    """

    capacity: int = 20
    stage_when: StageWhen = StageWhen.FULL
    stage_rank: StageRank = StageRank.Q
    kappa: float = 0.5
    min_visits: int = 1
    delta_rel: float = 0.05
    delta_abs: float = 1e-6
    scale_power: int = 0

    def __post_init__(self) -> None:
        if self.capacity < 1 or not 0 < self.kappa <= 1:
            raise InputError(f"memory: capacity {self.capacity} and kappa {self.kappa} must be above 0, kappa up to 1")

    def is_better(self, q: float, q_old: float) -> bool:
        """Whether `q` is significantly better; the margin is relative to the size of `q_old`, whatever its sign."""
        return q > q_old + max(self.delta_abs, self.delta_rel * abs(q_old))


class Impression(msgspec.Struct):
    """A short-term row, and the situation that made it, from which the way into other frames is known."""

    situation: Situation
    row: Row

    @property
    def visits(self) -> int:
        """How often any stage was tried in it."""
        return sum(estimate.n for estimate in self.row.values())


class DualMemory:
    """One agent's memory: `stm` is emptied at every staging, `ltm` keeps the best stage a key.

    Keys of both are canonical and never depend on what was stored before; shifts are allowed for when one is sought.
    """

    def __init__(self, equivalence: Equivalence, rules: DualMemoryRules | None = None) -> None:
        self.equivalence = equivalence
        self.rules = rules or DualMemoryRules()
        self.stm: dict[bytes, Impression] = {}
        self.ltm: dict[bytes, LtmEntry] = {}
        self._inserted = 0

    def read(self, situation: Situation) -> Recalled | None:
        """As in `StageTable`: the long term, unless the short term is significantly better."""
        remembered, recent = self.from_ltm(situation), self.from_stm(situation)
        if remembered is None or recent is None:
            return remembered or recent
        return recent if self.rules.is_better(recent.estimate.q, remembered.estimate.q) else remembered

    def from_ltm(self, situation: Situation) -> Recalled | None:
        """What the long term alone knows of `situation`."""
        match = self.equivalence.match(situation, self.ltm)
        if match is None:
            return None
        entry = self.ltm[match.key]
        return Recalled(self.equivalence.carried_back(match, entry.stage), entry.estimate, "ltm")

    def from_stm(self, situation: Situation) -> Recalled | None:
        """What the short term alone knows of `situation`."""
        match = self.equivalence.match(situation, self.stm)
        if match is None:
            return None
        stage, estimate = best_of(self.stm[match.key].row)
        return Recalled(self.equivalence.carried_back(match, stage), estimate, "stm")

    def q_of(self, situation: Situation, stage: int) -> float:
        """As in `StageTable`: from the short term, else from the long term if it holds this stage."""
        return self._stored_q(situation, stage) * self._unit(situation)

    def _stored_q(self, situation: Situation, stage: int) -> float:
        match = self.equivalence.match(situation, self.stm)
        if match is not None:
            estimate = self.stm[match.key].row.get(self.equivalence.carried(match, stage))
            if estimate is not None:
                return estimate.q
        match = self.equivalence.match(situation, self.ltm)
        if match is not None and self.ltm[match.key].stage == self.equivalence.carried(match, stage):
            return self.ltm[match.key].q
        return 0.0

    def _unit(self, situation: Situation) -> float:
        """What values of this situation are divided by when they are stored."""
        if self.rules.scale_power == 0:
            return 1.0
        return float(max(math.gcd(*situation.counts), 1) ** self.rules.scale_power)

    def insert(self, situation: Situation, stage: int, q: float, target: float, at_s: float) -> frozenset[bytes]:
        """As in `StageTable`; stages before the insertion when a period is over, after it when memory is full."""
        changed = frozenset[bytes]()
        if self.rules.stage_when is StageWhen.PERIOD and self._inserted and self._inserted % self.rules.capacity == 0:
            changed = self.stage(at_s)
        self._inserted += 1
        match, unit = self.equivalence.match(situation, self.stm) or situation.own, self._unit(situation)
        impression = self.stm.setdefault(match.key, Impression(situation, {}))
        carried = self.equivalence.carried(match, stage)
        impression.row = noted(impression.row, carried, q / unit, target / unit)
        if self.rules.stage_when is StageWhen.FULL and len(self.stm) >= self.rules.capacity:
            changed = self.stage(at_s)
        return changed

    def stage(self, at_s: float) -> frozenset[bytes]:
        """Pass the best of the short term on and forget the rest; returns the long-term keys that changed."""
        worthy = [
            (key, impression) for key, impression in self.stm.items() if impression.visits >= self.rules.min_visits
        ]
        worthy.sort(key=lambda each: (*self._rank(each[1]), each[0]))
        kept = worthy[: max(1, math.floor(self.rules.kappa * len(self.stm)))]
        changed = {self._remember(impression, at_s) for _key, impression in kept}
        self.stm.clear()
        return frozenset(key for key in changed if key is not None)

    def _rank(self, impression: Impression) -> tuple[float, ...]:
        """Smaller is worthier."""
        q, visits = best_of(impression.row)[1].q, impression.visits
        return {
            StageRank.Q: (-q,),
            StageRank.VISITS: (-float(visits),),
            StageRank.Q_THEN_VISITS: (-q, -float(visits)),
        }[self.rules.stage_rank]

    def _remember(self, impression: Impression, at_s: float) -> bytes | None:
        stage, estimate = best_of(impression.row)
        own = self.equivalence.carried_back(impression.situation.own, stage)
        return self.remember(impression.situation, own, estimate, at_s)

    def remember(self, situation: Situation, stage: int, estimate: Estimate, at_s: float) -> bytes | None:
        """Algorithm 2 for one staged situation; returns the key whose entry changed, if one did."""
        match = self.equivalence.match(situation, self.ltm) or situation.own
        carried, old = self.equivalence.carried(match, stage), self.ltm.get(match.key)
        entry = _replaced(self.rules, old, carried, estimate, at_s)
        if entry == old:
            return None
        self.ltm[match.key] = entry
        return match.key

    def size(self) -> MemorySize:
        """As in `StageTable`."""
        return MemorySize(ltm=len(self.ltm), stm=len(self.stm))


def _replaced(rules: DualMemoryRules, old: LtmEntry | None, stage: int, estimate: Estimate, at_s: float) -> LtmEntry:
    """The entry after `estimate` of `stage` was staged: replaced if better; visits of one stage add up."""
    if old is None:
        return ltm_entry(stage, estimate, at_s)
    both = merged(old.estimate, estimate) if old.stage == stage else estimate
    if rules.is_better(estimate.q, old.q):
        return ltm_entry(stage, both, at_s)
    if old.stage != stage:
        return old
    return ltm_entry(stage, msgspec.structs.replace(both, q=old.q), at_s)
