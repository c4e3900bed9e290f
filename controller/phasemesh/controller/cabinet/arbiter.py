"""Who chooses the stages of a cabinet: preemptions, operators and transit priority, strongest first, in one table.

Whatever an override asks for goes through the guard of the cabinet like any other request; strength only settles who
may ask. A latched fault and the start-up outrank every row of the table. No override lives longer than an hour, and
none survives a power cut, because nobody knows how long the power was away.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from phasemesh.contract.command import TIME_EPSILON_S
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.preemption import RailPreemption
from phasemesh.controller.safety.case import Reaction, Verdict

MAX_TTL_S = 3600.0
"""Longest life of one override, in seconds: a forgotten one ends by itself."""

SUSPENDED_DUTIES = frozenset({"I6", "I7"})
"""Duties towards other movements that a train or a fire engine need not wait for; no other rule ever gives way."""


class OverrideKind(StrEnum):
    """What may come before agent and own plan."""

    RAIL = "rail"
    FIRE = "fire"
    FLASH = "flash"
    STOP_TIME = "stop_time"
    MANUAL = "manual"
    TRANSIT = "transit"


class Override(msgspec.Struct, frozen=True):
    """One request of an operator or a preemption input, in force from `asked_s` until `expires_s` (cabinet time).

    `stage` is None for the kinds that ask for none; `who` is the name of the principal, empty where nobody is known.
    """

    kind: OverrideKind
    stage: int | None
    asked_s: float
    expires_s: float
    reason: str
    who: str


class Claim(msgspec.Struct, frozen=True):
    """What follows from an override of one kind.

    `mode` is the mode of the cabinet, or None for transit priority, which only replaces the wish of whoever chooses.
    `is_preemption` tells inputs of the street from those of operators.
    """

    mode: ControlMode | None
    needs_stage: bool
    is_preemption: bool
    suspends_duties: bool = False


CLAIMS: dict[OverrideKind, Claim] = {
    OverrideKind.RAIL: Claim(ControlMode.PREEMPT, needs_stage=True, is_preemption=True, suspends_duties=True),
    OverrideKind.FIRE: Claim(ControlMode.PREEMPT, needs_stage=True, is_preemption=True, suspends_duties=True),
    OverrideKind.FLASH: Claim(ControlMode.FLASH, needs_stage=False, is_preemption=False),
    OverrideKind.STOP_TIME: Claim(ControlMode.STOP_TIME, needs_stage=False, is_preemption=False),
    OverrideKind.MANUAL: Claim(ControlMode.MANUAL, needs_stage=True, is_preemption=False),
    OverrideKind.TRANSIT: Claim(None, needs_stage=True, is_preemption=True),
}
"""Strongest first. Preemptions are numbered by strength and override a commanded flash as NTCIP 1202 preemptControl
provides for; a train cannot stop, so rail comes first. Among operators, the more careful wish outranks the other."""

_STRENGTH = {kind: place for place, kind in enumerate(CLAIMS)}


def fault_of_override(
    intersection: Intersection,
    kind: OverrideKind,
    stage: int | None,
    ttl_s: float,
    rail: RailPreemption | None = None,
) -> str:
    """Why an override cannot be admitted, in one line, or an empty text; `rail` describes tracks, if there are any."""
    if not 0.0 < ttl_s <= MAX_TTL_S:
        return f"ttl_s: {ttl_s} s is outside 0 to {MAX_TTL_S:.0f} s"
    if (stage is not None) != CLAIMS[kind].needs_stage:
        return f"stage: {kind} needs one" if stage is None else f"stage: {kind} takes none"
    if stage is not None and not 0 <= stage < len(intersection.stages):
        return f"stage: there is no stage {stage}"
    if kind is OverrideKind.RAIL and rail is not None and stage not in rail.dwell_stages:
        return f"stage: {stage} may lead onto the tracks; a train waits for one of {_listed(rail.dwell_stages)}"
    return ""


def _listed(stages: tuple[int, ...]) -> str:
    return ", ".join(map(str, stages))


def with_override(overrides: tuple[Override, ...], new: Override) -> tuple[Override, ...]:
    """`overrides` with `new` in place of an older one of its kind, strongest first."""
    kept = [override for override in overrides if override.kind is not new.kind]
    return tuple(sorted([*kept, new], key=lambda override: _STRENGTH[override.kind]))


def without_override(overrides: tuple[Override, ...], kind: OverrideKind) -> tuple[Override, ...]:
    """`overrides` without the one of `kind`."""
    return tuple(override for override in overrides if override.kind is not kind)


def still_live(overrides: tuple[Override, ...], now_s: float) -> tuple[Override, ...]:
    """`overrides` without those whose time is over at `now_s`."""
    return tuple(override for override in overrides if now_s < override.expires_s - TIME_EPSILON_S)


def strongest(overrides: tuple[Override, ...]) -> Override | None:
    """The override that settles the mode, of `overrides` with the strongest first; None when there is no such one."""
    return next((override for override in overrides if CLAIMS[override.kind].mode is not None), None)


def mode_of(overrides: tuple[Override, ...]) -> ControlMode | None:
    """The mode that `overrides` demand, or None when agent and own plan may choose."""
    override = strongest(overrides)
    return CLAIMS[override.kind].mode if override else None


def override_of(overrides: tuple[Override, ...], kind: OverrideKind) -> Override | None:
    """The override of `kind`, or None."""
    return next((override for override in overrides if override.kind is kind), None)


def granted_stage(kind: OverrideKind, stage: int, verdict: Verdict, in_force: int) -> int:
    """The stage to be shown after the guard gave `verdict` on the wish of an override of `kind` for `stage`.

    The verdict stands, with one exception: maximum greens and maximum waits of other movements do not take the signal
    from a train or a fire engine. A running change, a minimum green, a walk and its clearance are objections of other
    rules and stand; while they hold the request, the stage `in_force` is kept for it.
    """
    if not CLAIMS[kind].suspends_duties:
        return verdict.stage
    objections = {
        finding.reaction
        for finding in verdict.findings
        if finding.rule not in SUSPENDED_DUTIES and finding.reaction is not Reaction.LOG
    }
    if not objections:
        return stage
    return in_force if objections == {Reaction.HOLD} else verdict.stage
