"""The "dummy" of the dual-memory paper: a plain SARSA agent trained offline, whose values every agent begins with.

It learns at a single crossing, in episodes as long as the paper's test: under the paper's demand a crossing is slightly
oversaturated, so that one long run would meet ever longer queues and nothing twice. A dual memory takes the best stage
of each situation into its long term by algorithm 2; the paper does not say how. Source: DMIL, section VI-B.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules
from phasemesh.controller.memory.entries import Estimate
from phasemesh.controller.memory.equivalence import Abstraction
from phasemesh.controller.memory.qtable import QTable
from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.sarsa import Row, best_of
from phasemesh.controller.memory.variants import TableKind, Variant
from phasemesh.sim_harness.dmil.play import Play, PlayRules, Table, Tables, empty_tables
from phasemesh.sim_harness.eight_stages import MOVEMENTS

EPISODES = 100
TRAINING_EPSILON = 0.1
_SEED_STRIDE = 10_000
"""Seeds of episodes lie this far from each other and from those of tests."""

Prior = dict[bytes, Row]
"""Values by counts and stage, in no frame but the crossing's own."""


def train_priors(reward: RewardKind, seeds: Sequence[int], rules: PlayRules, episodes: int = EPISODES) -> list[Prior]:
    """The values that a plain SARSA agent of each seed has after `episodes` at a single crossing."""
    variant = Variant(TableKind.SARSA, Abstraction.NONE, reward)
    training = msgspec.structs.replace(rules, epsilon=TRAINING_EPSILON)
    tables = empty_tables(variant, 1, len(seeds), training)
    for episode in range(1, episodes + 1):
        Play(variant, 1, [seed + _SEED_STRIDE * episode for seed in seeds], training, tables).run()
    return [table.rows for (table,) in tables if isinstance(table, QTable)]


def filled_tables(priors: Sequence[Prior], variant: Variant, rules: PlayRules) -> list[Table]:
    """A table a prior that has taken it over."""
    tables = [table for (table,) in empty_tables(variant, 1, len(priors), rules)]
    for table, prior in zip(tables, priors, strict=True):
        _fill(table, prior)
    return tables


def copied_tables(filled: Sequence[Table], side: int, rules: PlayRules) -> Tables:
    """Tables for every crossing of a city a filled one, which all begin alike and go on by `rules`.

    Entries are shared until they change.
    """
    return [[_copy(table, rules.memory) for _crossing in range(side * side)] for table in filled]


def _fill(table: Table, prior: Prior) -> None:
    keys = sorted(prior)
    counts = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), MOVEMENTS).astype(np.int64)
    for key, situation in zip(keys, table.equivalence.situations(counts), strict=True):
        if isinstance(table, DualMemory):
            table.remember(situation, *best_of(prior[key]), 0.0)
            continue
        match = table.equivalence.match(situation, table.rows) or situation.own
        carried = {table.equivalence.carried(match, stage): estimate for stage, estimate in prior[key].items()}
        table.rows[match.key] = _better(table.rows.get(match.key, {}), carried)


def _better(first: Row, second: Row) -> Row:
    """Of two situations that are one class, the larger value a stage."""
    return {stage: max((row[stage] for row in (first, second) if stage in row), key=_value) for stage in first | second}


def _value(estimate: Estimate) -> float:
    return estimate.q


def _copy(table: Table, rules: DualMemoryRules) -> Table:
    if isinstance(table, DualMemory):
        memory = DualMemory(table.equivalence, rules)
        memory.ltm = dict(table.ltm)
        return memory
    plain = QTable(table.equivalence)
    plain.rows = dict(table.rows)
    return plain
