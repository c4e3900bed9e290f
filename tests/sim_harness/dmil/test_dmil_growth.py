"""The exact bounds on memory, against a real memory over streams whose answer is known."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.sim_harness.dmil.growth import (
    best_case,
    classes_needed,
    measured_ratios,
    uniform_visits,
    worst_after,
    worst_before,
    worst_limit,
)

HALF = Fraction(1, 2)


def test_d13_the_numbers_of_the_worst_case() -> None:
    """At 8 stages, half staged, period 20: 4.421 after the first staging, 1.684 before the second, 5.33 at last."""
    assert float(worst_after(2, 20, HALF)) == pytest.approx(328 / 68)
    assert float(worst_before(2, HALF)) == pytest.approx(1.684, abs=5e-4)
    assert float(worst_after(1, 20, HALF)) == pytest.approx(4.421, abs=5e-4)
    assert worst_limit(HALF) == Fraction(16, 3)


@pytest.mark.parametrize("period", [4, 10, 20])
def test_d13_a_memory_that_meets_nothing_twice_follows_the_formulas(period: int) -> None:
    """Exactly, just before and just after each staging."""
    ratios = measured_ratios(range(3 * period + 1), period, 0.5)

    for n in (1, 2, 3):
        assert ratios[n * period] == worst_after(n, period, HALF)
        assert ratios[n * period - 1] == worst_before(n, HALF)


@given(
    n=st.integers(1, 50), period=st.integers(1, 60), share=st.fractions(Fraction(1, 20), 1), stages=st.integers(1, 12)
)
def test_d13_after_a_staging_the_ratio_is_the_better_one_iff_stages_outnumber_what_is_staged(
    n: int, period: int, share: Fraction, stages: int
) -> None:
    """zeta1 >= zeta2 iff A >= 3 kappa: the paper's condition with (T + 2) / (T - 2) is wrong, and T > 2 not needed."""
    is_larger = worst_after(n, period, share, stages) >= worst_before(n, share, stages)

    assert is_larger == (stages >= 3 * share)


def test_d13_how_many_classes_make_a_dual_memory_the_smaller_one() -> None:
    """32 at period 20: with a full short term the ratio is then 1, below it is less."""
    assert classes_needed(20) == 32
    assert best_case(32, 20) == 1
    assert best_case(31, 20) < 1
    assert best_case(1, 1) == Fraction(8, 11)
    assert min(measured_ratios(uniform_visits(32, 2000, 1), 20, 0.5)) >= 1
    assert min(measured_ratios(uniform_visits(5, 2000, 1), 20, 0.5)) < 1
