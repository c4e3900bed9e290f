"""Agents of every variant drive queue cities: what they learn, share and leave alone."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules
from phasemesh.controller.memory.equivalence import Abstraction
from phasemesh.controller.memory.qtable import QTable
from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.variants import BASELINES, PAPER_VARIANTS, TableKind, Variant
from phasemesh.sim_harness.dmil.play import Play, PlayRules, empty_tables
from phasemesh.sim_harness.dmil.prior import copied_tables, filled_tables, train_priors
from phasemesh.sim_harness.queue_city import QueueRules

SHORT = PlayRules(steps=500, exchange_steps=100)
SARSA = BASELINES[2]
DUAL = Variant(TableKind.DUAL, Abstraction.COMPLEX, RewardKind.ENTROPY, is_communicating=True)


@pytest.mark.parametrize("variant", [*PAPER_VARIANTS, *BASELINES], ids=lambda variant: variant.name)
def test_d12_every_variant_runs_fifty_decisions(variant: Variant) -> None:
    """Vehicles arrive, something is learned, and what arrived never falls."""
    samples = Play(variant, 2, [1, 2], SHORT, empty_tables(variant, 2, 2, SHORT)).run()

    assert len(samples) == 50
    assert min(samples[-1].arrived_veh) > 0
    assert min(samples[-1].numbers) > 0
    for before, after in pairwise(samples):
        assert all(now >= then for then, now in zip(before.arrived_veh, after.arrived_veh, strict=True))


def test_a_seed_plays_the_same_alone_and_among_others() -> None:
    """Neither demand nor exploration nor learning depends on which cities are played beside."""
    alone = Play(DUAL, 2, [5], SHORT, empty_tables(DUAL, 2, 1, SHORT)).run()[-1]
    among = Play(DUAL, 2, [4, 5], SHORT, empty_tables(DUAL, 2, 2, SHORT)).run()[-1]

    for field in msgspec.structs.fields(alone):
        one, two = getattr(alone, field.name), getattr(among, field.name)
        assert one == two if field.name == "step" else one[0] == two[1]


def test_without_exploration_a_known_situation_is_met_with_the_known_stage() -> None:
    """A table that knows all the answers decides alone, and a frozen one is not changed by it."""
    rules = PlayRules(steps=100, epsilon=0.0, is_frozen=True, queues=QueueRules(arrivals_veh=(0.0, 0.0, 0.0, 0.0)))
    tables = empty_tables(SARSA, 1, 1, rules)
    table = tables[0][0]
    empty = table.equivalence.situation((0,) * 12)
    table.insert(empty, 6, 1.0, 1.0, 0.0)
    play = Play(SARSA, 1, [1], rules, tables)

    sample = play.run()[-1]

    assert sample.known == (1.0,)
    assert play._last is not None
    assert play._last.stages.tolist() == [[6]]
    assert sample.keys == (1.0,)


def test_agents_that_communicate_hold_the_same_after_an_exchange() -> None:
    """At the end of a play of whole exchanges all long-term memories of a city are one, but cities stay apart."""
    rules = msgspec.structs.replace(SHORT, memory=msgspec.structs.replace(SHORT.memory, capacity=4))
    tables = empty_tables(DUAL, 2, 2, rules)
    Play(DUAL, 2, [1, 2], rules, tables).run()
    first, second = ([memory.ltm for memory in city if isinstance(memory, DualMemory)] for city in tables)

    assert first[0]
    assert all(ltm == first[0] for ltm in first)
    assert first[0] != second[0]


def test_a_prior_is_taken_over_by_every_table_in_its_own_words() -> None:
    """A plain table holds the prior itself, relations hold fewer classes of it, a dual memory holds it in long term."""
    (prior,) = train_priors(RewardKind.ENTROPY, [3], PlayRules(), episodes=3)
    sizes = {}
    for kind in TableKind:
        for abstraction in Abstraction:
            (table,) = filled_tables([prior], Variant(kind, abstraction, RewardKind.ENTROPY), PlayRules())
            sizes[kind, abstraction] = table.size().q + table.size().ltm
            for key in list(prior)[:20]:
                assert table.read(table.equivalence.situation(tuple(key))) is not None

    assert sizes[TableKind.SARSA, Abstraction.NONE] == len(prior) > 40
    for kind in TableKind:
        assert sizes[kind, Abstraction.COMPLEX] < sizes[kind, Abstraction.SIMPLE] < len(prior)


def test_tables_that_begin_alike_learn_apart() -> None:
    """What one crossing learns changes neither its neighbour's table nor the one it was copied from."""
    (prior,) = train_priors(RewardKind.ENTROPY, [3], PlayRules(), episodes=1)
    filled = filled_tables([prior], SARSA, PlayRules())
    before = dict(filled[0].rows) if isinstance(filled[0], QTable) else {}
    first, second = copied_tables(filled, 2, PlayRules())[0][:2]
    key = next(iter(prior))
    first.insert(first.equivalence.situation(tuple(key)), 3, 99.0, 99.0, 0.0)

    assert first.q_of(first.equivalence.situation(tuple(key)), 3) == 99.0
    assert second.q_of(second.equivalence.situation(tuple(key)), 3) != 99.0
    assert isinstance(filled[0], QTable)
    assert filled[0].rows == before


def test_copies_go_on_by_the_rules_they_are_given() -> None:
    """Settings that train alike share their dummies and still differ in their memories."""
    (prior,) = train_priors(RewardKind.ENTROPY, [3], PlayRules(), episodes=1)
    filled = filled_tables([prior], DUAL, PlayRules())
    small = PlayRules(memory=DualMemoryRules(capacity=4))
    (copy,) = copied_tables(filled, 1, small)[0]

    assert isinstance(copy, DualMemory)
    assert copy.rules.capacity == 4
    assert copy.size().ltm == filled[0].size().ltm
