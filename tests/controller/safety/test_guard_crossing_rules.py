"""The rules for people and for what a controller unit with rings would refuse, at their limits and on both sides."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import pytest
from guard_cases import (
    CROSSING,
    PARTS,
    PED_CLEARANCE_S,
    PEOPLE,
    TIMING,
    WALK_S,
    Scene,
    changing,
    history_of,
    judge,
    timings_of,
    with_timing,
)

from phasemesh.contract.command import CommandKind, Interval, start
from phasemesh.contract.detection import COMMANDABLE_MODES, ControlMode
from phasemesh.contract.intersection import Stage
from phasemesh.contract.timing import MIN_WALK_S, RED_REVERT_S
from phasemesh.controller.safety.case import Finding, Reaction, Verdict
from phasemesh.controller.safety.guard import Guard

NAN = math.nan
OTHER_MODES = [mode for mode in ControlMode if mode not in COMMANDABLE_MODES]


def rules(verdict: Verdict) -> list[str]:
    """Ids of the rules that objected, in order."""
    return [finding.rule for finding in verdict.findings]


def legal(scene: Scene) -> tuple[bool, ...]:
    """The stages that may be asked for in `scene`."""
    case = scene.case()
    return Guard(case.intersection, case.timings).legal_stages(case.signal, case.history, case.now_s)


@pytest.mark.parametrize(("now_s", "is_accepted"), [(5.0, False), (7.9, False), (8.0, True), (30.0, True)])
def test_i8_holds_a_stage_until_people_had_their_walk(now_s, is_accepted):
    """I8: a stage with crossings lasts its walk, though its minimum green is over."""
    scene = Scene(PEOPLE, now_s=now_s)

    verdict = judge(scene.case())

    assert verdict.is_accepted is is_accepted
    assert rules(verdict) == ([] if is_accepted else ["I8"])
    assert legal(scene) == (True, is_accepted)


def test_i8_tells_how_much_of_the_walk_was_shown():
    """I8: the finding gives the walk shown and the walk that is needed."""
    verdict = judge(Scene(PEOPLE, now_s=6.0).case())

    assert verdict.findings == (Finding("I8", Reaction.HOLD, "walk for 6.0 s of at least 8.0 s"),)


def test_i8_needs_no_walk_where_nobody_crosses():
    """I8: a stage of vehicles alone is left after its minimum green, whatever its table says of a walk."""
    timings = timings_of(CROSSING, walk_s=30.0)

    assert judge(Scene(timings=timings, now_s=5.0).case()).is_accepted


@pytest.mark.parametrize("stage", [0, 1])
@pytest.mark.parametrize(
    ("changes", "is_accepted"),
    [
        ({"ped_clearance_s": PED_CLEARANCE_S}, True),
        ({"ped_clearance_s": PED_CLEARANCE_S - 0.1}, False),
        ({"ped_clearance_s": 60.1}, False),
        ({"ped_clearance_s": NAN}, False),
        ({"walk_s": MIN_WALK_S}, True),
        ({"walk_s": MIN_WALK_S - 0.1}, False),
        ({"walk_s": 60.1}, False),
        ({"walk_s": NAN}, False),
    ],
)
def test_i8_rejects_a_change_with_times_too_short_for_people(stage, changes, is_accepted):
    """I8: neither a stage whose people have no time is left, nor one entered that could not be left."""
    timings = with_timing(timings_of(PEOPLE), stage, **changes)
    scene = Scene(PEOPLE, timings, now_s=39.0)

    verdict = judge(scene.case())

    assert verdict.is_accepted is is_accepted
    assert verdict.rule == ("" if is_accepted else "I8")
    assert all(finding.detail.startswith(f"stage {stage}: {next(iter(changes))}") for finding in verdict.findings[:1])
    assert legal(scene) == (True, is_accepted)


def test_i8_names_everything_that_people_lack():
    """I8: walk and clearance are told together, each once, by their own names."""
    timings = with_timing(timings_of(PEOPLE), 1, walk_s=1.0, ped_clearance_s=2.0)

    verdict = judge(Scene(PEOPLE, timings, now_s=39.0).case())

    assert verdict.findings[0].detail == (
        "stage 1: walk_s: 1.0 s is below 4.0 s (MUTCD 4E.06), ped_clearance_s: 2.0 s is below the 10.0 s that people"
        " need to walk across (MUTCD 4E.06)"
    )


def test_i8_counts_yellow_and_red_towards_the_buffer():
    """I8: a yellow below the buffer makes a longer clearance necessary."""
    accepted = [
        judge(Scene(PEOPLE, timings_of(PEOPLE, yellow_s=2.0, red_clearance_s=red_s), now_s=39.0).case()).is_accepted
        for red_s in (0.0, 1.0)
    ]

    assert accepted == [False, True]


@pytest.mark.parametrize("now_s", [10.0, 19.9, 500.0])
def test_i8_never_cuts_the_clearance_of_people(now_s):
    """I8: while people clear a crossing no other stage is granted, however much is due."""
    signal = changing(0, 1, Interval.PED_CLEARANCE, since_s=10.0)
    history = history_of(PEOPLE, {0: 0.0, 1: 0.0})

    verdict = judge(Scene(PEOPLE, signal=signal, history=history, stage=0, now_s=now_s).case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (1, False, "I8")
    assert verdict.findings[0] == Finding("I8", Reaction.HOLD, "people are clearing a crossing of stage 0")
    assert "I2" in rules(verdict)


def test_i8_lets_the_committed_stage_be_asked_for_again():
    """I8: asking for the stage that follows the clearance is no breach."""
    signal = changing(0, 1, Interval.PED_CLEARANCE, since_s=10.0)

    assert judge(Scene(PEOPLE, signal=signal, stage=1, now_s=12.0).case()) == Verdict(1, True, "", ())


@pytest.mark.parametrize("interval", [Interval.YELLOW, Interval.RED_CLEARANCE])
def test_i8_leaves_the_rest_of_a_change_to_i2(interval):
    """I8: once people are off the crossing the change is held for its order alone."""
    verdict = judge(Scene(PEOPLE, signal=changing(0, 1, interval), stage=0).case())

    assert rules(verdict) == ["I2"]


def test_i1_rejects_people_before_moving_vehicles():
    """I1: a stage that lets people walk in front of vehicles is never shown."""
    wrong = msgspec.structs.replace(PEOPLE, stages=(*PEOPLE.stages, Stage("wrong", (1, 5))))

    verdict = judge(Scene(wrong, stage=2).case())

    assert (verdict.rule, verdict.findings[0].detail) == ("I1", "stage 2: movements 1 and 5 conflict")


def test_i1_sees_people_who_are_still_on_a_crossing():
    """I1: people who clear a crossing conflict with vehicles that are let in, though they are shown red."""
    wrong = msgspec.structs.replace(PEOPLE, stages=(Stage("wrong", (1, 5)), *PEOPLE.stages))
    signal = changing(0, 2, Interval.PED_CLEARANCE)

    verdict = judge(Scene(wrong, signal=signal, stage=2).case())

    assert verdict.findings == (Finding("I1", Reaction.LATCH, "shown now: movements 1 and 5 conflict"),)


def test_i1_is_quiet_once_people_are_off_the_crossing():
    """I1: in the yellow after the clearance nobody is on the crossing any more."""
    wrong = msgspec.structs.replace(PEOPLE, stages=(Stage("wrong", (1, 5)), *PEOPLE.stages))

    verdict = judge(Scene(wrong, signal=changing(0, 2, Interval.YELLOW), stage=2).case())

    assert verdict.findings == ()


RINGED = msgspec.structs.replace(
    PARTS,
    concurrency=("1011", "0101", "1010", "1101"),
    stages=(*PARTS.stages, Stage(name="west", protected=(3,))),
)
"""Rings that let 0 run with 2 and 1 with 3, and against all sense 0 with 3, but not 1 with anything else."""
BROKEN_RINGS = msgspec.structs.replace(RINGED, concurrency=("1001", "0101", "0010", "1101"))
"""The same where 0 and 2 may not run together, which the last stage but one does."""


def test_i9_grants_what_the_rings_allow():
    """I9: stages within the table are granted, with rings or without."""
    accepted = [
        judge(Scene(crossing, signal=start(1, 0.0), stage=3).case()).is_accepted for crossing in (PARTS, RINGED)
    ]

    assert accepted == [True, True]


def test_i9_rejects_a_stage_across_a_barrier():
    """I9: movements that the table does not list together are not shown together, though their paths are free."""
    scene = Scene(BROKEN_RINGS, signal=start(1, 0.0), stage=3)

    verdict = judge(scene.case())

    assert verdict.findings == (Finding("I9", Reaction.REJECT, "stage 3: movements 0 and 2 are not concurrent"),)
    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (1, False, "I9")
    assert legal(scene) == (True, True, True, False, True)


def test_i9_lets_a_wrong_stage_be_left():
    """I9: a stage across a barrier that is shown already can be ended."""
    assert judge(Scene(BROKEN_RINGS, signal=start(3, 0.0), stage=1).case()).is_accepted


def test_i9_keeps_duties_within_the_rings():
    """I9 with I6: what is forced is within the table, though a stage beyond it would serve more."""
    history = history_of(BROKEN_RINGS, {0: 1.0, 2: 2.0})

    verdict = judge(Scene(BROKEN_RINGS, None, start(1, 0.0), history, now_s=20.0, stage=1).case())

    assert (verdict.stage, verdict.rule) == (0, "I6")


def _reopening(closed_s: float, since_s: float = 10.0, **changes: float) -> Scene:
    """The south closed at `closed_s`, and the north-south stage, which opens it at once, is asked for at 11 s."""
    timings = timings_of(PARTS, min_green_s=1.0, **changes)
    history = history_of(PARTS, movement_green={2: closed_s})
    return Scene(PARTS, timings, start(0, since_s), history, now_s=11.0, stage=3)


@pytest.mark.parametrize(
    ("closed_s", "is_accepted"),
    [(6.0, True), (6.0 + 1e-7, True), (6.1, False), (9.0, False), (11.0, False), (NAN, False)],
)
def test_i10_holds_a_movement_red_after_its_yellow(closed_s, is_accepted):
    """I10: after 3 s of yellow there are 2 s of red before a movement opens again."""
    scene = _reopening(closed_s)

    verdict = judge(scene.case())

    assert verdict.is_accepted is is_accepted
    assert rules(verdict) == ([] if is_accepted else ["I10"])
    assert legal(scene)[3] is is_accepted


def test_i10_tells_which_movement_and_how_long():
    """I10: the finding names the movement, the time since its green and the time that is needed."""
    verdict = judge(_reopening(8.0).case())

    detail = "movement 2 closed 3.0 s ago, it opens after 5.0 s at the earliest"
    assert verdict.findings == (Finding("I10", Reaction.HOLD, detail),)


def test_i10_counts_the_change_that_comes_before_the_green():
    """I10: a movement that opens only after the yellow and red of others may be asked for earlier."""
    stages = (Stage("east-west", (1, 3)), Stage("north-south", (0, 2)))
    crossing = msgspec.structs.replace(CROSSING, stages=stages)
    accepted = [
        judge(
            Scene(
                crossing,
                timings_of(crossing, min_green_s=1.0),
                start(0, 9.0),
                history_of(crossing, movement_green={0: closed_s, 2: closed_s}),
                now_s=10.0,
            ).case()
        ).is_accepted
        for closed_s in (9.0, 9.1)
    ]

    assert accepted == [True, False]


def test_i10_counts_the_clearance_of_people_before_the_green():
    """I10: while people leave a crossing the movements to come are red as well."""
    history = history_of(PEOPLE, movement_green={1: 9.9, 3: 9.9})

    assert judge(Scene(PEOPLE, history=history).case()).is_accepted


def test_i10_does_not_count_a_clearance_that_is_not_shown():
    """I10: where no crossing closes, the clearance of the stage takes no time."""
    stages = (Stage("north and people", (0, 7)), Stage("south and people", (2, 7)), Stage("east-west", (1, 3)))
    crossing = msgspec.structs.replace(PEOPLE, stages=stages)
    accepted = [
        judge(
            Scene(
                crossing,
                timings_of(crossing, min_green_s=1.0),
                start(0, 0.0),
                history_of(crossing, movement_green={2: closed_s}),
                now_s=10.0,
            ).case()
        ).is_accepted
        for closed_s in (9.0, 9.1)
    ]

    assert accepted == [True, False]


def test_i10_takes_the_longest_yellow_of_a_movement():
    """I10: which stage closed the movement is not known, so the longest yellow of those that serve it counts."""
    scene = _reopening(6.0)
    longer = dataclasses.replace(scene, timings=with_timing(scene.timings, 2, yellow_s=4.0))

    assert [judge(each.case()).is_accepted for each in (scene, longer)] == [True, False]


@pytest.mark.parametrize(("closed_s", "is_accepted"), [(9.0, True), (9.1, False)])
def test_i10_knows_that_crossings_have_no_yellow(closed_s, is_accepted):
    """I10: a crossing stays red for a while before it shows walk again, without a yellow in between."""
    stages = (Stage("north", (0,)), Stage("north and people", (0, 5)), *PEOPLE.stages)
    crossing = msgspec.structs.replace(PEOPLE, stages=stages)
    history = history_of(crossing, movement_green={5: closed_s})

    verdict = judge(Scene(crossing, history=history, now_s=9.0 + RED_REVERT_S, stage=1).case())

    assert verdict.is_accepted is is_accepted


def test_i10_is_silent_in_a_running_change():
    """I10: during a change the order speaks, and nothing can be opened."""
    scene = dataclasses.replace(_reopening(10.9), signal=changing(1, 0))

    assert rules(judge(scene.case())) == ["I2"]


@pytest.mark.parametrize("mode", OTHER_MODES)
@pytest.mark.parametrize("kind", list(CommandKind))
@pytest.mark.parametrize("stage", [0, 1])
def test_i11_grants_nothing_while_others_command(mode, kind, stage):
    """I11: during preemption, manual control, stop time or flash every request of an agent is rejected."""
    verdict = judge(Scene(kind=kind, stage=stage, mode=mode).case())

    assert verdict == Verdict(0, False, "I11", (Finding("I11", Reaction.REJECT, f"the cabinet is in {mode}"),))


@pytest.mark.parametrize("mode", sorted(COMMANDABLE_MODES))
def test_i11_lets_agents_command_where_they_may(mode):
    """I11: with an agent or the own plan in control, requests are judged by the other rules."""
    assert judge(Scene(mode=mode).case()) == Verdict(1, True, "", ())


@pytest.mark.parametrize("mode", OTHER_MODES)
def test_i11_forces_nothing_while_others_command(mode):
    """I11: maximum greens and waits are the care of whoever commands; they are told and not forced."""
    history = history_of(CROSSING, {1: 0.0})

    verdict = judge(Scene(history=history, now_s=100.0, mode=mode).case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (0, False, "I11")
    assert [finding.reaction for finding in verdict.findings] == [Reaction.REJECT, Reaction.LOG]


@pytest.mark.parametrize(("green_s", "is_accepted"), [(0.0, False), (0.9, False), (1.0, True), (1.0 - 1e-7, True)])
def test_i15_begins_at_most_one_change_a_second(green_s, is_accepted):
    """I15: though a wrong table asks for no green at all, a signal does not chatter."""
    scene = Scene(timings=timings_of(CROSSING, min_green_s=0.0), signal=start(0, 9.0), now_s=9.0 + green_s)

    verdict = judge(scene.case())

    assert verdict.is_accepted is is_accepted
    assert rules(verdict) == ([] if is_accepted else ["I15"])
    assert legal(scene) == (True, is_accepted)


def test_i15_tells_how_young_the_stage_is():
    """I15: the finding gives the time since the last change and what is needed."""
    timings = timings_of(CROSSING, min_green_s=0.0)

    verdict = judge(Scene(timings=timings, signal=start(0, 9.0), now_s=9.4).case())

    detail = "the stage in force began 0.4 s ago, at least 1 s"
    assert verdict.findings == (Finding("I15", Reaction.HOLD, detail),)


def test_i15_holds_duties_too():
    """I15: not even an overdue movement makes a signal chatter."""
    timings = timings_of(CROSSING, min_green_s=0.0)
    scene = Scene(timings=timings, signal=start(0, 99.5), history=history_of(CROSSING, {1: 0.0}), now_s=100.0, stage=0)

    assert judge(scene.case()).stage == 0


@pytest.mark.parametrize("changes", [{"min_green_s": NAN}, {"walk_s": NAN}])
def test_a_green_of_unknown_length_is_never_left(changes):
    """I5, I8: where a least time is no number, the stage in force stays and nothing is forced."""
    timings = with_timing(timings_of(PEOPLE), 0, **changes)
    scene = Scene(PEOPLE, timings, history=history_of(PEOPLE, {1: 0.0}), now_s=TIMING.absolute_max_green_s + WALK_S)

    verdict = judge(scene.case())

    assert (verdict.stage, verdict.is_accepted) == (0, False)
    assert Reaction.FORCE not in {finding.reaction for finding in verdict.findings}
    assert legal(scene) == (True, False)
