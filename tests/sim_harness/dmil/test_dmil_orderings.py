"""Claims of the paper are judged by seeds, not by means alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.sim_harness.dmil.cells import Cell, CellSeries
from phasemesh.sim_harness.dmil.orderings import (
    COLUMNS,
    PAPER_W,
    SIDES,
    Verdict,
    column_variant,
    orderings,
)

Place = tuple[str, RewardKind, int]


def _cells(waiting: Callable[[Place], tuple[float, ...]], grown: Callable[[str], float] = lambda _column: 1.0) -> dict:
    cells = {}
    for column in COLUMNS:
        for reward in RewardKind:
            for side in SIDES:
                name = column_variant(column, reward).name
                keys = (100.0 + grown(column),)
                series = CellSeries((300,), (10.0,), keys, (0.0,), (0.0,))
                cells[name, side] = Cell(name, side, waiting((column, reward, side)), (10, 10), 0.5, 100.0, series)
    return cells


def _paper(place: Place) -> tuple[float, ...]:
    column, reward, side = place
    row = PAPER_W[side, reward]
    mean = row[min(list(COLUMNS).index(column), len(row) - 1)][0]
    return (mean - 0.001, mean + 0.001)


def test_d16_the_paper_s_own_table_is_judged_as_it_says() -> None:
    """Memory costs on one crossing and gains on grids, other rewards beat the default one."""
    found = {each.claim: each.verdict for each in orderings(_cells(_paper))}

    assert found["3x3: W(simple, entropy) < W(no memory, entropy)"] is Verdict.HOLDS
    assert found["5x5: W(complex, diffusion) < W(complex, default)"] is Verdict.HOLDS
    assert found["1x1: W(no memory, default) <= W(simple, default)"] is Verdict.HOLDS
    assert found["3x3: W(complex, default) < W(complex + communication, default)"] is Verdict.HOLDS
    assert not [claim for claim, verdict in found.items() if "W(" in claim and verdict is not Verdict.HOLDS]


def test_d16_a_table_that_says_the_opposite_is_contradicted() -> None:
    """With the signs turned round no ordering of W holds."""
    found = orderings(_cells(lambda place: tuple(-value for value in _paper(place))))

    assert not [each.claim for each in found if "W(" in each.claim and each.verdict is Verdict.HOLDS]


@pytest.mark.parametrize("waiting", [(0.1, 0.1), (0.1,)])
def test_d16_no_gap_and_a_single_seed_decide_nothing(waiting: tuple[float, ...]) -> None:
    """Equal values are undecided, and so is whatever one seed says."""
    found = orderings(_cells(lambda _place: waiting))

    assert {each.verdict for each in found if "W(" in each.claim} == {Verdict.OPEN}


def test_d17_memory_is_compared_by_what_was_added_in_the_test() -> None:
    """The prior is in all of them and counts for none."""
    found = orderings(_cells(_paper, lambda column: {"No memory": 9.0, "Simple": 2.0}.get(column, 20.0)))
    grows = {each.claim: each.verdict for each in found if "grows" in each.claim}

    assert grows["5x5: memory of simple grows slower than the table of SARSA"] is Verdict.HOLDS
    assert grows["5x5: memory of complex grows slower than the table of SARSA"] is Verdict.FAILS
