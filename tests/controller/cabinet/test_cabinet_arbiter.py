"""Who may choose the stages: the table of overrides, what is admitted, and what a verdict is worth to each kind."""

from __future__ import annotations

import itertools

import pytest

from factories import make_intersection
from phasemesh.contract.detection import COMMANDABLE_MODES, ControlMode
from phasemesh.controller.cabinet.arbiter import (
    CLAIMS,
    MAX_TTL_S,
    SUSPENDED_DUTIES,
    Override,
    OverrideKind,
    fault_of_override,
    granted_stage,
    mode_of,
    override_of,
    still_live,
    strongest,
    with_override,
    without_override,
)
from phasemesh.controller.safety.case import Finding, Reaction, Verdict

CROSSING = make_intersection()
STRONGEST_FIRST = ("rail", "fire", "flash", "stop_time", "manual")


def make_override(kind: OverrideKind, *, expires_s: float = 100.0, stage: int | None = 1) -> Override:
    """An override that began at second 0."""
    return Override(kind, stage, 0.0, expires_s, "", "")


def test_the_order_of_strength_is_fixed() -> None:
    """Whatever was asked for last, the stronger wish settles the mode."""
    for kinds in itertools.permutations([OverrideKind(kind) for kind in STRONGEST_FIRST], 2):
        overrides: tuple[Override, ...] = ()
        for kind in kinds:
            overrides = with_override(overrides, make_override(kind))
        winner = strongest(overrides)

        assert winner is not None
        assert winner.kind == min(kinds, key=STRONGEST_FIRST.index)
        assert mode_of(overrides) is CLAIMS[winner.kind].mode


def test_every_kind_but_transit_keeps_the_agent_away() -> None:
    """Transit priority only replaces a wish; all others have a mode in which no command is taken."""
    assert {kind for kind, claim in CLAIMS.items() if claim.mode is None} == {OverrideKind.TRANSIT}
    assert {claim.mode for claim in CLAIMS.values() if claim.mode} & COMMANDABLE_MODES == set()
    assert mode_of((make_override(OverrideKind.TRANSIT),)) is None


def test_a_newer_override_replaces_one_of_its_kind() -> None:
    """Asking again renews it."""
    overrides = with_override((make_override(OverrideKind.RAIL, stage=0),), make_override(OverrideKind.RAIL, stage=1))

    assert [override.stage for override in overrides] == [1]


def test_ended_and_expired_overrides_are_gone() -> None:
    """One ends by hand, the other at the very second at which its time is over."""
    rail, manual = make_override(OverrideKind.RAIL, expires_s=5.0), make_override(OverrideKind.MANUAL)
    both = with_override((rail,), manual)

    assert without_override(both, OverrideKind.MANUAL) == (rail,)
    assert still_live(both, 4.999) == both
    assert still_live(both, 5.0) == (manual,)
    assert override_of(both, OverrideKind.RAIL) == rail
    assert override_of((manual,), OverrideKind.RAIL) is None


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, MAX_TTL_S + 1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", OverrideKind)
def test_every_override_ends(kind: OverrideKind, ttl_s: float) -> None:
    """A life without an end, or above an hour, is not admitted for any kind."""
    stage = 1 if CLAIMS[kind].needs_stage else None

    assert fault_of_override(CROSSING, kind, stage, MAX_TTL_S) == ""
    assert fault_of_override(CROSSING, kind, stage, ttl_s).startswith("ttl_s: ")


@pytest.mark.parametrize(
    ("kind", "stage", "fault"),
    [
        (OverrideKind.RAIL, None, "stage: rail needs one"),
        (OverrideKind.FIRE, 2, "stage: there is no stage 2"),
        (OverrideKind.MANUAL, -1, "stage: there is no stage -1"),
        (OverrideKind.TRANSIT, None, "stage: transit needs one"),
        (OverrideKind.FLASH, 0, "stage: flash takes none"),
        (OverrideKind.STOP_TIME, 0, "stage: stop_time takes none"),
    ],
)
def test_a_stage_belongs_to_the_kinds_that_ask_for_one(kind: OverrideKind, stage: int | None, fault: str) -> None:
    """Too much, too little and what does not exist are told in one line."""
    assert fault_of_override(CROSSING, kind, stage, 60.0) == fault


def verdict(*findings: Finding, stage: int) -> Verdict:
    """What the guard says with `findings`."""
    return Verdict(stage, is_accepted=not findings, rule=findings[0].rule if findings else "", findings=findings)


DUTY = Finding("I7", Reaction.FORCE, "", 2)
LONG = Finding("I6", Reaction.FORCE, "", 2)
WARNING = Finding("I7", Reaction.LOG, "")


@pytest.mark.parametrize("findings", [(), (DUTY,), (LONG,), (DUTY, LONG), (WARNING,), (WARNING, LONG)])
def test_a_preemption_does_not_wait_for_the_duties(findings: tuple[Finding, ...]) -> None:
    """Maximum greens and waits of others give way to trains and fire engines, and to nobody else."""
    for kind, claim in CLAIMS.items():
        forced = any(finding.reaction is Reaction.FORCE for finding in findings)
        given = verdict(*findings, stage=2 if forced else 1)

        assert granted_stage(kind, 1, given, 0) == (1 if claim.suspends_duties else given.stage)
    assert {kind for kind, claim in CLAIMS.items() if claim.suspends_duties} == {OverrideKind.RAIL, OverrideKind.FIRE}
    assert {"I6", "I7"} == SUSPENDED_DUTIES


@pytest.mark.parametrize("rule", ["I2", "I5", "I8", "I10", "I15"])
@pytest.mark.parametrize("kind", OverrideKind)
def test_no_override_cuts_what_holds(kind: OverrideKind, rule: str) -> None:
    """A running change, a minimum green, a walk and a red revert are kept, whoever asks."""
    hold = Finding(rule, Reaction.HOLD, "")

    assert granted_stage(kind, 1, verdict(hold, stage=0), 0) == 0
    assert granted_stage(OverrideKind.RAIL, 1, verdict(hold, DUTY, stage=2), 0) == 0


def test_what_may_never_be_granted_leaves_the_duties_in_force() -> None:
    """A preemption for a stage that the guard rejects does not starve the others meanwhile."""
    reject = Finding("I9", Reaction.REJECT, "")

    assert granted_stage(OverrideKind.RAIL, 1, verdict(reject, DUTY, stage=2), 0) == 2
    assert granted_stage(OverrideKind.RAIL, 1, verdict(reject, stage=0), 0) == 0


def test_modes_are_those_of_the_contract() -> None:
    """Each claim leads to the mode of its name."""
    assert {kind.value: claim.mode for kind, claim in CLAIMS.items()} == {
        "rail": ControlMode.PREEMPT,
        "fire": ControlMode.PREEMPT,
        "flash": ControlMode.FLASH,
        "stop_time": ControlMode.STOP_TIME,
        "manual": ControlMode.MANUAL,
        "transit": None,
    }
