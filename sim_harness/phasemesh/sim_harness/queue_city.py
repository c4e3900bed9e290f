"""The discrete queue network of the dual-memory paper, many cities at once.

Every step each lane that its crossing's stage serves lets min(queue, v*) vehicles go, first come, first served; they
reach the next crossing's lane for their own next turn after the travel time, or leave the city. New vehicles come as a
Poisson process at every fringe node and go to another one on a shortest way. Queues have no limit. The transition is
x(t+1) = x(t) - served * min(x(t), v*) + arrivals(t); the paper prints another sign. Source: DMIL, sections III and VI.

All cities are arrays of one set of numpy calls; the traffic of a city depends on its seed alone, never on its company.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.eight_stages import MOVEMENTS, STAGE_TABLE, TURN_COUNT, eight_stage_crossing
from phasemesh.sim_harness.grid_demand import GridDemand
from phasemesh.sim_harness.grid_roads import LEAVES, GridRoads, grid_roads

Numbers = NDArray[np.int64]
FIRST_CAPACITY_VEH = 256
"""How many vehicles a lane has room for at first; the room doubles when a queue comes near."""
_SERVED = np.array([[index in stage.served for index in range(MOVEMENTS)] for stage in eight_stage_crossing().stages])


class QueueRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of the network, in steps and vehicles; raises InputError for those that make no network.

    `arrivals_veh` are means for E, N, W and S over `arrival_window_steps`, at each fringe node of that side. The paper
    gives neither the discharge v*, the travel time nor the window; with a window of one interval a single crossing is
    slightly oversaturated, as the paper's thresholds suggest.
    """

    interval_steps: int = 10
    travel_steps: int = 10
    discharge_veh: int = 1
    arrivals_veh: tuple[float, float, float, float] = (5.0, 5.0, 10.0, 7.0)
    arrival_window_steps: float = 10.0

    def __post_init__(self) -> None:
        least = min(self.interval_steps, self.travel_steps, self.discharge_veh)
        if least < 1 or min(self.arrivals_veh) < 0 or not self.arrival_window_steps > 0:
            raise InputError(f"queue city: {self} needs times and discharge of at least 1 and arrivals of at least 0")


