"""Crossings: what people on foot are shown, how long they have, and what a description may say of them."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import CROSSING_LENGTH_M, make_intersection, make_timings
from phasemesh.contract.command import (
    Interval,
    SignalState,
    advance,
    change_s,
    closing_movements,
    elapsed_green_s,
    lights,
    request_stage,
    start,
)
from phasemesh.contract.intersection import (
    Intersection,
    Lane,
    Stage,
    Turn,
    concurrency_faults,
    crossing_length_m,
    faults_of_intersection,
)
from phasemesh.contract.timing import (
    BENCHMARK,
    MIN_WALK_S,
    PED_BUFFER_S,
    STREET,
    WALK_S,
    WALKING_SPEED_MPS,
    StageTiming,
    faults_of_crossings,
    faults_of_timing,
    least_ped_clearance_s,
)
from strategies import STEPS_S, brisk, intersections, requests, stage_times

PEOPLE = make_intersection(has_crossings=True)
"""Vehicles from north, east, south, west are movements 0 to 3; people over those arms are movements 4 to 7."""
WITH_LEFT = make_intersection(has_left_lanes=True, has_crossings=True)
LONG_M = 30.0


def _with_length(length_m: float) -> Intersection:
    lanes = tuple(
        msgspec.structs.replace(lane, length_m=length_m) if lane.id.endswith("_walk") else lane for lane in PEOPLE.lanes
    )
    return msgspec.structs.replace(PEOPLE, lanes=lanes)


def _letters_of_a_change(intersection: Intersection, timings: tuple[StageTiming, ...], step_s: float = 1.0) -> str:
    """The letters of the change from stage 0 to 1, step by step, until stage 1 is green."""
    signal, shown, now_s = request_stage(intersection, start(0, 0.0), 1, 0.0), [], 0.0
    while signal.interval is not Interval.GREEN:
        shown.append(lights(intersection, signal))
        now_s += step_s
        signal = advance(signal, timings, now_s)
    return " ".join(shown)


def test_a_junction_with_crossings_is_valid() -> None:
    """The crossings of the factories contradict nothing, with left lanes and without."""
    assert faults_of_intersection(PEOPLE) == []
    assert faults_of_intersection(WITH_LEFT) == []


def test_people_walk_beside_the_traffic_that_does_not_cross_their_way() -> None:
    """North-south traffic runs while people walk over the arms of east and west."""
    assert lights(PEOPLE, start(0, 0.0)) == "GrGrrGrG"
    assert lights(PEOPLE, start(1, 0.0)) == "rGrGGrGr"


def test_only_a_crossing_is_a_crossing() -> None:
    """The walk belongs to the turn of the same name and to no other."""
    crossings = [index for index, movement in enumerate(PEOPLE.movements) if movement.is_crossing]

    assert crossings == [4, 5, 6, 7]
    assert Turn.CROSSING.value == "crossing"


def test_a_walk_ends_in_a_clearance_while_vehicles_keep_their_green() -> None:
    """After the walk people have their clearance, then vehicles have yellow, and nothing opens before."""
    timings = make_timings(PEOPLE, STREET)

    shown = _letters_of_a_change(PEOPLE, timings).split()

    assert shown == ["GrGrrrrr"] * 10 + ["yryrrrrr"] * 4 + ["rrrrrrrr"]
    assert timings[0].ped_clearance_s == 10.0


@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_clearance_takes_its_steps_at_every_pace(step_s: float) -> None:
    """The clearance is shown for as many steps as begin within it."""
    shown = _letters_of_a_change(PEOPLE, make_timings(PEOPLE, STREET), step_s).split()

    assert shown.count("GrGrrrrr") == math.ceil(10.0 / step_s)


def test_a_late_look_ends_clearance_yellow_and_red_at_once() -> None:
    """Each interval ends where its own time says, however late the cabinet looks."""
    timings = make_timings(PEOPLE, STREET)
    clearing = request_stage(PEOPLE, start(0, 0.0), 1, 20.0)

    assert clearing == SignalState(stage=1, from_stage=0, interval=Interval.PED_CLEARANCE, since_s=20.0)
    assert advance(clearing, timings, 29.9) == clearing
    assert advance(clearing, timings, 30.0).interval is Interval.YELLOW
    assert advance(clearing, timings, 30.0).since_s == 30.0
    assert advance(clearing, timings, 99.0) == SignalState(1, 0, Interval.GREEN, 35.0)


def test_a_change_that_closes_no_crossing_has_no_clearance_for_people() -> None:
    """Where a crossing is green in both stages its people walk on, and vehicles have yellow at once."""
    stages = (Stage("north and people", (0, 5)), Stage("people", (5,)), *PEOPLE.stages)
    quiet = msgspec.structs.replace(PEOPLE, stages=stages)

    signal = request_stage(quiet, start(0, 0.0), 1, 10.0)

    assert signal.interval is Interval.YELLOW
    assert lights(quiet, signal) == "yrrrrGrr"


def test_a_crossing_that_closes_alone_still_delays_the_next_stage() -> None:
    """Where only people lose their green, their clearance runs before anything opens."""
    stages = (Stage("north and people", (0, 5)), Stage("north and south", (0, 2)), *PEOPLE.stages)
    alone = msgspec.structs.replace(PEOPLE, stages=stages)

    signal = request_stage(alone, start(0, 0.0), 1, 10.0)

    assert signal.interval is Interval.PED_CLEARANCE
    assert lights(alone, signal) == "Grrrrrrr"


def test_a_permissive_turn_goes_on_yielding_while_people_clear() -> None:
    """In the clearance, left turns keep the letter that they had, which yields to the people they cross."""
    clearing = request_stage(WITH_LEFT, start(0, 0.0), 1, 10.0)

    assert lights(WITH_LEFT, clearing) == "GgrrGgrrrrrr"
    assert WITH_LEFT.yields_to[1][8 + 1] == "1"


def test_a_running_clearance_is_not_altered_by_a_request() -> None:
    """People on a crossing are given their time whatever else is wanted."""
    clearing = request_stage(PEOPLE, start(0, 0.0), 1, 10.0)

    assert request_stage(PEOPLE, clearing, 0, 11.0) is clearing
    assert elapsed_green_s(clearing, 15.0) == 0.0


def test_the_longest_change_holds_the_clearance_of_people() -> None:
    """The time of a change is that of its three parts."""
    timing = msgspec.structs.replace(STREET.timing, ped_clearance_s=12.0)

    assert change_s(timing) == 12.0 + 4.0 + 1.0


@brisk
@given(intersections(), st.data())
def test_vehicles_keep_their_letters_while_people_clear(intersection: Intersection, data: st.DataObject) -> None:
    """In a clearance for people every vehicle's letter is that of the stage before; the closing crossings are red."""
    for before in range(len(intersection.stages)):
        after = data.draw(st.integers(0, len(intersection.stages) - 1))
        signal = request_stage(intersection, start(before, 0.0), after, 5.0)
        if signal.interval is not Interval.PED_CLEARANCE:
            continue
        old, letters = lights(intersection, start(before, 0.0)), lights(intersection, signal)
        closing = closing_movements(intersection.stages[before], intersection.stages[after])

        changed = {index for index, (was, now) in enumerate(zip(old, letters, strict=True)) if was != now}
        assert changed == {index for index in closing if intersection.movements[index].is_crossing}
        assert {letters[index] for index in changed} == {"r"}


