"""A lawful sequence of lights, broken in every way: each breach trips its own check and no other."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from factories import CROSSING_LENGTH_M, make_intersection
from phasemesh.contract.intersection import Intersection, Stage
from phasemesh.contract.timing import PAPER, STREET, StageTiming, stage_timings
from phasemesh.sim_harness.monitor.checks import CHECKS
from phasemesh.sim_harness.monitor.city_monitor import CityMonitor, Trip

CROSSING = make_intersection(has_left_lanes=True, has_crossings=True)
"""Movements: N, N left, E, E left, S, S left, W, W left, then the crossings of the four arms."""
TIMINGS = tuple(
    msgspec.structs.replace(timing, min_green_s=5.0) for timing in stage_timings(CROSSING, STREET)
)  # yellow 4 s, red clearance 1 s, walk 7 s, pedestrian clearance 10 s

NORTH_SOUTH, EAST_WEST = "GgrrGgrrrGrG", "rrGgrrGgGrGr"
ALL_RED = "r" * 12
Rows = tuple[tuple[str, int], ...]
LAWFUL: Rows = (
    (NORTH_SOUTH, 9),
    ("GgrrGgrrrrrr", 10),
    ("ygrrygrrrrrr", 4),
    ("rgrrrgrrrrrr", 1),
    ("rGrrrGrrrrrr", 9),
    ("ryrrryrrrrrr", 4),
    (ALL_RED, 1),
    (NORTH_SOUTH, 9),
    ("GgrrGgrrrrrr", 10),
    ("yyrryyrrrrrr", 4),
    (ALL_RED, 1),
    (EAST_WEST, 9),
    ("rrGgrrGgrrrr", 10),
    ("rryyrryyrrrr", 4),
    (ALL_RED, 1),
    (NORTH_SOUTH, 9),
)
"""Through traffic, its left turns with protection, which they lose again, then the other axis; in steps of 1 s."""
YELLOWS = tuple(number for number, (letters, _) in enumerate(LAWFUL) if "y" in letters)
WALKS = tuple(number for number, (letters, _) in enumerate(LAWFUL) if "G" in letters[8:])
PEDESTRIAN_CLEARANCES = tuple(number + 1 for number in WALKS if number + 1 < len(LAWFUL))
GREENS = tuple(number for number, (letters, _) in enumerate(LAWFUL) if letters in {NORTH_SOUTH, EAST_WEST})
VEHICLES, CROSSINGS = range(8), range(8, 12)


def trips_of(
    rows: Rows,
    timings: tuple[StageTiming, ...] = TIMINGS,
    crossing: Intersection = CROSSING,
    **options: float,
) -> list[Trip]:
    """The trips over `rows`, one look a second."""
    monitor = CityMonitor([crossing], {crossing.id: timings}, **options)
    shown = [letters for letters, seconds in rows for _ in range(seconds)]
    for second, letters in enumerate(shown):
        monitor.look(100.0 + second, {crossing.id: letters})
    return monitor.trips


def checks_of(rows: Rows, **options: object) -> set[str]:
    """The names of the checks that trip over `rows`."""
    return {trip.check.name for trip in trips_of(rows, **options)}


def with_seconds(changes: dict[int, int], rows: Rows = LAWFUL) -> Rows:
    """`rows` with some of them longer or shorter by so many seconds; rows of no second fall out."""
    changed = [(letters, seconds + changes.get(number, 0)) for number, (letters, seconds) in enumerate(rows)]
    return tuple((letters, seconds) for letters, seconds in changed if seconds > 0)


def with_letter(movement: int, letter: str, numbers: range, rows: Rows = LAWFUL) -> Rows:
    """`rows` in which `movement` shows `letter` throughout those with `numbers`."""
    return tuple(
        (letters[:movement] + letter + letters[movement + 1 :] if number in numbers else letters, seconds)
        for number, (letters, seconds) in enumerate(rows)
    )


def cut(number: int, after_s: int, rows: Rows = LAWFUL) -> Rows:
    """`rows` with row `number` taken apart after so many seconds."""
    letters, seconds = rows[number]
    return (*rows[:number], (letters, after_s), (letters, seconds - after_s), *rows[number + 1 :])


def test_a_lawful_sequence_trips_nothing() -> None:
    """Three changes with crossings, a turn that gains and loses its protection, and no trip."""
    assert trips_of(LAWFUL) == []


@pytest.mark.parametrize("number", YELLOWS)
@pytest.mark.parametrize("less_s", [1, 2, 3])
def test_a_short_yellow(number: int, less_s: int) -> None:
    """A yellow that turns red too early, though the change as a whole is as long as ever."""
    assert checks_of(with_seconds({number: -less_s, number + 1: less_s})) == {"short yellow"}


@pytest.mark.parametrize("number", YELLOWS)
def test_a_missing_yellow(number: int) -> None:
    """Green that turns red at once is no short yellow but none."""
    assert checks_of(with_seconds({number: -4, number + 1: 4})) == {"skipped yellow"}


@pytest.mark.parametrize("number", YELLOWS)
@pytest.mark.parametrize("more_s", [1, 9])
def test_a_long_yellow(number: int, more_s: int) -> None:
    """A yellow that lasts longer than configured."""
    assert checks_of(with_seconds({number: more_s})) == {"long yellow"}


@pytest.mark.parametrize("number", YELLOWS)
def test_a_single_movement_without_yellow(number: int) -> None:
    """One movement among those that close is enough."""
    movement = LAWFUL[number][0].index("y")

    assert checks_of(with_letter(movement, "r", range(number, number + 1))) == {"skipped yellow"}


@pytest.mark.parametrize("number", [number + 1 for number in YELLOWS])
def test_a_missing_red_clearance(number: int) -> None:
    """The next green, or the protection of one that goes on, comes right after the yellow."""
    longer_walk = {number - 2: 1} if number - 2 in PEDESTRIAN_CLEARANCES else {}

    assert checks_of(with_seconds({number: -1, **longer_walk})) == {"short red clearance"}


@pytest.mark.parametrize("number", PEDESTRIAN_CLEARANCES)
@pytest.mark.parametrize("less_s", [1, 9, 10])
def test_a_short_pedestrian_clearance(number: int, less_s: int) -> None:
    """Vehicles let in while people are still on their way, by a second or by all of the clearance."""
    assert checks_of(with_seconds({number: -less_s})) == {"short pedestrian clearance"}


@pytest.mark.parametrize("number", WALKS[1:-1])
def test_a_short_walk(number: int) -> None:
    """Walk below 7 s, with a green of the vehicles that is long enough."""
    assert checks_of(with_seconds({number: -3})) == {"short walk"}


def test_a_short_green() -> None:
    """A stage below its minimum green, with a green of its movements below theirs."""
    trips = trips_of(with_seconds({4: -5, 11: -5, 12: -10}))

    assert {trip.detail for trip in trips if trip.check.name == "short green"} >= {
        "stage rrGgrrGgGrGr was green for 4 s, below 5 s",
        "movement 2 was green for 4 s, below 5 s",
    }


@pytest.mark.parametrize("number", [4])
def test_a_short_stage_without_walk(number: int) -> None:
    """The left turns were green long before, the stage in which they are protected was not."""
    assert checks_of(with_seconds({number: -5})) == {"short green"}


@pytest.mark.parametrize(("seconds", "names"), [(1, set()), (2, {"short green"}), (3, {"short green"}), (6, set())])
def test_a_stage_that_begins_with_the_clearance_of_another(seconds: int, names: set[str]) -> None:
    """A second of red clearance may look like a smaller stage; what goes on longer is that stage and may be short."""
    crossing = make_intersection(has_left_lanes=True)
    added = {"through": (0, 4), "north and its left turn": (0, 1), "north": (0,)}
    stages = tuple(Stage(name, protected) for name, protected in added.items())
    crossing = msgspec.structs.replace(crossing, stages=(*crossing.stages, *stages))
    timing = msgspec.structs.replace(STREET.timing, min_green_s=5.0)
    rows = (("GrrrGrrr", 9), ("Grrryrrr", 4), ("Grrrrrrr", seconds), ("GGrrrrrr", 9))

    assert checks_of(rows, timings=(timing,) * len(crossing.stages), crossing=crossing) == names


def test_a_short_green_of_vehicles_is_no_short_walk() -> None:
    """What people need is demanded of crossings alone."""
    assert checks_of(((ALL_RED, 9), ("rGrrrGrrrrrr", 3), ("ryrrryrrrrrr", 4), (ALL_RED, 9))) == {"short green"}


def test_a_walk_under_way_at_the_first_look_is_not_judged_by_its_length() -> None:
    """Its clearance is, since its end was seen."""
    assert checks_of(((EAST_WEST, 1), *LAWFUL[12:])) == set()
    assert checks_of(((EAST_WEST, 1), *with_seconds({12: -3})[12:])) == {"short pedestrian clearance"}


def test_the_least_yellow_is_long_enough() -> None:
    """2.7 s are readable where they are configured."""
    crossing = make_intersection()
    timing = msgspec.structs.replace(STREET.timing, yellow_s=2.7, red_clearance_s=0.0)
    monitor = CityMonitor([crossing], {crossing.id: (timing,) * 2})

    for step, letters in enumerate(("GrGr",) * 9 + ("yryr",) * 3 + ("rGrG",) * 9):
        monitor.look(0.9 * step, {crossing.id: letters})

    assert monitor.trips == []


def test_of_stages_that_look_alike_the_milder_is_believed() -> None:
    """Nobody can see which of them was meant."""
    crossing = make_intersection()
    twins = tuple(msgspec.structs.replace(stage, name=f"{stage.name} twin") for stage in crossing.stages)
    crossing = msgspec.structs.replace(crossing, stages=(*crossing.stages, *twins))
    strict = msgspec.structs.replace(STREET.timing, min_green_s=9.0, yellow_s=5.0, red_clearance_s=3.0)
    mild = msgspec.structs.replace(STREET.timing, min_green_s=5.0)
    rows = (("rrrr", 9), ("GrGr", 5), ("yryr", 4), ("rrrr", 1), ("rGrG", 9), ("ryry", 5), ("rrrr", 3), ("GrGr", 9))

    assert checks_of(rows, timings=(strict, strict, mild, mild), crossing=crossing) == set()
    assert checks_of(rows, timings=(strict,) * 4, crossing=crossing) == {
        "short green",
        "short yellow",
        "short red clearance",
    }


def test_walks_of_stages_that_look_alike() -> None:
    """The milder one is believed about people too."""
    mild = msgspec.structs.replace(TIMINGS[2], walk_s=5.0, ped_clearance_s=8.0)
    strict = msgspec.structs.replace(TIMINGS[2], walk_s=9.0, ped_clearance_s=19.0)
    twin = msgspec.structs.replace(CROSSING.stages[2], name="twin")
    crossing = msgspec.structs.replace(CROSSING, stages=(*CROSSING.stages, twin))
    rows = ((ALL_RED, 3), (EAST_WEST, 5), ("rrGgrrGgrrrr", 8), ("rryyrryyrrrr", 4), (ALL_RED, 1), (NORTH_SOUTH, 9))

    assert checks_of(rows, timings=(*TIMINGS[:2], strict, TIMINGS[3], mild), crossing=crossing) == set()
    assert checks_of(rows, timings=(*TIMINGS[:2], strict, TIMINGS[3], strict), crossing=crossing) == {
        "short walk",
        "short pedestrian clearance",
    }


def test_a_clearance_that_looks_like_a_stage_may_last_as_long_as_the_longest() -> None:
    """Red clearance of 3 s, or people on their way, in the letters of a smaller stage with 5 s of green."""
    crossing = make_intersection(has_left_lanes=True)
    added = {"through": (0, 4), "north and its left turn": (0, 1), "north": (0,)}
    stages = tuple(Stage(name, protected) for name, protected in added.items())
    crossing = msgspec.structs.replace(crossing, stages=(*crossing.stages, *stages))
    brief = msgspec.structs.replace(STREET.timing, min_green_s=5.0, red_clearance_s=0.0)
    thorough = msgspec.structs.replace(brief, red_clearance_s=3.0)
    rows = (("GrrrGrrr", 9), ("Grrryrrr", 4), ("Grrrrrrr", 3), ("GGrrrrrr", 9))
    without_walk = Stage("north-south alone", CROSSING.stages[0].protected[:2], CROSSING.stages[0].permissive)
    alike = msgspec.structs.replace(CROSSING, stages=(*CROSSING.stages, without_walk))
    slow = msgspec.structs.replace(TIMINGS[1], min_green_s=30.0)

    assert checks_of(rows, timings=(*(brief,) * 4, thorough, brief, brief), crossing=crossing) == set()
    assert checks_of(LAWFUL, timings=(*TIMINGS, slow), crossing=alike) == set()


def conflicting() -> Iterator[tuple[int, int]]:
    """Every stage with every red movement that conflicts with one of its protected greens."""
    for number in GREENS:
        letters = LAWFUL[number][0]
        protected = [index for index, letter in enumerate(letters) if letter == "G"]
        for movement, letter in enumerate(letters):
            if letter == "r" and any(CROSSING.conflicts[movement][other] == "1" for other in protected):
                yield number, movement


@pytest.mark.parametrize(("number", "movement"), list(conflicting()))
def test_a_conflicting_green(number: int, movement: int) -> None:
    """Each movement that does not belong to a stage, green beside it from its last second on."""
    rows = cut(number, 8)

    assert checks_of(with_letter(movement, "G", range(number + 1, len(rows)), rows)) == {"conflict"}


@pytest.mark.parametrize("steps", [1, 3])
def test_a_conflict_of_one_step_is_enough(steps: int) -> None:
    """Nobody waits for 300 ms to add up where a step lasts longer."""
    crossing = make_intersection()
    rows = (("GrGr", 9), ("GGGr", steps), ("GrGr", 9))

    names = checks_of(rows, crossing=crossing, timings=(STREET.timing,) * 2)

    assert "conflict" in names


def test_a_yellow_after_a_protected_green_does_not_give_way() -> None:
    """A left turn that ends a protected green meets no oncoming green, although a permissive one would yield."""
    rows = (("rGrrrrrrrrrr", 9), ("ryrrGrrrrrrr", 4), ("rrrrGrrrrrrr", 9))

    assert checks_of(rows) == {"conflict"}


def test_a_yellow_after_a_permissive_green_gives_way() -> None:
    """A permissive left turn may end while the oncoming traffic goes on."""
    assert checks_of((("GgrrGgrrrrrr", 9), ("GyrrGyrrrrrr", 4), ("GrrrGrrrrrrr", 9))) == set()


def test_a_crossing_does_not_give_way() -> None:
    """A protected left turn across a walk is a conflict; a permissive one yields to the people."""
    assert checks_of(((ALL_RED, 9), ("rGrrrrrrrGrr", 9))) == {"conflict"}
    assert checks_of(((ALL_RED, 9), ("rgrrrrrrrGrr", 9))) == set()


@pytest.mark.parametrize("letter", ["O", "o", "s", "u", "R", "Y", "x"])
@pytest.mark.parametrize("movement", [0, 3, 9])
def test_an_unreadable_movement(movement: int, letter: str) -> None:
    """A movement that is dark, blinks alone or shows what no driver knows."""
    assert checks_of(with_letter(movement, letter, range(4, len(LAWFUL)))) == {"unreadable"}


@pytest.mark.parametrize("letter", ["y", "g"])
def test_a_crossing_has_two_lights(letter: str) -> None:
    """Yellow and yielding green mean nothing to people on foot."""
    assert "unreadable" in checks_of(with_letter(10, letter, range(6, 7)))


@pytest.mark.parametrize("letters", ["GgrrGgrrrGr", "GgrrGgrrrGrGr", ""])
def test_a_wrong_number_of_letters(letters: str) -> None:
    """A state that does not fit the intersection is no crash but a trip."""
    (trip,) = trips_of((*LAWFUL, (letters, 3)))

    assert (trip.check.name, trip.detail) == ("unreadable", f"{len(letters)} letters for 12 movements")


def test_a_yellow_that_turns_green_again() -> None:
    """A change is never taken back, not even by those whom nobody meets."""
    rows = (*LAWFUL[:3], ("GgrrGgrrrrrr", 30))

    assert checks_of(rows) == {"wrong order"}


def test_a_permissive_yellow_that_turns_green_again() -> None:
    """Only a green that loses its protection may come out of its yellow as a permissive one."""
    back = (("GyrrGyrrrrrr", 4), ("GgrrGgrrrrrr", 20))

    assert checks_of((("GgrrGgrrrrrr", 20), *back)) == {"wrong order"}


@pytest.mark.parametrize("movement", VEHICLES)
def test_a_yellow_out_of_red(movement: int) -> None:
    """A warning of a green that nobody had."""
    yellow = ALL_RED[:movement] + "y" + ALL_RED[movement + 1 :]

    assert checks_of((*LAWFUL[:10], (ALL_RED, 9), (yellow, 4), (ALL_RED, 9))) == {"wrong order"}


def test_a_protection_lost_without_yellow() -> None:
    """A turn must not meet, without warning, the traffic to which it yields from now on."""
    rows = (*LAWFUL[:5], ("rgrrrgrrrrrr", 5), *LAWFUL[7:])

    assert checks_of(rows) == {"skipped yellow"}


def test_a_green_soon_after_the_yellow_of_the_same_movement() -> None:
    """One second of red between a yellow and the next green takes drivers by surprise."""
    assert checks_of((*LAWFUL[:11], *LAWFUL[7:10])) == {"short red"}
    assert checks_of((*LAWFUL[:10], (ALL_RED, 2), *LAWFUL[7:10])) == set()


def test_every_check_has_a_breach_above() -> None:
    """No row of the table is without a sequence that trips it alone."""
    alone = {
        "conflict": with_letter(2, "G", range(16, 17), cut(15, 8)),
        "unreadable": with_letter(0, "O", range(4, 16)),
        "skipped yellow": with_seconds({5: -4, 6: 4}),
        "wrong order": (*LAWFUL[:3], ("GgrrGgrrrrrr", 30)),
        "short yellow": with_seconds({5: -1, 6: 1}),
        "long yellow": with_seconds({5: 1}),
        "short red clearance": with_seconds({6: -1}),
        "short green": with_seconds({4: -5}),
        "short walk": with_seconds({7: -3}),
        "short pedestrian clearance": with_seconds({8: -1}),
        "short red": (*LAWFUL[:11], *LAWFUL[7:10]),
    }

    assert [checks_of(rows) for rows in alone.values()] == [{name} for name in alone]
    assert list(alone) == [check.name for check in CHECKS]


def test_what_is_below_all_configuration_is_found_all_the_same() -> None:
    """Times that would suit nobody do not become lawful by being configured."""
    hasty = tuple(
        msgspec.structs.replace(timing, walk_s=1.0, ped_clearance_s=1.0, yellow_s=2.0, red_clearance_s=0.0)
        for timing in TIMINGS
    )
    rows = ((ALL_RED, 3), (EAST_WEST, 5), ("rrGgrrGgrrrr", 1), ("rryyrryyrrrr", 2), (NORTH_SOUTH, 9))
    shorter_walk = with_seconds({1: -2}, rows)

    assert checks_of(rows, timings=hasty) == {"short yellow", "short pedestrian clearance"}
    assert checks_of(rows, timings=hasty, least_yellow_s=0.0) == {"short pedestrian clearance"}
    assert "short walk" in checks_of(shorter_walk, timings=hasty)
    assert "short walk" not in checks_of(with_seconds({1: -1}, rows), timings=hasty)


@pytest.mark.parametrize(("clearance_s", "is_short"), [(16, True), (17, False)])
def test_the_longest_way_of_a_crossing_counts(clearance_s: int, is_short: bool) -> None:
    """A crossing of two ways is empty when the slowest people have left the longer one: 20 m, 21.7 s."""
    ways = [lane for lane in CROSSING.lanes if lane.id in CROSSING.movements[10].lanes]
    longer = msgspec.structs.replace(ways[0], id="longer", length_m=20.0)
    movement = msgspec.structs.replace(CROSSING.movements[10], lanes=(longer.id, ways[0].id))
    crossing = msgspec.structs.replace(
        CROSSING,
        lanes=(*CROSSING.lanes, longer),
        movements=(*CROSSING.movements[:10], movement, *CROSSING.movements[11:]),
    )
    rows = ((ALL_RED, 3), (EAST_WEST, 9), ("rrGgrrGgrrrr", clearance_s), ("rryyrryyrrrr", 4), (ALL_RED, 1))

    assert (checks_of((*rows, (NORTH_SOUTH, 9)), crossing=crossing) == {"short pedestrian clearance"}) is is_short


@pytest.mark.parametrize(("clearance_s", "is_short"), [(9, True), (10, False)])
def test_people_need_their_way_and_a_buffer(clearance_s: int, is_short: bool) -> None:
    """12.3 s from the end of the walk over 10 m, however the change divides them: 9 + 3 are too few, 10 + 3 are not."""
    assert CROSSING_LENGTH_M == 10.0
    brief = tuple(
        msgspec.structs.replace(timing, ped_clearance_s=1.0, yellow_s=3.0, red_clearance_s=0.0) for timing in TIMINGS
    )
    rows = ((ALL_RED, 3), (EAST_WEST, 9), ("rrGgrrGgrrrr", clearance_s), ("rryyrryyrrrr", 3), (NORTH_SOUTH, 9))

    assert (checks_of(rows, timings=brief) == {"short pedestrian clearance"}) is is_short


def test_the_yellow_of_the_papers_needs_a_lower_floor() -> None:
    """2 s are as configured in the profile `paper`, and below what a street may show."""
    crossing = make_intersection()
    rows = (("GrGr", 9), ("yryr", 2), ("rGrG", 9))
    paper = (PAPER.timing,) * 2

    assert checks_of(rows, timings=paper, crossing=crossing) == {"short yellow"}
    assert checks_of(rows, timings=paper, crossing=crossing, least_yellow_s=0.0) == set()


def test_the_stage_that_ends_decides_what_is_demanded() -> None:
    """A left turn that ends after a permissive stage needs the clearance of that stage, not of its protected one."""
    crossing = make_intersection(has_left_lanes=True)
    timings = tuple(
        msgspec.structs.replace(timing, min_green_s=5.0, red_clearance_s=2.0 if stage.permissive else 0.0)
        for stage, timing in zip(crossing.stages, stage_timings(crossing, STREET), strict=True)
    )
    permissive = (("GgrrGgrr", 9), ("yyrryyrr", 4), ("rrGgrrGg", 9))
    protected = (("rGrrrGrr", 9), ("ryrrryrr", 4), ("rrGgrrGg", 9))

    trips = trips_of(permissive, timings=timings, crossing=crossing)
    assert {trip.check.name for trip in trips} == {"short red clearance"}
    assert {trip.detail.partition(" after ")[2] for trip in trips} == {f"{foe} closed, not 2" for foe in (0, 1, 4, 5)}
    assert checks_of(protected, timings=timings, crossing=crossing) == set()


@pytest.mark.parametrize(("yellow_s", "names"), [(4, {"short yellow"}), (5, set()), (6, {"long yellow"})])
def test_the_yellow_is_that_of_the_stage_that_ends(yellow_s: int, names: set[str]) -> None:
    """A left turn may have 4 s after its permissive stage and needs 5 s after the protected one."""
    crossing = make_intersection(has_left_lanes=True)
    permissive, protected, *others = stage_timings(crossing, STREET)
    timings = (permissive, msgspec.structs.replace(protected, yellow_s=5.0), *others)
    rows = (("rrGgrrGg", 9), ("rryyrryy", 4), ("rrrrrrrr", 1), ("rGrrrGrr", 9), ("ryrrryrr", yellow_s))

    assert checks_of((*rows, ("rrrrrrrr", 1), ("rrGgrrGg", 9)), timings=timings, crossing=crossing) == names


def test_without_a_stage_in_sight_all_stages_that_serve_a_movement_count() -> None:
    """A yellow at the first look: the left turn may have been protected, the through traffic was not."""
    crossing = make_intersection(has_left_lanes=True)
    timings = tuple(
        msgspec.structs.replace(timing, red_clearance_s=2.0 if stage.permissive else 0.0)
        for stage, timing in zip(crossing.stages, stage_timings(crossing, STREET), strict=True)
    )

    assert checks_of((("ryrrryrr", 4), ("rrGgrrGg", 9)), timings=timings, crossing=crossing) == set()
    assert checks_of((("yrrryrrr", 4), ("rrGgrrGg", 9)), timings=timings, crossing=crossing) == {"short red clearance"}


def test_a_permissive_green_needs_the_clearance_too() -> None:
    """Whoever yields to the oncoming traffic yields to nobody who still crosses."""
    rows = ((ALL_RED, 9), ("rrGrrrGrrrrr", 9), ("rryrrryrrrrr", 4))

    assert checks_of((*rows, ("rgrrrgrrrrrr", 9))) == {"short red clearance"}
    assert checks_of((*rows, (ALL_RED, 1), ("rgrrrgrrrrrr", 9))) == set()


@pytest.mark.parametrize(("letter", "names"), [("g", {"conflict"}), ("y", {"conflict", "wrong order"})])
def test_whoever_need_not_yield_does_not(letter: str, names: set[str]) -> None:
    """Through traffic beside that of the other axis is a conflict, however weak its light."""
    assert checks_of(((ALL_RED, 9), ("rrGrrrGrrrrr", 9), (f"{letter}rGrrrGrrrrr", 4))) == names
