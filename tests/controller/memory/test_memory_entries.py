"""What memory counts of its visits is what one would count of the whole series."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.memory.entries import Estimate, ltm_entry, merged

series = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)


def _visited(targets: list[float]) -> Estimate:
    estimate = Estimate(0.0)
    for target in targets:
        estimate = estimate.noted(target, target)
    return estimate


@given(targets=series)
def test_mean_and_spread_are_those_of_the_series(targets: list[float]) -> None:
    """Welford's recursion agrees with the textbook's formulas."""
    estimate = _visited(targets)

    assert estimate.n == len(targets)
    assert estimate.mean == pytest.approx(statistics.fmean(targets), abs=1e-6)
    if len(targets) > 1:
        assert estimate.spread == pytest.approx(statistics.stdev(targets), abs=1e-6)


@given(first=series, second=series)
def test_merged_visits_are_those_of_both_series(first: list[float], second: list[float]) -> None:
    """Staging in two parts loses nothing against one long series."""
    both, whole = merged(_visited(first), _visited(second)), _visited(first + second)

    assert both.n == whole.n
    assert both.q == whole.q
    assert both.mean == pytest.approx(whole.mean, abs=1e-6)
    assert both.m2 == pytest.approx(whole.m2, rel=1e-6, abs=1e-4)


def test_one_visit_says_nothing_of_spread() -> None:
    """A single lucky target is not taken for a sure thing."""
    assert _visited([5.0]).spread == math.inf


def test_an_entry_keeps_what_was_staged() -> None:
    """Stage, value, visits and time of change."""
    estimate = _visited([1.0, 2.0])
    entry = ltm_entry(3, estimate, 60.0)

    assert (entry.stage, entry.updated_at_s) == (3, 60.0)
    assert entry.estimate == estimate


def test_nothing_merged_with_nothing_is_nothing() -> None:
    """Estimates that were never visited divide by no zero."""
    assert merged(Estimate(1.0), Estimate(2.0)) == Estimate(2.0)
