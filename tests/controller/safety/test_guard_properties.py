"""Laws of the guard over random requests, calls and detector faults, driven through the sequencer second by second."""

from __future__ import annotations

import itertools

import msgspec
from guard_drives import (
    LAWS,
    Drive,
    Second,
    drive_of,
    drives,
    greens_of,
    is_walked,
    runs_of,
    service_bound_s,
    vehicles_of,
)
from hypothesis import given

from phasemesh.contract.command import Interval
from phasemesh.contract.intersection import GREEN_LETTERS, conflicting_pairs
from phasemesh.contract.timing import faults_of_crossings, faults_of_timing
from phasemesh.controller.safety.case import Reaction
from phasemesh.controller.safety.guard import Guard


@LAWS
@given(drives())
def test_conflicting_movements_are_never_let_in_together(drive):
    """I1: whatever is asked for, no second of a drive shows a conflicting pair."""
    shown = {second.letters for second in drive_of(drive)}

    assert [letters for letters in shown if conflicting_pairs(drive.intersection, letters)] == []


@LAWS
@given(drives())
def test_every_green_ends_in_a_yellow_of_exactly_the_configured_time(drive):
    """I2, I3: a vehicle's green is followed by yellow of the closing stage's time, and yellow by red.

    Without red clearance a turn that only lost its protection goes on permissively from its yellow.
    """
    seconds = drive_of(drive)

    steps = {
        (before.letters[index], after.letters[index])
        for before, after in itertools.pairwise(seconds)
        for index in vehicles_of(drive.intersection)
        if before.letters[index] != after.letters[index]
        if {before.letters[index], after.letters[index]} != GREEN_LETTERS
        if (before.letters[index], after.letters[index]) != ("y", "g")
        or drive.timings[before.signal.from_stage].red_clearance_s > 0
    }
    assert steps <= {("G", "y"), ("g", "y"), ("y", "r"), ("r", "G"), ("r", "g")}
    for _, at, length in runs_of(seconds, "y"):
        assert length == drive.timings[seconds[at].signal.from_stage].yellow_s


@LAWS
@given(drives())
def test_no_green_is_shorter_than_its_minimum(drive):
    """I5: every green that was left had lasted its minimum."""
    greens = greens_of(drive_of(drive))

    assert [(stage, green_s) for stage, green_s in greens if green_s < drive.timings[stage].min_green_s] == []


@LAWS
@given(drives())
def test_no_green_is_longer_than_its_absolute_maximum(drive):
    """I6: where there is another stage, none stays in green beyond its absolute maximum, with calls or without."""
    for second in drive_of(drive) if len(drive.timings) > 1 else ():
        green_s = second.now_s - second.signal.since_s
        limits = drive.timings[second.signal.stage]

        assert second.signal.interval is not Interval.GREEN or green_s < max(
            limits.absolute_max_green_s, limits.min_green_s
        )


@LAWS
@given(drives())
def test_no_green_is_longer_than_its_maximum_while_others_call(drive):
    """I6: in every second in which an unserved movement waits, the stage in green is below its maximum."""
    for second in drive_of(drive):
        served = drive.intersection.stages[second.signal.stage].served
        has_call = any(wait_s > 0 for index, wait_s in enumerate(second.waits_s) if index not in served)
        if second.signal.interval is Interval.GREEN and has_call:
            assert second.now_s - second.signal.since_s < drive.timings[second.signal.stage].max_green_s


@LAWS
@given(drives())
def test_every_called_movement_is_served_in_bounded_time(drive):
    """I7: no call waits longer than the maximum wait and one full service of every stage."""
    limit_s = max(timing.max_wait_s for timing in drive.timings) + service_bound_s(drive)

    longest_s = max(max(second.waits_s) for second in drive_of(drive))

    assert longest_s <= limit_s


@LAWS
@given(drives())
def test_an_overdue_movement_is_served_next(drive):
    """I7: whenever the minimum green is over, the stage put in force serves an overdue movement, if any."""
    stages = drive.intersection.stages
    for second in drive_of(drive):
        signal, timing = second.case.signal, drive.timings[second.case.signal.stage]
        least_s = max(timing.min_green_s, timing.walk_s if is_walked(drive.intersection, signal.stage) else 0.0)
        overdue = {
            index
            for index, wait_s in enumerate(second.waits_s)
            if index not in stages[signal.stage].served and wait_s >= max_wait_s(drive, index)
        }
        if overdue and second.now_s - signal.since_s >= least_s and signal.interval is Interval.GREEN:
            assert stages[second.verdict.stage].served & overdue or is_all_that_is_legal(second)


def is_all_that_is_legal(second: Second) -> bool:
    """Whether only the stage in force may be asked for, because what is due must be red a little longer (I10)."""
    guard = Guard(second.case.intersection, second.case.timings)
    legal = guard.legal_stages(second.case.signal, second.case.history, second.now_s)
    return sum(legal) == 1 and legal[second.case.signal.stage]


def max_wait_s(drive: Drive, movement: int) -> float:
    """The shortest maximum wait of the stages that serve `movement`."""
    served = [stage.served for stage in drive.intersection.stages]
    return min(timing.max_wait_s for timing, some in zip(drive.timings, served, strict=True) if movement in some)


@LAWS
@given(drives())
def test_a_stage_is_legal_exactly_when_a_request_for_it_is_granted(drive):
    """legal_stages and judge agree on every stage in every second, and at least one stage is legal."""
    guard = Guard(drive.intersection, drive.timings)
    for second in drive_of(drive)[::7]:
        case = second.case
        verdicts = [
            guard.judge(msgspec.structs.replace(case, stage=stage)) for stage in range(len(drive.intersection.stages))
        ]

        legal = guard.legal_stages(case.signal, case.history, case.now_s)

        assert legal == tuple(verdict.is_accepted for verdict in verdicts)
        assert any(legal)
        assert all(verdict.stage == stage for stage, verdict in enumerate(verdicts) if verdict.is_accepted)


@LAWS
@given(drives())
def test_a_verdict_always_names_a_stage_that_could_have_been_asked_for(drive):
    """What the guard puts in force is itself legal, and a refusal always says why."""
    guard = Guard(drive.intersection, drive.timings)
    for second in drive_of(drive)[::7]:
        case, verdict = second.case, second.verdict
        forced = [finding for finding in verdict.findings if finding.reaction is Reaction.FORCE]

        assert guard.legal_stages(case.signal, case.history, case.now_s)[verdict.stage]
        assert verdict.is_accepted == (verdict.rule == "")
        assert len(forced) <= 1
        assert guard.judge(case) == verdict


@LAWS
@given(drives())
def test_the_times_of_these_laws_are_valid(drive):
    """The laws are tried on times that a simulated site may have, for vehicles and for people."""
    faults = [fault for each in drive.timings for fault in faults_of_timing(each, is_simulated=True)]

    assert faults == []
    assert faults_of_crossings(drive.intersection, drive.timings) == []
