"""Each rule on requests, at its limit and on both sides of it."""

from __future__ import annotations

import math

import msgspec
import pytest
from guard_cases import (
    CONFLICTING,
    CROSSING,
    LEFTS,
    PARTS,
    PEOPLE,
    Scene,
    changing,
    history_of,
    judge,
    timings_of,
    with_timing,
)

from phasemesh.contract.command import CommandKind, Interval, start
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.errors import SiteError
from phasemesh.contract.intersection import Intersection, Stage, faults_of_intersection
from phasemesh.controller.safety.case import Finding, Reaction, Verdict
from phasemesh.controller.safety.guard import Guard

NAN = math.nan
WRONG_WALK = Stage("wrong", (0, 4))
"""Vehicles from the north and people before them."""


def rules(verdict: Verdict) -> list[str]:
    """Ids of the rules that objected, in order."""
    return [finding.rule for finding in verdict.findings]


def test_a_plain_request_is_granted():
    """A fresh request for another stage after the minimum green is granted without findings."""
    verdict = judge(Scene().case())

    assert verdict == Verdict(stage=1, is_accepted=True, rule="", findings=())


def test_a_request_for_the_stage_in_force_is_granted():
    """Keeping a stage is always granted when no duty stands against it."""
    verdict = judge(Scene(stage=0, now_s=1.0).case())

    assert verdict == Verdict(stage=0, is_accepted=True, rule="", findings=())


def test_the_test_crossings_are_valid():
    """All crossings of these tests but the wrong one pass the checks of a site."""
    faults = [faults_of_intersection(crossing) for crossing in (CROSSING, LEFTS, PARTS)]

    assert faults == [[], [], []]
    assert faults_of_intersection(CONFLICTING) != []


