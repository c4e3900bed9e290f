"""The queue city: a plain simulation of single vehicles agrees with it, nothing is lost, and demand is what it says."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.eight_stages import MOVEMENTS, eight_stage_crossing
from phasemesh.sim_harness.grid_demand import CHUNK_STEPS, GridDemand
from phasemesh.sim_harness.grid_roads import LEAVES, PATTERNS, grid_roads, lane_of
from phasemesh.sim_harness.queue_city import FIRST_CAPACITY_VEH, QueueCity, QueueRules

LIGHT = QueueRules(arrivals_veh=(1.0, 1.0, 2.0, 1.4))


class PlainCity:
    """One city, vehicle by vehicle, written apart from the arrays: a deque a lane, a list of travellers."""

    def __init__(self, side: int, seed: int, rules: QueueRules) -> None:
        self.rules, self.roads = rules, grid_roads(side)
        self.demand = GridDemand(self.roads, [seed], rules.arrivals_veh, rules.arrival_window_steps)
        self.lanes = [deque[int]() for _lane in self.roads.target]
        self.travellers: list[tuple[int, int, int, int]] = []
        self.arrived = self.waited = self.now = 0

    def step(self, stages: list[int]) -> None:
        """One step under `stages`."""
        served = eight_stage_crossing().stages
        leaving = []
        for lane, queue in enumerate(self.lanes):
            if lane % MOVEMENTS in served[stages[lane // MOVEMENTS]].served:
                count = min(len(queue), self.rules.discharge_veh)
                leaving += [(lane, queue.popleft(), order) for order in range(count)]
        self.waited += sum(len(queue) for queue in self.lanes)
        here = sorted(each for each in self.travellers if each[0] == self.now)
        self.travellers = [each for each in self.travellers if each[0] != self.now]
        for _at, _order, road_and_turn, code in here:
            self._join(road_and_turn // 3, code)
        for roads, codes in self.demand.at(self.now):
            for road, code in zip(roads.tolist(), codes.tolist(), strict=True):
                self._join(road, code)
        for lane, code, order in leaving:
            target = int(self.roads.target[lane])
            if target == LEAVES:
                self.arrived += 1
            else:
                place = (self.now + self.rules.travel_steps, order * 3 + lane % 3, target * 3, code)
                self.travellers.append(place)
        self.now += 1

    def _join(self, road: int, code: int) -> None:
        self.lanes[road * 3 + int(self.roads.turns[road, code])].append(code)


@pytest.mark.parametrize(("side", "discharge", "travel"), [(1, 1, 10), (2, 1, 3), (3, 1, 10), (3, 2, 1), (3, 3, 4)])
def test_a_simulation_of_single_vehicles_agrees_at_every_step(side: int, discharge: int, travel: int) -> None:
    """Counts, arrivals and waiting are those of deques, whatever v* and the travel time."""
    rules = QueueRules(discharge_veh=discharge, travel_steps=travel)
    city, plain = QueueCity(side, [7], rules), PlainCity(side, 7, rules)
    rng = np.random.default_rng(1)
    for step in range(250):
        if step % 10 == 0:
            stages = rng.integers(0, 8, (1, side * side))
        city.advance(stages, 1)
        plain.step(stages[0].tolist())

        assert city.counts().ravel().tolist() == [len(queue) for queue in plain.lanes]
        assert city.arrived()[0] == plain.arrived
        assert city.waited_veh_steps[0] == plain.waited
        assert city.in_network()[0] == len(plain.travellers) + sum(len(queue) for queue in plain.lanes)


@settings(max_examples=15, deadline=None)
@given(side=st.integers(1, 5), seed=st.integers(0, 10_000), travel=st.integers(1, 12), discharge=st.integers(1, 3))
def test_d14_no_vehicle_is_lost_or_made(side: int, seed: int, travel: int, discharge: int) -> None:
    """Vehicles in = in the network + arrived, at every step, in every city."""
    city = QueueCity(side, [seed, seed + 1], QueueRules(travel_steps=travel, discharge_veh=discharge))
    rng = np.random.default_rng(seed)
    for _step in range(60):
        city.advance(rng.integers(0, 8, (2, side * side)), 1)

        assert (city.entered() == city.in_network() + city.arrived()).all()
        assert city.counts().min() >= 0


def test_d14_a_queue_that_outgrows_its_room_loses_nobody() -> None:
    """Beyond the first room for a lane vehicles still wait in order and leave in order."""
    rules = QueueRules(arrivals_veh=(200.0, 0.0, 0.0, 0.0))
    city, plain = QueueCity(1, [3], rules), PlainCity(1, 3, rules)
    for stage, steps in ((2, 80), (0, 150), (1, 200)):
        for _step in range(steps):
            city.advance(np.array([[stage]]), 1)
            plain.step([stage])

    assert city.counts().max() > FIRST_CAPACITY_VEH
    assert city.counts().ravel().tolist() == [len(queue) for queue in plain.lanes]
    assert city.arrived()[0] == plain.arrived


def test_d15_arrivals_are_poisson_with_the_given_means() -> None:
    """Mean and variance over intervals lie within three standard errors of lambda * window, for each direction."""
    roads, means = grid_roads(1), (5.0, 5.0, 10.0, 7.0)
    demand = GridDemand(roads, range(40), means, 10.0)
    intervals = 100
    counts = np.zeros((intervals, 40, 4))
    for step in range(10 * intervals):
        for roads_of_round, _codes in demand.at(step):
            np.add.at(counts[step // 10], (roads_of_round // 4, roads_of_round % 4), 1)
    size = intervals * 40

    for direction, mean in enumerate(means):
        drawn = counts[:, :, direction]
        assert abs(drawn.mean() - mean) <= 3 * np.sqrt(mean / size)
        # The variance of a sample variance of Poisson counts: (mu4 - sigma^4) / n = (mean + 2 mean^2) / n.
        assert abs(drawn.var() - mean) <= 3 * np.sqrt((mean + 2 * mean**2) / size)


def test_d15_destinations_are_uniform_over_the_other_fringe_nodes() -> None:
    """Nobody goes where it came from; the rest is chosen alike, within four standard errors."""
    roads = grid_roads(2)
    demand = GridDemand(roads, [5], (5.0, 5.0, 5.0, 5.0), 10.0)
    node_of_road = {int(4 * crossing + side): node for node, (crossing, side) in enumerate(roads.fringe)}
    trips = np.zeros((8, 8))
    for step in range(4000):
        for at, codes in demand.at(step):
            for road, code in zip(at.tolist(), codes.tolist(), strict=True):
                trips[node_of_road[road], code // PATTERNS] += 1

    assert np.trace(trips) == 0
    expected = trips.sum(axis=1, keepdims=True) / 7
    off_diagonal = ~np.eye(8, dtype=bool)
    assert (np.abs(trips - expected)[off_diagonal] <= 4 * np.sqrt(np.repeat(expected, 8, 1))[off_diagonal]).all()


@pytest.mark.parametrize("side", [1, 2, 3, 5])
def test_every_way_is_a_shortest_one(side: int) -> None:
    """From any fringe node to any other, by any pattern, crossings passed = distance in the grid + 1."""
    roads = grid_roads(side)
    for origin, (start, came_from) in enumerate(roads.fringe.tolist()):
        for end, (goal, exit_side) in enumerate(roads.fringe.tolist()):
            for pattern in range(PATTERNS) if origin != end else ():
                road, passed = 4 * start + came_from, 1
                while (after := roads.target[lane := 3 * road + roads.turns[road, end * PATTERNS + pattern]]) != LEAVES:
                    road, passed = int(after), passed + 1
                rows, columns = abs(start // side - goal // side), abs(start % side - goal % side)
                assert passed == rows + columns + 1
                assert lane == lane_of(goal, (exit_side - 1 - lane % 3) % 4, lane % 3)


def test_ties_are_broken_both_ways() -> None:
    """Vehicles between opposite corners do not all take the same way."""
    roads = grid_roads(3)
    node = roads.fringe.tolist().index([8, 3])
    choices = roads.turns[4 * 0 + 2, node * PATTERNS : (node + 1) * PATTERNS]

    assert len(set(choices.tolist())) == 2


def test_a_city_does_not_depend_on_its_company() -> None:
    """The traffic of a seed is the same alone and among others."""
    alone, together = QueueCity(3, [4], LIGHT), QueueCity(3, [9, 4, 2], LIGHT)
    rng = np.random.default_rng(0)
    for _interval in range(2 * CHUNK_STEPS // 10 + 1):
        stages = rng.integers(0, 8, (1, 9))
        alone.advance(stages)
        together.advance(np.repeat(stages, 3, axis=0))

    assert (alone.counts()[0] == together.counts()[1]).all()
    assert alone.arrived()[0] == together.arrived()[1] > 0
    assert alone.waited_veh_steps[0] == together.waited_veh_steps[1]


def test_demand_is_handed_out_in_order_and_once() -> None:
    """Asking for a step again or skipping one is a mistake of the program."""
    demand = GridDemand(grid_roads(1), [1], (1.0, 1.0, 1.0, 1.0), 10.0)
    demand.at(0)

    with pytest.raises(ValueError, match="comes next"):
        demand.at(0)


@pytest.mark.parametrize(
    "rules", [{"travel_steps": 0}, {"discharge_veh": 0}, {"arrivals_veh": (-1.0, 0, 0, 0)}, {"arrival_window_steps": 0}]
)
def test_numbers_that_make_no_network_are_refused(rules: dict[str, object]) -> None:
    """One line that says what was given."""
    with pytest.raises(InputError, match="queue city"):
        QueueRules(**rules)


@pytest.mark.parametrize("stages", [np.zeros((1, 3), dtype=int), np.full((2, 1), 8), np.full((2, 1), -1)])
def test_stages_that_do_not_exist_are_refused(stages: np.ndarray) -> None:
    """A wrong shape and a ninth stage."""
    with pytest.raises(InputError, match="stages"):
        QueueCity(1, [1, 2]).advance(stages)


def test_no_city_is_refused() -> None:
    """At least one crossing and one seed."""
    with pytest.raises(InputError, match="at least 1"):
        QueueCity(1, [])
