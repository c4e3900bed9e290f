"""The shape of a city as padded arrays, so that all its intersections are computed at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from phasemesh.contract.intersection import Intersection
from phasemesh.contract.observation import FloatArray, stage_lanes
from phasemesh.contract.units import IntersectionId

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Layout(msgspec.Struct, frozen=True):
    """What never changes in a city of A agents, padded to its widest: L lanes, S stages, K neighbours.

    `stage_lanes` [A, S, L, 2], `has_lane` [A, L], `has_stage` [A, S], `has_neighbour` [A, K]; `neighbours` [A, K] are
    positions of agents in the order of each intersection's own list, 0 where there is none. `hops` [A, A] counts the
    steps from neighbour to neighbour, -1 where there is no way.
    """

    names: tuple[IntersectionId, ...]
    stage_lanes: FloatArray
    has_lane: BoolArray
    has_stage: BoolArray
    has_neighbour: BoolArray
    neighbours: IntArray
    hops: IntArray


def layout_of(intersections: Sequence[Intersection]) -> Layout:
    """The layout of a city whose agents stand in the order of `intersections`."""
    position = {each.id: index for index, each in enumerate(intersections)}
    known = [[position[name] for name in each.neighbours] for each in intersections]
    neighbours, has_neighbour = _padded_rows(known, max(1, *map(len, known)))
    lanes = max(len(each.lanes) for each in intersections)
    stages = max(len(each.stages) for each in intersections)
    return Layout(
        names=tuple(position),
        stage_lanes=np.stack([_padded_shares(stage_lanes(each), stages, lanes) for each in intersections]),
        has_lane=np.array([np.arange(lanes) < len(each.lanes) for each in intersections]),
        has_stage=np.array([np.arange(stages) < len(each.stages) for each in intersections]),
        has_neighbour=has_neighbour,
        neighbours=neighbours,
        hops=hops_between(known),
    )


def _padded_rows(rows: Sequence[Sequence[int]], width: int) -> tuple[IntArray, BoolArray]:
    """`rows` filled up with zeros to `width`, and where they hold something."""
    padded = np.zeros((len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded, np.array([np.arange(width) < len(row) for row in rows])


def _padded_shares(shares: FloatArray, stages: int, lanes: int) -> FloatArray:
    return np.pad(shares, ((0, stages - shares.shape[0]), (0, lanes - shares.shape[1]), (0, 0)))


def hops_between(neighbours: Sequence[Sequence[int]]) -> IntArray:
    """Steps from each agent to each other along `neighbours`, [A, A]; -1 where there is no way."""
    hops = np.full((len(neighbours), len(neighbours)), -1, dtype=np.int64)
    for start in range(len(neighbours)):
        hops[start, start] = 0
        waiting = deque([start])
        while waiting:
            here = waiting.popleft()
            for there in neighbours[here]:
                if hops[start, there] < 0:
                    hops[start, there] = hops[start, here] + 1
                    waiting.append(there)
    return hops
