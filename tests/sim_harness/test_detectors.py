"""What the virtual detectors report for vehicles whose places are known."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection
from phasemesh.contract.detection import LaneReading, plausible
from phasemesh.contract.intersection import Intersection
from phasemesh.sim_harness.sumo.connection import VehicleOnLane, WaitingPerson
from phasemesh.sim_harness.sumo.detectors import Detectors
from phasemesh.sim_harness.sumo.zones import Zone, ZonePiece

LANE_M = 60.0
FEEDER_M = 200.0


class FakeStreets:
    """Lanes whose vehicles a test places; remembers what was asked."""

    def __init__(self, **lengths_m: float) -> None:
        self.vehicles: dict[str, list[VehicleOnLane]] = {}
        self.people: dict[str, list[WaitingPerson]] = {}
        self.asked_for_people: list[frozenset[str]] = []
        self.lengths_m = lengths_m
        self.watched: list[frozenset[str]] = []

    def place(self, lane: str, name: str, position_m: float, speed_mps: float = 0.0, wait_s: float = 0.0) -> None:
        """Put one vehicle on a lane."""
        self.vehicles.setdefault(lane, []).append(VehicleOnLane(name, position_m, speed_mps, wait_s))

    def vehicles_by_lane(self, watched: frozenset[str]) -> dict[str, list[VehicleOnLane]]:
        """What was placed, on the lanes that are asked for."""
        self.watched.append(watched)
        return {lane: vehicles for lane, vehicles in self.vehicles.items() if lane in watched}

    def people_waiting(self, crossings: frozenset[str]) -> dict[str, list[WaitingPerson]]:
        """Those whom a test placed, at the crossings that are asked for."""
        self.asked_for_people.append(crossings)
        return {crossing: people for crossing, people in self.people.items() if crossing in crossings}

    def lane_length_m(self, lane_id: str) -> float:
        """The length that a test gave the lane, or 300 m."""
        return self.lengths_m.get(lane_id, 300.0)


def zones_of(intersection: Intersection, feeder: str = "feeder") -> tuple[Zone, ...]:
    """Short lanes, all fed by one upstream lane."""
    return tuple((ZonePiece(lane.id, LANE_M, 0.0), ZonePiece(feeder, FEEDER_M, LANE_M)) for lane in intersection.lanes)


def make_detectors(streets: FakeStreets, *, is_shared: bool = False) -> Detectors:
    """Detectors of the plain crossing over `streets`."""
    crossing = make_intersection()
    return Detectors(streets, [crossing], {crossing.id: zones_of(crossing)}, is_shared=is_shared)


def first_reading(detectors: Detectors) -> LaneReading:
    """The reading of lane `north_0`."""
    (readings,) = detectors.read().values()
    return readings[0]


def test_an_empty_lane_reads_free_flow() -> None:
    """Without vehicles all counts are 0, the speed is the limit and the exits have all their room."""
    reading = first_reading(make_detectors(FakeStreets()))

    assert reading == LaneReading(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 13.9, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("distance_m", "expected"),
    [
        (0.0, (1, 1, 1)),
        (50.0, (1, 1, 1)),
        (50.5, (0, 1, 1)),
        (100.0, (0, 1, 1)),
        (100.5, (0, 0, 1)),
        (150.0, (0, 0, 1)),
    ],
)
def test_zones_count_by_distance_from_the_stop_line(distance_m: float, expected: tuple[int, int, int]) -> None:
    """A vehicle counts in every zone that reaches it, on upstream lanes too."""
    streets = FakeStreets()
    lane, end_m = ("north_0", LANE_M) if distance_m <= LANE_M else ("feeder", LANE_M + FEEDER_M)
    streets.place(lane, "a", end_m - distance_m, 5.0)

    reading = first_reading(make_detectors(streets))

    assert (reading.vehicles_50m_veh, reading.vehicles_100m_veh, reading.vehicles_150m_veh) == expected


def test_a_vehicle_beyond_the_zone_is_not_seen() -> None:
    """Farther than 150 m nothing is counted, and the vehicle arrives when it comes nearer."""
    streets = FakeStreets()
    streets.place("feeder", "a", LANE_M + FEEDER_M - 150.5, 0.0, 9.0)
    detectors = make_detectors(streets)

    far = first_reading(detectors)
    streets.vehicles.clear()
    streets.place("feeder", "a", LANE_M + FEEDER_M - 149.5, 0.0, 10.0)
    near = first_reading(detectors)

    assert (far.vehicles_150m_veh, far.queue_veh, far.wait_s, far.arrivals_veh) == (0.0, 0.0, 0.0, 0.0)
    assert (near.vehicles_150m_veh, near.queue_veh, near.wait_s, near.arrivals_veh) == (1.0, 1.0, 10.0, 1.0)


def test_halting_vehicles_queue_and_the_longest_wait_counts() -> None:
    """Only vehicles slower than 0.1 m/s queue; the wait is the longest of theirs; the speed is the mean of all."""
    streets = FakeStreets()
    streets.place("north_0", "a", 50.0, 0.0, 12.0)
    streets.place("north_0", "b", 40.0, 0.09, 31.0)
    streets.place("north_0", "c", 30.0, 0.1)
    streets.place("north_0", "d", 20.0, 8.0)

    reading = first_reading(make_detectors(streets))

    assert reading.queue_veh == 2.0
    assert reading.wait_s == 31.0
    assert reading.mean_speed_mps == pytest.approx((0.09 + 0.1 + 8.0) / 4)


def test_a_vehicle_arrives_once() -> None:
    """A vehicle arrives at the reading that first sees it, and again only after it was away."""
    streets = FakeStreets()
    detectors = make_detectors(streets)
    streets.place("north_0", "a", 10.0)

    first, second = first_reading(detectors), first_reading(detectors)
    streets.vehicles.clear()
    gone = first_reading(detectors)
    streets.place("north_0", "a", 10.0)
    back = first_reading(detectors)

    assert [one.arrivals_veh for one in (first, second, gone, back)] == [1.0, 0.0, 0.0, 1.0]


def test_moving_between_pieces_of_a_zone_is_no_arrival() -> None:
    """A vehicle that goes on from the upstream lane to the lane itself has arrived before."""
    streets = FakeStreets()
    detectors = make_detectors(streets)
    streets.place("feeder", "a", FEEDER_M - 1.0)
    first_reading(detectors)
    streets.vehicles.clear()
    streets.place("north_0", "a", 5.0)

    assert first_reading(detectors).arrivals_veh == 0.0


def test_upstream_vehicles_count_in_full_by_default() -> None:
    """Each of the four lanes that an upstream lane feeds sees its vehicle in full."""
    streets = FakeStreets()
    streets.place("feeder", "a", FEEDER_M)

    (readings,) = make_detectors(streets).read().values()

    assert [reading.vehicles_100m_veh for reading in readings] == [1.0, 1.0, 1.0, 1.0]


def test_shared_upstream_vehicles_count_once() -> None:
    """With shares the four lanes see a quarter each, in every count, while the lane's own vehicles stay whole."""
    streets = FakeStreets()
    streets.place("feeder", "a", FEEDER_M, 0.0, 7.0)
    streets.place("north_0", "b", LANE_M, 4.0)

    (readings,) = make_detectors(streets, is_shared=True).read().values()

    assert [reading.vehicles_100m_veh for reading in readings] == [1.25, 0.25, 0.25, 0.25]
    assert [reading.queue_veh for reading in readings] == [0.25] * 4
    assert [reading.arrivals_veh for reading in readings] == [1.25, 0.25, 0.25, 0.25]
    assert readings[0].mean_speed_mps == pytest.approx(4.0 / 1.25)
    assert readings[1].wait_s == 7.0


