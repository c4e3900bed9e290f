"""Whether memory may speak: visits, age, the bound against the policy's own returns, and the shadow before."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.memory.recall import (
    DAY_S,
    Candidate,
    GateRules,
    Recollection,
    Remembered,
    proposal,
    recollection,
)

RULES = GateRules()
LEGAL = (True, True, False)
SURE = Candidate("ltm", 1, level=-10.0, n=25, spread=2.0, updated_at_s=0.0)


def _remembered(*candidates: Candidate, **changes: Any) -> Remembered:
    values: dict[str, Any] = {"at_s": 0.0, "policy_n": 30, "policy_mean": -20.0, "may_act": True}
    return Remembered(key=b"k", candidates=candidates, **{**values, **changes})


def test_d19_a_confident_entry_is_proposed() -> None:
    """Its lower bound, -10.66, is better than -20 by more than a twentieth."""
    assert proposal(_remembered(SURE), LEGAL, RULES) == Recollection(1, "ltm")


@pytest.mark.parametrize(
    "change",
    [
        {"n": 19},
        {"level": -19.5},
        {"level": -18.9, "spread": 20.0},
        {"stage": 2},
        {"stage": 7},
        {"stage": -1},
        {"updated_at_s": -30.0 * DAY_S - 1.0},
    ],
    ids=["few visits", "no better", "too spread", "illegal", "no such stage", "no stage", "too old"],
)
def test_d19_an_entry_that_is_not_sure_is_left_to_the_policy(change: dict[str, Any]) -> None:
    """Each condition alone is enough."""
    assert proposal(_remembered(msgspec.structs.replace(SURE, **change)), LEGAL, RULES) is None


def test_a_month_is_not_too_old() -> None:
    """The limit itself still counts, and a clock that was set back makes nothing old."""
    assert proposal(_remembered(SURE, at_s=30.0 * DAY_S), LEGAL, RULES) is not None
    assert proposal(_remembered(SURE, at_s=-1e9), LEGAL, RULES) is not None


def test_the_short_term_needs_twice_the_visits() -> None:
    """What is only of today must be seen more often."""
    short = msgspec.structs.replace(SURE, source="stm", n=39)

    assert proposal(_remembered(short), LEGAL, RULES) is None
    assert proposal(_remembered(msgspec.structs.replace(short, n=40)), LEGAL, RULES) == Recollection(1, "stm")


def test_the_long_term_is_asked_first() -> None:
    """The short term has its turn where the long term is not sure."""
    short = msgspec.structs.replace(SURE, source="stm", n=100, stage=0)
    unsure = msgspec.structs.replace(SURE, n=2)

    assert proposal(_remembered(SURE, short), LEGAL, RULES) == Recollection(1, "ltm")
    assert proposal(_remembered(unsure, short), LEGAL, RULES) == Recollection(0, "stm")


def test_nothing_is_proposed_against_a_policy_that_nobody_knows() -> None:
    """There is nothing to be better than."""
    assert proposal(_remembered(SURE, policy_n=9), LEGAL, RULES) is None


def test_memory_acts_only_where_it_may() -> None:
    """In the shadow there is a proposal and no act; without memory there is neither."""
    shadow = _remembered(SURE, may_act=False)

    assert proposal(shadow, LEGAL, RULES) is not None
    assert recollection(shadow, LEGAL, RULES) is None
    assert recollection(None, LEGAL, RULES) is None
    assert recollection(_remembered(SURE), LEGAL, RULES) == Recollection(1, "ltm")


@given(
    level=st.floats(-100.0, 0.0),
    mean=st.floats(-100.0, 0.0),
    spread=st.floats(0.0, 50.0),
    n=st.integers(0, 500),
)
def test_what_memory_expects_is_never_below_the_policy(level: float, mean: float, spread: float, n: int) -> None:
    """Whatever the numbers, memory proposes only what it holds for better, and worse luck never helps it."""
    candidate = Candidate("ltm", 0, level, n, spread, 0.0)
    found = proposal(_remembered(candidate, policy_mean=mean), LEGAL, RULES)
    worse = msgspec.structs.replace(candidate, level=level - 1.0, spread=spread + 1.0)

    assert found is None or (level > mean and n >= 20)
    assert found is not None or proposal(_remembered(worse, policy_mean=mean), LEGAL, RULES) is None
