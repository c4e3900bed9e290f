"""Hypothesis strategies for valid pieces of the contract, of more shapes than the plain crossing of `factories`."""

from __future__ import annotations

import msgspec
from hypothesis import Phase, settings
from hypothesis import strategies as st

from factories import make_reading
from phasemesh.contract.detection import LaneReading
from phasemesh.contract.intersection import Intersection, Lane, Movement, Stage, Turn, conflicting_pairs
from phasemesh.contract.timing import MIN_WALK_S, StageTiming, least_ped_clearance_s
from phasemesh.contract.units import IntersectionId, LaneId

STEPS_S = (0.5, 1.0, 2.0)
"""Cabinet steps that the sequencer must serve, in seconds."""

brisk = settings(max_examples=40, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
"""For laws over whole runs, whose examples are dear: shrinking one would outlast the time limit of a test."""

_RELATIONS = ("free", "conflict", "first yields", "second yields")
_RELATIONS_TO_CROSSINGS = ("free", "conflict", "first yields")
_VEHICLE_TURNS = tuple(turn for turn in Turn if turn is not Turn.CROSSING)


@st.composite
def intersections(draw: st.DrawFn, max_movements: int = 5, max_stages: int = 4, max_crossings: int = 2) -> Intersection:
    """Valid intersections of any layout: random conflicts and priorities, and stages without a conflict.

    Up to `max_crossings` crossings come after the movements of vehicles; some layouts have a table of concurrency.
    """
    lanes = [_lane(index, draw(_capacities())) for index in range(draw(st.integers(1, 4)))]
    places = [_place(index, draw(st.integers(2, 20))) for index in range(draw(st.integers(0, max_crossings)))]
    vehicles = [draw(_movement([lane.id for lane in lanes])) for _ in range(draw(st.integers(1, max_movements)))]
    crossings = [Movement(approach="north", turn=Turn.CROSSING, lanes=(place.id,), exits=()) for place in places]
    conflicts, yields_to = draw(_matrices(len(vehicles), len(crossings)))
    bare = Intersection(
        id=IntersectionId("drawn"),
        lanes=(*lanes, *places),
        movements=(*vehicles, *crossings),
        stages=(),
        conflicts=conflicts,
        yields_to=yields_to,
    )
    stages = [draw(_stage(bare, f"stage {index}")) for index in range(draw(st.integers(1, max_stages)))]
    return draw(_with_concurrency(_with_stages(bare, stages)))


def _lane(index: int, capacity: tuple[float, float, float]) -> Lane:
    name = LaneId(f"lane_{index}")
    return Lane(id=name, approach="north", length_m=150.0, speed_limit_mps=13.9, zone_capacity_veh=capacity)


def _place(index: int, length_m: int) -> Lane:
    name = LaneId(f"place_{index}")
    return Lane(
        id=name, approach="north", length_m=float(length_m), speed_limit_mps=1.4, zone_capacity_veh=(9.0, 9.0, 9.0)
    )


def _capacities() -> st.SearchStrategy[tuple[float, float, float]]:
    counts = st.floats(0.5, 200.0)
    return st.tuples(counts, counts, counts)


@st.composite
def _movement(draw: st.DrawFn, names: list[LaneId]) -> Movement:
    lanes = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    return Movement(approach="north", turn=draw(st.sampled_from(_VEHICLE_TURNS)), lanes=tuple(lanes), exits=())


@st.composite
def _matrices(draw: st.DrawFn, vehicles: int, crossings: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    size = vehicles + crossings
    conflicts = [["0"] * size for _ in range(size)]
    yields_to = [["0"] * size for _ in range(size)]
    for first in range(vehicles):
        for second in range(first + 1, size):
            relation = draw(st.sampled_from(_RELATIONS if second < vehicles else _RELATIONS_TO_CROSSINGS))
            if relation != "free":
                conflicts[first][second] = conflicts[second][first] = "1"
            if relation == "first yields":
                yields_to[first][second] = "1"
            if relation == "second yields":
                yields_to[second][first] = "1"
    return tuple("".join(row) for row in conflicts), tuple("".join(row) for row in yields_to)


@st.composite
def _stage(draw: st.DrawFn, bare: Intersection, name: str) -> Stage:
    letters = ["r"] * len(bare.movements)
    for index in draw(st.permutations(range(len(letters)))):
        wish = draw(st.sampled_from("Gr" if bare.movements[index].is_crossing else "Ggr"))
        if wish != "r" and _fits(bare, letters, index, wish):
            letters[index] = wish
    if set(letters) == {"r"}:
        letters[0] = "G"
    return Stage(
        name=name,
        protected=tuple(index for index, letter in enumerate(letters) if letter == "G"),
        permissive=tuple(index for index, letter in enumerate(letters) if letter == "g"),
    )


def _fits(bare: Intersection, letters: list[str], index: int, wish: str) -> bool:
    trial = [*letters[:index], wish, *letters[index + 1 :]]
    return not conflicting_pairs(bare, "".join(trial))


def _with_stages(bare: Intersection, stages: list[Stage]) -> Intersection:
    served = frozenset[int]().union(*(stage.served for stage in stages))
    missing = [index for index in range(len(bare.movements)) if index not in served]
    extra = [Stage(name=f"only {index}", protected=(index,)) for index in missing]
    return msgspec.structs.replace(bare, stages=(*stages, *extra))


@st.composite
def _with_concurrency(draw: st.DrawFn, whole: Intersection) -> Intersection:
    """`whole`, or with a table that lists at least the pairs of its stages."""
    if draw(st.booleans()):
        return whole
    size = len(whole.movements)
    extra = draw(st.frozensets(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=4))
    listed = {frozenset(pair) for pair in extra}
    listed |= {frozenset((a, b)) for stage in whole.stages for a in stage.served for b in stage.served}
    rows = tuple("".join("01"[frozenset((a, b)) in listed] for b in range(size)) for a in range(size))
    return msgspec.structs.replace(whole, concurrency=rows)


def timings() -> st.SearchStrategy[StageTiming]:
    """Times of a stage without crossings that simulation allows, in tenths of a second."""
    return st.builds(
        StageTiming,
        min_green_s=_tenths(1, 10),
        max_green_s=_tenths(30, 60),
        absolute_max_green_s=_tenths(60, 120),
        yellow_s=_tenths(2, 6),
        red_clearance_s=_tenths(0, 6),
        max_wait_s=_tenths(60, 120),
    )


@st.composite
def stage_times(draw: st.DrawFn, intersection: Intersection) -> tuple[StageTiming, ...]:
    """Valid times of every stage of `intersection`, those with crossings long enough for the people on them."""
    return tuple(draw(_times_of(intersection, stage)) for stage in intersection.stages)


@st.composite
def _times_of(draw: st.DrawFn, intersection: Intersection, stage: Stage) -> StageTiming:
    timing = draw(timings())
    if not any(intersection.movements[index].is_crossing for index in stage.served):
        return timing
    more_s = draw(_tenths(0, 5))
    return msgspec.structs.replace(
        timing,
        walk_s=MIN_WALK_S + draw(_tenths(0, 8)),
        ped_clearance_s=least_ped_clearance_s(intersection, stage, timing) + more_s,
    )


def _tenths(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(10 * low, 10 * high).map(lambda tenths: tenths / 10)


def readings() -> st.SearchStrategy[LaneReading]:
    """Plausible readings of one lane."""
    counts = st.integers(0, 400).map(float)
    return st.builds(
        make_reading,
        queue_veh=counts,
        vehicles_veh=counts,
        arrivals_veh=counts,
        wait_s=st.floats(0.0, 86_400.0),
        mean_speed_mps=st.floats(0.0, 100.0),
        downstream_room_ratio=st.floats(0.0, 1.0),
        is_valid=st.booleans(),
    )


def requests(max_size: int = 30) -> st.SearchStrategy[list[int | None]]:
    """For each cabinet step a wished stage (to be taken modulo the number of stages) or none."""
    return st.lists(st.none() | st.integers(0, 7), min_size=1, max_size=max_size)