def test_downstream_is_the_start_of_the_exit() -> None:
    """Queue, vehicles and room of an exit are those of its first 150 m."""
    streets = FakeStreets()
    streets.place("north_0_out", "a", 10.0, 0.0)
    streets.place("north_0_out", "b", 150.0, 9.0)
    streets.place("north_0_out", "c", 150.5, 0.0)

    reading = first_reading(make_detectors(streets))

    assert (reading.downstream_queue_veh, reading.downstream_vehicles_veh) == (1.0, 2.0)
    assert reading.downstream_room_ratio == pytest.approx(1.0 - 2 * 7.5 / 150.0)


def test_a_short_exit_fills_up() -> None:
    """The room of an exit shorter than 150 m is that of its own length, and never negative."""
    streets = FakeStreets(north_0_out=20.0)
    for number in range(3):
        streets.place("north_0_out", f"{number}", 6.0 * number)

    assert first_reading(make_detectors(streets)).downstream_room_ratio == 0.0


def two_exits() -> Intersection:
    """The plain crossing, whose first movement has two exits."""
    crossing = make_intersection()
    first = msgspec.structs.replace(crossing.movements[0], exits=("left_out", "right_out"))
    return msgspec.structs.replace(crossing, movements=(first, *crossing.movements[1:]))


def test_several_exits_are_averaged() -> None:
    """A lane with two exits reports their mean."""
    crossing, streets = two_exits(), FakeStreets()
    streets.place("left_out", "a", 10.0, 0.0)
    detectors = Detectors(streets, [crossing], {crossing.id: zones_of(crossing)})

    reading = first_reading(detectors)

    assert (reading.downstream_queue_veh, reading.downstream_vehicles_veh) == (0.5, 0.5)
    assert reading.downstream_room_ratio == pytest.approx(1.0 - 0.5 * 7.5 / 150.0)


