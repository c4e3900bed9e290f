"""The duties of an intersection, which stand whatever is asked for: maximum green, absolute maximum, maximum wait."""

from __future__ import annotations

import dataclasses
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
    history_of,
    judge,
    timings_of,
    with_timing,
)

from factories import make_timings
from phasemesh.contract.command import start
from phasemesh.contract.history import empty_history
from phasemesh.contract.intersection import Stage
from phasemesh.contract.timing import STREET
from phasemesh.controller.safety.case import Finding, Reaction, Verdict

NAN = math.nan


def rules(verdict: Verdict) -> list[str]:
    """Ids of the rules that objected, in order."""
    return [finding.rule for finding in verdict.findings]


@pytest.mark.parametrize("calls", [{1: 0.0, 3: 60.0}, {1: 60.0, 3: 0.0}, {0: 60.0, 1: 0.0}])
def test_i7_sees_an_old_call_beside_young_ones(calls):
    """I7: young calls on other lanes hide no overdue movement."""
    scene = Scene(signal=start(0, 55.0), history=history_of(CROSSING, calls), stage=0, now_s=65.0)

    assert judge(scene.case()).rule == "I7"


def test_i7_sees_an_old_red_beside_the_present_green():
    """I7: that other movements are green at this very moment hides no overdue movement."""
    history = msgspec.structs.replace(history_of(CROSSING, {1: 0.0}), movement_green_s=(65.0, 0.0, 65.0, 0.0))

    verdict = judge(Scene(signal=start(0, 55.0), history=history, stage=0, now_s=65.0).case())

    assert verdict.rule == "I7"


def test_i7_counts_a_wait_from_the_last_green():
    """I7: a call that has stood for long waits only since its movement was last green."""
    history = msgspec.structs.replace(history_of(CROSSING, {1: 0.0}), movement_green_s=(0.0, 56.0, 0.0, 0.0))

    rules_at = [
        judge(Scene(signal=start(0, 85.0), history=history, stage=0, now_s=now_s).case()).rule
        for now_s in (100.9, 101.0)
    ]

    assert rules_at == ["", "I7"]


@pytest.mark.parametrize("begun_s", [-1000.0, 0.0, 1e6])
def test_i7_counts_waits_wherever_a_clock_begins(begun_s):
    """I7: a wait is a difference of two times, below zero too."""
    history = msgspec.structs.replace(empty_history(CROSSING, begun_s), lane_call_s=(None, begun_s + 10.0, None, None))

    rules_at = [
        judge(Scene(signal=start(0, now_s - 6.0), history=history, stage=0, now_s=now_s).case()).rule
        for now_s in (begun_s + 54.9, begun_s + 55.0)
    ]

    assert rules_at == ["", "I7"]


@pytest.mark.parametrize("begun_s", [-1000.0, 0.0, 1e6])
def test_i6_counts_greens_wherever_a_clock_begins(begun_s):
    """I6: a green is a difference of two times, below zero too."""
    history = msgspec.structs.replace(empty_history(CROSSING, begun_s), lane_call_s=(None, begun_s + 15.0, None, None))
    scene = Scene(signal=start(0, begun_s), history=history, stage=0)

    rules_at = [judge(dataclasses.replace(scene, now_s=begun_s + green_s).case()).rule for green_s in (19.9, 20.0)]

    assert rules_at == ["", "I6"]


def test_i7_knows_no_wait_too_short_to_be_served():
    """I7: a maximum wait below a second, which no site may ask for, is kept all the same."""
    timings = timings_of(CROSSING, max_wait_s=0.6)

    verdict = judge(Scene(timings=timings, history=history_of(CROSSING, {1: 9.2}), stage=0, now_s=10.0).case())

    assert (verdict.stage, verdict.rule) == (1, "I7")


def test_where_nobody_moves_nobody_waits():
    """I6, I7: stages without a single movement owe nothing to anybody."""
    stages = (Stage("dark", ()), Stage("darker", ()))
    idle = msgspec.structs.replace(CROSSING, movements=(), conflicts=(), yields_to=(), stages=stages)

    assert judge(Scene(idle, stage=1).case()) == Verdict(1, True, "", ())


