"""The road grid of the dual-memory paper: crossings in a square, fringe nodes around it, shortest ways between these.

Crossing i stands in row i // n from the north and column i % n from the west. A road leads to a crossing from one of
the four directions and has a lane a turn; lane (crossing, direction, turn) is 12 crossing + 3 direction + turn. A
fringe node lies wherever a crossing has no neighbour. Source: DMIL, section III.
"""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasemesh.sim_harness.eight_stages import DIRECTIONS, TURN_COUNT

_SIDES = len(DIRECTIONS)
_STEP_OF_SIDE = ((0, 1), (-1, 0), (0, -1), (1, 0))
"""The neighbour's row and column to the E, N, W and S."""
PATTERNS = 8
"""Ways to break ties between shortest ways; each vehicle draws one when it enters."""
LEAVES = -1


class GridRoads(msgspec.Struct, frozen=True):
    """The grid as tables of numbers.

    `fringe` [F, 2] are crossing and side of each fringe node, whose road is 4 crossing + side. `target` [lanes] is the
    road that a lane leads to, or `LEAVES`. `turns` [roads, F * PATTERNS] is the turn that a vehicle with the code
    destination * PATTERNS + pattern takes at the end of a road.
    """

    side: int
    fringe: NDArray[np.int64]
    target: NDArray[np.int64]
    turns: NDArray[np.int64]

    @property
    def crossings(self) -> int:
        """How many crossings there are."""
        return self.side * self.side


@cache
def grid_roads(side: int) -> GridRoads:
    """The grid of `side` by `side` crossings; ties between shortest ways are broken by a fixed seed."""
    crossings = range(side * side)
    fringe = [(i, x) for i in crossings for x in range(_SIDES) if _neighbour(side, i, x) is None]
    target = [
        _road_after(side, i, (d + turn + 1) % _SIDES) for i in crossings for d in range(_SIDES) for turn in range(3)
    ]
    return GridRoads(side=side, fringe=np.array(fringe), target=np.array(target), turns=_turns(side, np.array(fringe)))


def _neighbour(side: int, crossing: int, towards: int) -> int | None:
    row, column = crossing // side + _STEP_OF_SIDE[towards][0], crossing % side + _STEP_OF_SIDE[towards][1]
    return row * side + column if 0 <= row < side and 0 <= column < side else None


def _road_after(side: int, crossing: int, towards: int) -> int:
    """The road that begins where a crossing is left `towards` a side; its own direction is the opposite one."""
    there = _neighbour(side, crossing, towards)
    return LEAVES if there is None else _SIDES * there + (towards + 2) % _SIDES


def _turns(side: int, fringe: NDArray[np.int64]) -> NDArray[np.int64]:
    rng = np.random.default_rng(side)
    roads = [(i, d) for i in range(side * side) for d in range(_SIDES)]
    turns = np.zeros((len(roads), len(fringe), PATTERNS), dtype=np.int64)
    for road, (crossing, direction) in enumerate(roads):
        for number, (end, exit_side) in enumerate(fringe.tolist()):
            sides = _ways(side, crossing, end) or [exit_side]
            drawn = rng.integers(0, len(sides), PATTERNS)
            # Turning back is never on a shortest way, so what would be one belongs to no vehicle and may be anything.
            turns[road, number] = [max((sides[each] - direction) % _SIDES - 1, 0) for each in drawn]
    return turns.reshape(len(roads), -1)


def _ways(side: int, crossing: int, end: int) -> list[int]:
    """The sides by which a shortest way from `crossing` to the crossing `end` may leave; none where it is there."""
    south, east = end // side - crossing // side, end % side - crossing % side
    wanted = ((0, east > 0), (1, south < 0), (2, east < 0), (3, south > 0))
    return [towards for towards, is_on_the_way in wanted if is_on_the_way]


def lane_of(crossing: int, direction: int, turn: int) -> int:
    """The number of a lane within its city."""
    return (crossing * _SIDES + direction) * TURN_COUNT + turn
