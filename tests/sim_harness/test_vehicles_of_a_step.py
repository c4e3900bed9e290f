"""Detectors and the meter of delays look at the same vehicles, which SUMO is asked for once a step."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from phasemesh.sim_harness.sumo.connection import Simulation

LANES = {"a": "north_0", "b": "south_0", "c": "north_0"}


class CountingApi:
    """Three vehicles on two lanes that drive 10 m a step; counts the questions about positions."""

    TraCIException = FatalTraCIError = RuntimeError

    def __init__(self) -> None:
        self.position_m = 0.0
        self.asked: list[str] = []
        self.vehicle = SimpleNamespace(
            getIDList=lambda: tuple(LANES),
            getLaneID=LANES.__getitem__,
            getLanePosition=self._position_m,
            getSpeed=lambda _vehicle_id: 10.0,
            getWaitingTime=lambda _vehicle_id: 0.0,
        )

    def simulationStep(self) -> None:  # noqa: N802 (as libsumo has it)
        """Drive on."""
        self.position_m += 10.0

    def _position_m(self, vehicle_id: str) -> float:
        self.asked.append(vehicle_id)
        return self.position_m


def test_vehicles_are_asked_for_once_a_step_and_only_on_watched_lanes() -> None:
    """Whoever watches other lanes at the same step adds those alone."""
    api = CountingApi()
    simulation = Simulation(cast("Any", api))

    north = simulation.vehicles_by_lane(frozenset({"north_0"}))
    both = simulation.vehicles_by_lane(frozenset({"north_0", "south_0", "empty_0"}))

    assert [vehicle.id for vehicle in north["north_0"]] == ["a", "c"]
    assert {lane: [vehicle.id for vehicle in seen] for lane, seen in both.items()} == {
        "north_0": ["a", "c"],
        "south_0": ["b"],
    }
    assert sorted(api.asked) == ["a", "b", "c"]


def test_after_a_step_vehicles_are_where_they_have_come() -> None:
    """Nothing is remembered beyond the step."""
    simulation = Simulation(cast("Any", CountingApi()))
    watched = frozenset(LANES.values())

    before = simulation.vehicles_by_lane(watched)
    simulation.step()
    after = simulation.vehicles_by_lane(watched)

    assert {vehicle.position_m for seen in before.values() for vehicle in seen} == {0.0}
    assert {vehicle.position_m for seen in after.values() for vehicle in seen} == {10.0}