class QueueCity:
    """Cities of one size, one a seed. Times are whole steps; a vehicle is a code of destination and way.

    Lanes hold their vehicles in rings: `_head` and `_tail` [lanes of all cities] count those that ever left and came.
    `_travelling` [travel, discharge, 3 * roads + 1] are codes + 1 by the step of their arrival; three lanes lead into a
    road, one a turn, and the last cell takes what leaves the city.
    """

    def __init__(self, side: int, seeds: Sequence[int], rules: QueueRules | None = None) -> None:
        if side < 1 or not seeds:
            raise InputError(f"queue city: a grid of {side} with {len(seeds)} seeds; both must be at least 1")
        self.rules = rules or QueueRules()
        self.roads: GridRoads = grid_roads(side)
        self.cities = len(seeds)
        self.now = 0
        self.waited_veh_steps = np.zeros(self.cities, dtype=np.int64)
        self._demand = GridDemand(self.roads, seeds, self.rules.arrivals_veh, self.rules.arrival_window_steps)
        lanes, roads = self.cities * len(self.roads.target), self.cities * len(self.roads.turns)
        self._head, self._tail = np.zeros(lanes, dtype=np.int32), np.zeros(lanes, dtype=np.int32)
        self._ring = np.zeros(lanes * FIRST_CAPACITY_VEH, dtype=np.uint16)
        self._capacity = FIRST_CAPACITY_VEH
        shape = (self.rules.travel_steps, self.rules.discharge_veh, TURN_COUNT * roads + 1)
        self._travelling = np.zeros(shape, dtype=np.uint16)
        self._slot = _slots(self.roads, self.cities)
        self._turns = self.roads.turns.ravel().astype(np.uint8)
        self._first_turn = np.tile(np.arange(len(self.roads.turns)) * self.roads.turns.shape[1], self.cities)
        self._leaving = np.flatnonzero(self.roads.target == LEAVES)

    def counts(self) -> Numbers:
        """Vehicles that wait, [cities, crossings, 12]."""
        waiting = (self._tail - self._head).astype(np.int64)
        return waiting.reshape(self.cities, self.roads.crossings, MOVEMENTS)

    def arrived(self) -> Numbers:
        """Vehicles that have left at their destination so far (the paper's V_c), [cities]."""
        return np.asarray(self._head.reshape(self.cities, -1)[:, self._leaving].sum(axis=1, dtype=np.int64))

    def entered(self) -> Numbers:
        """Vehicles that came into the city so far, [cities]."""
        return self._demand.entered.copy()

    def in_network(self) -> Numbers:
        """Vehicles that wait or travel, [cities]."""
        travelling = self._travelling[:, :, :-1].reshape(-1, TURN_COUNT, self.cities, len(self.roads.turns))
        on_the_road: Numbers = np.count_nonzero(travelling, axis=(0, 1, 3))
        return np.asarray(on_the_road + self.counts().sum(axis=(1, 2)))

    def advance(self, stages: Numbers, steps: int | None = None) -> None:
        """Show `stages` [cities, crossings] for one interval, or for so many steps."""
        if stages.shape != (self.cities, self.roads.crossings):
            raise InputError(f"queue city: stages of {stages.shape}, there are {(self.cities, self.roads.crossings)}")
        if stages.min() < 0 or stages.max() >= len(STAGE_TABLE):
            raise InputError(f"queue city: stages must be 0 to {len(STAGE_TABLE) - 1}")
        served = _SERVED[stages].ravel()
        for _step in range(self.rules.interval_steps if steps is None else steps):
            self._step(served)

    def _step(self, served: NDArray[np.bool_]) -> None:
        waiting = self._tail - self._head
        travelling = self._travelling[self.now % self.rules.travel_steps]
        rounds = self._demand.at(self.now)
        if int(waiting.max()) + travelling.shape[0] * TURN_COUNT + len(rounds) > self._capacity:
            self._make_room()
        arriving = [self._arriving(row, turn) for row in travelling for turn in range(TURN_COUNT)]
        travelling.fill(0)
        for row in travelling:
            gone = served & (waiting > 0)
            waiting -= gone
            self._let_go(gone.nonzero()[0], row)
        self.waited_veh_steps += waiting.reshape(self.cities, -1).sum(axis=1, dtype=np.int64)
        for roads, codes in (*arriving, *rounds):
            self._queue_up(roads, codes)
        self.now += 1

    def _arriving(self, row: NDArray[np.uint16], turn: int) -> tuple[Numbers, NDArray[np.uint16]]:
        """Roads that a vehicle reaches which took `turn` at the crossing before, each at most once, and the codes."""
        size = len(self._first_turn)
        cells = row[turn * size : (turn + 1) * size]
        roads = cells.nonzero()[0]
        return roads, cells.take(roads) - np.uint16(1)

    def _let_go(self, lanes: Numbers, row: NDArray[np.uint16]) -> None:
        """The first vehicle of each of `lanes` sets out; `row` takes it."""
        first = self._head.take(lanes)
        codes = self._ring.take(lanes * self._capacity + (first & (self._capacity - 1)))
        row[self._slot.take(lanes)] = codes + np.uint16(1)
        self._head[lanes] = first + 1

    def _queue_up(self, roads: Numbers, codes: NDArray[np.uint16]) -> None:
        """One vehicle on each of `roads`, which differ, joins the lane of its next turn."""
        lanes = roads * TURN_COUNT + self._turns.take(self._first_turn.take(roads) + codes)
        last = self._tail.take(lanes)
        self._ring[lanes * self._capacity + (last & (self._capacity - 1))] = codes
        self._tail[lanes] = last + 1

    def _make_room(self) -> None:
        """Double the room of every lane; vehicles keep their order."""
        places: Numbers = self._head[:, None].astype(np.int64) + np.arange(self._capacity)
        lanes = np.arange(len(self._head))[:, None]
        old = self._ring.reshape(len(self._head), self._capacity)
        new = np.zeros((len(self._head), 2 * self._capacity), dtype=np.uint16)
        new[lanes, places & (2 * self._capacity - 1)] = old[lanes, places & (self._capacity - 1)]
        self._ring, self._capacity = new.ravel(), 2 * self._capacity


def _slots(roads: GridRoads, cities: int) -> Numbers:
    """For each lane of all cities the cell of the road that it leads to, as in `QueueCity`; the last cell for none."""
    count = len(roads.turns)
    city, lane = np.divmod(np.arange(cities * len(roads.target)), len(roads.target))
    target = roads.target[lane]
    cell = (lane % TURN_COUNT) * count * cities + city * count + target
    return np.where(target == LEAVES, TURN_COUNT * count * cities, cell)
