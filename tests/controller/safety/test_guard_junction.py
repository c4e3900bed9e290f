"""The tables that the guard computes once for an intersection."""

from __future__ import annotations

import math

import msgspec
import pytest
from guard_cases import CONFLICTING, CROSSING, LEFTS, PARTS, PEOPLE, TIMING, Scene, timings_of, with_timing
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.contract.command import Interval, start
from phasemesh.contract.timing import RED_REVERT_S, SIMULATED_UNIT, UnitTiming
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.safety.junction import (
    breaches_text,
    change_states,
    moving_lights,
    new_pairs,
    order_text,
    survey,
)
from phasemesh.controller.safety.request_rules import in_order, situate


@pytest.mark.parametrize("crossing", [CROSSING, LEFTS, PARTS])
def test_a_valid_crossing_may_change_between_all_its_stages(crossing):
    """Nothing static stands against a change between two stages of a valid crossing."""
    junction = survey(crossing, timings_of(crossing))
    count = len(crossing.stages)

    assert junction.may_change == tuple(tuple(a != b for b in range(count)) for a in range(count))
    assert junction.is_conflict_free


def test_no_stage_may_change_to_one_that_conflicts():
    """A conflicting stage is never a target, but it may be left."""
    junction = survey(CONFLICTING, timings_of(CONFLICTING))

    assert [row[2] for row in junction.may_change] == [False] * 4
    assert junction.may_change[2] == (True, True, False, True)
    assert not junction.is_conflict_free


def test_no_stage_with_wrong_times_takes_part_in_a_change():
    """A stage with a wrong yellow or red clearance is neither left nor entered."""
    timings = with_timing(with_timing(timings_of(LEFTS), 1, yellow_s=1.0), 2, red_clearance_s=math.inf)

    junction = survey(LEFTS, timings)

    allowed = [(a, b) for a in range(4) for b in range(4) if junction.may_change[a][b]]
    assert allowed == [(0, 3), (3, 0)]


def test_the_shortest_maximum_wait_counts():
    """A movement inherits the shortest maximum wait of its stages; without a stage it waits for nothing."""
    timings = with_timing(timings_of(PARTS), 3, max_wait_s=33.0)

    assert survey(PARTS, timings).max_waits_s == (33.0, 45.0, 33.0, 45.0)
    assert survey(msgspec.structs.replace(CROSSING, stages=()), ()).max_waits_s == (math.inf,) * 4


@pytest.mark.parametrize(
    ("before", "after", "breach"),
    [
        ("Gg", "yy", ""),
        ("Gg", "Gg", ""),
        ("gG", "Gg", ""),
        ("yy", "rr", ""),
        ("rr", "Gg", ""),
        ("Gr", "rr", "movement 0 goes from G to r"),
        ("rg", "rr", "movement 1 goes from g to r"),
        ("yr", "Gr", "movement 0 goes from y to G"),
        ("yr", "gr", "movement 0 goes from y to g"),
        ("Gy", "rg", "movement 0 goes from G to r, movement 1 goes from y to g"),
    ],
)
def test_the_order_of_lights_is_green_yellow_red(before, after, breach):
    """Green ends in yellow, yellow ends in red, and every breach names its movement."""
    assert order_text(before, after) == breach


def test_letters_of_different_signals_have_no_order():
    """Letters for more movements than there are would hide a breach, so that they are an error."""
    with pytest.raises(ValueError, match="shorter"):
        order_text("Gr", "y")


@given(st.text("Ggyr", max_size=12))
def test_lights_that_stay_break_no_order(letters):
    """What does not change cannot be out of order."""
    assert order_text(letters, letters) == ""


def test_i2_rejects_a_change_out_of_order():
    """I2: were a sequencer to skip the yellow, the change would be rejected."""
    skipping = ("", "movement 0 goes from G to r")
    junction = msgspec.structs.replace(
        survey(CROSSING, timings_of(CROSSING)), order_breaches=(skipping, tuple(reversed(skipping)))
    )

    finding = in_order(situate(junction, Scene().case()))

    assert finding == Finding("I2", Reaction.REJECT, "movement 0 goes from G to r")


def test_a_change_that_closes_a_crossing_runs_through_all_intervals():
    """The clearance of people comes first, then yellow, red clearance and the green of the target."""
    states = change_states(PEOPLE, 0, 1)

    assert [state.interval for state in states] == [
        Interval.PED_CLEARANCE,
        Interval.YELLOW,
        Interval.RED_CLEARANCE,
        Interval.GREEN,
    ]
    assert {(state.from_stage, state.stage) for state in states} == {(0, 1)}


@pytest.mark.parametrize(("stage", "target", "count"), [(0, 1, 3), (0, 3, 1), (3, 0, 3)])
def test_a_change_begins_with_the_interval_that_it_needs(stage, target, count):
    """A change without people begins with yellow; one that closes nothing is over at once."""
    assert len(change_states(PARTS, stage, target)) == count


def test_people_on_a_crossing_move_although_it_is_red():
    """In the clearance the letters of people are those that the reader asks for; vehicles keep their own."""
    clearing, yellow, *_ = change_states(PEOPLE, 0, 1)

    assert moving_lights(PEOPLE, clearing) == "GrGrrGrG"
    assert moving_lights(PEOPLE, clearing, people="y") == "GrGrryry"
    assert moving_lights(PEOPLE, yellow) == "yryrrrrr"
    assert moving_lights(PEOPLE, start(1, 0.0)) == "rGrGGrGr"