@brisk
@given(intersections(), requests(), st.data(), st.sampled_from(STEPS_S))
def test_a_walk_is_followed_by_the_whole_clearance_before_any_yellow(
    intersection: Intersection, wishes: list[int | None], data: st.DataObject, step_s: float
) -> None:
    """No change that closes a crossing reaches its yellow before the clearance of the closing stage is over."""
    timings = data.draw(stage_times(intersection))
    signal, began_s = start(0, 0.0), None
    for count, wish in enumerate([wish for wish in wishes for _ in range(3)]):
        now_s = count * step_s
        before, signal = signal, advance(signal, timings, now_s)
        if before.interval is Interval.PED_CLEARANCE and signal.interval is not Interval.PED_CLEARANCE:
            assert began_s is not None
            assert now_s - began_s >= timings[before.from_stage].ped_clearance_s - 1e-6
        advanced = signal
        if wish is not None:
            signal = request_stage(intersection, signal, wish % len(intersection.stages), now_s)
        if signal.interval is Interval.PED_CLEARANCE and advanced.interval is Interval.GREEN:
            began_s = now_s


def test_a_crossing_is_as_long_as_the_way_across() -> None:
    """The length of a crossing is that of its waiting place; vehicles have none."""
    assert crossing_length_m(PEOPLE, 4) == CROSSING_LENGTH_M
    assert crossing_length_m(PEOPLE, 0) == 0.0


