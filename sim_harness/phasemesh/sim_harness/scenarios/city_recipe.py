"""What a seed makes of a generated city: every quality drawn from one table of ranges."""

from __future__ import annotations

import zlib
from enum import StrEnum

import msgspec
import numpy as np


class CityKind(StrEnum):
    """The kinds of network, by netgenerate's names."""

    GRID = "grid"
    SPIDER = "spider"
    RANDOM = "rand"


class DemandShape(StrEnum):
    """How demand changes over the window; each shape has a mean of 1."""

    CONSTANT = "constant"
    PEAK = "peak"
    WAVES = "waves"
    SURGE = "surge"
    TIDE = "tide"


class CityRecipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a city is made from; a changed value makes another city.

    `columns` and `rows` are of a grid, `arms` and `circles` of a spider, `roads` counts how often a road is added to a
    random network. Roads are about `block_m` long and of three types, drawn evenly for each direction, with `lanes`
    and `speeds_mps`; ends of grid roads are moved by normal noise of `crooked_m`. Before each junction `pocket_m` of
    a lane for left turns, or none at 0.

    Where `is_signalised` is true every junction that can has a signal, elsewhere only those whose incoming lanes have
    speeds of 70 m/s in sum. `layout`, `left_green_s`, `cycle_s` and `has_permissive_left` are of the programs that
    netgenerate makes, and so of the stages.

    `level` is mean demand over the estimate of what the busiest junction can serve (`city_load`); entrances differ by
    up to `spread` and vehicles turn by `left_share` and `right_share` wherever they may. `shape` tells how demand
    changes, `strength` how much, `phase` when. `truck_share` of the vehicles are trucks.
    """

    seed: int
    attempt: int = 0
    kind: CityKind
    columns: int
    rows: int
    arms: int
    circles: int
    roads: int
    block_m: float
    crooked_m: float
    lanes: tuple[int, int, int]
    speeds_mps: tuple[float, float, float]
    pocket_m: float
    is_signalised: bool
    layout: str
    left_green_s: int
    cycle_s: int
    has_permissive_left: bool
    level: float
    spread: float
    left_share: float
    right_share: float
    shape: DemandShape
    strength: float
    phase: float
    truck_share: float
    window_s: float = 3600.0


class Span(msgspec.Struct, frozen=True):
    """Any value from `low` to `high`, evenly, with so many `digits` behind the comma."""

    low: float
    high: float
    digits: int

    def drawn(self, share: float) -> float:
        """The value at `share` of the way, from 0 up to 1."""
        return round(self.low + share * (self.high - self.low), self.digits)


class Pick(msgspec.Struct, frozen=True):
    """One of `values`, evenly; a value that stands there twice is drawn twice as often."""

    values: tuple[object, ...]

    def drawn(self, share: float) -> object:
        """The value at `share` of the way, from 0 up to 1."""
        return self.values[int(share * len(self.values))]


QUALITIES: dict[str, Span | Pick] = {
    "kind": Pick((CityKind.GRID, CityKind.SPIDER, CityKind.RANDOM, CityKind.RANDOM)),
    "columns": Pick((1, 2, 2, 3, 3, 4, 5)),
    "rows": Pick((1, 1, 2, 2, 3, 4)),
    "arms": Pick((3, 4, 4, 5, 6)),
    "circles": Pick((1, 1, 2, 2, 3)),
    "roads": Pick((6, 8, 10, 14, 18, 24, 30)),
    "block_m": Span(120.0, 350.0, 0),
    "crooked_m": Span(0.0, 15.0, 0),
    "lanes": Pick(((1, 1, 1), (1, 1, 2), (1, 2, 2), (1, 2, 3), (2, 2, 2), (2, 2, 3), (2, 3, 3))),
    "speeds_mps": Pick(((8.33, 11.11, 13.89), (11.11, 13.89, 13.89), (13.89, 13.89, 13.89), (11.11, 13.89, 16.67))),
    "pocket_m": Pick((0.0, 0.0, 30.0, 50.0, 70.0)),
    "is_signalised": Pick((True, True, True, False)),
    "layout": Pick(("opposites", "opposites", "opposites", "incoming")),
    "left_green_s": Pick((0, 6, 6, 10)),
    "cycle_s": Pick((60, 75, 90, 90, 105, 120)),
    "has_permissive_left": Pick((True, True, False)),
    "level": Span(0.15, 1.3, 3),
    "spread": Span(0.1, 0.8, 2),
    "left_share": Span(0.05, 0.35, 2),
    "right_share": Span(0.05, 0.35, 2),
    "shape": Pick(tuple(DemandShape)),
    "strength": Span(0.2, 0.9, 2),
    "phase": Span(0.0, 1.0, 2),
    "truck_share": Pick((0.0, 0.0, 0.03, 0.06, 0.1)),
}
"""The range of every quality. Each is drawn for itself, from the seed and its name, so that a range that is changed or
added changes nothing else."""


def city_recipe(seed: int, attempt: int = 0) -> CityRecipe:
    """What `seed` gives; a further `attempt` is drawn anew, for where SUMO can make nothing of the one before."""
    drawn = {name: quality.drawn(_share(seed, attempt, name)) for name, quality in QUALITIES.items()}
    return msgspec.convert({"seed": seed, "attempt": attempt, **drawn}, CityRecipe)


def _share(seed: int, attempt: int, name: str) -> float:
    return float(np.random.default_rng((seed, attempt, zlib.crc32(name.encode()))).random())
