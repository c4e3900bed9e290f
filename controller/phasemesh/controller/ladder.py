"""The ladder of degradation: how much of its means an agent may use at a tick, and why.

Steps down are immediate. What an event costs ends as its row in `LADDER` says: trouble must stay away for a clean
period, which doubles each time that it returns, so that trouble that comes and goes does not make the signal change its
mind; what is latched waits for an operator. A life that begins before its neighbours has lost nobody yet, and waits for
nothing once they speak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S
from phasemesh.controller.ladder_table import LADDER, ROWS, RUNGS, Ending, LadderEvent, LadderRow, Rung

CLEAN_S = 30.0
"""Time without an event before its effect ends, in cabinet seconds."""
MAX_CLEAN_S = 480.0
"""Longest clean period of an event that returns again and again."""
FORGET_S = 900.0
"""Time without an event after which it is forgotten that it ever came."""


class Raised(msgspec.Struct, frozen=True):
    """One event of one tick, with a sentence of its own."""

    event: LadderEvent
    detail: str


class Trial(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is remembered of a self-clearing event: when it was last seen, and how long it must stay away for now."""

    event: LadderEvent
    last_s: float
    clean_s: float


class Standing(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The rung of an agent after a tick, why, all events that keep it there, and what the ladder remembers.

    `in_force` and `trials` are in the order of `LADDER`; times are cabinet time in seconds.
    """

    rung: Rung
    reason: str
    in_force: tuple[LadderEvent, ...] = ()
    trials: tuple[Trial, ...] = ()
    latched: tuple[LadderEvent, ...] = ()


FRESH = Standing(Rung.RELEASED, "no tick yet")
"""Where a life begins: with nothing commanded and nothing remembered."""


def next_standing(
    before: Standing, raised: Sequence[Raised], now_s: float, *, latch_is_reset: bool = False
) -> Standing:
    """The standing after a tick at cabinet time `now_s` in which the events of `raised` were seen.

    `latch_is_reset` says that an operator reset what is latched; what still holds latches again at once.
    """
    if not (raised or before.trials or before.latched):
        return Standing(RUNGS[0], "")
    details = {each.event: each.detail for each in raised}
    trials = tuple(_next_trials(before, details, now_s))
    latched = _next_latched(() if latch_is_reset else before.latched, details)
    if not (details or trials or latched):
        return Standing(RUNGS[0], "")
    reasons = _waiting_reasons(trials, now_s) | {event: _latched_reason(event) for event in latched} | details
    in_force = tuple(row for row in LADDER if row.event in reasons)
    if not in_force:
        return Standing(RUNGS[0], "", (), trials)
    worst = max(in_force, key=_depth)
    return Standing(worst.rung, reasons[worst.event], tuple(row.event for row in in_force), trials, latched)


def _depth(row: LadderRow) -> int:
    return RUNGS.index(row.rung)


def _next_trials(before: Standing, details: Mapping[LadderEvent, str], now_s: float) -> Iterator[Trial]:
    known = {trial.event: trial for trial in before.trials}
    for row in LADDER:
        if row.ending is not Ending.SELF_CLEARING:
            continue
        trial = known.get(row.event)
        if row.event in details:
            if trial is None and row.is_usual_at_start and _is_since_start(row.event, before):
                continue
            yield Trial(row.event, now_s, CLEAN_S if trial is None else _clean_s_after_return(trial, now_s))
        elif trial is not None and _away_s(trial, now_s) < FORGET_S:
            # A cabinet that was restarted counts its time anew; the wait then begins again, but it ends.
            yield trial if trial.last_s <= now_s else msgspec.structs.replace(trial, last_s=now_s)


def _is_since_start(event: LadderEvent, before: Standing) -> bool:
    """Whether `event`, of which nothing is remembered, has been there in every tick of this life."""
    is_new_life = before.rung is FRESH.rung and not before.in_force
    return is_new_life or event in before.in_force


def _clean_s_after_return(trial: Trial, now_s: float) -> float:
    """How long an event must stay away that was seen before and is seen again."""
    if _away_s(trial, now_s) >= FORGET_S:
        return CLEAN_S
    return min(2.0 * trial.clean_s, MAX_CLEAN_S) if _is_over(trial, now_s) else trial.clean_s


def _away_s(trial: Trial, now_s: float) -> float:
    return now_s - trial.last_s


def _is_over(trial: Trial, now_s: float) -> bool:
    return _away_s(trial, now_s) >= trial.clean_s - TIME_EPSILON_S


def _next_latched(before: Sequence[LadderEvent], details: Mapping[LadderEvent, str]) -> tuple[LadderEvent, ...]:
    return tuple(
        row.event for row in LADDER if row.ending is Ending.LATCHED and (row.event in before or row.event in details)
    )


def _waiting_reasons(trials: Sequence[Trial], now_s: float) -> dict[LadderEvent, str]:
    return {
        trial.event: f"waiting for {trial.clean_s:.0f} s without trouble: {ROWS[trial.event].sentence}"
        for trial in trials
        if not _is_over(trial, now_s)
    }


def _latched_reason(event: LadderEvent) -> str:
    return f"latched until an operator resets it: {ROWS[event].sentence}"
