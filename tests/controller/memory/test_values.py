"""Rewards, SARSA, plain tables and their averages against values that are known without them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.memory.averaging import averaged_ltm, averaged_rows
from phasemesh.controller.memory.entries import Estimate, LtmEntry
from phasemesh.controller.memory.equivalence import Abstraction, Equivalence
from phasemesh.controller.memory.layout import layout_of
from phasemesh.controller.memory.qtable import QTable
from phasemesh.controller.memory.rewards import (
    REWARDS,
    default_reward,
    diffusion_reward,
    entropy_reward,
    normalised_entropy_reward,
    weighted_entropy,
)
from phasemesh.controller.memory.sarsa import MemorySize, SarsaRule
from phasemesh.sim_harness.eight_stages import eight_stage_crossing

LAYOUT = layout_of(eight_stage_crossing())
PLAIN = Equivalence(LAYOUT, Abstraction.NONE)
counts_12 = st.lists(st.integers(0, 60), min_size=12, max_size=12).map(np.array)


@pytest.mark.parametrize(("growth", "expected"), [(12, -1), (11, 0), (2, 0), (1, 1), (0, 1), (-5, 1)])
def test_d10_the_default_reward_of_one_movement(growth: int, expected: int) -> None:
    """+1 up to one vehicle more, nothing from 2 to 11, -1 from 12 on; the other eleven add +1 each."""
    before = np.full(12, 20)
    after = before.copy()
    after[4] += growth

    assert default_reward(before, after) == 11 + expected


def test_d10_diffusion_of_the_example() -> None:
    """Growth of (-4, 0, 2, 0) is worth 3."""
    assert diffusion_reward(np.array([5, 0, 0, 0]), np.array([1, 0, 2, 0])) == 3.0


def test_d10_entropy_of_the_example() -> None:
    """From 10 to 6 vehicles is worth 12.275."""
    assert entropy_reward(np.array([10, 0, 0, 0]), np.array([6, 0, 0, 0])) == pytest.approx(12.275, abs=5e-4)


@given(path=st.lists(counts_12, min_size=2, max_size=8))
def test_d10_entropy_telescopes(path: list[np.ndarray]) -> None:
    """Its sum over time is the difference between the last and the first."""
    total = sum(float(entropy_reward(before, after)) for before, after in pairwise(path))

    assert total == pytest.approx(float(weighted_entropy(path[-1]) - weighted_entropy(path[0])), abs=1e-6)


@given(before=counts_12, after=counts_12, seed=st.integers(0, 99))
def test_d10_no_reward_depends_on_the_order_of_movements(before: np.ndarray, after: np.ndarray, seed: int) -> None:
    """Turned with its intersection, a change of counts is worth the same; a memory may then share it."""
    order = np.random.default_rng(seed).permutation(12)

    for reward in REWARDS.values():
        assert float(reward(before, after)) == pytest.approx(float(reward(before[order], after[order])))


def test_d10_many_intersections_at_once() -> None:
    """Counts of [cities, intersections, movements] give rewards of [cities, intersections]."""
    counts = np.arange(72).reshape(2, 3, 12)

    for reward in REWARDS.values():
        assert reward(counts, counts[::-1]).shape == (2, 3)


def test_d10_shares_know_nothing_of_size() -> None:
    """The normalised entropy is another objective: twice the queues are worth nothing."""
    counts = np.array([1, 2, 3, 0])

    assert normalised_entropy_reward(counts, 2 * counts) == pytest.approx(0.0)
    assert normalised_entropy_reward(np.array([4, 0]), np.array([2, 2])) == pytest.approx(math.log(2))
    assert entropy_reward(counts, 2 * counts) < 0


def test_d9_sarsa_on_a_chain_reaches_the_values_in_closed_form() -> None:
    """Two situations in turn with rewards 1 and 0: Q = 1 / (1 - g^2) and g / (1 - g^2)."""
    rule = SarsaRule(learning_rate=0.1, gamma=0.9)
    table = QTable(PLAIN)
    first, second = PLAIN.situation([9] + [0] * 11), PLAIN.situation([0] * 11 + [9])
    for _round in range(3000):
        for here, there, reward in ((first, second, 1.0), (second, first, 0.0)):
            target = rule.target(reward, table.q_of(there, 3))
            table.insert(here, 3, rule.moved(table.q_of(here, 3), target), target, 0.0)

    assert table.q_of(first, 3) == pytest.approx(1 / (1 - 0.81))
    assert table.q_of(second, 3) == pytest.approx(0.9 / (1 - 0.81))


def test_d9_a_plain_table_reads_its_best_stage_and_knows_nothing_else() -> None:
    """The largest value wins, of equals the least stage; an unknown situation is unknown."""
    table = QTable(PLAIN)
    here = PLAIN.situation([1] * 12)
    for stage, q in ((5, -1.0), (6, -0.5), (2, -0.5)):
        table.insert(here, stage, q, q, 0.0)

    found = table.read(here)

    assert found is not None
    assert (found.stage, found.estimate.q, found.source) == (2, -0.5, "q")
    assert table.read(PLAIN.situation([2] * 12)) is None
    assert table.size().q == 1


def test_d9_a_simple_table_takes_neighbours_for_the_same() -> None:
    """With a relation the table of values grows by classes, not by situations."""
    relation = Equivalence(LAYOUT, Abstraction.SIMPLE)
    table = QTable(relation)
    for more in (3, 4, 3, 4):
        table.insert(relation.situation([more] + [0] * 11), 0, 1.0, 1.0, 0.0)

    assert table.size().q == 1


def test_d11_two_tables_of_one_and_three_become_two() -> None:
    """Held by both: the mean. Held by one: as it is, not halved."""
    first = {b"a": {0: Estimate(1.0, 4)}, b"b": {1: Estimate(5.0, 1)}}
    second = {b"a": {0: Estimate(3.0, 2)}, b"c": {}}

    both = averaged_rows([first, second])

    assert both[b"a"][0].q == 2.0
    assert both[b"b"][1].q == 5.0
    assert both.keys() == {b"a", b"b", b"c"}


def test_d11_of_two_stages_for_one_key_the_better_on_average_is_kept() -> None:
    """Stage 1 with 6 and 4 loses against stage 2 with 5.5; the entry is as new as the newest."""
    tables = [
        {b"a": LtmEntry(1, 6.0, 1, updated_at_s=9.0)},
        {b"a": LtmEntry(1, 4.0, 3, updated_at_s=7.0)},
        {b"a": LtmEntry(2, 5.5, 2, updated_at_s=1.0)},
    ]

    (entry,) = averaged_ltm(tables).values()

    assert (entry.stage, entry.q, entry.n, entry.updated_at_s) == (2, 5.5, 2, 9.0)


@given(st.lists(st.dictionaries(st.binary(max_size=1), st.integers(-9, 9)), min_size=1, max_size=4))
def test_d11_an_average_that_is_shared_again_stays_as_it_is(tables: list[dict[bytes, int]]) -> None:
    """Once all hold the union, another exchange changes neither values nor visits, whatever the order of agents."""
    held = [{key: LtmEntry(q % 8, float(q), 1) for key, q in table.items()} for table in tables]
    once = averaged_ltm(held)

    assert averaged_ltm([once] * len(held)) == once
    assert averaged_ltm(held[::-1]).keys() == once.keys()
    assert [entry.q for entry in averaged_ltm(held[::-1]).values()] == pytest.approx(
        [once[key].q for key in averaged_ltm(held[::-1])]
    )


def test_sizes_are_counted_in_numbers_as_the_paper_does_and_in_bytes() -> None:
    """Three numbers a long-term entry, one a stage otherwise; keys cost bytes in every table."""
    size = MemorySize(ltm=2, stm=1)

    assert size.numbers(8) == 3 * 2 + 8
    assert size.packed_bytes(12, 8) == 2 * (12 + 1 + 8) + 12 + 64
    assert MemorySize(q=1).packed_bytes(12, 8) == 76