@pytest.mark.parametrize(
    ("kind", "stage"),
    [
        ("stage", 2),
        ("stage", -1),
        ("stage", 1.0),
        ("stage", NAN),
        ("stage", math.inf),
        ("stage", True),
        ("flash", 1),
        ("", 1),
    ],
)
def test_i17_refuses_what_is_no_command(kind, stage):
    """I17: an unknown kind, a stage that does not exist or a number that is no whole number is rejected."""
    verdict = judge(Scene(kind=kind, stage=stage).case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (0, False, "I17")
    assert verdict.findings[0].reaction is Reaction.REJECT


@pytest.mark.parametrize("kind", ["stage", CommandKind.STAGE])
def test_i17_knows_kinds_by_their_word(kind):
    """I17: the word that came over the wire and the member of the enumeration are the same kind."""
    assert judge(Scene(kind=kind).case()).is_accepted


@pytest.mark.parametrize(
    ("changes", "stage_in_force"),
    [
        ({"now_s": NAN}, 0),
        ({"now_s": math.inf}, 0),
        ({"signal": start(0, NAN)}, 0),
        ({"signal": start(0, -math.inf)}, 0),
        ({"signal": start(2, 0.0)}, 2),
        ({"signal": start(-1, 0.0)}, -1),
        ({"signal": changing(2, 0)}, 0),
        ({"signal": changing(0, 2)}, 2),
        ({"signal": changing(-1, 0)}, 0),
    ],
)
def test_i17_refuses_to_act_on_a_signal_that_it_cannot_read(changes, stage_in_force):
    """I17: with an unknown stage or a time that is no number nothing is granted and no duty is read from noise."""
    scene = Scene(**{"history": history_of(CROSSING, {1: 0.0}), "now_s": 100.0, **changes})

    verdict = judge(scene.case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (stage_in_force, False, "I17")


@pytest.mark.parametrize("stage", [0, 1, 99, NAN])
def test_a_release_is_granted_whatever_its_stage(stage):
    """A release keeps the stage in force; it is never refused for a stage that it does not ask for."""
    verdict = judge(Scene(kind="release", stage=stage, now_s=1.0).case())

    assert verdict == Verdict(stage=0, is_accepted=True, rule="", findings=())


@pytest.mark.parametrize(
    ("age_s", "is_accepted"),
    [(0.0, True), (1.0, True), (1.0 + 1e-7, True), (1.01, False), (-1e-7, True), (-0.01, False), (NAN, False)],
)
def test_i13_drops_late_requests_and_those_from_the_future(age_s, is_accepted):
    """I13: a request counts from the moment of its decision up to one tick."""
    verdict = judge(Scene(age_s=age_s).case())

    assert verdict.is_accepted is is_accepted
    assert verdict.rule == ("" if is_accepted else "I13")
    assert verdict.stage == int(is_accepted)


def test_i13_tells_how_late_a_request_came():
    """I13: the finding gives the age and what was allowed."""
    verdict = judge(Scene(age_s=2.5).case())

    assert verdict.findings[0].detail == "decided 2.500 s ago, at most 1.000 s are allowed"


def test_i1_rejects_a_stage_that_lets_conflicting_movements_in():
    """I1: a stage whose movements conflict is never shown, and the finding names the pair."""
    verdict = judge(Scene(intersection=CONFLICTING, stage=2).case())

    assert verdict == Verdict(0, False, "I1", (Finding("I1", Reaction.REJECT, "stage 2: movements 0 and 1 conflict"),))


def test_i1_lets_a_conflict_be_left():
    """I1: a request that ends a shown conflict is granted, and the conflict is told to an operator."""
    verdict = judge(Scene(intersection=CONFLICTING, signal=start(2, 0.0), stage=3).case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (3, True, "")
    assert verdict.findings == (Finding("I1", Reaction.LATCH, "shown now: movements 0 and 1 conflict"),)


def test_i1_tells_a_shown_conflict_even_when_nothing_is_asked_for():
    """I1: keeping a conflicting stage alters nothing, but an operator must know of it."""
    verdict = judge(Scene(intersection=CONFLICTING, signal=start(2, 0.0), stage=2).case())

    assert verdict.is_accepted
    assert [finding.reaction for finding in verdict.findings] == [Reaction.LATCH]


@pytest.mark.parametrize("changes", [{"kind": "release"}, {"mode": ControlMode.MANUAL}, {"stage": 99}, {"age_s": 9.0}])
def test_i1_tells_a_shown_conflict_whoever_commands(changes):
    """I1: neither a release, nor another master, nor nonsense hides a conflict from the operator."""
    verdict = judge(Scene(**{"intersection": CONFLICTING, "signal": start(2, 0.0), **changes}).case())

    assert Finding("I1", Reaction.LATCH, "shown now: movements 0 and 1 conflict") in verdict.findings


def test_i1_is_silent_where_nothing_conflicts_now():
    """I1: a wrong stage elsewhere in the plan is no finding while it is neither shown nor asked for."""
    assert judge(Scene(intersection=CONFLICTING, stage=1).case()).findings == ()


def test_i1_reads_no_lights_from_a_signal_that_it_cannot_read():
    """I1: with an unknown stage only the whitelist speaks."""
    verdict = judge(Scene(intersection=CONFLICTING, signal=start(9, 0.0)).case())

    assert rules(verdict) == ["I17"]


@pytest.mark.parametrize(
    ("signal", "shown"),
    [
        (start(2, 0.0), "movements 0 and 1 conflict"),
        (changing(2, 3), "movements 0 and 1 conflict"),
        (changing(2, 3, Interval.RED_CLEARANCE), ""),
        (changing(0, 2), ""),
        (start(0, 0.0), ""),
        (start(9, 0.0), ""),
        (start(2, NAN), ""),
    ],
)
def test_i1_judges_what_is_shown_without_any_request(signal, shown):
    """I1: a look at the signal alone finds the conflict, yellow included, and asks for an operator."""
    finding = Guard(CONFLICTING, timings_of(CONFLICTING)).shown_conflict(signal, 10.0)

    assert finding == (Finding("I1", Reaction.LATCH, f"shown now: {shown}") if shown else None)


def test_i1_sees_a_shown_conflict_that_a_request_would_follow_with_another():
    """I1: a wish that is refused for its own conflict does not hide the one that is shown."""
    guard = Guard(CONFLICTING, timings_of(CONFLICTING))
    scene = Scene(intersection=CONFLICTING, signal=start(2, 0.0), stage=2)

    assert guard.shown_conflict(scene.case().signal, 10.0) in guard.judge(scene.case()).findings
    assert Guard(CROSSING, timings_of(CROSSING)).shown_conflict(start(1, 0.0), 10.0) is None


@pytest.mark.parametrize("interval", [Interval.YELLOW, Interval.RED_CLEARANCE])
def test_i2_finishes_a_running_change(interval):
    """I2: during a change another stage is held off, however long the change has lasted."""
    scene = Scene(signal=changing(0, 1, interval), stage=0, now_s=100.0)

    verdict = judge(scene.case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (1, False, "I2")
    assert verdict.findings[0].reaction is Reaction.HOLD


@pytest.mark.parametrize("interval", [Interval.YELLOW, Interval.RED_CLEARANCE])
def test_i2_lets_the_committed_stage_be_asked_for_again(interval):
    """I2: a request for the stage that is being changed to is granted."""
    verdict = judge(Scene(signal=changing(0, 1, interval), stage=1).case())

    assert verdict == Verdict(1, True, "", ())


def test_i2_outranks_the_duties():
    """I2: nothing is forced into a running change, not even for an overdue movement."""
    scene = Scene(signal=changing(1, 0), history=history_of(CROSSING, {1: 0.0}), stage=0, now_s=100.0)

    verdict = judge(scene.case())

    assert (verdict.stage, verdict.is_accepted, rules(verdict)) == (0, True, ["I7"])
    assert verdict.findings[0].reaction is Reaction.LOG


@pytest.mark.parametrize(
    ("yellow_s", "is_accepted"),
    [(2.0, True), (6.0, True), (1.99, False), (6.01, False), (0.0, False), (NAN, False)],
)
@pytest.mark.parametrize("stage", [0, 1])
def test_i3_rejects_a_change_with_a_yellow_outside_its_range(stage, yellow_s, is_accepted):
    """I3: neither a stage with a wrong yellow is left, nor one entered that could not be left."""
    timings = with_timing(timings_of(CROSSING), stage, yellow_s=yellow_s)

    verdict = judge(Scene(timings=timings).case())

    assert verdict.is_accepted is is_accepted
    assert verdict.rule == ("" if is_accepted else "I3")
    assert all(finding.detail.startswith(f"stage {stage}: yellow_s") for finding in verdict.findings[:1])


@pytest.mark.parametrize(
    ("red_clearance_s", "is_accepted"), [(0.0, True), (6.0, True), (-0.01, False), (6.01, False), (NAN, False)]
)
@pytest.mark.parametrize("stage", [0, 1])
def test_i4_rejects_a_change_with_a_red_clearance_outside_its_range(stage, red_clearance_s, is_accepted):
    """I4: neither a stage with a wrong red clearance is left, nor one entered that could not be left."""
    timings = with_timing(timings_of(CROSSING), stage, red_clearance_s=red_clearance_s)

    verdict = judge(Scene(timings=timings).case())

    assert verdict.is_accepted is is_accepted
    assert verdict.rule == ("" if is_accepted else "I4")
    assert all(finding.detail.startswith(f"stage {stage}: red_clearance_s") for finding in verdict.findings[:1])


def test_wrong_times_do_not_forbid_to_keep_the_stage():
    """I3, I4: a stage that may not be left may still be kept."""
    timings = with_timing(timings_of(CROSSING), 0, yellow_s=0.0, red_clearance_s=9.0)

    assert judge(Scene(timings=timings, stage=0).case()).is_accepted


@pytest.mark.parametrize(
    ("now_s", "is_accepted"), [(0.0, False), (4.9, False), (5.0 - 1e-7, True), (5.0, True), (-1.0, False)]
)
def test_i5_holds_a_young_green(now_s, is_accepted):
    """I5: no stage is left before its minimum green."""
    verdict = judge(Scene(now_s=now_s).case())

    assert verdict.is_accepted is is_accepted
    assert verdict.rule == ("" if is_accepted else "I5")
    assert {finding.reaction for finding in verdict.findings} == (set() if is_accepted else {Reaction.HOLD})


def test_i5_counts_the_minimum_of_the_stage_in_force():
    """I5: the minimum is that of the stage that would end, not that of the stage asked for."""
    timings = with_timing(timings_of(CROSSING), 1, min_green_s=30.0)

    verdicts = [
        judge(Scene(timings=timings, signal=start(stage, 0.0), stage=1 - stage).case()).rule for stage in (0, 1)
    ]

    assert verdicts == ["", "I5"]


def test_i5_outranks_the_duties():
    """I5: an overdue movement waits for the end of the minimum green."""
    scene = Scene(signal=start(0, 97.0), history=history_of(CROSSING, {1: 0.0}), stage=0, now_s=100.0)

    verdict = judge(scene.case())

    assert (verdict.stage, verdict.is_accepted) == (0, True)
    assert {finding.reaction for finding in verdict.findings} == {Reaction.LOG}


def test_findings_come_in_order_of_precedence():
    """All rules that object are listed, the first of them decides."""
    timings = timings_of(CONFLICTING, yellow_s=1.0, red_clearance_s=7.0)

    verdict = judge(Scene(CONFLICTING, timings, stage=2, now_s=1.0).case())

    assert rules(verdict) == ["I1", "I3", "I4", "I5"]
    assert verdict.rule == "I1"


def test_everything_that_stands_against_a_request_is_listed():
    """A request that is wrong in every way is answered with every rule that it breaks, in their order."""
    wrong = msgspec.structs.replace(PEOPLE, concurrency=("0" * 8,) * 8, stages=(*PEOPLE.stages, WRONG_WALK))
    timings = timings_of(wrong, yellow_s=1.0, red_clearance_s=7.0, ped_clearance_s=1.0)

    verdict = judge(Scene(wrong, timings, stage=2, now_s=0.5).case())

    assert rules(verdict) == ["I1", "I9", "I3", "I4", "I8", "I5", "I15"]


def test_a_guard_needs_one_timing_a_stage():
    """A site whose times do not match its stages gets no guard."""
    with pytest.raises(SiteError, match="1 for 2 stages"):
        Guard(CROSSING, timings_of(CROSSING)[:1])


@pytest.mark.parametrize(
    "other",
    [
        Scene(intersection=LEFTS),
        Scene(intersection=msgspec.structs.replace(CROSSING, id="another")),
        Scene(timings=timings_of(CROSSING, yellow_s=5.0)),
    ],
)
def test_a_guard_judges_no_other_intersection(other):
    """A case of another intersection, or with other times, is a programming error."""
    guard = Guard(CROSSING, timings_of(CROSSING))

    with pytest.raises(ValueError, match="got a case of"):
        guard.judge(other.case())


def test_a_guard_accepts_an_equal_intersection():
    """A case that was read from a record, equal but not identical, is judged."""
    guard = Guard(CROSSING, timings_of(CROSSING))

    assert guard.judge(
        Scene(intersection=msgspec.json.decode(msgspec.json.encode(CROSSING), type=Intersection)).case()
    ).is_accepted
