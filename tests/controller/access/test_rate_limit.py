"""Token buckets by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.access.rate import MAX_BUCKETS, Rate, RateLimit


def test_a_burst_is_let_through_and_then_the_rate_counts() -> None:
    """Three at once, then one every half second."""
    limit = RateLimit(Rate(per_s=2.0, burst=3.0))
    waits_s = [limit.wait_s("a", at_s) for at_s in (0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.5)]

    assert waits_s == [0.0, 0.0, 0.0, 0.5, 0.25, 0.0, 0.5]


def test_names_do_not_share_a_bucket() -> None:
    """One that asks too often costs the others nothing."""
    limit = RateLimit(Rate(per_s=1.0, burst=1.0))
    waits_s = [limit.wait_s(name, 0.0) for name in ("a", "a", "b")]

    assert waits_s == [0.0, 1.0, 0.0]


def test_a_clock_that_goes_back_refills_nothing() -> None:
    """Nor does it take anything away."""
    limit = RateLimit(Rate(per_s=1.0, burst=1.0))
    waits_s = [limit.wait_s("a", at_s) for at_s in (10.0, 5.0, 6.0)]

    assert waits_s == [0.0, 1.0, 0.0]


def test_memory_is_bounded() -> None:
    """Whoever asked longest ago is forgotten, however many addresses there are."""
    limit = RateLimit(Rate(per_s=0.001, burst=1.0))
    for name in range(MAX_BUCKETS + 10):
        limit.wait_s(name, 0.0)

    assert limit.wait_s(0, 0.0) == 0.0
    assert limit.wait_s(MAX_BUCKETS + 9, 0.0) > 0.0
    assert len(limit) == MAX_BUCKETS


@given(st.lists(st.floats(min_value=0.0, max_value=0.3), min_size=1, max_size=80))
def test_no_pattern_of_requests_beats_the_rate(gaps_s: list[float]) -> None:
    """Over any run of requests at most the burst and the rate times the time are let through."""
    limit, now_s, passed = RateLimit(Rate(per_s=4.0, burst=5.0)), 0.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        passed += limit.wait_s("a", now_s) == 0.0

    assert passed <= 5.0 + 4.0 * now_s + 1e-6
