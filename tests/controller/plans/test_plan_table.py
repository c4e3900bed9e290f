"""The plan table, and that every plan lives in peace with the guard."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import make_intersection, make_reading, make_snapshot, make_timings
from phasemesh.contract.command import CommandKind, SignalState, advance, request_stage, start
from phasemesh.contract.detection import INVALID_READING, Snapshot
from phasemesh.contract.history import ServiceHistory, empty_history, note_calls, note_signal
from phasemesh.contract.site import PlanKind
from phasemesh.contract.timing import BENCHMARK, STREET
from phasemesh.controller.plans.plan import LocalPlan
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.safety.case import GuardCase
from phasemesh.controller.safety.guard import Guard

CROSSING = make_intersection(has_left_lanes=True)
READINGS = st.sampled_from((make_reading(), make_reading(3.0), INVALID_READING))
TRAFFIC = st.lists(
    st.tuples(st.integers(1, 60), st.tuples(*(READINGS for _ in CROSSING.lanes))), min_size=1, max_size=12
)


def test_every_kind_of_plan_has_a_factory():
    """A site may name any plan of the contract."""
    assert set(PLANS) == set(PlanKind)


def objections(plan: LocalPlan, guard: Guard, traffic: list) -> set[str]:
    """The rules that decided against `plan` in a drive of one second a step through `traffic`."""
    signal, history = start(0, 0.0), empty_history(CROSSING, 0.0)
    each_second = (readings for seconds, readings in traffic for _ in range(seconds))
    rules = set()
    for step, readings in enumerate(each_second):
        now_s = float(step)
        signal = advance(signal, guard.timings, now_s)
        snapshot = make_snapshot(CROSSING, now_s=now_s, signal=signal, readings=readings)
        history = note_calls(note_signal(history, CROSSING, signal, now_s), snapshot)
        verdict = guard.judge(request_of(plan, guard, snapshot, history))
        signal = request_stage(CROSSING, signal, verdict.stage, now_s)
        rules.add(verdict.rule)
    return rules - {""}


def request_of(plan: LocalPlan, guard: Guard, snapshot: Snapshot, history: ServiceHistory) -> GuardCase:
    """What `plan` asks for at `snapshot`, as a case for `guard`."""
    return GuardCase(
        intersection=guard.intersection,
        timings=guard.timings,
        signal=snapshot.signal,
        history=history,
        now_s=snapshot.now_s,
        max_age_s=1.0,
        kind=CommandKind.STAGE,
        stage=plan.choose(snapshot, history),
        decided_s=snapshot.now_s,
    )


@pytest.mark.parametrize("profile", [BENCHMARK, STREET], ids=lambda profile: profile.name)
@pytest.mark.parametrize("kind", list(PlanKind))
@settings(max_examples=15, deadline=None)
@given(traffic=TRAFFIC)
def test_the_guard_never_refuses_a_plan(kind, profile, traffic):
    """Under any traffic a plan is overruled by the maximum green or wait at most, never held or rejected."""
    timings = make_timings(CROSSING, profile)
    plan, guard = PLANS[kind](CROSSING, timings), Guard(CROSSING, timings)

    assert objections(plan, guard, traffic) <= {"I6", "I7"}


@pytest.mark.parametrize("kind", list(PlanKind))
def test_a_plan_is_a_pure_function(kind):
    """The same snapshot gives the same stage, whatever was asked before."""
    timings = make_timings(CROSSING)
    plan, history = PLANS[kind](CROSSING, timings), empty_history(CROSSING, 0.0)
    late = make_snapshot(CROSSING, now_s=90.0, readings=(make_reading(1.0),) * len(CROSSING.lanes))
    early = make_snapshot(CROSSING, now_s=1.0, signal=SignalState(2, 2, start(0, 0.0).interval, 0.0))

    first = (plan.choose(late, history), plan.choose(early, history))
    second = (plan.choose(late, history), plan.choose(early, history))

    assert first == second == (PLANS[kind](CROSSING, timings).choose(late, history), 2)
