"""Each rule between an agent and its controller unit, at its limit and on both sides of it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.contract.detection import COMMANDABLE_MODES, ControlMode
from phasemesh.controller.safety.case import (
    ApprovalCase,
    ConfigCase,
    Finding,
    LeaseCase,
    ModeCase,
    Reaction,
    ReadbackCase,
    StartupCase,
    WriterCase,
)
from phasemesh.controller.safety.unit_rules import (
    approved,
    config_agrees,
    lease_sound,
    least_lease_s,
    readback_agrees,
    single_writer,
    startup_over,
    unit_commandable,
)

NAN = math.nan
OTHER_MODES = [mode for mode in ControlMode if mode not in COMMANDABLE_MODES]


@pytest.mark.parametrize("mode", OTHER_MODES)
def test_i11_lets_go_while_others_command(mode):
    """I11: in every mode that is nobody's to command, an agent releases, however long the mode has lasted."""
    finding = unit_commandable(ModeCase(mode, clear_s=1e9, resume_s=0.0))

    assert finding == Finding("I11", Reaction.RELEASE, f"the cabinet is in {mode}")


@pytest.mark.parametrize("mode", sorted(COMMANDABLE_MODES))
@pytest.mark.parametrize(
    ("clear_s", "resume_s", "may_command"),
    [
        (60.0, 60.0, True),
        (60.0 - 1e-7, 60.0, True),
        (59.9, 60.0, False),
        (0.0, 60.0, False),
        (0.0, 0.0, True),
        (math.inf, 60.0, True),
        (NAN, 60.0, False),
        (60.0, NAN, False),
    ],
)
def test_i11_stays_away_for_a_while_after_others(mode, clear_s, resume_s, may_command):
    """I11: an agent resumes only when the cabinet has been free for the whole time that it must be."""
    finding = unit_commandable(ModeCase(mode, clear_s, resume_s))

    assert (finding is None) is may_command
    assert may_command or (finding.rule, finding.reaction) == ("I11", Reaction.RELEASE)


def test_i11_tells_how_long_the_cabinet_is_free():
    """I11: the finding gives the time that has passed and the time that must."""
    finding = unit_commandable(ModeCase(ControlMode.OWN_PLAN, clear_s=12.0, resume_s=60.0))

    assert finding.detail == "the cabinet is free since 12.0 s of 60.0 s"


@pytest.mark.parametrize(
    ("valid_s", "window_s", "may_command"),
    [
        (10.0, 10.0, True),
        (10.0 - 1e-7, 10.0, True),
        (9.9, 10.0, False),
        (0.0, 0.0, True),
        (NAN, 10.0, False),
        (10.0, NAN, False),
    ],
)
def test_i12_reads_valid_states_before_it_commands(valid_s, window_s, may_command):
    """I12: the first command waits for a whole window of states that can be read."""
    finding = startup_over(StartupCase(valid_s, window_s))

    assert finding == (
        None
        if may_command
        else Finding("I12", Reaction.RELEASE, f"valid states for {valid_s:.1f} s of {window_s:.1f} s")
    )


@pytest.mark.parametrize(
    ("lease_s", "tick_s", "is_sound"),
    [
        (10.0, 1.0, True),
        (10.0 - 1e-7, 1.0, True),
        (9.9, 1.0, False),
        (15.0, 5.0, True),
        (14.9, 5.0, False),
        (65_535.0, 5.0, True),
        (0.0, 1.0, False),
        (-1.0, 1.0, False),
        (math.inf, 1.0, False),
        (NAN, 1.0, False),
    ],
)
def test_i14_refuses_a_cabinet_that_obeys_for_ever_or_too_shortly(lease_s, tick_s, is_sound):
    """I14: a backup time of 0, which switches it off, or one below three ticks is no basis for control."""
    finding = lease_sound(LeaseCase(lease_s, tick_s))

    assert (finding is None) is is_sound
    assert is_sound or (finding.rule, finding.reaction) == ("I14", Reaction.RELEASE)


def test_i14_tells_what_would_be_enough():
    """I14: the finding names the lease that was read and the one that is needed."""
    finding = lease_sound(LeaseCase(lease_s=0.0, tick_s=5.0))

    assert finding.detail == "the cabinet obeys a command for 0.0 s, at least 15 s and an end are needed"


@pytest.mark.parametrize(("tick_s", "expected_s"), [(0.5, 10.0), (3.0, 10.0), (5.0, 15.0), (60.0, 180.0)])
def test_i14_asks_for_the_longer_of_ten_seconds_and_three_ticks(tick_s, expected_s):
    """I14: one lost command, or two, must not end the control."""
    assert least_lease_s(tick_s) == expected_s


