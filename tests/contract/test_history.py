"""Who has waited how long: calls, greens and the waits between them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_reading, make_snapshot, make_timings
from phasemesh.contract.command import Interval, SignalState, advance, lights, request_stage, start
from phasemesh.contract.detection import INVALID_READING, LaneReading
from phasemesh.contract.history import ServiceHistory, empty_history, movement_waits_s, note_calls, note_signal
from phasemesh.contract.intersection import GREEN_LETTERS, Intersection, Movement, Turn
from phasemesh.contract.units import LaneId
from strategies import STEPS_S, brisk, requests

CROSSING = make_intersection()
EMPTY = make_reading()
WAITING = make_reading(2.0)


def _after(history: ServiceHistory, now_s: float, *lanes: LaneReading) -> ServiceHistory:
    return note_calls(history, make_snapshot(CROSSING, now_s=now_s, readings=lanes))


def _shared_lane() -> Intersection:
    """A crossing whose northern lane serves a through movement and a left turn with a signal of its own."""
    wide = make_intersection(has_left_lanes=True)
    left = Movement(approach="north", turn=Turn.LEFT, lanes=(LaneId("north_0"),), exits=())
    return msgspec.structs.replace(wide, movements=(wide.movements[0], left, *wide.movements[2:]))


def test_a_history_begins_without_calls_and_without_waits() -> None:
    """At its beginning nobody has waited and every stage counts as just served."""
    history = empty_history(CROSSING, 100.0)

    assert history.stage_green_s == (100.0, 100.0)
    assert history.lane_call_s == (None,) * 4
    assert movement_waits_s(history, CROSSING, 160.0) == (0.0,) * 4


def test_a_call_begins_when_the_first_vehicle_is_seen() -> None:
    """The stamp of a call is that of its first snapshot and stays while the vehicle does."""
    history = empty_history(CROSSING, 0.0)
    for now_s in (10.0, 11.0, 12.0):
        history = _after(history, now_s, EMPTY, WAITING, EMPTY, EMPTY)

    assert history.lane_call_s == (None, 10.0, None, None)


def test_a_call_ends_when_the_lane_is_empty() -> None:
    """An empty lane does not wait, and its next call counts from anew."""
    history = _after(empty_history(CROSSING, 0.0), 10.0, WAITING, EMPTY, EMPTY, EMPTY)
    history = _after(history, 20.0, EMPTY, EMPTY, EMPTY, EMPTY)

    assert history.lane_call_s[0] is None
    assert _after(history, 30.0, WAITING, EMPTY, EMPTY, EMPTY).lane_call_s[0] == 30.0


def test_an_invalid_detector_calls_constantly() -> None:
    """A lane whose detectors cannot be trusted is served as if somebody always waited there."""
    history = empty_history(CROSSING, 0.0)
    for now_s in (5.0, 50.0, 500.0):
        history = _after(history, now_s, EMPTY, INVALID_READING, EMPTY, EMPTY)

    assert history.lane_call_s == (None, 5.0, None, None)
    assert movement_waits_s(history, CROSSING, 500.0)[1] == 495.0


def test_a_detector_that_fails_during_a_call_keeps_it() -> None:
    """The wait of a vehicle is not forgotten when its detector fails."""
    history = _after(empty_history(CROSSING, 0.0), 10.0, WAITING, EMPTY, EMPTY, EMPTY)

    assert _after(history, 20.0, INVALID_READING, EMPTY, EMPTY, EMPTY).lane_call_s[0] == 10.0


def test_only_the_zone_at_the_stop_line_calls() -> None:
    """Vehicles further up the lane are no call yet."""
    far = make_reading(vehicles_50m_veh=0.0, vehicles_100m_veh=3.0, vehicles_150m_veh=3.0)

    assert _after(empty_history(CROSSING, 0.0), 10.0, far, EMPTY, EMPTY, EMPTY).lane_call_s[0] is None


def test_green_stamps_follow_the_lights() -> None:
    """Movements in green are stamped with now, those in red keep their last green."""
    history = note_signal(empty_history(CROSSING, 0.0), CROSSING, start(1, 0.0), 30.0)

    assert history.movement_green_s == (0.0, 30.0, 0.0, 30.0)
    assert history.stage_green_s == (0.0, 30.0)


def test_yellow_is_no_green() -> None:
    """A movement in yellow waits from its last green on."""
    signal = SignalState(stage=1, from_stage=0, interval=Interval.YELLOW, since_s=29.0)
    history = note_signal(empty_history(CROSSING, 0.0), CROSSING, signal, 30.0)

    assert history.movement_green_s == (0.0,) * 4


def test_a_permissive_green_is_a_green() -> None:
    """A left turn that yields has been served."""
    wide = make_intersection(has_left_lanes=True)
    history = note_signal(empty_history(wide, 0.0), wide, start(0, 0.0), 30.0)

    assert history.movement_green_s[1] == 30.0


def test_a_wait_counts_from_the_later_of_call_and_green() -> None:
    """Who comes in red waits since the call, who is left behind by a green waits since its end."""
    history = msgspec.structs.replace(
        empty_history(CROSSING, 0.0),
        movement_green_s=(50.0, 0.0, 0.0, 0.0),
        lane_call_s=(20.0, 30.0, None, None),
    )

    assert movement_waits_s(history, CROSSING, 60.0) == (10.0, 30.0, 0.0, 0.0)


def test_the_longest_waiting_lane_counts_for_a_movement() -> None:
    """A movement with two lanes waits as long as the lane that called first."""
    movement = msgspec.structs.replace(CROSSING.movements[0], lanes=(LaneId("north_0"), LaneId("south_0")))
    wide = msgspec.structs.replace(CROSSING, movements=(movement, *CROSSING.movements[1:]))
    history = msgspec.structs.replace(empty_history(wide, 0.0), lane_call_s=(40.0, None, 15.0, None))

    assert movement_waits_s(history, wide, 45.0)[0] == 30.0


def test_a_lane_shared_by_two_movements_calls_both() -> None:
    """While only the through movement is green, the left turn of the same lane goes on waiting."""
    shared = _shared_lane()
    called = (20.0,) + (None,) * (len(shared.lanes) - 1)
    greens = (60.0,) + (0.0,) * (len(shared.movements) - 1)
    history = msgspec.structs.replace(empty_history(shared, 0.0), lane_call_s=called, movement_green_s=greens)

    through_s, left_s, *others_s = movement_waits_s(history, shared, 60.0)
    assert (through_s, left_s) == (0.0, 40.0)
    assert set(others_s) == {0.0}


def test_a_movement_without_lanes_never_waits() -> None:
    """Where there is no detector there is no call."""
    bare = msgspec.structs.replace(CROSSING.movements[0], lanes=())
    crossing = msgspec.structs.replace(CROSSING, movements=(bare, *CROSSING.movements[1:]))
    history = msgspec.structs.replace(empty_history(crossing, 0.0), lane_call_s=(1.0,) * 4)

    assert movement_waits_s(history, crossing, 60.0) == (0.0, 59.0, 59.0, 59.0)


def test_a_snapshot_of_another_shape_is_a_programming_error() -> None:
    """Readings of another number of lanes are refused and not cut off."""
    with pytest.raises(ValueError, match="zip"):
        _after(empty_history(CROSSING, 0.0), 1.0, EMPTY)


@brisk
@given(requests(), st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=30), st.sampled_from(STEPS_S))
def test_waits_are_bounded_by_time_and_zero_in_green(
    wishes: list[int | None], traffic: list[list[bool]], step_s: float
) -> None:
    """Over any run, waits lie between 0 and the time that passed, and a movement in green does not wait."""
    history, signal = empty_history(CROSSING, 0.0), start(0, 0.0)
    for count, (wish, busy) in enumerate(zip(wishes, traffic, strict=False)):
        now_s = count * step_s
        signal = advance(signal, make_timings(CROSSING), now_s)
        signal = request_stage(CROSSING, signal, (wish or 0) % 2, now_s)
        history = note_signal(history, CROSSING, signal, now_s)
        history = _after(history, now_s, *[WAITING if is_busy else EMPTY for is_busy in busy])
        waits_s = movement_waits_s(history, CROSSING, now_s)

        assert all(0.0 <= wait_s <= now_s for wait_s in waits_s)
        for letter, is_busy, wait_s in zip(lights(CROSSING, signal), busy, waits_s, strict=True):
            assert wait_s == 0.0 or (is_busy and letter not in GREEN_LETTERS)


def test_a_history_survives_json() -> None:
    """A history decodes from its JSON to itself, with and without calls."""
    history = msgspec.structs.replace(empty_history(CROSSING, 3.0), lane_call_s=(1.0, None, 2.5, None))

    assert msgspec.json.decode(msgspec.json.encode(history), type=ServiceHistory) == history