def test_the_longest_of_several_ways_counts() -> None:
    """A crossing with an island of two parts is as long as the longer one."""
    far = Lane(id="far_walk", approach="north", length_m=LONG_M, speed_limit_mps=1.4, zone_capacity_veh=(5.0, 5.0, 5.0))
    movement = msgspec.structs.replace(PEOPLE.movements[4], lanes=("far_walk", *PEOPLE.movements[4].lanes))
    movements = (*PEOPLE.movements[:4], movement, *PEOPLE.movements[5:])
    wide = msgspec.structs.replace(PEOPLE, lanes=(*PEOPLE.lanes, far), movements=movements)

    assert crossing_length_m(wide, 4) == LONG_M


def test_a_crossing_without_a_place_to_wait_is_a_fault() -> None:
    """People must wait somewhere, or nobody knows how far they walk."""
    homeless = msgspec.structs.replace(PEOPLE.movements[4], lanes=())
    movements = (*PEOPLE.movements[:4], homeless, *PEOPLE.movements[5:])

    assert faults_of_intersection(msgspec.structs.replace(PEOPLE, movements=movements)) == [
        "movements[4].lanes: a crossing needs the place where its people wait"
    ]


def test_a_permissive_crossing_is_a_fault() -> None:
    """People do not give way: vehicles yield to them."""
    stages = (Stage("wrong", (0, 2), (5,)), *PEOPLE.stages)

    assert faults_of_intersection(msgspec.structs.replace(PEOPLE, stages=stages)) == [
        "stages[0].permissive: the crossing 5 can only be protected; vehicles yield, people do not"
    ]


def test_people_before_moving_vehicles_are_a_fault() -> None:
    """A stage that lets people walk over an arm from which vehicles come is refused."""
    stages = (*PEOPLE.stages, Stage("wrong", (0, 4)))

    assert faults_of_intersection(msgspec.structs.replace(PEOPLE, stages=stages)) == [
        "stages[2]: movements 0 and 4 conflict"
    ]


@pytest.mark.parametrize(
    ("length_m", "yellow_s", "red_clearance_s", "expected_s"),
    [
        (10.7, 3.0, 0.0, 10.0),
        (10.71, 3.0, 0.0, 11.0),
        (10.7, 2.0, 0.0, 11.0),
        (10.7, 2.0, 1.0, 10.0),
        (10.7, 6.0, 6.0, 10.0),
        (1.0, 4.0, 1.0, 1.0),
    ],
)
def test_clearance_is_the_way_across_and_the_buffer_that_yellow_leaves_open(
    length_m: float, yellow_s: float, red_clearance_s: float, expected_s: float
) -> None:
    """People walk 1.07 m/s; of the buffer of 3 s, yellow and red clearance count."""
    timing = msgspec.structs.replace(STREET.timing, yellow_s=yellow_s, red_clearance_s=red_clearance_s)

    assert least_ped_clearance_s(_with_length(length_m), PEOPLE.stages[0], timing) == expected_s


@given(st.floats(0.5, 60.0), st.sampled_from((0.0, 2.0, 3.0, 4.0)), st.sampled_from((0.0, 0.5, 3.0)))
def test_people_always_have_their_way_and_the_buffer(length_m: float, yellow_s: float, red_clearance_s: float) -> None:
    """From the end of the walk to the next green there is time for the slowest people and 3 s more."""
    timing = msgspec.structs.replace(STREET.timing, yellow_s=yellow_s, red_clearance_s=red_clearance_s)
    clearance_s = least_ped_clearance_s(_with_length(length_m), PEOPLE.stages[0], timing)

    assert clearance_s >= length_m / WALKING_SPEED_MPS
    assert clearance_s + yellow_s + red_clearance_s >= length_m / WALKING_SPEED_MPS + PED_BUFFER_S - 1e-9


def test_a_stage_without_crossings_needs_no_clearance() -> None:
    """Where nobody walks there is nothing to clear."""
    assert least_ped_clearance_s(PEOPLE, Stage("vehicles", (0, 2)), STREET.timing) == 0.0


