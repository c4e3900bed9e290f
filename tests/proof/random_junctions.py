"""Random intersections and times: valid ones of many shapes, and ones with a fault that a site would be refused for."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import msgspec

from factories import make_intersection
from phasemesh.contract.intersection import Intersection, Lane, Movement, Stage, Turn
from phasemesh.contract.timing import BENCHMARK, PAPER, STREET, StageTiming, stage_timings
from phasemesh.contract.units import IntersectionId, LaneId

Plan = tuple[Intersection, tuple[StageTiming, ...]]
NO_NUMBERS = (math.nan, math.inf, -math.inf)
_VEHICLE_TURNS = tuple(turn for turn in Turn if turn is not Turn.CROSSING)


def random_plan(random: Random) -> Plan:
    """A valid intersection with its times or, two times in five, one with something wrong."""
    whole = random_layout(random)
    plan = (whole, random_times(random, whole))
    if random.random() < 0.6:
        return plan
    return random.choice(FAULTS)(random, *plan)


def random_layout(random: Random) -> Intersection:
    """A valid intersection: a plain crossing of four roads, or any layout of lanes, conflicts, priorities and rings."""
    if random.random() < 0.25:
        return make_intersection(has_left_lanes=random.random() < 0.5, has_crossings=random.random() < 0.5)
    lanes = [_lane(f"lane_{index}", 150.0) for index in range(random.randint(1, 5))]
    places = [_lane(f"place_{index}", float(random.randint(2, 20))) for index in range(random.randint(0, 3))]
    movements = [_vehicles(random, lanes) for _ in range(random.randint(1, 7))]
    movements += [Movement("north", Turn.CROSSING, (place.id,), ()) for place in places]
    conflicts, yields_to = _matrices(random, len(movements), len(places))
    bare = Intersection(
        IntersectionId("drawn"), (*lanes, *places), tuple(movements), (), tuple(conflicts), tuple(yields_to)
    )
    stages = [_stage(random, bare, f"stage {index}") for index in range(random.randint(1, 5))]
    missing = set(range(len(movements))).difference(*(stage.served for stage in stages))
    stages += [Stage(f"only {index}", (index,)) for index in sorted(missing)]
    return _with_rings(random, msgspec.structs.replace(bare, stages=tuple(stages)))


def _lane(name: str, length_m: float) -> Lane:
    return Lane(LaneId(name), "north", length_m, 13.9, (9.0, 9.0, 9.0))


def _vehicles(random: Random, lanes: list[Lane]) -> Movement:
    used = random.sample(lanes, min(len(lanes), random.choice((1, 1, 2))))
    return Movement("north", random.choice(_VEHICLE_TURNS), tuple(lane.id for lane in used), ())


def _matrices(random: Random, size: int, crossings: int) -> tuple[list[str], list[str]]:
    conflicts = [["0"] * size for _ in range(size)]
    yields_to = [["0"] * size for _ in range(size)]
    for first in range(size - crossings):
        for second in range(first + 1, size):
            if random.random() < 0.4:
                continue
            conflicts[first][second] = conflicts[second][first] = "1"
            if random.random() < 0.4:
                yields_to[first][second] = "1"
            elif random.random() < 0.4 and second < size - crossings:
                yields_to[second][first] = "1"
    return ["".join(row) for row in conflicts], ["".join(row) for row in yields_to]


def _stage(random: Random, bare: Intersection, name: str) -> Stage:
    letters = ["r"] * len(bare.movements)
    for index in random.sample(range(len(letters)), len(letters)):
        letters[index] = random.choice("Gr" if bare.movements[index].is_crossing else "GGgr")
        if not _agrees(bare, letters, index):
            letters[index] = "r"
    if set(letters) == {"r"}:
        letters[0] = "G"
    return Stage(name, _indices(letters, "G"), _indices(letters, "g"))


def _indices(letters: list[str], letter: str) -> tuple[int, ...]:
    return tuple(index for index, shown in enumerate(letters) if shown == letter)


def _agrees(bare: Intersection, letters: list[str], index: int) -> bool:
    return letters[index] == "r" or all(
        bare.may_run_together("".join(letters), index, other)
        for other, letter in enumerate(letters)
        if other != index and letter != "r"
    )


def _with_rings(random: Random, whole: Intersection) -> Intersection:
    """`whole`, or with a table that lists at least the pairs of its stages."""
    if random.random() < 0.7:
        return whole
    size = len(whole.movements)
    pairs = {(one, other) for stage in whole.stages for one in stage.served for other in stage.served}
    pairs |= {(random.randrange(size), random.randrange(size)) for _ in range(random.randint(0, 4))}
    listed = pairs | {(other, one) for one, other in pairs}
    rows = tuple("".join("01"[(one, other) in listed] for other in range(size)) for one in range(size))
    return msgspec.structs.replace(whole, concurrency=rows)


def random_times(random: Random, whole: Intersection) -> tuple[StageTiming, ...]:
    """Valid times of every stage: a profile, or any that simulation allows, mostly short ones."""
    if random.random() < 0.2:
        return stage_timings(whole, random.choice((BENCHMARK, STREET, PAPER)))
    return tuple(_times_of(random, whole, stage) for stage in whole.stages)


def _times_of(random: Random, whole: Intersection, stage: Stage) -> StageTiming:
    max_green_s = random.choice((10.0, 15.0, 20.0, 30.0))
    times = StageTiming(
        min_green_s=random.choice((1.0, 2.5, 5.0, 7.0)),
        max_green_s=max_green_s,
        absolute_max_green_s=max_green_s + random.choice((0.0, 5.0, 20.0)),
        yellow_s=random.randint(20, 60) / 10,
        red_clearance_s=random.choice((0.0, 0.0, 0.5, 1.0, 2.3, 6.0)),
        max_wait_s=random.choice((30.0, 33.3, 45.0, 60.0)),
    )
    walked = [index for index in stage.served if whole.movements[index].is_crossing]
    if not walked:
        return times
    return msgspec.structs.replace(
        times, walk_s=random.choice((4.0, 5.5, 8.0)), ped_clearance_s=_clearance_s(whole, walked, times)
    )


def _clearance_s(whole: Intersection, walked: list[int], times: StageTiming) -> float:
    """Enough for the longest way at 1.07 m/s and the buffer of 3 s, some of which yellow and red may give."""
    lengths_m = {lane.id: lane.length_m for lane in whole.lanes}
    longest_m = max(lengths_m[name] for index in walked for name in whole.movements[index].lanes)
    return math.ceil(longest_m / 1.07 + max(0.0, 3.0 - times.yellow_s - times.red_clearance_s)) * 1.0


def _with_odd_time(name: str, *values: float) -> Callable[..., Plan]:
    """A fault: field `name` of the times of one stage is one of `values`."""

    def spoil(random: Random, whole: Intersection, times: tuple[StageTiming, ...]) -> Plan:
        index = random.randrange(len(times))
        odd = msgspec.structs.replace(times[index], **{name: random.choice(values)})
        return whole, (*times[:index], odd, *times[index + 1 :])

    return spoil


def _with_new_conflict(random: Random, whole: Intersection, times: tuple[StageTiming, ...]) -> Plan:
    """A pair of movements of one stage conflicts, and neither yields."""
    served = sorted(random.choice(whole.stages).served)
    if len(served) < 2:
        return whole, times
    one, other = random.sample(served, 2)
    conflicts = _with_letters(whole.conflicts, one, other, "1")
    yields_to = _with_letters(whole.yields_to, one, other, "0")
    return msgspec.structs.replace(whole, conflicts=conflicts, yields_to=yields_to), times


def _with_new_barrier(random: Random, whole: Intersection, times: tuple[StageTiming, ...]) -> Plan:
    """A pair of movements of one stage is not concurrent."""
    served = sorted(random.choice(whole.stages).served)
    if len(served) < 2:
        return whole, times
    one, other = random.sample(served, 2)
    table = whole.concurrency or ("1" * len(whole.movements),) * len(whole.movements)
    return msgspec.structs.replace(whole, concurrency=_with_letters(table, one, other, "0")), times


def _with_letters(rows: tuple[str, ...], one: int, other: int, letter: str) -> tuple[str, ...]:
    cells = [list(row) for row in rows]
    cells[one][other] = cells[other][one] = letter
    return tuple("".join(row) for row in cells)


def _with_other_stage(random: Random, whole: Intersection, times: tuple[StageTiming, ...]) -> Plan:
    """One stage serves whatever: conflicting movements, yielding people, one movement twice, or nothing."""
    size = len(whole.movements)
    shuffled = random.sample(range(size), size)
    cut, end = sorted((random.randint(0, size), random.randint(0, size)))
    repeated = shuffled[:cut] + shuffled[: random.choice((0, 0, cut))]
    odd = Stage("odd", tuple(repeated), tuple(shuffled[cut:end]))
    index = random.randrange(len(whole.stages))
    stages = (*whole.stages[:index], odd, *whole.stages[index + 1 :])
    return msgspec.structs.replace(whole, stages=stages), times


def _with_odd_way(random: Random, whole: Intersection, times: tuple[StageTiming, ...]) -> Plan:
    """One lane, which may be a crossing's, has a length that none has."""
    index = random.randrange(len(whole.lanes))
    odd = msgspec.structs.replace(
        whole.lanes[index], length_m=random.choice((0.0, -5.0, 80.0, 1e6, 1e300, *NO_NUMBERS))
    )
    lanes = (*whole.lanes[:index], odd, *whole.lanes[index + 1 :])
    return msgspec.structs.replace(whole, lanes=lanes), times


