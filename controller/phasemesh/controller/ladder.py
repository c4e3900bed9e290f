"""The ladder of degradation: how much of its means an agent may use now, and why.

Steps down are immediate. COORDINATED and ISOLATED follow the freshness of the neighbours; steps up from LOCAL and
RELEASED need a clean period, so that trouble that comes and goes does not make the signal change its mind.
"""

from __future__ import annotations

import msgspec

from phasemesh.controller.telemetry.records import Rung

CLEAN_S = 30.0
"""Time without trouble before an agent trusts its policy again, in cabinet seconds."""


RUNGS = tuple(Rung)


class Conditions(msgspec.Struct, frozen=True):
    """What the rung depends on at one tick; every fault is one sentence, or empty."""

    driver_fault: str
    policy_fault: str
    neighbours: int
    fresh_neighbours: int


class Standing(msgspec.Struct, frozen=True):
    """The rung of an agent, why, and the last cabinet time at which a lower rung was needed."""

    rung: Rung
    reason: str
    troubled_s: float


def allowed_rung(conditions: Conditions) -> tuple[Rung, str]:
    """The highest rung that the conditions of one tick allow, and what keeps it from a higher one."""
    if conditions.driver_fault:
        return Rung.RELEASED, conditions.driver_fault
    if conditions.policy_fault:
        return Rung.LOCAL, conditions.policy_fault
    if conditions.neighbours and not conditions.fresh_neighbours:
        return Rung.ISOLATED, f"none of {conditions.neighbours} neighbours is fresh"
    return Rung.COORDINATED, ""


def next_standing(before: Standing | None, conditions: Conditions, now_s: float) -> Standing:
    """The standing after a tick with `conditions` at cabinet time `now_s`; `before` is None on the first tick."""
    allowed, reason = allowed_rung(conditions)
    if before is None or RUNGS.index(allowed) >= RUNGS.index(before.rung):
        return Standing(allowed, reason, now_s)
    if before.rung in (Rung.LOCAL, Rung.RELEASED) and now_s - before.troubled_s < CLEAN_S:
        return Standing(before.rung, f"waiting for {CLEAN_S:.0f} s without trouble", before.troubled_s)
    return Standing(allowed, reason, now_s)