def test_times_of_a_stage_with_crossings_are_made_for_its_people() -> None:
    """Walk, clearance and minimum green follow from the length of the longest crossing of the stage."""
    times = make_timings(WITH_LEFT, BENCHMARK)

    assert [timing.walk_s for timing in times] == [WALK_S, 0.0, WALK_S, 0.0]
    assert [timing.ped_clearance_s for timing in times] == [10.0, 0.0, 10.0, 0.0]
    assert [timing.min_green_s for timing in times] == [WALK_S, 5.0, WALK_S, 5.0]
    assert faults_of_crossings(WITH_LEFT, times) == []


def test_a_maximum_green_never_cuts_the_walk() -> None:
    """A profile with a maximum below the walk is raised to it."""
    short = msgspec.structs.replace(
        STREET, timing=msgspec.structs.replace(STREET.timing, min_green_s=5.0, max_green_s=6.0)
    )

    assert make_timings(PEOPLE, short)[0].max_green_s == WALK_S


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"walk_s": MIN_WALK_S}, []),
        ({"walk_s": 3.9}, ["timings[0].walk_s: 3.9 s is below 4.0 s (MUTCD 4E.06)"]),
        (
            {"ped_clearance_s": 9.9},
            [
                "timings[0].ped_clearance_s: 9.9 s is below the 10.0 s that people need to walk across (MUTCD 4E.06)",
            ],
        ),
    ],
)
def test_times_that_are_too_short_for_people_are_faults(changes: dict[str, float], faults: list[str]) -> None:
    """Each stage whose walk or clearance is below what people need is reported with its path."""
    first, second = make_timings(PEOPLE, STREET)

    assert faults_of_crossings(PEOPLE, (msgspec.structs.replace(first, **changes), second)) == faults


def test_a_stage_without_crossings_needs_no_walk() -> None:
    """Stages of vehicles alone have neither walk nor clearance, and that is no fault."""
    lone = make_intersection()

    assert faults_of_crossings(lone, make_timings(lone)) == []


@brisk
@given(intersections(), st.data())
def test_drawn_times_are_long_enough_for_people(intersection: Intersection, data: st.DataObject) -> None:
    """The times that the strategies of these tests draw are valid, crossings included."""
    times = data.draw(stage_times(intersection))

    assert faults_of_crossings(intersection, times) == []
    assert [fault for timing in times for fault in faults_of_timing(timing, is_simulated=True)] == []


def _rings(*pairs: tuple[int, int]) -> tuple[str, ...]:
    listed = {frozenset(pair) for pair in pairs} | {frozenset((index,)) for index in range(4)}
    return tuple("".join("01"[frozenset((a, b)) in listed] for b in range(4)) for a in range(4))


def test_a_stage_within_the_table_of_concurrency_is_valid() -> None:
    """Movements that the rings let run together may be one stage."""
    ringed = msgspec.structs.replace(make_intersection(), concurrency=_rings((0, 2), (1, 3)))

    assert faults_of_intersection(ringed) == []
    assert [concurrency_faults(ringed, stage) for stage in ringed.stages] == [[], []]


def test_a_stage_across_a_barrier_is_a_fault() -> None:
    """Movements of two sides of a barrier are reported although their paths may be free."""
    ringed = msgspec.structs.replace(make_intersection(), concurrency=_rings((0, 2)))

    assert faults_of_intersection(ringed) == ["stages[1]: movements 1 and 3 are not concurrent"]


def test_an_intersection_without_rings_allows_every_pair() -> None:
    """An empty table is that of a controller without rings."""
    assert concurrency_faults(make_intersection(), Stage("any", (0, 1, 2, 3))) == []


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (("1111",) * 3, "concurrency: has 3 rows for 4 movements"),
        (("1111", "111", "1111", "1111"), "concurrency[1]: must be 4 letters of 0 and 1"),
        (("1011", "1111", "1111", "1111"), "concurrency[0][1]: differs from concurrency[1][0]; the table must be"),
    ],
)
def test_a_broken_table_of_concurrency_is_reported_with_its_path(table: tuple[str, ...], fault: str) -> None:
    """Size, letters and symmetry are checked as those of the conflicts are."""
    faults = faults_of_intersection(msgspec.structs.replace(make_intersection(), concurrency=table))

    assert any(each.startswith(fault) for each in faults)