def test_a_release_ends_the_duties():
    """After a release the cabinet's own plan chooses, so no stage is forced by it."""
    overdue = history_of(CROSSING, {1: 0.0})

    verdict = judge(Scene(kind="release", history=overdue, now_s=100.0).case())

    assert (verdict.stage, verdict.is_accepted) == (0, True)


def test_a_stale_release_keeps_the_duties():
    """A release that is refused leaves the agent in charge, so overdue movements are still served."""
    overdue = history_of(CROSSING, {1: 0.0})

    verdict = judge(Scene(kind="release", history=overdue, now_s=100.0, age_s=5.0).case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (1, False, "I7")


@pytest.mark.parametrize(("now_s", "stage"), [(19.9, 0), (20.0, 1), (30.0, 1)])
def test_i6_ends_a_long_green_while_others_call(now_s, stage):
    """I6: from the maximum green on the stage of the waiting movement is forced."""
    scene = Scene(history=history_of(CROSSING, {3: 15.0}), stage=0, now_s=now_s)

    verdict = judge(scene.case())

    assert verdict.stage == stage
    assert verdict.rule == ("I6" if stage else "")


@pytest.mark.parametrize("calls", [{}, {0: 1.0, 2: 3.0}])
def test_i6_lets_a_green_rest_without_other_calls(calls):
    """I6: without a call of an unserved movement a green may last beyond its maximum."""
    scene = Scene(history=history_of(CROSSING, calls), stage=0, now_s=39.9)

    assert judge(scene.case()).is_accepted


@pytest.mark.parametrize(("now_s", "rule"), [(20.0, "I6"), (60.0, "I7")])
def test_one_long_wait_outweighs_several_shorter_ones(now_s, rule):
    """I6, I7: who has waited longest is served, however many wait elsewhere."""
    history = history_of(LEFTS, {3: 10.0, 0: 10.5, 4: 10.5})

    verdict = judge(Scene(LEFTS, signal=start(1, 0.0), history=history, stage=1, now_s=now_s).case())

    assert (verdict.stage, verdict.rule) == (2, rule)


def test_i6_serves_the_longest_waiting_movement():
    """I6: of several calls the oldest decides, even against a request for the other stage."""
    history = history_of(LEFTS, {2: 16.0, 3: 12.0, 7: 14.0})

    verdict = judge(Scene(intersection=LEFTS, history=history, stage=0, now_s=20.0).case())

    assert (verdict.stage, verdict.rule) == (2, "I6")


def test_i6_chooses_the_stage_that_ends_most_waiting():
    """I6: where two stages serve the oldest call, the one that serves more waiting movements is forced."""
    history = history_of(LEFTS, {3: 12.0, 7: 12.0, 2: 15.0})

    verdict = judge(Scene(intersection=LEFTS, history=history, stage=0, now_s=20.0).case())

    assert verdict.stage == 2


def test_i6_chooses_the_first_of_equal_stages():
    """I6: where two stages end the same waiting, the lower index is forced."""
    history = history_of(LEFTS, {3: 12.0, 7: 12.0})

    verdict = judge(Scene(intersection=LEFTS, history=history, stage=0, now_s=20.0).case())

    assert verdict.stage == 2


def test_i6_skips_stages_that_may_not_be_shown():
    """I6: a duty never forces a stage that I1, I3 or I4 forbid, though it serves more waiting movements."""
    history = history_of(CONFLICTING, {0: 1.0, 1: 2.0})

    verdict = judge(Scene(intersection=CONFLICTING, signal=start(3, 0.0), history=history, stage=3, now_s=20.0).case())

    assert (verdict.stage, verdict.rule) == (0, "I6")


@pytest.mark.parametrize(("now_s", "stage"), [(39.9, 0), (40.0, 3), (50.0, 3)])
def test_i6_ends_a_green_at_its_absolute_maximum(now_s, stage):
    """I6: without any call the stage that was not shown for longest follows."""
    history = history_of(PARTS, stage_green={1: 9.0, 2: 8.0, 3: 7.0})

    verdict = judge(Scene(intersection=PARTS, history=history, stage=0, now_s=now_s).case())

    assert verdict.stage == stage
    assert verdict.rule == ("I6" if stage else "")


def test_i6_prefers_calls_at_the_absolute_maximum():
    """I6: a waiting movement comes before a stage that was not shown for longer."""
    history = history_of(PARTS, calls={2: 39.0}, stage_green={1: 1.0, 2: 8.0, 3: 9.0})

    verdict = judge(Scene(intersection=PARTS, history=history, stage=0, now_s=40.0).case())

    assert verdict.stage == 2
    assert "absolute" in verdict.findings[0].detail


def test_i6_ends_a_green_at_the_absolute_maximum_below_the_maximum():
    """I6: a wrong table with an absolute maximum below the maximum does not lengthen a green."""
    timings = timings_of(CROSSING, max_green_s=100.0, absolute_max_green_s=40.0)

    verdict = judge(Scene(timings=timings, stage=0, now_s=40.0).case())

    assert (verdict.stage, verdict.rule) == (1, "I6")


@pytest.mark.parametrize("calls", [{}, {1: 0.0}])
def test_i6_does_nothing_where_there_is_one_stage(calls):
    """I6, I7: a stage without an alternative stays, and a movement that no stage serves forces nothing."""
    alone = msgspec.structs.replace(CROSSING, stages=CROSSING.stages[:1])

    verdict = judge(Scene(intersection=alone, history=history_of(alone, calls), stage=0, now_s=500.0).case())

    assert verdict == Verdict(0, True, "", ())


@pytest.mark.parametrize(("now_s", "stage"), [(44.9, 0), (45.0, 1), (200.0, 1)])
def test_i7_serves_an_overdue_movement(now_s, stage):
    """I7: from the maximum wait on the stage of the movement is forced, whatever is asked for."""
    scene = Scene(signal=start(0, now_s - 6.0), history=history_of(CROSSING, {1: 0.0}), stage=0, now_s=now_s)

    verdict = judge(scene.case())

    assert verdict.stage == stage
    assert verdict.rule == ("I7" if stage else "")


def test_i7_forgets_movements_that_are_green():
    """I7: an old call of a movement that is served now forces nothing."""
    scene = Scene(signal=start(1, 90.0), history=history_of(CROSSING, {1: 0.0}), stage=1, now_s=100.0)

    assert judge(scene.case()).is_accepted


def test_i7_uses_the_shortest_maximum_of_the_serving_stages():
    """I7: a movement is overdue as soon as one of its stages says so."""
    timings = with_timing(timings_of(LEFTS), 3, max_wait_s=30.0)
    scene = Scene(
        intersection=LEFTS, timings=timings, signal=start(0, 25.0), history=history_of(LEFTS, {3: 1.0}), stage=0
    )

    rules_at = {now_s: judge(dataclasses.replace(scene, now_s=now_s).case()).rule for now_s in (30.9, 31.0)}

    assert rules_at == {30.9: "", 31.0: "I7"}


def test_i7_outranks_i6():
    """I7: an overdue movement is served before one that waits longer but may wait longer still."""
    timings = with_timing(with_timing(timings_of(PARTS), 2, max_wait_s=100.0), 3, max_wait_s=100.0)
    history = history_of(PARTS, {2: 0.0, 1: 10.0})

    verdict = judge(Scene(PARTS, timings, start(0, 0.0), history, now_s=60.0, stage=0).case())

    assert (verdict.stage, rules(verdict)) == (1, ["I7"])


def test_i7_serves_the_longest_wait_first():
    """I7: of two overdue movements the one that has waited longer is served."""
    history = history_of(LEFTS, {2: 9.0, 3: 8.0, 7: 9.0, 1: 1.0})

    verdict = judge(Scene(LEFTS, None, start(1, 100.0), history, now_s=110.0, stage=1).case())

    assert verdict.stage == 2


@pytest.mark.parametrize(("age_s", "stage"), [(0.0, 99), (50.0, 0), (0.0, NAN)])
def test_a_duty_stands_when_the_request_is_refused(age_s, stage):
    """A policy that only talks nonsense, or too late, cannot keep an overdue movement from its green."""
    scene = Scene(history=history_of(CROSSING, {1: 0.0}), age_s=age_s, stage=stage, now_s=100.0)

    verdict = judge(scene.case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (1, False, "I7")
    assert rules(verdict)[0] in {"I13", "I17"}


@pytest.mark.parametrize(("calls", "now_s"), [({1: 0.0}, 45.0), ({1: 15.0}, 20.0)])
def test_a_request_for_what_is_due_is_simply_granted(calls, now_s):
    """I6, I7: when the request is what would be forced, it is granted and nothing is held against it."""
    verdict = judge(Scene(history=history_of(CROSSING, calls), stage=1, now_s=now_s).case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (1, True, "")
    assert {finding.reaction for finding in verdict.findings} <= {Reaction.LOG}


@pytest.mark.parametrize(("now_s", "is_told"), [(29.9, False), (30.0, True), (44.9, True)])
def test_i7_tells_a_wait_of_two_thirds_of_the_maximum(now_s, is_told):
    """I7: before anything is forced, a long wait is told, and the request stands."""
    history = history_of(CROSSING, {1: 0.0})

    verdict = judge(Scene(signal=start(0, now_s - 6.0), history=history, stage=0, now_s=now_s).case())

    told = Finding("I7", Reaction.LOG, f"movement 1 has waited {now_s:.1f} s of at most 45.0 s")
    assert verdict == Verdict(0, True, "", (told,) if is_told else ())


def test_i7_tells_of_two_thirds_of_the_wait_on_the_street():
    """I7: with the times of the street a wait is told from 120 s on."""
    timings = make_timings(CROSSING, STREET)

    told_at = [
        now_s
        for now_s in (119.9, 120.0)
        if judge(
            Scene(CROSSING, timings, start(0, now_s - 8.0), history_of(CROSSING, {1: 0.0}), now_s, stage=0).case()
        ).findings
    ]

    assert told_at == [120.0]


def test_i7_tells_the_longest_of_several_waits():
    """I7: of two long waits the longer one is named."""
    history = history_of(LEFTS, {2: 9.0, 3: 8.0, 7: 12.0})

    verdict = judge(Scene(LEFTS, None, start(1, 37.0), history, now_s=43.0, stage=1).case())

    assert [finding.detail for finding in verdict.findings] == ["movement 3 has waited 35.0 s of at most 45.0 s"]


def test_i7_tells_no_wait_of_a_movement_that_is_served():
    """I7: an old call of a movement in green is no wait."""
    verdict = judge(Scene(signal=start(1, 30.0), history=history_of(CROSSING, {1: 0.0}), stage=1, now_s=40.0).case())

    assert verdict.findings == ()


def test_i7_tells_only_waits_near_their_own_maximum():
    """I7: a movement whose maximum is longer than that of others is told later."""
    timings = with_timing(with_timing(timings_of(PARTS), 2, max_wait_s=100.0), 3, max_wait_s=100.0)
    history = history_of(PARTS, {2: 0.0, 1: 35.0})

    verdict = judge(Scene(PARTS, timings, start(0, 30.0), history, now_s=40.0, stage=0).case())

    assert verdict.findings == ()


@pytest.mark.parametrize(("now_s", "stage", "rule"), [(100.9, 0, "I7"), (101.0, 1, "")])
def test_i7_waits_for_the_red_after_a_yellow(now_s, stage, rule):
    """I7, I10: the overdue stage is not shown before another of its movements has been red for long enough.

    Meanwhile nothing else is shown either, so that the overdue movement stays next.
    """
    stages = (Stage("north", (0,)), Stage("north-south and people", (0, 2, 5)), Stage("east-west", (1, 3)))
    crossing = msgspec.structs.replace(PEOPLE, stages=stages)
    scene = Scene(
        crossing,
        timings_of(crossing, min_green_s=1.0),
        start(0, 99.0),
        history_of(crossing, {5: 0.0}, movement_green={2: 96.0}),
        now_s,
    )

    verdicts = [judge(dataclasses.replace(scene, stage=asked).case()) for asked in (0, 1, 2)]

    assert [verdict.stage for verdict in verdicts] == [stage] * 3
    assert verdicts[1].rule == rule
    assert [verdict.is_accepted for verdict in verdicts] == [asked == stage for asked in (0, 1, 2)]


def test_a_stale_request_for_what_is_due_is_not_counted_as_granted():
    """I13 with I7: the stage is forced because it is due, not because a late command asked for it."""
    verdict = judge(Scene(history=history_of(CROSSING, {1: 0.0}), stage=1, age_s=9.0, now_s=45.0).case())

    assert (verdict.stage, verdict.is_accepted, verdict.rule) == (1, False, "I7")
