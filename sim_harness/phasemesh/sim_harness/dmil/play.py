"""Algorithm 3 of the dual-memory paper: agents of one variant drive queue cities and learn while they do.

All seeds are played at once: situations of every crossing of every city are looked up in one call a decision.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasemesh.controller.memory.averaging import averaged_ltm, averaged_rows
from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules
from phasemesh.controller.memory.equivalence import Equivalence, Situation
from phasemesh.controller.memory.layout import layout_of
from phasemesh.controller.memory.qtable import QTable
from phasemesh.controller.memory.rewards import REWARDS
from phasemesh.controller.memory.sarsa import SarsaRule
from phasemesh.controller.memory.variants import TableKind, Variant, build_table
from phasemesh.sim_harness.eight_stages import MOVEMENTS, STAGE_TABLE, eight_stage_crossing
from phasemesh.sim_harness.queue_city import QueueCity, QueueRules

LAYOUT = layout_of(eight_stage_crossing())
STAGES = len(STAGE_TABLE)
EPSILON: dict[TableKind, float] = {TableKind.SARSA: 0.6, TableKind.DUAL: 0.4}
"""How often an agent of the paper's test chooses at random. Source: DMIL, section VI."""

Table = QTable | DualMemory
Tables = list[list[Table]]
"""Tables by city and crossing."""


class PlayRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long cities are played and how agents learn; times in steps.

    `exchange_steps` is the paper's T between exchanges, of which it gives no value. `epsilon` overrides the paper's.
    The paper's arrivals are read as a minute's: read as an interval's they make nearly every situation a new one.
    `is_frozen` keeps tables as they are, to see what the learned ones are worth alone.
    """

    steps: int = 300
    exchange_steps: int = 100
    epsilon: float | None = None
    is_frozen: bool = False
    sarsa: SarsaRule = SarsaRule()
    memory: DualMemoryRules = DualMemoryRules()
    queues: QueueRules = QueueRules(arrival_window_steps=60.0)


class Sample(msgspec.Struct, frozen=True):
    """The cities at the end of an interval: one value a seed; sizes are means over the crossings of a city.

    `waited_steps` is the mean waiting of all vehicles that entered so far. `keys` are those of the long term, or of a
    plain table; `numbers` and `packed_bytes` count the short term too. `known` is the share of decisions so far for
    which a table had an answer.
    """

    step: int
    arrived_veh: tuple[int, ...]
    waited_steps: tuple[float, ...]
    keys: tuple[float, ...]
    numbers: tuple[float, ...]
    packed_bytes: tuple[float, ...]
    known: tuple[float, ...]


class _Decision(msgspec.Struct, frozen=True):
    """What all crossings met and chose: situations in the order of crossings, counts [C, I, 12], stages [C, I]."""

    situations: list[Situation]
    counts: NDArray[np.int64]
    stages: NDArray[np.int64]


class Play:
    """Cities of one variant in progress; `tables` may come filled with what was learned before."""

    def __init__(self, variant: Variant, side: int, seeds: Sequence[int], rules: PlayRules, tables: Tables) -> None:
        self.variant, self.rules, self.tables = variant, rules, tables
        self.city = QueueCity(side, seeds, rules.queues)
        self._flat = [table for tables_of_city in tables for table in tables_of_city]
        self._relation: Equivalence = self._flat[0].equivalence
        self._epsilon = EPSILON[variant.kind] if rules.epsilon is None else rules.epsilon
        self._rngs = [np.random.default_rng((seed, 1)) for seed in seeds]
        self._last: _Decision | None = None
        self._known = np.zeros(len(seeds))
        self._decisions = 0

    def run(self) -> list[Sample]:
        """Play to the end; one sample an interval."""
        samples = []
        while self.city.now < self.rules.steps:
            decision = self._decide()
            self._learn(decision)
            self._last = decision
            self.city.advance(decision.stages)
            if self.variant.is_communicating and self.city.now % self.rules.exchange_steps == 0:
                exchange(self.tables)
            samples.append(self._sample())
        return samples

    def _decide(self) -> _Decision:
        counts = self.city.counts()
        shape = counts.shape[:2]
        situations = self._relation.situations(counts.reshape(-1, MOVEMENTS))
        is_random = np.stack([rng.random(shape[1]) < self._epsilon for rng in self._rngs])
        stages = np.stack([rng.integers(0, STAGES, shape[1]) for rng in self._rngs])
        flat = stages.ravel()
        known = np.zeros(len(flat), dtype=np.bool_)
        for at, (table, situation) in enumerate(zip(self._flat, situations, strict=True)):
            recalled = table.read(situation)
            known[at] = recalled is not None
            if recalled is not None and not is_random.flat[at]:
                flat[at] = recalled.stage
        self._known += known.reshape(shape).mean(axis=1)
        self._decisions += 1
        return _Decision(situations, counts, flat.reshape(shape))

    def _learn(self, decision: _Decision) -> None:
        """SARSA: the value of the last choice moves towards its reward and the value of this one."""
        last = self._last
        if last is None or self.rules.is_frozen:
            return
        rewards = REWARDS[self.variant.reward](last.counts, decision.counts).ravel().tolist()
        before, now = last.stages.ravel().tolist(), decision.stages.ravel().tolist()
        rule, at_s = self.rules.sarsa, float(self.city.now)
        for at, table in enumerate(self._flat):
            target = rule.target(rewards[at], table.q_of(decision.situations[at], now[at]))
            q = rule.moved(table.q_of(last.situations[at], before[at]), target)
            table.insert(last.situations[at], before[at], q, target, at_s)

    def _sample(self) -> Sample:
        sizes = [[table.size() for table in tables] for tables in self.tables]
        waited = self.city.waited_veh_steps / np.maximum(self.city.entered(), 1)
        return Sample(
            step=self.city.now,
            arrived_veh=tuple(self.city.arrived().tolist()),
            waited_steps=tuple(waited.tolist()),
            keys=_means([[size.ltm + size.q for size in row] for row in sizes]),
            numbers=_means([[size.numbers(STAGES) for size in row] for row in sizes]),
            packed_bytes=_means([[size.packed_bytes(MOVEMENTS, STAGES) for size in row] for row in sizes]),
            known=tuple((self._known / self._decisions).tolist()),
        )


def _means(values: list[list[int]]) -> tuple[float, ...]:
    return tuple(sum(row) / len(row) for row in values)


def empty_tables(variant: Variant, side: int, cities: int, rules: PlayRules) -> Tables:
    """One empty table a crossing."""
    return [[build_table(variant, LAYOUT, rules.memory) for _each in range(side * side)] for _city in range(cities)]


def exchange(tables: Tables) -> None:
    """The paper's communication within each city: everybody gets the union of means over holders."""
    for city in tables:
        memories = [table for table in city if isinstance(table, DualMemory)]
        plain = [table for table in city if isinstance(table, QTable)]
        union = averaged_ltm([memory.ltm for memory in memories])
        rows = averaged_rows([table.rows for table in plain])
        for memory in memories:
            memory.ltm = dict(union)
        for table in plain:
            table.rows = dict(rows)