def test_the_streets_are_asked_once_a_reading() -> None:
    """One reading asks once for all lanes of all intersections, shared ones among them."""
    streets = FakeStreets()
    crossings = [make_intersection("a"), make_intersection("b")]
    detectors = Detectors(streets, crossings, {crossing.id: zones_of(crossing) for crossing in crossings})

    readings = detectors.read()

    assert list(readings) == ["a", "b"]
    assert len(streets.watched) == 1
    assert {"north_0", "feeder", "north_0_out"} < streets.watched[0]


def crossing_detectors(streets: FakeStreets) -> Detectors:
    """Detectors of the plain crossing with people on all four arms, the last four of its lanes."""
    crossing = make_intersection(has_crossings=True)
    crossed = {lane for movement in crossing.movements if movement.is_crossing for lane in movement.lanes}
    zones = tuple(() if lane.id in crossed else (ZonePiece(lane.id, LANE_M, 0.0),) for lane in crossing.lanes)
    return Detectors(streets, [crossing], {crossing.id: zones})


def test_people_waiting_are_counted_in_every_zone() -> None:
    """Who stands at a crossing queues there, whatever the distance; the longest wait counts; nothing is downstream."""
    streets = FakeStreets()
    streets.people["east"] = [WaitingPerson("a", 4.0), WaitingPerson("b", 31.0)]

    (readings,) = crossing_detectors(streets).read().values()

    assert readings[5] == LaneReading(2.0, 2.0, 2.0, 2.0, 2.0, 31.0, 0.0, 0.0, 0.0, 1.0)
    assert [reading.queue_veh for reading in readings] == [0.0] * 5 + [2.0] + [0.0] * 2


def test_a_crossing_without_people_reads_neutral() -> None:
    """Nobody waits, and the speed is that of walking."""
    (readings,) = crossing_detectors(FakeStreets()).read().values()

    assert readings[4:] == (LaneReading(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.4, 0.0, 0.0, 1.0),) * 4


def test_a_person_arrives_once() -> None:
    """Somebody arrives at the reading that first sees them waiting, and again only after they were away."""
    streets = FakeStreets()
    detectors = crossing_detectors(streets)
    counts = []
    for people in ([WaitingPerson("a", 1.0)], [WaitingPerson("a", 2.0)], [], [WaitingPerson("a", 1.0)]):
        streets.people["north"] = people
        (readings,) = detectors.read().values()
        counts.append(readings[4].arrivals_veh)

    assert counts == [1.0, 0.0, 0.0, 1.0]


def test_people_are_looked_for_only_where_there_are_crossings() -> None:
    """A city without crossings never asks for people; one with crossings asks once a reading."""
    without, with_people = FakeStreets(), FakeStreets()

    make_detectors(without).read()
    crossing_detectors(with_people).read()

    assert without.asked_for_people == []
    assert with_people.asked_for_people == [frozenset({"north", "east", "south", "west"})]


def test_zones_must_match_the_lanes() -> None:
    """An intersection with a zone too few is a programming error."""
    crossing = make_intersection()

    with pytest.raises(ValueError, match="zip"):
        Detectors(FakeStreets(), [crossing], {crossing.id: zones_of(crossing)[1:]})


PLACES = st.lists(
    st.tuples(
        st.sampled_from(["north_0", "east_0", "feeder", "north_0_out", "elsewhere"]),
        st.floats(0.0, LANE_M),
        st.floats(0.0, 30.0),
        st.floats(0.0, 3600.0),
    ),
    max_size=30,
)


@given(PLACES, st.booleans())
def test_readings_are_always_plausible(places: list[tuple[str, float, float, float]], is_shared: bool) -> None:
    """Whatever stands on the streets, readings are plausible and their zones are nested."""
    streets = FakeStreets()
    for number, (lane, position_m, speed_mps, wait_s) in enumerate(places):
        streets.place(lane, f"{number}", position_m, speed_mps, wait_s)

    (readings,) = make_detectors(streets, is_shared=is_shared).read().values()

    for reading in readings:
        assert plausible(reading) is reading
        assert 0.0 <= reading.vehicles_50m_veh <= reading.vehicles_100m_veh <= reading.vehicles_150m_veh
        assert reading.queue_veh <= reading.vehicles_150m_veh
        assert reading.arrivals_veh == reading.vehicles_150m_veh


@given(PLACES)
def test_shares_never_see_more_than_there_is(places: list[tuple[str, float, float, float]]) -> None:
    """With shares, the lanes of an intersection together count no more vehicles than there are."""
    streets = FakeStreets()
    for number, (lane, position_m, speed_mps, wait_s) in enumerate(places):
        streets.place(lane, f"{number}", position_m, speed_mps, wait_s)

    (readings,) = make_detectors(streets, is_shared=True).read().values()

    assert sum(reading.vehicles_150m_veh for reading in readings) <= len(places) + 1e-9
