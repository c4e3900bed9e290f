"""Poisson arrivals at the fringe of a road grid, with destinations and ways; each city's depend on its seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from phasemesh.sim_harness.grid_roads import PATTERNS, GridRoads

CHUNK_STEPS = 200
"""Steps that are drawn at once; part of what a seed means."""

Round = tuple[NDArray[np.int64], NDArray[np.uint16]]
"""Roads, each at most once, and the codes of the vehicles that enter there."""


class GridDemand:
    """What enters all cities, step by step. `entered` [cities] counts what was handed out."""

    def __init__(
        self, roads: GridRoads, seeds: Sequence[int], arrivals_veh: tuple[float, ...], window_steps: float
    ) -> None:
        self._roads = roads
        self._rngs = [np.random.default_rng(seed) for seed in seeds]
        self._means = np.array(arrivals_veh)[roads.fringe[:, 1]] / window_steps
        self._rounds: list[tuple[Round, ...]] = []
        self._entered: NDArray[np.int64] = np.zeros((0, len(seeds)), dtype=np.int64)
        self._next = 0
        self.entered = np.zeros(len(seeds), dtype=np.int64)

    def at(self, step: int) -> tuple[Round, ...]:
        """The vehicles of `step`, which is asked once and in order, in rounds of one vehicle a road."""
        if self._next != step:
            raise ValueError(f"step {step} was asked, {self._next} comes next")
        place = step % CHUNK_STEPS
        if place == 0:
            self._draw()
        self._next += 1
        self.entered += self._entered[place]
        return self._rounds[place]

    def _draw(self) -> None:
        """Draw the next chunk of every city."""
        counts = np.stack([rng.poisson(self._means, (CHUNK_STEPS, len(self._means))) for rng in self._rngs])
        self._entered = counts.sum(axis=2).T
        city, step, node, rank = _spread(counts)
        of_cities = np.split(node, np.cumsum(counts.sum(axis=(1, 2)))[:-1])
        codes = [self._codes(rng, origins) for rng, origins in zip(self._rngs, of_cities, strict=True)]
        roads = (self._roads.fringe[:, 0] * 4 + self._roads.fringe[:, 1])[node] + city * len(self._roads.turns)
        depth = int(counts.max(initial=0)) + 1
        turn = (step * depth + rank).astype(np.uint16)
        order = np.argsort(turn, kind="stable")
        self._rounds = _rounds(roads[order], np.concatenate(codes)[order].astype(np.uint16), turn[order], depth)

    def _codes(self, rng: np.random.Generator, origins: NDArray[np.int64]) -> NDArray[np.int64]:
        """Destinations, uniform over all fringe nodes but the own one, with a pattern each."""
        nodes = rng.integers(0, len(self._means) - 1, len(origins))
        return (nodes + (nodes >= origins)) * PATTERNS + rng.integers(0, PATTERNS, len(origins))


def _rounds(
    roads: NDArray[np.int64], codes: NDArray[np.uint16], turn: NDArray[np.uint16], depth: int
) -> list[tuple[Round, ...]]:
    """The vehicles, sorted by `turn` = step * depth + rank, as rounds a step; rounds without any are left out."""
    bounds = np.searchsorted(turn, np.arange(CHUNK_STEPS * depth + 1)).tolist()
    parts = [(roads[low:high], codes[low:high]) for low, high in pairwise(bounds)]
    return [
        tuple(part for part in parts[step * depth : (step + 1) * depth] if len(part[0])) for step in range(CHUNK_STEPS)
    ]


def _spread(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """City, step, fringe node and rank of every single vehicle of counts [cities, steps, nodes], city by city."""
    flat = counts.ravel()
    cell = np.repeat(np.arange(len(flat)), flat)
    first = np.cumsum(flat) - flat
    rank = np.arange(len(cell)) - first[cell]
    city, rest = np.divmod(cell, counts.shape[1] * counts.shape[2])
    step, node = np.divmod(rest, counts.shape[2])
    return city, step, node, rank
