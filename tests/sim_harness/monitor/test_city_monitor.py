"""The monitor of a city: what it keeps, what a flash cuts off, and signals whose times nobody knows."""

from __future__ import annotations

import pytest

from factories import make_intersection, make_timings
from phasemesh.contract.timing import STREET
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.monitor.city_monitor import CityMonitor

EAST, WEST = IntersectionId("east"), IntersectionId("west")
NORTH_SOUTH, NORTH_SOUTH_CLOSES, EAST_WEST, ALL_RED = "GrGr", "yryr", "rGrG", "rrrr"


def make_monitor(*, is_timed: bool = True, has_crossings: bool = False) -> CityMonitor:
    """Two crossings with the times of a street, or without any."""
    crossings = [make_intersection(name, has_crossings=has_crossings) for name in (EAST, WEST)]
    timings = {each.id: make_timings(each, STREET) for each in crossings}
    return CityMonitor(crossings, timings if is_timed else None)


def lines_after(monitor: CityMonitor, *rows: tuple[str, int]) -> list[str]:
    """Show `rows` at the signal in the east, one look a second; the trips as lines."""
    shown = [letters for letters, seconds in rows for _ in range(seconds)]
    for second, letters in enumerate(shown):
        monitor.look(float(second), {EAST: letters})
    return [str(trip) for trip in monitor.trips]


def test_every_signal_is_followed_by_itself() -> None:
    """Both signals are looked at in one step; the one that is wrong is named with the time and the breach."""
    monitor = make_monitor()
    monitor.look(0.0, {EAST: NORTH_SOUTH, WEST: NORTH_SOUTH})

    trips = monitor.look(9.0, {EAST: NORTH_SOUTH, WEST: EAST_WEST})

    assert {str(trip) for trip in trips} == {
        "west at 9 s: movement 0 turned from green to red without yellow",
        "west at 9 s: movement 2 turned from green to red without yellow",
        "west at 9 s: movement 1 turned green 0 s after 0 closed, not 1",
        "west at 9 s: movement 1 turned green 0 s after 2 closed, not 1",
        "west at 9 s: movement 3 turned green 0 s after 0 closed, not 1",
        "west at 9 s: movement 3 turned green 0 s after 2 closed, not 1",
    }
    assert monitor.trips == trips


def test_trips_stay() -> None:
    """Lawful lights after a trip do not take it back, and a breach that lasts is told once."""
    monitor = make_monitor()
    conflict = lines_after(monitor, (ALL_RED, 3), ("GGrr", 20))

    monitor.look(23.0, {EAST: "oooo"})
    monitor.look(33.0, {EAST: ALL_RED})

    assert conflict == ["east at 3 s: movements 0 and 1 conflict in GGrr"]
    assert [str(trip) for trip in monitor.trips] == conflict


def test_a_conflict_in_the_first_look_is_found() -> None:
    """What is wrong by itself needs no history."""
    assert lines_after(make_monitor(), ("GGrr", 1)) == ["east at 0 s: movements 0 and 1 conflict in GGrr"]


def test_a_flash_is_lawful_at_any_time() -> None:
    """A transfer to flash may cut off any interval, and whatever follows begins anew."""
    rows = ((NORTH_SOUTH, 2), ("oooo", 6), (ALL_RED, 2), (EAST_WEST, 1), ("oooo", 6), (NORTH_SOUTH_CLOSES, 1))

    assert lines_after(make_monitor(), *rows) == []


@pytest.mark.parametrize("people", ["oooo", "OOOO"])
def test_the_heads_of_crossings_blink_or_are_dark_in_a_flash(people: str) -> None:
    """Nobody is told to walk while vehicles only yield."""
    assert lines_after(make_monitor(has_crossings=True), ("oooo" + people, 6)) == []


@pytest.mark.parametrize("letters", ["OOOO", "oOoo", "ooor"])
def test_a_dark_signal_is_no_flash(letters: str) -> None:
    """A flash shows a blinking light to every vehicle."""
    assert lines_after(make_monitor(), (letters, 1)) != []


def test_what_was_under_way_at_the_first_look_is_not_judged_by_its_length() -> None:
    """Nobody knows when it began; the intervals after it are judged."""
    assert lines_after(make_monitor(), (NORTH_SOUTH_CLOSES, 1), (ALL_RED, 1), (EAST_WEST, 9)) == []
    assert lines_after(make_monitor(), (NORTH_SOUTH, 1), (NORTH_SOUTH_CLOSES, 1), (ALL_RED, 9)) != []


def test_a_program_that_nobody_timed_is_judged_by_conflict_and_order_alone() -> None:
    """SUMO's own programs have times and letters of their own."""
    hasty = ((NORTH_SOUTH, 1), (NORTH_SOUTH_CLOSES, 1), (EAST_WEST, 1), ("ryry", 9), (NORTH_SOUTH, 2))
    wrong = ((NORTH_SOUTH, 1), (ALL_RED, 1), ("yrrr", 1), ("GGrr", 1), ("Osrr", 1))

    assert lines_after(make_monitor(is_timed=False), *hasty) == []
    assert [line.partition(": ")[2] for line in lines_after(make_monitor(is_timed=False), *wrong)] == [
        "movement 0 turned from green to red without yellow",
        "movement 2 turned from green to red without yellow",
        "movement 0 turned from red to yellow",
        "movements 0 and 1 conflict in GGrr",
        "movement 0 turned from yellow to green",
    ]


def test_a_signal_that_is_not_watched_is_an_error() -> None:
    """Whoever feeds the monitor must know whom it watches."""
    with pytest.raises(KeyError):
        make_monitor().look(0.0, {IntersectionId("elsewhere"): ALL_RED})
