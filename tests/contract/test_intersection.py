"""The description of an intersection: what is a contradiction, and what may run together."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection
from phasemesh.contract.intersection import (
    GREEN_LETTERS,
    MOVING_LETTERS,
    ZONES_M,
    Intersection,
    Stage,
    Turn,
    conflicting_pairs,
    faults_of_intersection,
    stage_lights,
)
from phasemesh.contract.units import IntersectionId, LaneId
from strategies import brisk, intersections

CROSSING = make_intersection()
WITH_LEFT = make_intersection(has_left_lanes=True)


def _changed(**changes: object) -> Intersection:
    return msgspec.structs.replace(CROSSING, **changes)


def _with_lane(**changes: object) -> Intersection:
    first, *others = CROSSING.lanes
    return _changed(lanes=(msgspec.structs.replace(first, **changes), *others))


def _rows(rows: tuple[str, ...], row: int, column: int, bit: str) -> tuple[str, ...]:
    changed = rows[row][:column] + bit + rows[row][column + 1 :]
    return (*rows[:row], changed, *rows[row + 1 :])


@pytest.mark.parametrize("has_left_lanes", [False, True])
def test_a_plain_crossing_has_no_fault(has_left_lanes: bool) -> None:
    """The crossings of the factories are valid."""
    assert faults_of_intersection(make_intersection("a", ("b", "c"), has_left_lanes=has_left_lanes)) == []


@brisk
@given(intersections())
def test_drawn_intersections_have_no_fault(intersection: Intersection) -> None:
    """Whatever the strategy of these tests draws is accepted, so that their laws speak of valid intersections."""
    assert faults_of_intersection(intersection) == []


@brisk
@given(intersections())
def test_an_intersection_survives_json(intersection: Intersection) -> None:
    """An intersection decodes from its JSON to itself."""
    assert msgspec.json.decode(msgspec.json.encode(intersection), type=Intersection) == intersection


@brisk
@given(intersections(), st.data())
def test_any_one_sided_conflict_is_reported_with_its_path(intersection: Intersection, data: st.DataObject) -> None:
    """Flipping one bit beside the diagonal of the conflicts names the two cells that disagree."""
    size = len(intersection.movements)
    row, column = data.draw(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)))
    bit = "10"[int(intersection.conflicts[row][column])]
    broken = msgspec.structs.replace(intersection, conflicts=_rows(intersection.conflicts, row, column, bit))
    faults = faults_of_intersection(broken)

    low, high = sorted((row, column))
    wanted = f"conflicts[{low}][{low}]: a movement" if low == high else f"conflicts[{low}][{high}]: is "
    assert any(fault.startswith(wanted) for fault in faults)


def test_an_asymmetric_conflict_says_both_values() -> None:
    """The message names both cells and their values, so that the user can decide which is wrong."""
    broken = _changed(conflicts=_rows(CROSSING.conflicts, 1, 0, "0"))

    assert faults_of_intersection(broken) == [
        "conflicts[0][1]: is 1 but conflicts[1][0] is 0; the matrix must be symmetric"
    ]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"conflicts": ("0000",) * 3}, "conflicts: has 3 rows for 4 movements"),
        ({"conflicts": ("0000", "000", "0000", "0000")}, "conflicts[1]: must be 4 letters of 0 and 1"),
        ({"yields_to": ()}, "yields_to: has 0 rows for 4 movements"),
        ({"yields_to": ("0000", "0000", "00x0", "0000")}, "yields_to[2]: must be 4 letters of 0 and 1"),
        ({"stages": ()}, "stages: there is none"),
        ({"stages": (Stage("a", (0, 4)),)}, "stages[0]: no movement 4"),
        ({"stages": (Stage("a", (0,), (-1,)),)}, "stages[0]: no movement -1"),
        ({"stages": (Stage("a", (0, 2), (2,)),)}, "stages[0]: a movement is protected and permissive at once"),
        ({"neighbours": ("b", "b")}, "neighbours: an id occurs twice"),
        ({"neighbours": ("crossing",)}, "neighbours: the intersection names itself"),
        ({"lanes": CROSSING.lanes[:3]}, "movements[3].lanes: unknown lane 'west_0'"),
        ({"lanes": (*CROSSING.lanes, CROSSING.lanes[0])}, "lanes: an id occurs twice"),
    ],
)
def test_each_contradiction_is_reported_with_its_path(changes: dict[str, object], fault: str) -> None:
    """Every kind of broken matrix or reference gives one line that begins with where it is."""
    assert fault in faults_of_intersection(_changed(**changes))


def test_conflicting_movements_in_one_stage_are_a_fault() -> None:
    """A stage that shows north and east together names both movements."""
    broken = _changed(stages=(Stage("wrong", (0, 1)), Stage("rest", (2,)), Stage("west", (3,))))

    assert faults_of_intersection(broken) == ["stages[0]: movements 0 and 1 conflict"]


def test_a_stage_that_serves_nothing_is_a_fault() -> None:
    """An all-red stage cannot be chosen."""
    assert faults_of_intersection(_changed(stages=(*CROSSING.stages, Stage("none", ())))) == [
        "stages[2]: serves no movement"
    ]


def test_a_movement_that_no_stage_serves_is_a_fault() -> None:
    """Traffic that would wait for ever is reported, each movement by itself."""
    assert faults_of_intersection(_changed(stages=CROSSING.stages[:1])) == [
        "movements[1]: no stage ever serves it",
        "movements[3]: no stage ever serves it",
    ]


def test_a_movement_without_lanes_need_not_be_served() -> None:
    """A signal index that controls no lane may stay red."""
    unused = msgspec.structs.replace(CROSSING.movements[3], lanes=())
    stages = (CROSSING.stages[0], Stage("east", (1,)))

    assert faults_of_intersection(_changed(movements=(*CROSSING.movements[:3], unused), stages=stages)) == []


def test_all_faults_are_reported_at_once() -> None:
    """Several broken references come in one list."""
    broken = _changed(stages=(), neighbours=("crossing", "crossing"), lanes=CROSSING.lanes[:2])

    assert len(faults_of_intersection(broken)) == 5


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
@pytest.mark.parametrize(
    "change",
    [
        lambda value: {"speed_limit_mps": value},
        lambda value: {"zone_capacity_veh": (value, 10.0, 20.0)},
        lambda value: {"zone_capacity_veh": (5.0, 10.0, value)},
    ],
    ids=["speed_limit", "first_capacity", "last_capacity"],
)
def test_a_lane_that_cannot_be_encoded_is_a_fault(change: Callable[[float], dict[str, object]], value: float) -> None:
    """Speed limit and capacities must be above zero, since the features are divided by them."""
    faults = faults_of_intersection(_with_lane(**change(value)))

    assert any(fault.startswith("lanes[0]") for fault in faults)


def test_an_intersection_without_lanes_is_a_fault() -> None:
    """Where nothing is detected there is nothing to encode."""
    movements = tuple(msgspec.structs.replace(movement, lanes=()) for movement in CROSSING.movements)

    assert any(fault.startswith("lanes") for fault in faults_of_intersection(_changed(lanes=(), movements=movements)))


def test_a_permissive_left_turn_may_run_against_the_traffic_it_yields_to() -> None:
    """The mixed stage of the factory is free of conflicts only because its left turns yield."""
    mixed = stage_lights(WITH_LEFT, WITH_LEFT.stages[0])
    north_left, south_through = 1, 4

    assert WITH_LEFT.conflicts[north_left][south_through] == "1"
    assert mixed[north_left] == "g"
    assert conflicting_pairs(WITH_LEFT, mixed) == []


def test_a_protected_left_turn_may_not_run_against_opposing_traffic() -> None:
    """The same movements with the left turn protected are a conflict."""
    mixed = stage_lights(WITH_LEFT, WITH_LEFT.stages[0])

    assert conflicting_pairs(WITH_LEFT, mixed.replace("g", "G")) == [(0, 5), (1, 4)]


def test_yellow_counts_as_moving() -> None:
    """A movement in yellow conflicts with a green one, since its vehicles may still enter."""
    assert conflicting_pairs(CROSSING, "yGrr") == [(0, 1)]
    assert conflicting_pairs(CROSSING, "rGrr") == []


def test_clearing_left_turns_still_yield() -> None:
    """A permissive movement in yellow beside the traffic that it yields to is no conflict."""
    assert conflicting_pairs(WITH_LEFT, "GyrrGyrr") == []


@brisk
@given(intersections(), st.data())
def test_whether_two_movements_may_run_together_does_not_depend_on_their_order(
    intersection: Intersection, data: st.DataObject
) -> None:
    """Compatibility is symmetric for every combination of letters."""
    size = len(intersection.movements)
    letters = data.draw(st.text("Ggr", min_size=size, max_size=size))

    for first in range(size):
        for second in range(size):
            forwards = intersection.may_run_together(letters, first, second)
            assert forwards == intersection.may_run_together(letters, second, first)


@brisk
@given(intersections(), st.data())
def test_fewer_greens_never_make_a_new_conflict(intersection: Intersection, data: st.DataObject) -> None:
    """Turning movements of a valid stage red leaves it valid."""
    stage = data.draw(st.sampled_from(intersection.stages))
    dark = data.draw(st.sets(st.integers(0, len(intersection.movements) - 1)))
    letters = stage_lights(intersection, stage)
    fewer = "".join("r" if index in dark else letter for index, letter in enumerate(letters))

    assert conflicting_pairs(intersection, fewer) == []


@brisk
@given(intersections())
def test_stage_lights_show_what_the_stage_serves(intersection: Intersection) -> None:
    """There is one letter a movement: `G` for protected, `g` for permissive, `r` for the rest."""
    for stage in intersection.stages:
        letters = stage_lights(intersection, stage)

        assert len(letters) == len(intersection.movements)
        assert {index for index, letter in enumerate(letters) if letter == "G"} == set(stage.protected)
        assert {index for index, letter in enumerate(letters) if letter == "g"} == set(stage.permissive)
        assert {index for index, letter in enumerate(letters) if letter in GREEN_LETTERS} == stage.served


def test_the_alphabet_of_lights_is_fixed() -> None:
    """Green and moving letters differ by the yellow alone."""
    assert {"y"} == MOVING_LETTERS - GREEN_LETTERS
    assert GREEN_LETTERS < MOVING_LETTERS


def test_the_zones_grow() -> None:
    """The three zones are given from the stop line outwards."""
    assert list(ZONES_M) == sorted(set(ZONES_M))


def test_unknown_turns_are_refused() -> None:
    """A turn outside the vocabulary does not decode."""
    with pytest.raises(msgspec.ValidationError, match="diagonal"):
        msgspec.convert("diagonal", Turn)


def test_a_misspelt_field_is_refused() -> None:
    """A field that the vocabulary does not know is an error and not ignored."""
    text = msgspec.json.encode(CROSSING).replace(b'"neighbours"', b'"neighbors"')

    with pytest.raises(msgspec.ValidationError, match="neighbors"):
        msgspec.json.decode(text, type=Intersection)


def test_descriptions_are_frozen() -> None:
    """An intersection cannot be altered after it was checked."""
    with pytest.raises(AttributeError, match="immutable"):
        CROSSING.id = IntersectionId("other")  # type: ignore[misc]  # that this is impossible is the point


def test_lane_ids_may_hold_any_character() -> None:
    """Ids of networks with colons, slashes and spaces are ids like any other."""
    odd = LaneId(":cluster 1/2#3_0")
    lanes = (msgspec.structs.replace(CROSSING.lanes[0], id=odd), *CROSSING.lanes[1:])
    movements = (msgspec.structs.replace(CROSSING.movements[0], lanes=(odd,)), *CROSSING.movements[1:])

    assert faults_of_intersection(_changed(lanes=lanes, movements=movements)) == []
