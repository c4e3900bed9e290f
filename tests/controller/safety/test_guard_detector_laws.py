"""Laws of the health of detectors over random readings, gaps and signals."""

from __future__ import annotations

import itertools
import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.command import Interval, SignalState
from phasemesh.contract.detection import INVALID_READING, READING_LIMITS, LaneReading, Snapshot, plausible
from phasemesh.controller.safety.detectors import (
    CLEAN_S,
    DetectorFaultKind,
    DetectorHealth,
    detector_faults,
    empty_health,
    no_detector_trusted,
    note_readings,
    substituted,
)
from strategies import brisk

CROSSING = make_intersection(has_crossings=True)
LANES = len(CROSSING.lanes)

broken_values = st.sampled_from((math.nan, math.inf, -math.inf, -1.0, 1e12, 3.0))
readings = st.one_of(
    st.just(INVALID_READING),
    st.sampled_from((make_reading(), make_reading(2.0), make_reading(5.0), make_reading(1.0, arrivals_veh=40.0))),
    st.builds(lambda name, value: make_reading(**{name: value}), st.sampled_from(list(READING_LIMITS)), broken_values),
)
signals = st.builds(SignalState, st.integers(0, 1), st.integers(0, 1), st.sampled_from(Interval), st.just(0.0))


@st.composite
def films(draw: st.DrawFn) -> list[Snapshot]:
    """Looks at a crossing, each lane in a mood of its own that lasts, with gaps and clocks that go back."""
    now_s, shown, film = 0.0, [make_reading()] * LANES, []
    for _ in range(draw(st.integers(1, 25))):
        for lane in draw(st.frozensets(st.integers(0, LANES - 1), max_size=3)):
            shown[lane] = draw(readings)
        now_s = max(0.0, now_s + draw(st.sampled_from((0.0, 1.0, 5.0, 29.0, 30.0, 61.0, 400.0, -50.0))))
        day_s = draw(st.sampled_from((0.0, 12 * 3600.0)))
        film.append(make_snapshot(CROSSING, now_s=now_s, signal=draw(signals), readings=tuple(shown), day_s=day_s))
    return film


def healths_of(film: list[Snapshot]) -> list[DetectorHealth]:
    """What is known after each look of `film`."""
    health, known = empty_health(CROSSING, 0.0), []
    for snapshot in film:
        health = note_readings(health, snapshot)
        known.append(health)
    return known


@brisk
@given(films())
def test_whatever_is_believed_is_plausible_and_never_of_a_faulty_detector(film):
    """I21: after substitution every reading is within its limits, and invalid exactly where it is not believed."""
    for snapshot, health in zip(film, healths_of(film), strict=True):
        believed = substituted(snapshot, health).readings
        faulty = {fault.lane for fault in detector_faults(health)}

        for lane, raw, reading in zip(CROSSING.lanes, snapshot.readings, believed, strict=True):
            assert plausible(reading) is (reading if reading.is_valid else INVALID_READING)
            assert reading is (INVALID_READING if lane.id in faulty else raw)


@brisk
@given(films())
def test_an_implausible_reading_is_always_a_fault_of_its_lane_alone(film):
    """I21: whatever was before, a reading that cannot be true puts its lane at fault at that very look."""
    for snapshot, health in zip(film, healths_of(film), strict=True):
        kinds = {fault.lane: fault.kind for fault in detector_faults(health)}

        for lane, reading in zip(CROSSING.lanes, snapshot.readings, strict=True):
            if not reading.is_valid:
                assert kinds[lane.id] is DetectorFaultKind.SILENT
            elif plausible(reading) is INVALID_READING:
                assert kinds[lane.id] is DetectorFaultKind.OUT_OF_RANGE


@brisk
@given(films())
def test_a_fault_ends_only_after_the_clean_period(film):
    """I21: between the last sign of a fault and its end lies the clean period, unless nothing was ever heard."""
    for before, after in zip(healths_of(film), healths_of(film)[1:], strict=False):
        for was, lane in zip(before.lanes, after.lanes, strict=True):
            is_over = was.fault is not None and lane.fault is None and after.now_s >= before.now_s
            assert not is_over or after.now_s - was.dirty_s >= CLEAN_S - 1e-6


@brisk
@given(films())
def test_the_health_survives_every_way_of_writing_it(film):
    """What is known of the detectors travels in records: it decodes to itself from MessagePack and from JSON."""
    for health in healths_of(film)[-3:]:
        packed, text = msgspec.msgpack.encode(health), msgspec.json.encode(health)

        assert msgspec.msgpack.decode(packed, type=DetectorHealth) == health
        assert msgspec.json.decode(text, type=DetectorHealth) == health


@brisk
@given(films())
def test_the_same_looks_give_the_same_health(film):
    """Nothing but the readings, their times and the signal enters, so that a replay comes to the same end."""
    again = [msgspec.structs.replace(each, step=each.step + 7, lease_boot_id=None) for each in film]

    assert healths_of(film) == healths_of(again)


@brisk
@given(films())
def test_no_detector_is_trusted_exactly_where_all_lanes_of_vehicles_are_at_fault(film):
    """I21: the finding stands as long as every lane of vehicles is at fault, and no longer."""
    for health in healths_of(film):
        faulty = {fault.lane for fault in detector_faults(health)}
        vehicles = {lane for movement in CROSSING.movements[:4] for lane in movement.lanes}

        assert (no_detector_trusted(health) is not None) == (vehicles <= faulty)


@given(st.lists(st.sampled_from((0.0, 1.0, 2.0, 3.0)), min_size=1, max_size=200))
def test_less_than_a_vehicle_a_second_is_never_a_flutter(arrivals):
    """I21: whatever falls into one minute, up to 60 arrivals in any 60 s are believed."""
    total, health = 0.0, empty_health(CROSSING, 0.0)
    for second, arrived in enumerate(arrivals, start=1):
        total = sum(arrivals[max(0, second - 60) : second])
        if total > 60.0:
            return
        reading = make_reading(1.0, arrivals_veh=arrived, wait_s=float(second))
        health = note_readings(health, make_snapshot(CROSSING, now_s=float(second), readings=(reading,) * LANES))

        assert detector_faults(health) == ()
    assert total <= 60.0


def reading_of(veh: float) -> LaneReading:
    """A reading of `veh` standing vehicles."""
    return make_reading(veh)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=40))
def test_a_lane_is_stuck_on_only_if_it_showed_the_same_for_long_enough(veh):
    """I21: as long as no value stands for more than 300 s, however long the lane is occupied, it is believed."""
    health, now_s = empty_health(CROSSING, 0.0), 0.0
    for count in veh:
        for _ in range(6):
            now_s += 50.0
            shown = (reading_of(float(count)),) * LANES
            health = note_readings(health, make_snapshot(CROSSING, now_s=now_s, readings=shown))
        is_repeated = any(first == second for first, second in itertools.pairwise(veh))

        assert detector_faults(health) == () or is_repeated
