"""Rotations are found in the layout of an intersection, and only those that leave everything as it was."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given

from factories import make_intersection
from phasemesh.contract.intersection import Intersection, Stage
from phasemesh.controller.memory.layout import Layout, layout_of
from phasemesh.sim_harness.eight_stages import eight_stage_crossing
from strategies import intersections


def _served(crossing: Intersection, stage: int) -> frozenset[int]:
    return crossing.stages[stage].served


def test_d1_the_eight_stages_serve_their_lanes_and_all_right_turns() -> None:
    """Stage by stage the movements that the paper's action serves, counted from E over N and W to S."""
    crossing = eight_stage_crossing()
    rights = {0, 3, 6, 9}
    own = [{1, 7}, {2, 8}, {4, 10}, {5, 11}, {1, 2}, {4, 5}, {7, 8}, {10, 11}]

    assert [_served(crossing, stage) for stage in range(8)] == [served | rights for served in own]


def test_d2_the_paper_s_crossing_has_the_four_turns_and_the_paper_s_permutation_of_stages() -> None:
    """One turn leads E to N to W to S to E and the stages by (0 2)(1 3)(4 5 6 7)."""
    layout = layout_of(eight_stage_crossing())

    assert layout.subgroup == "C4"
    assert layout.movement_maps[1] == (3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2)
    assert layout.stage_maps[1] == (2, 3, 0, 1, 5, 6, 7, 4)
    assert layout.stage_maps[2] == (0, 1, 2, 3, 6, 7, 4, 5)


@pytest.mark.parametrize("element", range(4))
def test_d2_a_turned_stage_serves_the_turned_movements(element: int) -> None:
    """served(rho a) = rho served(a) for every turn and stage."""
    crossing = eight_stage_crossing()
    layout = layout_of(crossing)

    for stage in range(layout.stages):
        turned = {layout.movement_maps[element][index] for index in _served(crossing, stage)}
        assert _served(crossing, layout.stage_maps[element][stage]) == turned


def _after(second: tuple[int, ...], first: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(second[index] for index in first)


@given(intersections())
def test_d2_the_rotations_of_any_layout_are_a_cyclic_group(intersection: Intersection) -> None:
    """Turning by g and then by h is turning by g + h, on movements and on stages, and the inverse undoes."""
    layout = layout_of(intersection)

    for maps in (layout.movement_maps, layout.stage_maps):
        assert maps[0] == tuple(range(len(maps[0])))
        for g in range(layout.order):
            assert _after(maps[layout.inverse(g)], maps[g]) == maps[0]
            for h in range(layout.order):
                assert _after(maps[h], maps[g]) == maps[(g + h) % layout.order]


@given(intersections())
def test_d2_a_rotation_keeps_conflicts_and_service(intersection: Intersection) -> None:
    """In any layout, movements that conflict still do after a rotation, and stages serve what they should."""
    layout = layout_of(intersection)
    size = range(layout.movements)

    for moved, turned in zip(layout.movement_maps, layout.stage_maps, strict=True):
        assert all(
            intersection.conflicts[i][j] == intersection.conflicts[moved[i]][moved[j]] for i in size for j in size
        )
        for stage in range(layout.stages):
            assert _served(intersection, turned[stage]) == {moved[index] for index in _served(intersection, stage)}


def _without_approach(crossing: Intersection, approach: str) -> Intersection:
    """`crossing` with one arm closed: what comes from there is gone, and so are the turns that lead there."""
    gone = {
        index
        for index, movement in enumerate(crossing.movements)
        if movement.approach == approach or (movement.approach, movement.turn.value) in _INTO_SOUTH
    }
    kept = [index for index in range(len(crossing.movements)) if index not in gone]
    renumbered = {old: new for new, old in enumerate(kept)}
    stages = [
        Stage(name=stage.name, protected=tuple(renumbered[index] for index in stage.protected if index in renumbered))
        for stage in crossing.stages
    ]
    return msgspec.structs.replace(
        crossing,
        movements=tuple(crossing.movements[index] for index in kept),
        stages=tuple({frozenset(stage.protected): stage for stage in stages}.values()),
        conflicts=_kept(crossing.conflicts, kept),
        yields_to=_kept(crossing.yields_to, kept),
    )


_INTO_SOUTH = {("E", "left"), ("N", "straight"), ("W", "right")}


def _kept(matrix: tuple[str, ...], kept: list[int]) -> tuple[str, ...]:
    return tuple("".join(matrix[i][j] for j in kept) for i in kept)


def test_d5_a_t_junction_has_no_rotation() -> None:
    """Where an arm is missing, memory keeps to shifts and scale."""
    assert layout_of(_without_approach(eight_stage_crossing(), "S")).subgroup == "C1"


def test_d5_a_faster_main_street_leaves_the_half_turn() -> None:
    """East and west look alike, and so do north and south, but not one pair like the other."""
    crossing = eight_stage_crossing()
    lanes = tuple(
        msgspec.structs.replace(lane, speed_limit_mps=19.4) if lane.approach in {"E", "W"} else lane
        for lane in crossing.lanes
    )
    layout = layout_of(msgspec.structs.replace(crossing, lanes=lanes))

    assert layout.subgroup == "C2"
    assert layout.movement_maps[1] == (6, 7, 8, 9, 10, 11, 0, 1, 2, 3, 4, 5)


def test_d5_one_different_approach_leaves_no_rotation() -> None:
    """A single slower lane in the east forbids every turn."""
    crossing = eight_stage_crossing()
    slow = (msgspec.structs.replace(crossing.lanes[0], speed_limit_mps=8.3), *crossing.lanes[1:])

    assert layout_of(msgspec.structs.replace(crossing, lanes=slow)).subgroup == "C1"


def test_d5_a_missing_stage_leaves_no_rotation() -> None:
    """A crossing whose controller lacks one of the eight stages cannot be turned, whatever its roads look like."""
    crossing = eight_stage_crossing()

    assert layout_of(msgspec.structs.replace(crossing, stages=crossing.stages[:-1])).subgroup == "C1"


@pytest.mark.parametrize(
    ("has_left_lanes", "has_crossings"), [(False, False), (True, False), (False, True), (True, True)]
)
def test_a_crossing_of_equal_arms_is_turned_with_its_people(has_left_lanes: bool, has_crossings: bool) -> None:
    """Left lanes and people on foot turn with their arms."""
    crossing = make_intersection(has_left_lanes=has_left_lanes, has_crossings=has_crossings)

    assert layout_of(crossing).subgroup == "C4"


def test_a_layout_is_named_after_the_place_and_not_after_its_name() -> None:
    """Two equal crossings share the digest; another stage or speed limit changes it."""
    crossing = eight_stage_crossing("one")
    other = msgspec.structs.replace(crossing, stages=crossing.stages[::-1])

    assert layout_of(crossing) == layout_of(eight_stage_crossing("another"))
    assert layout_of(crossing).digest != layout_of(other).digest


def test_a_layout_survives_being_written() -> None:
    """It can be stored beside a memory and is the same when it is read."""
    layout = layout_of(eight_stage_crossing())

    assert msgspec.json.decode(msgspec.json.encode(layout), type=Layout) == layout
