"""The events of a signal: every interval between two sights of it, at its time, in its order."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_timings
from phasemesh.contract.command import Interval, SignalState, advance, request_stage, start
from phasemesh.contract.timing import STREET
from phasemesh.controller.telemetry.event_codes import MAX_PARAMETER, EventCode
from phasemesh.controller.telemetry.signal_events import Event, event, signal_events
from strategies import brisk

CROSSING = make_intersection()
TIMINGS = make_timings(CROSSING, STREET)
WALKED = make_intersection(has_crossings=True)
WALKED_TIMINGS = make_timings(WALKED, STREET)
YELLOW = request_stage(CROSSING, start(0, 0.0), 1, 10.0)
"""Yellow of the first stage from 10 s on: four seconds, then one of red."""


def told(before: SignalState, after: SignalState) -> list[tuple[float, EventCode, int]]:
    """Time, code and phase of each event at the plain crossing."""
    return [(each.at_s, each.code, each.parameter) for each in signal_events(CROSSING, TIMINGS, before, after)]


def test_nothing_happens_in_one_interval() -> None:
    """Two sights of the same green tell nothing."""
    assert told(start(0, 3.0), start(0, 3.0)) == []


def test_a_green_that_ends() -> None:
    """The green of phase 1 ends with its yellow."""
    assert told(start(0, 0.0), YELLOW) == [(10.0, EventCode.GREEN_TERMINATION, 1), (10.0, EventCode.YELLOW_BEGIN, 1)]


def test_a_whole_change_between_two_sights() -> None:
    """Yellow and red that nobody saw are told from the times of the stage."""
    assert told(start(0, 0.0), advance(YELLOW, TIMINGS, 20.0)) == [
        (10.0, EventCode.GREEN_TERMINATION, 1),
        (10.0, EventCode.YELLOW_BEGIN, 1),
        (14.0, EventCode.YELLOW_END, 1),
        (14.0, EventCode.RED_CLEARANCE_BEGIN, 1),
        (15.0, EventCode.RED_CLEARANCE_END, 1),
        (15.0, EventCode.PHASE_INACTIVE, 1),
        (15.0, EventCode.PHASE_ON, 2),
        (15.0, EventCode.GREEN_BEGIN, 2),
    ]


def test_only_what_is_new_is_told() -> None:
    """A sight in the yellow has told its beginning already."""
    assert [code for _, code, _ in told(YELLOW, advance(YELLOW, TIMINGS, 14.5))] == [
        EventCode.YELLOW_END,
        EventCode.RED_CLEARANCE_BEGIN,
    ]


def test_without_red_clearance_the_yellow_leads_to_green() -> None:
    """A stage that has no red clearance has no events of one."""
    timings = tuple(msgspec.structs.replace(timing, red_clearance_s=0.0) for timing in TIMINGS)
    events = signal_events(CROSSING, timings, YELLOW, advance(YELLOW, timings, 14.0))

    assert [each.code for each in events] == [
        EventCode.YELLOW_END,
        EventCode.PHASE_INACTIVE,
        EventCode.PHASE_ON,
        EventCode.GREEN_BEGIN,
    ]


def test_a_unit_that_begins_anew_begins_a_green() -> None:
    """A green that follows no change has no yellow before it."""
    assert told(start(0, 0.0), start(1, 50.0)) == [(50.0, EventCode.PHASE_ON, 2), (50.0, EventCode.GREEN_BEGIN, 2)]


def test_people_on_foot_have_events_of_their_own() -> None:
    """Walk, clearance and solid don't walk, in the order of the street."""
    clearing = request_stage(WALKED, start(0, 0.0), 1, 30.0)
    end_s = 30.0 + sum(
        (WALKED_TIMINGS[0].ped_clearance_s, WALKED_TIMINGS[0].yellow_s, WALKED_TIMINGS[0].red_clearance_s)
    )
    events = list(signal_events(WALKED, WALKED_TIMINGS, start(0, 0.0), advance(clearing, WALKED_TIMINGS, end_s)))

    assert clearing.interval is Interval.PED_CLEARANCE
    assert [each.code for each in events] == [
        EventCode.PED_CLEARANCE_BEGIN,
        EventCode.GREEN_TERMINATION,
        EventCode.DONT_WALK_BEGIN,
        EventCode.YELLOW_BEGIN,
        EventCode.YELLOW_END,
        EventCode.RED_CLEARANCE_BEGIN,
        EventCode.RED_CLEARANCE_END,
        EventCode.PHASE_INACTIVE,
        EventCode.PHASE_ON,
        EventCode.GREEN_BEGIN,
        EventCode.WALK_BEGIN,
    ]
    assert [each.at_s for each in events][:2] == [30.0, 30.0 + WALKED_TIMINGS[0].ped_clearance_s]


@pytest.mark.parametrize("interval", Interval)
def test_a_sight_that_should_not_be_is_told_as_it_is(interval: Interval) -> None:
    """A unit that shows an interval which its times do not have fails nobody."""
    timings = tuple(msgspec.structs.replace(timing, red_clearance_s=0.0) for timing in TIMINGS)
    shown = SignalState(1, 0, interval, 12.0)

    assert all(each.at_s <= 12.0 for each in signal_events(CROSSING, timings, start(0, 0.0), shown))


@pytest.mark.parametrize(("given_value", "kept"), [(-3.0, 0), (7.9, 7), (1e9, MAX_PARAMETER)])
def test_parameters_are_those_that_readers_accept(given_value: float, kept: int) -> None:
    """Readers drop rows beyond 0 to 32 767."""
    assert event(1.0, EventCode.CLOCK_UPDATED, given_value).parameter == kept


def test_times_have_a_tenth_of_a_second() -> None:
    """The resolution of the log."""
    assert event(1.26, EventCode.RUNG, 0) == Event(1.3, EventCode.RUNG, 0)


@brisk
@given(
    requests=st.lists(st.tuples(st.floats(1.0, 30.0), st.integers(0, 3)), min_size=1, max_size=20),
    tick_s=st.sampled_from((1.0, 2.0, 5.0)),
)
def test_every_change_is_told_once_and_in_order(requests: list[tuple[float, int]], tick_s: float) -> None:
    """However often a signal is looked at, each green begins and ends once, and greens never overlap."""
    crossing = make_intersection(has_left_lanes=True)
    timings = make_timings(crossing, STREET)
    signal, seen, now_s, events = start(0, 0.0), start(0, 0.0), 0.0, []
    for wait_s, stage in requests:
        for _ in range(max(1, round(wait_s / tick_s))):
            now_s += tick_s
            signal = advance(signal, timings, now_s)
            events += signal_events(crossing, timings, seen, signal)
            seen = signal
        signal = request_stage(crossing, signal, stage, now_s)
        events += signal_events(crossing, timings, seen, signal)
        seen = signal
    greens = [(each.code, each.parameter) for each in events if each.code in GREENS]

    assert [each.at_s for each in events] == sorted(each.at_s for each in events)
    for first, second in pairwise([(EventCode.GREEN_BEGIN, 1), *greens]):
        assert first[0] is not second[0] or first[0] is EventCode.GREEN_BEGIN
    yellows = [each.code for each in events if each.code in (EventCode.YELLOW_BEGIN, EventCode.YELLOW_END)]
    assert all(first is not second for first, second in pairwise(yellows))


GREENS = frozenset({EventCode.GREEN_BEGIN, EventCode.GREEN_TERMINATION})
