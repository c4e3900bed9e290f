"""The delay that the trainer rewards: who counts, where, and how much."""

from __future__ import annotations

import pytest

from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.connection import VehicleOnLane
from phasemesh.sim_harness.sumo.delay_meter import DelayMeter
from phasemesh.sim_harness.sumo.net_file import read_net_file
from phasemesh.sim_harness.sumo.network import CityNetwork, read_network

pytestmark = [pytest.mark.train, pytest.mark.sumo]


class FakeTraffic:
    """Vehicles where the test puts them."""

    def __init__(self) -> None:
        """An empty city."""
        self.lanes: dict[str, list[float]] = {}
        self.routes: dict[str, tuple[str, ...]] = {}

    def vehicles_by_lane(self, watched: frozenset[str]) -> dict[str, list[VehicleOnLane]]:
        """Vehicles of the given speeds, on watched lanes alone."""
        return {
            lane: [VehicleOnLane(f"{lane}.{index}", 1.0, speed_mps, 0.0) for index, speed_mps in enumerate(speeds)]
            for lane, speeds in self.lanes.items()
            if lane in watched
        }

    def waiting_to_enter(self) -> list[str]:
        """Everybody who has a route waits."""
        return list(self.routes)

    def route_of(self, vehicle_id: str) -> tuple[str, ...]:
        """As the test says."""
        return self.routes[vehicle_id]


@pytest.fixture(scope="module")
def network() -> CityNetwork:
    """Four signals in a square."""
    return read_network(find_scenario("grid2x2").net_file)


def first_lane(network: CityNetwork, signal: int) -> tuple[str, float]:
    """An incoming lane of a signal, and its limit in m/s."""
    lane = network.intersections[signal].lanes[0]
    return lane.id, lane.speed_limit_mps


def test_an_empty_city_has_no_delay(network: CityNetwork) -> None:
    """One number a signal."""
    assert DelayMeter(FakeTraffic(), network).read().tolist() == [0.0] * 4


def test_delay_is_the_share_of_speed_that_is_lost(network: CityNetwork) -> None:
    """1 for a vehicle that stands, a half at half the limit, nothing above the limit; at its own signal alone."""
    traffic = FakeTraffic()
    lane, limit_mps = first_lane(network, 2)
    traffic.lanes[lane] = [0.0, limit_mps / 2, limit_mps * 1.2]

    assert DelayMeter(traffic, network).read().tolist() == pytest.approx([0.0, 0.0, 1.5, 0.0])


def test_whoever_waits_in_the_middle_counts_at_that_signal(network: CityNetwork) -> None:
    """On every internal lane of a crossing from an incoming lane to its end, each counted once."""
    net = read_net_file(network.net_file)
    own = {lane.id for lane in network.intersections[1].lanes}
    via = {each.via for each in net.connections if each.from_lane in own and each.signal}
    behind = {each.via for each in net.connections if each.from_lane in via and each.via}
    traffic = FakeTraffic()
    traffic.lanes = {lane: [0.0] for lane in via | behind}

    assert behind, "left turns of this city have a place to wait"
    assert DelayMeter(traffic, network).read().tolist() == [0.0, float(len(via | behind)), 0.0, 0.0]


def test_whoever_waits_to_enter_counts_at_the_first_signal_of_the_way(network: CityNetwork) -> None:
    """And nowhere, when the way passes none."""
    traffic = FakeTraffic()
    lane, _ = first_lane(network, 1)
    beyond, _ = first_lane(network, 3)
    traffic.routes = {
        "a": ("elsewhere", lane.rpartition("_")[0], beyond.rpartition("_")[0]),
        "b": (lane.rpartition("_")[0],),
        "c": ("elsewhere",),
    }
    meter = DelayMeter(traffic, network)

    assert meter.read().tolist() == [0.0, 2.0, 0.0, 0.0]
    traffic.routes.pop("a")
    assert meter.read().tolist() == [0.0, 1.0, 0.0, 0.0]


def test_no_lane_counts_twice(network: CityNetwork) -> None:
    """All lanes of the city full of standing vehicles: as many vehicle-seconds a second as vehicles."""
    traffic = FakeTraffic()
    lanes = {lane.id for intersection in network.intersections for lane in intersection.lanes}
    traffic.lanes = {lane: [0.0] for lane in lanes}

    assert DelayMeter(traffic, network).read().sum() == len(lanes)
