"""The rules that judge what enters a decision: policy output, neighbours, deadlines, clocks; one function each."""

from __future__ import annotations

from phasemesh.controller.safety.case import (
    ClockCase,
    DeadlineCase,
    Finding,
    NeighbourCase,
    PolicyCase,
    Reaction,
)

MISSES_TO_REPLACE = 3
"""Ticks in a row that may miss a deadline before the local plan takes over."""
COMM_SLACK_MS = 50.0
"""A receiver that waits for a silent neighbour ends just after the deadline; only more than this is a miss."""
CLOCK_TOLERANCE_S = 1.0
"""A wall clock may drift from the monotonic one by this much between two looks."""


def policy_usable(case: PolicyCase) -> Finding | None:
    """I20: a policy output that is not finite, or not one logit a stage, is replaced by the local plan."""
    if case.logits_count != case.stages_count:
        detail = f"{case.logits_count} logits for {case.stages_count} stages"
    elif not case.is_finite:
        detail = "an output is not finite"
    else:
        return None
    return Finding("I20", Reaction.REPLACE, detail)


def neighbour_usable(case: NeighbourCase) -> Finding | None:
    """I22: a neighbour counts only with a known key, an unreplayed number and a young message."""
    if not case.is_key_known:
        detail = "its key is unknown"
    elif case.seq < case.newest_seq:
        detail = f"number {case.seq} comes after {case.newest_seq}"
    elif not case.age_ticks <= case.stale_after_ticks:
        detail = f"{case.age_ticks:g} ticks old, at most {case.stale_after_ticks} are allowed"
    else:
        return None
    return Finding("I22", Reaction.MASK, detail)


def deadline_kept(case: DeadlineCase) -> Finding | None:
    """I23: a missed deadline holds the stage in force; the third in a row lets the local plan take over."""
    parts = (
        ("inference", case.inference_ms, case.inference_limit_ms),
        ("receiving", case.comm_ms, case.comm_deadline_ms + COMM_SLACK_MS),
        ("command", case.command_ms, case.command_limit_ms),
        ("answer", case.answer_ms, case.command_limit_ms),
    )
    late = [
        f"{name} {took_ms:.0f} of {limit_ms:.0f} ms" for name, took_ms, limit_ms in parts if not took_ms <= limit_ms
    ]
    if not late:
        return None
    misses = case.misses_before + 1
    reaction = Reaction.REPLACE if misses >= MISSES_TO_REPLACE else Reaction.HOLD
    return Finding("I23", reaction, f"miss {misses} in a row: {', '.join(late)}")


def clock_steady(case: ClockCase) -> Finding | None:
    """I24: a jump of the wall clock is told; intervals run on the monotonic clock and are not touched."""
    jump_s = case.wall_step_s - case.monotonic_step_s
    if abs(jump_s) <= CLOCK_TOLERANCE_S:
        return None
    return Finding("I24", Reaction.LOG, f"the wall clock jumped by {jump_s:.3f} s")
