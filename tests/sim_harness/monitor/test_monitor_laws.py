"""Whatever the sequencer shows is lawful: intersections, times, steps and requests of any kind trip nothing."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.contract.command import Interval, SignalState, advance, lights, request_stage, start
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import RED_REVERT_S, StageTiming
from phasemesh.sim_harness.monitor.city_monitor import CityMonitor
from strategies import STEPS_S, brisk, intersections, stage_times

Timings = tuple[StageTiming, ...]
Wishes = list[tuple[int, int]]


def next_shown(signal: SignalState, timings: Timings, now_s: float) -> SignalState:
    """`signal` at `now_s` where every interval begins at the step that first shows it and none is left out."""
    if advance(signal, timings, now_s) == signal:
        return signal
    has_red = timings[signal.from_stage].red_clearance_s > 0.0
    following = {
        Interval.PED_CLEARANCE: Interval.YELLOW,
        Interval.YELLOW: Interval.RED_CLEARANCE if has_red else Interval.GREEN,
        Interval.RED_CLEARANCE: Interval.GREEN,
    }
    return msgspec.structs.replace(signal, interval=following[signal.interval], since_s=now_s)


def sequence(crossing: Intersection, timings: Timings, wishes: Wishes, step_s: float) -> list[str]:
    """The lights of a signal that is asked for stages, each as early as the guard allows or some steps later."""
    signal, now_s, shown = start(0, 0.0), 0.0, []
    for stage, longer in wishes:
        waited = 0
        while waited <= longer:
            signal = next_shown(signal, timings, now_s)
            timing = timings[signal.stage]
            least_s = max(timing.min_green_s, timing.walk_s, RED_REVERT_S)
            waited += signal.interval is Interval.GREEN and now_s - signal.since_s >= least_s
            if waited <= longer:
                shown.append(lights(crossing, signal))
                now_s += step_s
        signal = request_stage(crossing, signal, stage % len(crossing.stages), now_s)
    return shown


@brisk
@given(st.data())
def test_the_sequencer_never_trips_the_monitor(data: st.DataObject) -> None:
    """For random layouts with crossings and permissive turns, and random times of every stage."""
    crossing = data.draw(intersections())
    timings = data.draw(stage_times(crossing))
    step_s = data.draw(st.sampled_from(STEPS_S))
    wishes = data.draw(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), min_size=4, max_size=12))
    monitor = CityMonitor([crossing], {crossing.id: timings}, least_yellow_s=0.0)

    for number, letters in enumerate(sequence(crossing, timings, wishes, step_s)):
        monitor.look(number * step_s, {crossing.id: letters})

    assert [str(trip) for trip in monitor.trips] == []


@brisk
@given(st.data())
def test_the_same_sequences_without_yellow_always_trip_it(data: st.DataObject) -> None:
    """The law above is not kept by looking away."""
    crossing = data.draw(intersections())
    timings = data.draw(stage_times(crossing))
    wishes = data.draw(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3)), min_size=4, max_size=12))
    monitor = CityMonitor([crossing], {crossing.id: timings}, least_yellow_s=0.0)
    shown = sequence(crossing, timings, wishes, 1.0)

    for number, letters in enumerate(shown):
        monitor.look(float(number), {crossing.id: letters.replace("y", "r")})

    skipped = [trip for trip in monitor.trips if trip.check.name == "skipped yellow"]
    assert bool(skipped) == any("y" in letters for letters in shown)