def _with_mute_movement(random: Random, whole: Intersection, times: tuple[StageTiming, ...]) -> Plan:
    """One movement has no lane, so that nobody ever calls it."""
    index = random.randrange(len(whole.movements))
    odd = msgspec.structs.replace(whole.movements[index], lanes=())
    movements = (*whole.movements[:index], odd, *whole.movements[index + 1 :])
    return msgspec.structs.replace(whole, movements=movements), times


FAULTS: tuple[Callable[..., Plan], ...] = (
    _with_odd_time("yellow_s", 0.0, 1.9, 2.0, 6.0, 6.1, -3.0, 1e9, *NO_NUMBERS),
    _with_odd_time("red_clearance_s", -0.1, 0.0, 6.0, 6.1, 1e9, *NO_NUMBERS),
    _with_odd_time("min_green_s", 0.0, -1.0, 0.3, 1e9, *NO_NUMBERS),
    _with_odd_time("max_green_s", 0.0, 1.0, 1e9, *NO_NUMBERS),
    _with_odd_time("absolute_max_green_s", 0.0, 3.0, 1e9, *NO_NUMBERS),
    _with_odd_time("max_wait_s", 0.0, 5.0, 1e9, *NO_NUMBERS),
    _with_odd_time("walk_s", 0.0, 3.9, 4.0, 30.0, 1e9, *NO_NUMBERS),
    _with_odd_time("ped_clearance_s", 0.0, 2.0, 5.0, 60.0, 1e9, *NO_NUMBERS),
    _with_new_conflict,
    _with_new_conflict,
    _with_new_barrier,
    _with_new_barrier,
    _with_other_stage,
    _with_other_stage,
    _with_odd_way,
    _with_mute_movement,
)
"""What may be wrong with an intersection or its times."""
