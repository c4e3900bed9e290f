"""The plan table, and what every plan keeps to: minimum greens, bounded waits, peace with the guard."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import make_intersection, make_reading, make_snapshot, make_timings
from phasemesh.contract.command import Interval, SignalState, elapsed_green_s, start
from phasemesh.contract.detection import INVALID_READING, Snapshot
from phasemesh.contract.history import ServiceHistory, empty_history
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.schedule import ScheduleRow, shortest_green_s
from phasemesh.contract.site import AdapterKind, PlanKind, SiteIntersection
from phasemesh.contract.timing import BENCHMARK, STREET, StageTiming
from phasemesh.controller.plans.fixed import FixedPlan
from phasemesh.controller.plans.plan import LocalPlan
from phasemesh.controller.plans.table import DEFAULT_PLAN, PLANS, site_plan
from plan_drives import Readings, Second, drive
from strategies import brisk, intersections, readings, timings

CROSSING = make_intersection(has_left_lanes=True)
WALKED = make_intersection(has_left_lanes=True, has_crossings=True)
SEEN = st.sampled_from((make_reading(), make_reading(3.0), INVALID_READING))


Spells = list[tuple[int, Readings]]


def traffic(intersection: Intersection) -> st.SearchStrategy[Spells]:
    """What the lanes see over a few minutes, and for how many seconds each time."""
    return st.lists(
        st.tuples(st.integers(1, 60), st.tuples(*(SEEN for _ in intersection.lanes))), min_size=1, max_size=12
    )


def seconds_of(spells: Spells) -> list[Readings]:
    """The readings of every second of `spells`."""
    return [seen for seconds, seen in spells for _ in range(seconds)]


def test_every_kind_of_plan_has_a_factory() -> None:
    """A site may name any plan of the contract, and the default is one of them."""
    assert set(PLANS) == set(PlanKind)
    assert DEFAULT_PLAN in PLANS


def test_a_site_brings_plan_and_schedule() -> None:
    """What stands in the entry of an intersection is what its plan follows."""
    entry = SiteIntersection(
        intersection=CROSSING,
        timings=make_timings(CROSSING),
        plan=PlanKind.FIXED,
        adapter=AdapterKind.MEMORY,
        cabinet="",
        operator="",
        schedule=(ScheduleRow(0.0, greens_s=(12.0, 12.0, 12.0, 12.0)),),
    )
    plan = site_plan(entry)
    late = make_snapshot(CROSSING, now_s=12.0)

    assert isinstance(plan, FixedPlan)
    assert plan.choose(msgspec.structs.replace(late, day_s=12.0), empty_history(CROSSING, 0.0)) == 1
    assert site_plan(msgspec.structs.replace(entry, schedule=())).choose(late, empty_history(CROSSING, 0.0)) == 0


@pytest.mark.parametrize("profile", [BENCHMARK, STREET], ids=lambda profile: profile.name)
@pytest.mark.parametrize("kind", list(PlanKind))
@settings(brisk, max_examples=10)
@given(spells=traffic(WALKED))
def test_the_guard_never_refuses_a_plan(kind, profile, spells):
    """Under any traffic a plan is overruled by the maximum green or wait at most, never held or rejected."""
    times = make_timings(WALKED, profile)
    shown = drive(PLANS[kind](WALKED, times), WALKED, times, seconds_of(spells))

    assert {each.rule for each in shown} <= {"", "I6", "I7"}


class Scene(msgspec.Struct, frozen=True):
    """Anything that a plan may be asked about."""

    intersection: Intersection
    timings: tuple[StageTiming, ...]
    snapshot: Snapshot
    history: ServiceHistory


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A moment of any intersection: any interval of any stage, any readings, any past."""
    intersection = draw(intersections())
    stages = st.integers(0, len(intersection.stages) - 1)
    since_s = draw(st.floats(0.0, 900.0))
    signal = SignalState(draw(stages), draw(stages), draw(st.sampled_from(Interval)), since_s)
    now_s = since_s + draw(st.floats(0.0, 300.0))
    seen = tuple(draw(st.just(INVALID_READING) | readings()) for _ in intersection.lanes)
    past_s = st.floats(0.0, now_s)
    snapshot = make_snapshot(intersection, now_s=now_s, signal=signal, readings=seen)
    return Scene(
        intersection,
        tuple(draw(timings()) for _ in intersection.stages),
        msgspec.structs.replace(snapshot, day_s=draw(st.floats(0.0, 86_400.0, exclude_max=True))),
        ServiceHistory(
            movement_green_s=tuple(draw(past_s) for _ in intersection.movements),
            stage_green_s=tuple(draw(past_s) for _ in intersection.stages),
            lane_call_s=tuple(draw(st.none() | past_s) for _ in intersection.lanes),
        ),
    )


