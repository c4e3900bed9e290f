"""The usual hyper-action by time of day: what is compared with what, and how far two are from each other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from phasemesh.contract.hyper_profile import (
    BIN_S,
    BINS,
    MEMORY_S,
    HyperProfile,
    bin_of,
    faults_of_profile,
    js_distance,
    smoothed,
    usual_at,
)
from phasemesh.contract.observation import HYPER_SIZE, FloatArray

EVEN = (1.0 / HYPER_SIZE,) * HYPER_SIZE
FIRST, SECOND = (tuple(float(index == head) for index in range(HYPER_SIZE)) for head in (0, 1))
DISTRIBUTIONS = arrays.arrays(np.float64, HYPER_SIZE, elements=st.floats(0.0, 1.0)).filter(lambda row: row.sum() > 0.1)


def make_profile(**changes: Any) -> HyperProfile:
    """Even over the day, but for the first head alone in the quarter of an hour after eight."""
    return HyperProfile(**{"usual": EVEN, "by_bin": {32: FIRST}, "threshold": 0.1, **changes})


@pytest.mark.parametrize(
    ("day_s", "number"), [(0.0, 0), (899.9, 0), (900.0, 1), (86_399.0, 95), (86_400.0, 0), (28_800.0, 32)]
)
def test_a_day_has_parts_of_a_quarter_of_an_hour(day_s: float, number: int) -> None:
    """Counted from midnight, and again after it."""
    assert bin_of(day_s) == number
    assert BINS * BIN_S == 86_400.0


def test_where_nothing_was_played_the_whole_is_usual() -> None:
    """And its own part of the day where something was."""
    assert usual_at(make_profile(), 8.1 * 3600.0) == FIRST
    assert usual_at(make_profile(), 12.0 * 3600.0) == EVEN


def test_two_distributions_without_anything_in_common_are_one_apart() -> None:
    """The greatest distance there is; an even one lies between."""
    assert js_distance(FIRST, SECOND) == pytest.approx(1.0)
    assert 0.5 < js_distance(FIRST, EVEN) < 1.0


def test_a_distance_worked_out_by_hand() -> None:
    """Half and half against one alone: the root of 1 - 3/4 log2(3) / 2 ... in bits."""
    halves = (0.5, 0.5, *FIRST[2:])
    by_hand = 0.5 * (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25)) + 0.5 * math.log2(1.0 / 0.75)

    assert js_distance(halves, FIRST) == pytest.approx(math.sqrt(by_hand))


@given(first=DISTRIBUTIONS, second=DISTRIBUTIONS, third=DISTRIBUTIONS)
def test_the_distance_is_a_metric(first: FloatArray, second: FloatArray, third: FloatArray) -> None:
    """Between 0 and 1, the same both ways, 0 to itself, and no way round is shorter."""
    straight = js_distance(first, second)

    assert 0.0 <= straight <= 1.0 + 1e-9
    assert straight == pytest.approx(js_distance(second, first), abs=1e-9)
    assert js_distance(first, first) == pytest.approx(0.0, abs=1e-7)
    assert straight <= js_distance(first, third) + js_distance(third, second) + 1e-9


@given(elapsed_s=st.floats(0.0, 1e6), ticks=st.integers(1, 20))
def test_the_mean_stays_between_what_it_has_seen(elapsed_s: float, ticks: int) -> None:
    """And goes to what it sees again and again."""
    before, weights = np.array(FIRST, dtype=np.float32), np.array(SECOND, dtype=np.float32)
    mean = before
    for _ in range(ticks):
        mean = smoothed(mean, weights, elapsed_s)

    assert mean.sum() == pytest.approx(1.0, abs=1e-4)
    assert mean[1] == pytest.approx(-math.expm1(-ticks * elapsed_s / MEMORY_S), abs=1e-4)


def test_the_first_hyper_action_is_the_mean() -> None:
    """There is nothing before it."""
    weights = np.array(SECOND, dtype=np.float32)

    assert smoothed(None, weights, 5.0) is weights


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"usual": EVEN[:-1]}, "usual: is no distribution"),
        ({"by_bin": {3: (0.5,) * HYPER_SIZE}}, r"by_bin[3]: is no distribution"),
        ({"by_bin": {3: (2.0, -1.0, *FIRST[2:])}}, r"by_bin[3]: is no distribution"),
        ({"by_bin": {96: EVEN}}, "by_bin: 96 is no part of a day of 96"),
        ({"usual": (math.nan, *EVEN[1:])}, "usual: is no distribution"),
        ({"threshold": 1.5}, "threshold: 1.5 is outside 0 to 1"),
        ({"threshold": math.nan}, "threshold: nan is outside 0 to 1"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_path(changes: dict[str, Any], path: str) -> None:
    """One sentence each, and none for a profile in order."""
    (fault,) = faults_of_profile("west", make_profile(**changes))

    assert fault.startswith("hyper_profiles[west].")
    assert path in fault
    assert faults_of_profile("west", make_profile()) == []