@pytest.mark.parametrize(
    ("is_as_commanded", "overdue_s", "strikes_before", "reaction"),
    [
        (True, 99.0, 9, None),
        (False, 1.9, 9, None),
        (False, 2.0, 0, Reaction.LOG),
        (False, 2.0 - 1e-7, 0, Reaction.LOG),
        (False, 2.0, 1, Reaction.LOG),
        (False, 2.0, 2, Reaction.RELEASE),
        (False, 9.0, 7, Reaction.RELEASE),
        (False, NAN, 0, Reaction.LOG),
    ],
)
def test_i16_lets_go_at_the_third_strike(is_as_commanded, overdue_s, strikes_before, reaction):
    """I16: a cabinet that accepts and does not act is told twice and then left to itself."""
    finding = readback_agrees(ReadbackCase(is_as_commanded, overdue_s, strikes_before))

    assert (finding and finding.reaction) == reaction
    assert finding is None or finding.rule == "I16"


def test_i16_tells_for_how_long_nothing_happens():
    """I16: the finding gives the age of what was accepted."""
    finding = readback_agrees(ReadbackCase(is_as_commanded=False, overdue_s=3.5, strikes_before=0))

    assert finding.detail == "the cabinet does not show what it accepted 3.5 s ago"


@pytest.mark.parametrize(
    ("boot_id", "seq", "holder_boot_id", "holder_seq", "is_accepted"),
    [
        (1, 0, None, -1, True),
        (7, 4, 7, 3, True),
        (7, 3, 7, 3, False),
        (7, 2, 7, 3, False),
        (8, 0, 7, 3, True),
        (6, 9, 7, 3, False),
    ],
)
def test_i18_obeys_the_newest_life_and_rising_numbers(boot_id, seq, holder_boot_id, holder_seq, is_accepted):
    """I18: an older life, or a number that was heard before, is refused; a newer life takes over."""
    finding = single_writer(WriterCase(boot_id, seq, holder_boot_id, holder_seq))

    assert (finding is None) is is_accepted
    assert is_accepted or (finding.rule, finding.reaction) == ("I18", Reaction.REJECT)


def test_i18_tells_whom_the_cabinet_obeys():
    """I18: the finding names both lives and both numbers."""
    finding = single_writer(WriterCase(boot_id=6, seq=9, holder_boot_id=7, holder_seq=3))

    assert finding.detail == "boot 6 seq 9 is not after boot 7 seq 3, which the cabinet obeys"


@given(st.tuples(st.integers(0, 4), st.integers(0, 4)), st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_i18_never_lets_two_writers_follow_each_other(first, second):
    """I18: of two different commands exactly one may follow the other, and none follows itself."""
    follows = [single_writer(WriterCase(*a, *b)) is None for a, b in ((first, second), (second, first))]

    assert sum(follows) == (first != second)


@pytest.mark.parametrize(
    ("reported", "agrees"), [("ab" * 32, True), ("", False), ("ab" * 31 + "ac", False), ("AB" * 32, False)]
)
def test_i19_latches_when_the_cabinet_follows_another_configuration(reported, agrees):
    """I19: other conflicts, stages or times than the agent's ask for an operator, and so does having no name."""
    finding = config_agrees(ConfigCase(expected="ab" * 32, reported=reported))

    assert (finding is None) is agrees
    assert agrees or (finding.rule, finding.reaction) == ("I19", Reaction.LATCH)


def test_i19_names_both_configurations():
    """I19: the finding gives the beginning of both digests."""
    finding = config_agrees(ConfigCase(expected="a" * 64, reported="b" * 64))

    assert finding.detail == f"the cabinet follows configuration {'b' * 12}, the agent {'a' * 12}"


def test_i19_tells_that_a_cabinet_names_nothing():
    """I19: a cabinet without a name for its configuration is told from one with another."""
    finding = config_agrees(ConfigCase(expected="a" * 64, reported=""))

    assert finding.detail == f"the cabinet follows a configuration that it does not name, the agent {'a' * 12}"


@pytest.mark.parametrize(
    ("approved_s", "is_approved"),
    [
        (100.0, True),
        (99.0, True),
        (99.0 - 1e-7, True),
        (98.9, False),
        (100.0 + 1e-7, True),
        (100.1, False),
        (NAN, False),
        (None, False),
    ],
)
def test_i25_obeys_only_what_a_guard_has_just_let_pass(approved_s, is_approved):
    """I25: without the word of the guard, or with an old one, or one from the future, a command is nothing."""
    finding = approved(ApprovalCase(approved_s, now_s=100.0, max_age_s=1.0))

    assert (finding is None) is is_approved
    assert is_approved or (finding.rule, finding.reaction) == ("I25", Reaction.REJECT)


@pytest.mark.parametrize(
    ("approved_s", "detail"),
    [(None, "no guard has let this command pass"), (97.5, "the guard let this command pass 2.500 s ago")],
)
def test_i25_tells_what_is_missing(approved_s, detail):
    """I25: a command that no guard saw is told from one that came late."""
    assert approved(ApprovalCase(approved_s, now_s=100.0, max_age_s=1.0)).detail == detail
