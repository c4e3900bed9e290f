"""Schedules: the patterns that rows become at an intersection, and every contradiction that is refused."""

from __future__ import annotations

import math

import msgspec
import pytest

from factories import make_intersection, make_timings
from phasemesh.contract.schedule import ScheduleRow, faults_of_schedule, pattern_at, patterns
from phasemesh.contract.timing import STREET

CROSSING = make_intersection(has_left_lanes=True)
"""Stages north-south, its lefts, east-west, its lefts."""
TIMINGS = make_timings(CROSSING, STREET)
"""Shortest greens 7, 5, 7, 5 s; 4 s of yellow and 1 s of red clearance after each."""
MORNING = ScheduleRow(start_s=7 * 3600.0, greens_s=(30.0, 10.0, 20.0, 10.0), offset_s=25.0)
NIGHT = ScheduleRow(start_s=22 * 3600.0, cycle_s=52.0)


def faults(*rows: ScheduleRow) -> list[str]:
    """What is wrong with a schedule of `rows` at the crossing."""
    return faults_of_schedule(rows, CROSSING, TIMINGS)


def test_a_row_of_greens_becomes_a_cycle_with_its_changes() -> None:
    """Greens and the changes between them follow each other; the cycle is their sum."""
    (pattern,) = patterns(CROSSING, TIMINGS, (MORNING,))

    assert pattern.cycle_s == 90.0
    assert pattern.ends_s == (30.0, 45.0, 70.0, 85.0)
    assert (pattern.start_s, pattern.offset_s) == (7 * 3600.0, 25.0)


def test_a_row_of_a_cycle_shares_what_the_shortest_greens_leave() -> None:
    """Each stage gets its shortest green and an equal share of the rest."""
    (pattern,) = patterns(CROSSING, TIMINGS, (NIGHT,))

    assert pattern.cycle_s == 52.0
    assert pattern.greens_s == (9.0, 7.0, 9.0, 7.0)


def test_a_change_that_closes_nothing_takes_no_time() -> None:
    """From the left turns to the same left turns beside more movements nothing turns yellow."""
    lefts = CROSSING.stages[1]
    wider = msgspec.structs.replace(lefts, name="wider")
    joined = msgspec.structs.replace(CROSSING, stages=(lefts, wider))

    (pattern,) = patterns(joined, TIMINGS[:2], (ScheduleRow(0.0, greens_s=(20.0, 20.0)),))

    assert pattern.cycle_s == 40.0


def test_people_on_a_crossing_are_part_of_the_change() -> None:
    """A change that closes crossings also takes their clearance."""
    crossing = make_intersection(has_crossings=True)
    timings = make_timings(crossing, STREET)

    (pattern,) = patterns(crossing, timings, (ScheduleRow(0.0, greens_s=(20.0, 20.0)),))

    assert timings[0].ped_clearance_s > 0
    assert pattern.cycle_s == 2 * (20.0 + timings[0].ped_clearance_s + 5.0)


def test_greens_stretch_by_half_at_most() -> None:
    """While signal and clock differ a green lasts from its shortest to half more than its split."""
    (pattern,) = patterns(CROSSING, TIMINGS, (MORNING,))

    assert pattern.shortest_s == (7.0, 5.0, 7.0, 5.0)
    assert pattern.longest_s == (45.0, 15.0, 30.0, 15.0)


def test_no_stretch_exceeds_the_maximum_green() -> None:
    """A green that may not last longer is not stretched."""
    timings = tuple(msgspec.structs.replace(timing, max_green_s=30.0) for timing in TIMINGS)
    (pattern,) = patterns(CROSSING, timings, (MORNING,))

    assert pattern.longest_s == (30.0, 15.0, 30.0, 15.0)


def test_no_stretch_makes_anybody_wait_beyond_the_maximum() -> None:
    """All greens stretched at once still fit into the maximum wait."""
    timings = tuple(msgspec.structs.replace(timing, max_wait_s=104.0) for timing in TIMINGS)
    (pattern,) = patterns(CROSSING, timings, (MORNING,))

    assert pattern.longest_s == (36.0, 12.0, 24.0, 12.0)


@pytest.mark.parametrize(("hour", "row"), [(0.0, 1), (6.99, 1), (7.0, 0), (12.0, 0), (21.99, 0), (22.0, 1), (23.99, 1)])
def test_the_last_row_that_has_begun_is_in_force(hour: float, row: int) -> None:
    """Before the first row of a day the last one of the day before goes on."""
    rows = patterns(CROSSING, TIMINGS, (MORNING, NIGHT))

    assert pattern_at(rows, hour * 3600.0) == rows[row]


def test_a_good_schedule_has_no_faults() -> None:
    """Rows of both kinds may follow each other, and there may be none."""
    assert faults(MORNING, NIGHT) == []
    assert faults() == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"start_s": -1.0}, "schedule[0].start_s: -1.0 s is no time of day"),
        ({"start_s": 86_400.0}, "schedule[0].start_s: 86400.0 s is no time of day"),
        ({"start_s": math.nan}, "schedule[0].start_s: nan s is no time of day"),
        ({"cycle_s": 90.0}, "schedule[0].greens_s: give either the greens or the cycle"),
        ({"greens_s": ()}, "schedule[0].greens_s: give either the greens or the cycle"),
        ({"greens_s": (30.0, 30.0)}, "schedule[0].greens_s: 2 for 4 stages"),
        ({"greens_s": (30.0, 4.9, 20.0, 10.0)}, "schedule[0].greens_s[1]: 4.9 s is outside 5.0 to 60.0 s"),
        ({"greens_s": (61.0, 10.0, 20.0, 10.0)}, "schedule[0].greens_s[0]: 61.0 s is outside 7.0 to 60.0 s"),
        ({"offset_s": -0.1}, "schedule[0].offset_s: -0.1 s is outside 0 s to one cycle"),
        ({"offset_s": 90.0}, "schedule[0].offset_s: 90.0 s is outside 0 s to one cycle"),
    ],
)
def test_a_contradiction_is_named_with_its_path(changes: dict[str, object], fault: str) -> None:
    """One line says what is wrong and where."""
    assert faults(msgspec.structs.replace(MORNING, **changes)) == [fault]


def test_a_green_that_is_no_number_is_refused() -> None:
    """Not a number is outside every range."""
    found = faults(msgspec.structs.replace(MORNING, greens_s=(math.nan, 10.0, 20.0, 10.0)))

    assert "schedule[0].greens_s[0]: nan s is outside 7.0 to 60.0 s" in found


def test_a_cycle_too_short_for_its_stages_is_refused() -> None:
    """44 s is what the shortest greens and the changes take."""
    assert faults(msgspec.structs.replace(NIGHT, cycle_s=44.0)) == []
    assert faults(msgspec.structs.replace(NIGHT, cycle_s=43.0))[0].startswith("schedule[0].greens_s[0]: 6.75 s")


def test_a_cycle_longer_than_the_maximum_wait_is_refused() -> None:
    """The guard would break such a cycle again and again."""
    found = faults(ScheduleRow(0.0, greens_s=(60.0, 60.0, 60.0, 10.0)))

    assert found == ["schedule[0].cycle_s: 210.0 s is longer than the maximum wait of 180.0 s"]


def test_rows_must_follow_the_day() -> None:
    """Two rows of one time, or in the wrong order, are refused."""
    assert faults(NIGHT, MORNING) == ["schedule[1].start_s: 25200.0 s must be after 79200.0 s"]
    assert faults(MORNING, MORNING) == ["schedule[1].start_s: 25200.0 s must be after 25200.0 s"]