@pytest.mark.parametrize(
    ("shown", "breach"),
    [
        (["GrGrryry", "yryrrrrr", "rrrrrrrr", "rGrGGrGr"], ""),
        (["GrGrrGrG", "yryrrrrr"], "movement 5 goes from G to r, movement 7 goes from G to r"),
        (["Gr", "yr", "Gr", "yr", "Gr"], "movement 0 goes from y to G, movement 0 goes from y to G"),
        (["Gr"], ""),
    ],
)
def test_every_step_of_a_change_must_be_in_order(shown, breach):
    """A breach anywhere between two states is told, people who are sent from walk into red included."""
    assert breaches_text(shown) == breach


@pytest.mark.parametrize(
    ("pairs", "new"),
    [
        ([{(0, 1)}, {(0, 1)}, set()], []),
        ([set(), {(2, 3)}, {(0, 1)}, set()], [(0, 1), (2, 3)]),
        ([{(0, 1)}, set(), {(0, 1), (0, 2)}, set()], [(0, 2)]),
        ([{(0, 1)}, set(), {(0, 1)}], [(0, 1)]),
        ([{(0, 1)}, set()], []),
        ([set(), {(1, 2)}], [(1, 2)]),
    ],
)
def test_a_change_brings_what_was_not_shown_before_and_what_stays_at_its_end(pairs, new):
    """A conflict may be left, but none may come on the way, and none may be there at the end."""
    assert new_pairs([frozenset(each) for each in pairs]) == new


def test_movements_that_open_are_those_that_the_stage_before_did_not_serve():
    """A change opens what the target serves and the stage in force does not, after the intervals that it takes."""
    junction = survey(PARTS, timings_of(PARTS))

    assert junction.opening[0] == ((), (1, 3), (2,), (2,))
    assert junction.opening_s[0] == (0.0, 4.0, 4.0, 0.0)
    assert survey(PEOPLE, timings_of(PEOPLE)).opening_s[0] == (0.0, 14.0)


def test_a_movement_stays_closed_for_its_longest_yellow_and_the_red_after_it():
    """Vehicles clear for the yellow of whichever stage closed them; people have no yellow."""
    timings = with_timing(timings_of(PEOPLE), 1, yellow_s=4.5)
    junction = survey(PEOPLE, timings)

    assert junction.revert_s == (5.0, 6.5, 5.0, 6.5, 2.0, 2.0, 2.0, 2.0)


def test_the_least_green_is_the_longest_of_its_reasons():
    """Minimum green, walk and the least time between changes all hold a green."""
    timings = (
        msgspec.structs.replace(TIMING, min_green_s=9.0, walk_s=8.0, ped_clearance_s=10.0),
        msgspec.structs.replace(TIMING, min_green_s=5.0, walk_s=8.0, ped_clearance_s=10.0),
    )

    assert survey(PEOPLE, timings).least_green_s == (9.0, 8.0)
    assert survey(CROSSING, timings_of(CROSSING, min_green_s=0.2)).least_green_s == (1.0, 1.0)
    assert survey(CROSSING, timings_of(CROSSING, walk_s=50.0)).least_green_s == (5.0, 5.0)


@pytest.mark.parametrize("changes", [{"min_green_s": math.nan}, {"walk_s": math.nan}])
def test_a_least_green_of_which_a_reason_is_no_number_never_ends(changes):
    """Whichever of the times is no number, none of the others stands in for it."""
    timings = with_timing(timings_of(PEOPLE), 0, **changes)

    assert survey(PEOPLE, timings).least_green_s == (math.inf, 8.0)


@pytest.mark.parametrize(
    ("unit", "is_allowed"),
    [
        (SIMULATED_UNIT, True),
        (UnitTiming(startup_window_s=0.9), True),
        (UnitTiming(resume_s=9.9), True),
        (UnitTiming(startup_window_s=1.0, resume_s=10.0), False),
        (UnitTiming(startup_flash_s=0.0), False),
        (UnitTiming(startup_window_s=math.nan), False),
        (UnitTiming(), False),
    ],
)
def test_a_unit_of_the_street_is_judged_by_the_ranges_of_the_street(unit, is_allowed):
    """I3: the short yellow of a simulation is refused beside every unit whose times a street could have."""
    junction = survey(CROSSING, timings_of(CROSSING, yellow_s=2.0), unit)

    assert junction.may_change[0] == (False, is_allowed)
    assert junction.faults.yellow == (("" if is_allowed else "yellow_s of 2.0 s is outside 3.0 to 6.0 s"),) * 2


@pytest.mark.parametrize("unit", [SIMULATED_UNIT, UnitTiming()])
def test_times_of_the_street_are_right_everywhere(unit):
    """What a street may show, a simulation may show too."""
    junction = survey(PEOPLE, timings_of(PEOPLE), unit)

    assert junction.may_change == ((False, True), (True, False))


def test_an_intersection_without_stages_has_empty_tables():
    """The survey of nothing is nothing."""
    junction = survey(msgspec.structs.replace(CROSSING, stages=()), ())

    assert junction.shortest_max_wait_s == math.inf
    assert junction.revert_s == (RED_REVERT_S,) * 4
    assert junction.may_change == junction.opening == junction.least_green_s == ()
