"""The tables that the guard computes once for an intersection."""

from __future__ import annotations

import math

import msgspec
import pytest
from guard_cases import CONFLICTING, CROSSING, LEFTS, PARTS, Scene, timings_of, with_timing
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.safety.junction import order_text, survey
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
