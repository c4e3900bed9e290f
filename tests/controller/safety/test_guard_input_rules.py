"""Each rule on what enters a decision, at its limit and on both sides of it."""

from __future__ import annotations

import math

import pytest

from phasemesh.controller.safety.case import ClockCase, DeadlineCase, NeighbourCase, PolicyCase, Reaction
from phasemesh.controller.safety.input_rules import clock_steady, deadline_kept, neighbour_usable, policy_usable


@pytest.mark.parametrize(
    ("is_finite", "logits_count", "is_usable"),
    [(True, 4, True), (False, 4, False), (True, 3, False), (True, 5, False), (False, 0, False)],
)
def test_i20_replaces_an_unusable_policy_output(is_finite, logits_count, is_usable):
    """I20: an output that is not finite, or of another shape, gives way to the local plan."""
    finding = policy_usable(PolicyCase(is_finite=is_finite, logits_count=logits_count, stages_count=4))

    assert (finding is None) is is_usable
    assert is_usable or (finding.rule, finding.reaction) == ("I20", Reaction.REPLACE)


@pytest.mark.parametrize(
    ("changes", "is_usable"),
    [
        ({}, True),
        ({"age_ticks": 3.0}, True),
        ({"age_ticks": 3.1}, False),
        ({"age_ticks": math.nan}, False),
        ({"stale_after_ticks": 1}, False),
        ({"seq": 8}, True),
        ({"seq": 6}, False),
        ({"is_key_known": False}, False),
    ],
)
def test_i22_masks_an_unusable_neighbour(changes, is_usable):
    """I22: an old, replayed or unauthenticated message leaves the neighbour out."""
    usable = {"age_ticks": 2.0, "stale_after_ticks": 3, "seq": 7, "newest_seq": 7, "is_key_known": True}

    finding = neighbour_usable(NeighbourCase(**{**usable, **changes}))

    assert (finding is None) is is_usable
    assert is_usable or (finding.rule, finding.reaction) == ("I22", Reaction.MASK)


@pytest.mark.parametrize(
    ("changes", "is_kept"),
    [
        ({}, True),
        ({"inference_ms": 100.0}, True),
        ({"inference_ms": 100.1}, False),
        ({"inference_ms": math.nan}, False),
        ({"comm_ms": 250.0}, True),
        ({"comm_ms": 250.1}, False),
        ({"command_ms": 500.0}, True),
        ({"command_ms": 500.1}, False),
        ({"command_ms": math.inf}, False),
        ({"inference_ms": 60.0, "inference_limit_ms": 50.0}, False),
        ({"comm_ms": 120.0, "comm_deadline_ms": 50.0}, False),
        ({"command_ms": 600.0, "command_limit_ms": 600.0}, True),
        ({"answer_ms": 500.0}, True),
        ({"answer_ms": 500.1}, False),
        ({"answer_ms": math.nan}, False),
        ({"answer_ms": 80.0, "command_ms": 0.0, "command_limit_ms": 50.0}, False),
    ],
)
def test_i23_holds_the_stage_when_a_deadline_is_missed(changes, is_kept):
    """I23: one late part of a tick keeps the stage in force."""
    finding = deadline_kept(
        DeadlineCase(**{"inference_ms": 1.0, "comm_ms": 200.0, "command_ms": 210.0, "misses_before": 0, **changes})
    )

    assert (finding is None) is is_kept
    assert is_kept or (finding.rule, finding.reaction) == ("I23", Reaction.HOLD)


@pytest.mark.parametrize(
    ("misses_before", "reaction"),
    [(0, Reaction.HOLD), (1, Reaction.HOLD), (2, Reaction.REPLACE), (9, Reaction.REPLACE)],
)
def test_i23_replaces_the_policy_from_the_third_miss_on(misses_before, reaction):
    """I23: the third miss in a row hands over to the local plan."""
    finding = deadline_kept(DeadlineCase(math.inf, 200.0, 210.0, misses_before))

    assert finding.reaction is reaction


def test_i23_names_only_the_late_parts():
    """I23: the finding tells which part was late and by how much."""
    finding = deadline_kept(DeadlineCase(inference_ms=140.0, comm_ms=200.0, command_ms=900.0, misses_before=1))

    assert finding.detail == "miss 2 in a row: inference 140 of 100 ms, command 900 of 500 ms"


def test_i23_forgets_misses_after_a_tick_in_time():
    """I23: a tick in time is no miss, however many came before."""
    assert deadline_kept(DeadlineCase(1.0, 200.0, 210.0, misses_before=2)) is None


@pytest.mark.parametrize(
    ("wall_step_s", "is_steady"),
    [(1.0, True), (2.0, True), (2.01, False), (0.0, True), (-0.01, False), (3601.0, False), (math.nan, False)],
)
def test_i24_tells_a_jump_of_the_wall_clock(wall_step_s, is_steady):
    """I24: more than a second between wall and monotonic clock is told, in either direction."""
    finding = clock_steady(ClockCase(wall_step_s=wall_step_s, monotonic_step_s=1.0))

    assert (finding is None) is is_steady
    assert is_steady or (finding.rule, finding.reaction) == ("I24", Reaction.LOG)