def schedule_for(scene: Scene) -> tuple[ScheduleRow, ...]:
    """Two patterns of the greens that the stages of `scene` have at least."""
    greens_s = tuple(shortest_green_s(timing) + 5.0 for timing in scene.timings)
    return ScheduleRow(0.0, greens_s=greens_s), ScheduleRow(43_200.0, greens_s=greens_s, offset_s=4.0)


def every_plan(scene: Scene) -> list[LocalPlan]:
    """A plan of every kind for the intersection of `scene`, and fixed time with a schedule."""
    plans = [make(scene.intersection, scene.timings) for make in PLANS.values()]
    return [*plans, PLANS[PlanKind.FIXED](scene.intersection, scene.timings, schedule_for(scene))]


@settings(max_examples=60, deadline=None)
@given(scene=scenes())
def test_a_plan_asks_for_an_existing_stage_and_never_cuts_a_green(scene: Scene) -> None:
    """Whatever is seen: a stage of the intersection, a running change finished, and no green below its minimum."""
    signal = scene.snapshot.signal
    is_young = elapsed_green_s(signal, scene.snapshot.now_s) < shortest_green_s(scene.timings[signal.stage]) - 1e-6
    for plan in every_plan(scene):
        wanted = plan.choose(scene.snapshot, scene.history)

        assert wanted in range(len(scene.intersection.stages))
        assert wanted == signal.stage or not (is_young or signal.interval is not Interval.GREEN)


@settings(max_examples=40, deadline=None)
@given(scene=scenes(), later_s=st.floats(0.0, 300.0))
def test_a_plan_is_a_pure_function(scene: Scene, later_s: float) -> None:
    """The same snapshot and history give the same stage, whatever was asked before, and in another life too."""
    later = msgspec.structs.replace(scene.snapshot, now_s=scene.snapshot.now_s + later_s)
    for plan, fresh in zip(every_plan(scene), every_plan(scene), strict=True):
        first = plan.choose(scene.snapshot, scene.history)
        plan.choose(later, scene.history)

        assert plan.choose(scene.snapshot, scene.history) == first == fresh.choose(scene.snapshot, scene.history)


SERVED_WITHIN_S = 4 * (50.0 + 21.0)
"""All four stages of the crossing at their longest, each with its change."""


def longest_red_s(shown: Sequence[Second], stages: frozenset[int]) -> float:
    """The longest time in which none of `stages` was green."""
    greens_s = [each.now_s for each in shown if each.signal.interval is Interval.GREEN and each.signal.stage in stages]
    marks_s = [0.0, *greens_s, shown[-1].now_s]
    return max(late - early for early, late in pairwise(marks_s))


@pytest.mark.parametrize("kind", list(PlanKind))
@settings(brisk, max_examples=10)
@given(spells=traffic(WALKED), lane=st.integers(0, len(WALKED.lanes) - 1), is_dead=st.booleans())
def test_every_call_is_served_in_bounded_time(kind, spells, lane, is_dead):
    """A lane, waiting place or dead detector that calls all the time is green again and again, without the guard."""
    patient = {"absolute_max_green_s": 3600.0, "max_wait_s": 3600.0}
    times = tuple(msgspec.structs.replace(each, **patient) for each in make_timings(WALKED, STREET))
    caller = INVALID_READING if is_dead else make_reading(1.0)
    called = [(*each[:lane], caller, *each[lane + 1 :]) for each in (seconds_of(spells) * 600)[:600]]
    (movement,) = (i for i, some in enumerate(WALKED.movements) if WALKED.lanes[lane].id in some.lanes)
    serving = frozenset(index for index, stage in enumerate(WALKED.stages) if movement in stage.served)

    shown = drive(PLANS[kind](WALKED, times), WALKED, times, called)

    assert longest_red_s(shown, serving) <= SERVED_WITHIN_S
    assert not {"I6", "I7"} & {each.rule for each in shown}


@pytest.mark.parametrize("kind", list(PlanKind))
def test_a_plan_starts_from_any_stage(kind):
    """Each stage can be the one in force when a plan takes over, and it is never left for one that nobody needs."""
    times = make_timings(CROSSING)
    for stage in range(len(CROSSING.stages)):
        snapshot = make_snapshot(CROSSING, now_s=1.0, signal=start(stage, 0.0))
        assert PLANS[kind](CROSSING, times).choose(snapshot, empty_history(CROSSING, 0.0)) == stage
