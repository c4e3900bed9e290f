"""Insertion, staging, replacement and reading of the dual memory, by the paper's algorithms 1 and 2."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.contract.errors import InputError
from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules, StageRank, StageWhen
from phasemesh.controller.memory.entries import Estimate
from phasemesh.controller.memory.equivalence import Abstraction, Equivalence, Situation
from phasemesh.controller.memory.layout import layout_of
from phasemesh.controller.memory.sarsa import MemorySize
from phasemesh.sim_harness.eight_stages import eight_stage_crossing

LAYOUT = layout_of(eight_stage_crossing())
SIMPLE = Equivalence(LAYOUT, Abstraction.SIMPLE)
COMPLEX = Equivalence(LAYOUT)
STAGES = 8


def _apart(number: int, relation: Equivalence = SIMPLE) -> Situation:
    """The `number`-th of situations no two of which are within a shift of each other."""
    return relation.situation((3 * (number % 80), 3 * (number // 80), *[0] * 10))


def _memory(relation: Equivalence = SIMPLE, **rules: object) -> DualMemory:
    return DualMemory(relation, DualMemoryRules(**rules))


def _learn(memory: DualMemory, situation: Situation, stage: int, q: float, at_s: float = 0.0) -> frozenset[bytes]:
    return memory.insert(situation, stage, q, q, at_s)


@given(order=st.permutations(range(9)), capacity=st.integers(1, 9))
def test_d6_a_full_short_term_is_emptied_and_its_better_half_is_kept(order: list[int], capacity: int) -> None:
    """After `capacity` keys the short term is empty, the long term has half of them, those of the highest values."""
    memory = _memory(capacity=capacity)

    for number in range(capacity):
        assert memory.size() == MemorySize(stm=number)
        _learn(memory, _apart(number), 0, float(order[number]))

    half = max(1, capacity // 2)
    kept = sorted(order[:capacity], reverse=True)[:half]
    assert memory.size() == MemorySize(ltm=half)
    assert {entry.q for entry in memory.ltm.values()} == {float(q) for q in kept}


def test_d6_what_was_staged_is_told() -> None:
    """The keys that changed come back from the insertion that filled the short term, and from no other."""
    memory = _memory(capacity=2)

    assert _learn(memory, _apart(0), 1, 5.0) == frozenset()
    assert _learn(memory, _apart(1), 1, 9.0, at_s=40.0) == {_apart(1).own.key}
    assert memory.ltm[_apart(1).own.key].updated_at_s == 40.0


def test_d6_one_key_visited_again_fills_nothing() -> None:
    """The capacity counts keys: shifted visits overwrite the row of the nearest key."""
    memory = _memory(capacity=3)
    for more in (0, 1, 0, 1):
        _learn(memory, SIMPLE.situation((7 + more, *[0] * 11)), 2, float(more))

    (impression,) = memory.stm.values()
    assert impression.visits == 4
    assert impression.row[2].q == 1.0


def test_d6_a_period_stages_before_it_writes() -> None:
    """Every `capacity` decisions a share of the short term goes, and the decision itself begins the next period."""
    memory = _memory(capacity=4, stage_when=StageWhen.PERIOD)
    sizes = []
    for number in range(9):
        _learn(memory, _apart(number), 0, float(number))
        sizes.append(memory.size())

    assert [size.stm for size in sizes] == [1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert [size.ltm for size in sizes] == [0, 0, 0, 0, 2, 2, 2, 2, 4]


@pytest.mark.parametrize(
    ("rank", "kept"), [(StageRank.Q, {9.0}), (StageRank.VISITS, {1.0}), (StageRank.Q_THEN_VISITS, {9.0})]
)
def test_d6_the_rank_decides_who_stays(rank: StageRank, kept: set[float]) -> None:
    """By value the lucky one stays, by visits the frequent one."""
    memory = _memory(capacity=3, kappa=0.4, stage_rank=rank)
    for _visit in range(3):
        _learn(memory, _apart(0), 0, 1.0)
    _learn(memory, _apart(1), 0, 9.0)
    _learn(memory, _apart(2), 0, 3.0)

    assert {entry.q for entry in memory.ltm.values()} == kept


def test_d6_equal_values_are_ranked_by_visits_and_then_by_key() -> None:
    """Q and then visits prefers the frequent among equals; plain Q the least key, in whatever order they came."""
    for rank, expected in ((StageRank.Q_THEN_VISITS, 1), (StageRank.Q, 0)):
        memory = _memory(capacity=3, kappa=0.4, stage_rank=rank)
        for number in (1, 1, 0, 2):
            _learn(memory, _apart(number), 0, 5.0)

        assert set(memory.ltm) == {_apart(expected).own.key}


def test_d6_what_was_seen_too_seldom_is_not_staged() -> None:
    """With at least two visits asked for, a single lucky one is forgotten."""
    memory = _memory(capacity=3, kappa=1.0, min_visits=2)
    for number, q in ((0, 1.0), (0, 1.0), (1, 99.0), (2, 98.0)):
        _learn(memory, _apart(number), 0, q)

    assert set(memory.ltm) == {_apart(0).own.key}


@pytest.mark.parametrize("q_old", [10.0, -10.0, 0.0])
@pytest.mark.parametrize(("gain", "is_accepted"), [(0.04, False), (0.06, True), (-0.5, False)])
def test_d7_a_long_term_entry_gives_way_to_what_is_five_per_cent_better(
    q_old: float, gain: float, is_accepted: bool
) -> None:
    """+4 % is rejected, +6 % accepted, for negative values too; zero gives way to anything above the least margin."""
    memory = _memory()
    situation = _apart(1)
    memory.remember(situation, 2, Estimate(q_old, 1), 0.0)
    q_new = q_old + gain * (abs(q_old) or 1e-4)

    changed = memory.remember(situation, 5, Estimate(q_new, 1), 10.0)

    entry = memory.ltm[situation.own.key]
    assert (entry.stage, entry.q) == ((5, q_new) if is_accepted or (q_old == 0 and gain > 0) else (2, q_old))
    assert (changed is not None) == (entry.stage == 5)


def test_d7_visits_of_one_stage_add_up_and_those_of_another_do_not() -> None:
    """An entry that is confirmed grows surer; one that is replaced begins anew."""
    memory = _memory()
    for stage, q in ((2, 10.0), (2, 10.1), (5, 10.2), (5, 20.0)):
        memory.remember(_apart(1), stage, Estimate(q, 3, q, 0.0), 0.0)

    entry = memory.ltm[_apart(1).own.key]
    assert (entry.stage, entry.q, entry.n) == (5, 20.0, 3)
    memory.remember(_apart(1), 5, Estimate(20.1, 4, 20.1, 0.0), 0.0)
    assert memory.ltm[_apart(1).own.key].n == 7
    assert memory.ltm[_apart(1).own.key].q == 20.0


def _both(long_q: float, short_q: float) -> DualMemory:
    memory = _memory()
    memory.remember(_apart(1), 2, Estimate(long_q, 1), 0.0)
    _learn(memory, _apart(1), 5, short_q)
    return memory


@pytest.mark.parametrize(
    ("long_q", "short_q", "source"),
    [(10.0, 10.0, "ltm"), (10.0, 10.4, "ltm"), (10.0, 10.6, "stm"), (-10.0, -9.6, "ltm"), (-10.0, -9.4, "stm")],
)
def test_d8_the_long_term_wins_unless_the_short_term_is_clearly_better(
    long_q: float, short_q: float, source: str
) -> None:
    """Ties and small leads go to the long term, leads beyond the margin to the short term."""
    found = _both(long_q, short_q).read(_apart(1))

    assert found is not None
    assert found.source == source
    assert found.stage == {"ltm": 2, "stm": 5}[source]


def test_d8_either_memory_answers_alone_and_neither_invents() -> None:
    """What only one holds is read from there; what none holds is unknown."""
    memory = _memory()
    memory.remember(_apart(1), 2, Estimate(1.0, 1), 0.0)
    _learn(memory, _apart(2), 5, 1.0)

    found = [memory.read(_apart(number)) for number in range(4)]

    assert [each and (each.stage, each.source) for each in found] == [None, (2, "ltm"), (5, "stm"), None]


@given(
    counts=st.lists(st.integers(0, 6), min_size=12, max_size=12).map(tuple),
    element=st.integers(0, 3),
    stage=st.integers(0, 7),
    is_staged=st.booleans(),
)
def test_d8_a_remembered_stage_is_turned_back(
    counts: tuple[int, ...], element: int, stage: int, is_staged: bool
) -> None:
    """Learned from one side and met from another, the stage that is read serves what the learned one served."""
    memory = _memory(COMPLEX)
    moved = dict(zip(LAYOUT.movement_maps[element], counts, strict=True))
    turned = tuple(moved[index] for index in range(12))
    _learn(memory, COMPLEX.situation(counts), stage, 4.0)
    if is_staged:
        memory.rules = DualMemoryRules(kappa=1.0)
        memory.stage(0.0)

    found = memory.read(COMPLEX.situation(turned))

    images = {
        LAYOUT.stage_maps[other][stage]
        for other in range(4)
        if all(turned[LAYOUT.movement_maps[other][index]] == counts[index] for index in range(12))
    }
    assert found is not None
    assert found.stage in images
    assert memory.q_of(COMPLEX.situation(turned), found.stage) == 4.0


def test_d8_values_come_from_the_short_term_first_and_from_the_long_term_for_its_stage_alone() -> None:
    """Just after a staging the value of the remembered stage is still known, that of others is 0."""
    memory = _both(10.0, 3.0)

    assert memory.q_of(_apart(1), 5) == 3.0
    assert memory.q_of(_apart(1), 2) == 10.0
    assert memory.q_of(_apart(1), 0) == 0.0
    assert memory.q_of(_apart(2), 2) == 0.0


def test_values_may_be_kept_in_units_of_what_counts_share() -> None:
    """Twice the vehicles with four times the diffusion are one value; it is read in the units of the situation."""
    memory = _memory(COMPLEX, scale_power=2)
    one, two = (COMPLEX.situation(tuple(times * count for count in (1, 2, 3) * 4)) for times in (1, 2))
    _learn(memory, two, 0, 40.0)

    assert memory.q_of(one, 0) == 10.0
    assert memory.q_of(two, 0) == 40.0


@pytest.mark.parametrize("rules", [{"capacity": 0}, {"kappa": 0.0}, {"kappa": 1.5}])
def test_rules_that_cannot_work_are_refused(rules: dict[str, float]) -> None:
    """A memory of no keys, or one that stages nothing or more than all, is a mistake of the user."""
    with pytest.raises(InputError, match="kappa"):
        DualMemoryRules(**rules)


def _ratios(visits: list[int], period: int) -> list[Fraction]:
    """At each visit, numbers of a plain table over numbers of a dual memory that stages by the period."""
    memory = _memory(capacity=period, stage_when=StageWhen.PERIOD)
    ratios = []
    for at, number in enumerate(visits):
        _learn(memory, _apart(number), 0, 1.0)
        met = len(set(visits[: at + 1]))
        ratios.append(Fraction(STAGES * met, memory.size().numbers(STAGES)))
    return ratios


@pytest.mark.parametrize(("period", "stagings"), [(20, 4), (10, 6), (4, 5)])
def test_d13_situations_that_never_recur_grow_memory_as_computed(period: int, stagings: int) -> None:
    """zeta(nT) = (nT+1)A / (A + 3 kappa n T) and zeta(nT-1) = nA / (A + 3 kappa (n-1)), exactly, and never below 1."""
    ratios = _ratios(list(range(stagings * period + 1)), period)
    three_kappa = Fraction(3, 2)

    assert ratios[0] == 1
    for n in range(1, stagings + 1):
        after = (n * period + 1) * STAGES / (STAGES + three_kappa * n * period)
        assert ratios[n * period] == after
        assert ratios[n * period - 1] == n * STAGES / (STAGES + three_kappa * (n - 1))
    assert min(ratios) >= 1


def test_d13_one_situation_for_ever_costs_more_in_two_memories() -> None:
    """Three numbers in the long term and eight in the short term against eight: the paper's lemma V.4 fails."""
    memory = _memory(capacity=20, stage_when=StageWhen.PERIOD)
    for _visit in range(41):
        _learn(memory, _apart(0), 0, 1.0)

    assert Fraction(STAGES, memory.size().numbers(STAGES)) == Fraction(8, 11)


@pytest.mark.parametrize("classes", [32, 64])
def test_d13_with_32_classes_two_memories_are_never_larger(classes: int) -> None:
    """M >= T A / (A - 3) = 32 at T = 20, over long uniform visits with all situations staged sooner or later."""
    rng = np.random.default_rng(classes)
    visits = [int(number) for number in rng.integers(0, classes, 3000)]

    assert min(_ratios(visits, 20)) >= 1
