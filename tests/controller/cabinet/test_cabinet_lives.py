"""The life of an agent as a unit knows it: announced once, obeyed by rising numbers, never set back."""

from __future__ import annotations

from unit_factories import TICK_S, Unit

from factories import make_intersection
from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.controller.cabinet.arbiter import OverrideKind

CROSSING = make_intersection()


def told(unit: Unit, seq: int, boot_id: int = 7) -> AppliedCommand:
    """What becomes of the command number `seq` of a life, for the stage in force."""
    name, step = unit.cabinet.intersection.id, round(unit.now_s)
    return unit.cabinet.command(
        Command(name, boot_id, seq, step, unit.now_s, CommandKind.STAGE, 0, approved_s=unit.now_s)
    )


def test_an_announced_life_begins_with_its_first_number() -> None:
    """Announcing takes no number away, and none from before the first is obeyed."""
    unit = Unit(CROSSING)
    unit.cabinet.attach(7)

    assert told(unit, -1).rule == "I18"
    assert told(unit, 0).is_accepted


def test_a_life_that_announces_itself_again_is_not_set_back() -> None:
    """A number that was obeyed is not obeyed again because its agent said hello in between."""
    unit = Unit(CROSSING)
    unit.cabinet.attach(7)
    told(unit, 5)
    unit.run(1)

    assert unit.cabinet.attach(7)
    assert unit.cabinet.snapshot().lease_until_s == 10.0
    assert told(unit, 5).rule == "I18"
    assert told(unit, 6).is_accepted


def test_a_newer_life_ends_the_lease_of_the_older_one() -> None:
    """From its announcement on nothing of the older life counts, and nothing is commanded yet."""
    unit = Unit(CROSSING)
    told(unit, 5)
    unit.run(1)

    assert unit.cabinet.attach(8)
    assert not unit.cabinet.attach(7)
    snapshot = unit.cabinet.snapshot()
    assert (snapshot.lease_boot_id, snapshot.lease_until_s) == (8, unit.now_s)
    assert told(unit, 6).rule == "I18"


def test_the_lease_is_told_with_every_answer() -> None:
    """Before anybody is known it ends now; afterwards it is that of the life which is obeyed."""
    unit = Unit(CROSSING)
    unit.run(3)
    refused = told(unit, 0, boot_id=7) if unit.cabinet.attach(9) else None

    assert refused is not None
    assert (refused.rule, refused.lease_until_s) == ("I18", 3.0)
    assert told(unit, 0, boot_id=9).lease_until_s == 3.0 + max(10.0, 3 * TICK_S)


def release(unit: Unit, seq: int, boot_id: int = 7) -> AppliedCommand:
    """What becomes of the release number `seq` of a life."""
    name, step = unit.cabinet.intersection.id, round(unit.now_s)
    return unit.cabinet.command(Command(name, boot_id, seq, step, unit.now_s, CommandKind.RELEASE, 1))


def test_a_release_forgets_neither_life_nor_number() -> None:
    """Who has let go is not commanded again by an older life or by what was sent before."""
    unit = Unit(CROSSING)
    told(unit, 5)
    unit.run(1)
    release(unit, 6)
    snapshot = unit.cabinet.snapshot()

    assert (snapshot.lease_boot_id, snapshot.lease_until_s) == (7, 1.0)
    assert [told(unit, seq).rule for seq in (5, 6)] == ["I18", "I18"]
    assert told(unit, 9, boot_id=6).rule == "I18"
    assert told(unit, 7).is_accepted


def test_whoever_outranks_the_agent_forgets_neither_life_nor_number() -> None:
    """A manual control ends the lease; what was sent before it is not obeyed after it."""
    unit = Unit(CROSSING)
    told(unit, 5)
    unit.run(1)
    unit.override(OverrideKind.MANUAL, stage=0)
    snapshot = unit.cabinet.snapshot()
    unit.run(1)
    unit.cabinet.cancel(OverrideKind.MANUAL)

    assert (snapshot.lease_boot_id, snapshot.lease_until_s) == (7, 1.0)
    assert [told(unit, 5).rule, told(unit, 9, boot_id=6).rule] == ["I18", "I18"]
    assert told(unit, 6).is_accepted


def test_every_answer_says_what_is_shown_and_what_was_asked() -> None:
    """Granted, refused, held and let go: step, stage asked, stage in force, rule, signal and lease."""
    unit = Unit(CROSSING)
    unit.run(3)
    signal = unit.cabinet.snapshot().signal
    name = unit.cabinet.intersection.id
    unheard = Command(name, 7, 1, 3, 3.0, CommandKind.STAGE, 1, approved_s=None)
    young = Command(name, 7, 2, 3, 3.0, CommandKind.STAGE, 1, approved_s=3.0)
    nonsense = Command(name, 7, 3, 3, 3.0, CommandKind.STAGE, 9, approved_s=3.0)
    kept = Command(name, 7, 4, 3, 3.0, CommandKind.STAGE, 0, approved_s=3.0)

    answers = [unit.cabinet.command(each) for each in (unheard, young, nonsense, kept)]

    assert answers == [
        AppliedCommand(3, 1, 0, False, "I25", signal, 3.0),
        AppliedCommand(3, 1, 0, False, "I5", signal, 13.0),
        AppliedCommand(3, 9, 0, False, "I17", signal, 13.0),
        AppliedCommand(3, 0, 0, True, "", signal, 13.0),
    ]
    assert release(unit, 5) == AppliedCommand(3, 1, 0, True, "", signal, 3.0)
