"""Stages from programs: safe whatever the program, complete, and every alteration told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.sim_harness.sumo.right_of_way import RightOfWay
from phasemesh.sim_harness.sumo.stages import DerivedStages, clearance_steps, derive_stages, green_steps


def _right(
    size: int,
    *,
    conflicts: tuple[tuple[int, int], ...] = (),
    yields: tuple[tuple[int, int], ...] = (),
    turning: tuple[int, ...] = (),
    vehicles: tuple[int, ...] | None = None,
    crossings: tuple[int, ...] = (),
    outside: tuple[int, ...] = (),
) -> RightOfWay:
    both = {*conflicts, *((j, i) for i, j in conflicts)}
    return RightOfWay(
        vehicles=frozenset(range(size) if vehicles is None else vehicles) - frozenset(crossings),
        crossings=frozenset(crossings),
        turning=frozenset(turning),
        outside=frozenset(outside),
        conflicts=tuple(tuple((i, j) in both for j in range(size)) for i in range(size)),
        yields_to=tuple(tuple((i, j) in yields for j in range(size)) for i in range(size)),
    )


def _derive(right: RightOfWay, *states: str) -> DerivedStages:
    return derive_stages("x", tuple((state, 10.0) for state in states), right)


def _texts(derived: DerivedStages) -> list[str]:
    return [str(change) for change in derived.changes]


@st.composite
def rights(draw: st.DrawFn) -> RightOfWay:
    """Any right of way of up to six movements, some of people; only turning vehicles yield, and only to foes."""
    size = draw(st.integers(1, 6))
    pairs = [(i, j) for i in range(size) for j in range(i)]
    conflicts = tuple(draw(st.sets(st.sampled_from(pairs)))) if pairs else ()
    crossings = tuple(draw(st.sets(st.integers(0, size - 1), max_size=3)))
    conflicts = tuple(pair for pair in conflicts if not set(pair) <= set(crossings))
    turning = tuple(draw(st.sets(st.integers(0, size - 1))) - set(crossings))
    ways = sorted({(i, j) for pair in conflicts for i, j in (pair, pair[::-1]) if i in turning})
    yields = tuple(draw(st.sets(st.sampled_from(ways)))) if ways else ()
    vehicles = tuple(draw(st.sets(st.integers(0, size - 1))))
    return _right(size, conflicts=conflicts, yields=yields, turning=turning, vehicles=vehicles, crossings=crossings)


@given(rights(), st.data())
def test_no_stage_is_unsafe_whatever_the_program(right: RightOfWay, data: st.DataObject) -> None:
    """Of two conflicting movements in one stage, one is permissive and gives way to the other."""
    size = len(right.conflicts)
    states = data.draw(st.lists(st.text("GgrysO", min_size=size, max_size=size), max_size=5))

    for stage in _derive(right, *states).stages:
        for i in stage.served:
            for j in stage.served:
                assert (
                    not right.conflicts[i][j]
                    or (i in stage.permissive and right.yields_to[i][j])
                    or (j in stage.permissive and right.yields_to[j][i])
                )


@given(rights(), st.data())
def test_stages_are_complete_and_distinct(right: RightOfWay, data: st.DataObject) -> None:
    """Each movement that somebody needs has a stage, no other has one, and no two stages show the same."""
    size = len(right.conflicts)
    states = data.draw(st.lists(st.text("GgrysO", min_size=size, max_size=size), max_size=5))

    derived = _derive(right, *states)

    shown = [(stage.protected, stage.permissive) for stage in derived.stages]
    assert frozenset().union(*(stage.served for stage in derived.stages)) == right.needed
    assert len(set(shown)) == len(shown)
    assert all(stage.served for stage in derived.stages)
    assert len(derived.steps) == len(derived.stages)


@given(rights(), st.data())
def test_a_stage_shows_only_what_its_step_showed(right: RightOfWay, data: st.DataObject) -> None:
    """A stage that comes from a step serves no movement that the step kept red."""
    size = len(right.conflicts)
    states = data.draw(st.lists(st.text("GgrysO", min_size=size, max_size=size), max_size=5))

    derived = _derive(right, *states)

    for stage, step in zip(derived.stages, derived.steps, strict=True):
        assert step is None or all(states[step][index] in "Gg" for index in stage.served)


def test_a_safe_program_is_taken_as_it_is() -> None:
    """Greens that fit together become stages without any change."""
    right = _right(3, conflicts=((0, 1), (1, 2), (0, 2)), yields=((2, 0),), turning=(2,))

    derived = _derive(right, "Grg", "yry", "rGr", "ryr", "rrr")

    assert [(stage.protected, stage.permissive) for stage in derived.stages] == [((0,), (2,)), ((1,), ())]
    assert derived.steps == (0, 2)
    assert derived.changes == ()


def test_two_protected_greens_that_merge_are_told_apart() -> None:
    """Of two protected foes the turn that gives way becomes permissive, and this is reported."""
    derived = _derive(_right(2, conflicts=((0, 1),), yields=((1, 0),), turning=(0, 1)), "GG", "rG")

    assert (derived.stages[0].protected, derived.stages[0].permissive) == ((0,), (1,))
    assert _texts(derived) == [
        "x step 0: movement 1 permissive (g), since foes that have the right of way are green too"
    ]


def test_crossing_through_movements_are_never_shown_together() -> None:
    """Of two through movements that cross, the weaker green is dropped and gets a stage of its own."""
    derived = _derive(_right(2, conflicts=((0, 1),)), "Gg", "Gr")

    assert [stage.protected for stage in derived.stages] == [(0,), (1,)]
    assert derived.steps == (0, None)
    assert _texts(derived) == [
        "x step 0: movement 1 red, since it conflicts with movement 0",
        "x step 1: shows the same as step 0",
        "x added 1: movement 1 would be served by no stage",
    ]


def test_an_added_stage_takes_along_what_is_compatible() -> None:
    """The stage of a forgotten movement is filled with movements that do not hinder it."""
    right = _right(3, conflicts=((0, 1),), turning=(2,))

    derived = _derive(right, "Grr", "Grg")

    assert derived.stages[-1].protected == (1, 2)


def test_an_added_stage_never_makes_its_movement_give_way() -> None:
    """Nothing is added to the stage of a forgotten turn that would have the right of way over it."""
    derived = _derive(_right(2, conflicts=((0, 1),), yields=((1, 0),), turning=(1,)), "Gr", "Gr")

    assert derived.stages[-1].protected == (1,)


def test_a_turn_on_red_is_red() -> None:
    """The letter s lets nobody in, and the report says so."""
    derived = _derive(_right(2, conflicts=((0, 1),), turning=(1,)), "Gs", "rG")

    assert derived.stages[0].served == {0}
    assert _texts(derived) == ["x step 0: movement 1 red, since no stage shows a turn on red after a stop (s)"]


def test_a_permissive_green_without_foes_is_protected() -> None:
    """What gives way to nothing that is green is shown protected."""
    derived = _derive(_right(2, conflicts=((0, 1),), yields=((1, 0),), turning=(1,)), "rg", "Gr")

    assert derived.stages[0].protected == (1,)
    assert _texts(derived) == ["x step 0: movement 1 protected (G), since nothing that it gives way to is green"]


def test_what_yields_to_an_unsignalled_link_stays_permissive() -> None:
    """A turn that gives way to a link without a signal is never protected."""
    derived = _derive(_right(2, conflicts=((0, 1),), turning=(1,), outside=(1,)), "rG", "Gr")

    assert derived.stages[0].permissive == (1,)


def test_an_index_without_vehicles_stays_red() -> None:
    """What the program shows green although nobody needs it is in no stage, and the report says so."""
    derived = _derive(_right(3, conflicts=((0, 1),), vehicles=(0, 1)), "GrG", "rGr")

    assert all(2 not in stage.served for stage in derived.stages)
    assert _texts(derived) == ["x all stages: movement 2 red, since no vehicle needs it"]


def test_steps_with_yellow_or_without_anybody_are_no_stages() -> None:
    """Only steps that show a green to somebody, and no change, count; equal ones once."""
    program = tuple((state, 1.0) for state in ("Gr", "yr", "uG", "rg", "Gr", "rr"))

    assert green_steps(program, _right(2, vehicles=(0,))) == {"Gr": 0}


@given(rights(), st.data())
def test_people_are_always_protected(right: RightOfWay, data: st.DataObject) -> None:
    """No stage shows a crossing permissively: vehicles yield, people do not."""
    size = len(right.conflicts)
    states = data.draw(st.lists(st.text("GgryO", min_size=size, max_size=size), max_size=5))

    assert not any(right.crossings & set(stage.permissive) for stage in _derive(right, *states).stages)


@pytest.mark.parametrize(
    ("states", "clearances"),
    [
        (("GG", "Gr"), {1: 0}),
        (("Gr", "GG"), {0: 1}),
        (("GG", "rG"), {}),
        (("GG", "Gy"), {}),
        (("GG", "Gs"), {}),
        (("GG", "yr", "Gr"), {2: 0}),
        (("GG", "yr", "Gr", "yr"), {}),
        (("GG",), {}),
        (("rG", "rr"), {1: 0}),
    ],
)
def test_a_clearance_differs_from_its_neighbour_only_by_red_crossings(
    states: tuple[str, ...], clearances: dict[int, int]
) -> None:
    """Vehicles must stay as they were, people must lose their green, and the two steps must touch."""
    assert clearance_steps(tuple((state, 1.0) for state in states), frozenset({1})) == clearances
