"""Claims are judged by means and spreads, and one seed settles nothing."""

from __future__ import annotations

import math

import pytest

from phasemesh.trainer.reproduction.claims import (
    Verdict,
    is_alike,
    is_interior,
    is_less,
    is_within,
    spread_of,
    standard_error,
)

pytestmark = pytest.mark.train
LOW, HIGH, WIDE = (10.0, 11.0, 12.0), (20.0, 21.0, 22.0), (5.0, 15.0, 25.0)


def test_smaller_means_are_less_by_more_than_a_standard_error() -> None:
    """Not the other way round, and not where spreads swallow the difference."""
    assert is_less("", LOW, HIGH).verdict is Verdict.HELD
    assert is_less("", HIGH, LOW, "because").verdict is Verdict.FAILED
    assert is_less("", LOW, WIDE).verdict is Verdict.FAILED


def test_what_is_alike_differs_by_two_standard_errors_at_most() -> None:
    """Both ways."""
    assert is_alike("", LOW, WIDE).verdict is Verdict.HELD
    assert is_alike("", LOW, HIGH).verdict is is_alike("", HIGH, LOW).verdict is Verdict.FAILED


def test_a_goal_is_reached_within_its_spread_or_beaten() -> None:
    """The spread is that of the goal."""
    assert is_within("", HIGH, LOW).verdict is Verdict.FAILED
    assert is_within("", LOW, HIGH).verdict is Verdict.HELD
    assert is_within("", (18.0, 19.0), WIDE).verdict is Verdict.HELD


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({1: HIGH, 8: LOW, 64: HIGH}, Verdict.HELD),
        ({1: LOW, 8: HIGH, 64: HIGH}, Verdict.FAILED),
        ({1: HIGH, 8: HIGH, 64: LOW}, Verdict.FAILED),
        ({1: HIGH, 8: LOW, 64: (1.0,)}, Verdict.OPEN),
    ],
)
def test_the_best_of_several_sizes_lies_between_or_does_not(
    found: dict[int, tuple[float, ...]], verdict: Verdict
) -> None:
    """And is not known while one size has too few seeds."""
    assert is_interior("", found).verdict is verdict


def test_one_seed_leaves_every_claim_open() -> None:
    """Whatever the difference, and nothing played is no reason to fail."""
    for judge in (is_less, is_alike, is_within):
        assert judge("", (1.0,), HIGH).verdict is Verdict.OPEN
        assert judge("", (), ()).verdict is Verdict.OPEN


def test_only_a_claim_that_failed_needs_an_explanation() -> None:
    """What held explains itself."""
    assert is_less("", HIGH, LOW, "because").why == "because"
    assert is_less("", LOW, HIGH, "because").why == ""


def test_spreads_are_told_as_mean_and_standard_deviation() -> None:
    """By hand: 10, 11 and 12 have a deviation of 1 and an error of its third's root."""
    assert spread_of(LOW) == "11.0 +- 1.0"
    assert spread_of((7.0,)) == "7.0"
    assert spread_of(()) == "-"
    assert standard_error(LOW) == pytest.approx(1.0 / math.sqrt(3.0))
    assert standard_error((1.0,)) == math.inf
