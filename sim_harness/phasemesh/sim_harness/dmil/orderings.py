"""What the dual-memory paper claims of its table II, and whether it holds here, paired over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
import numpy as np

from phasemesh.controller.memory.equivalence import Abstraction
from phasemesh.controller.memory.rewards import RewardKind
from phasemesh.controller.memory.variants import TableKind, Variant
from phasemesh.sim_harness.dmil.cells import Cell

SIDES = (1, 3, 5)
ERRORS = 2.0
"""Standard errors of the mean difference beyond which an ordering is decided."""
COLUMNS: dict[str, tuple[TableKind, Abstraction, bool]] = {
    "No memory": (TableKind.SARSA, Abstraction.NONE, False),
    "Simple": (TableKind.DUAL, Abstraction.SIMPLE, False),
    "Complex": (TableKind.DUAL, Abstraction.COMPLEX, False),
    "Complex + communication": (TableKind.DUAL, Abstraction.COMPLEX, True),
}
"""The columns of the paper's table II."""

_D, _E, _F = RewardKind.DEFAULT, RewardKind.ENTROPY, RewardKind.DIFFUSION
PAPER_W: dict[tuple[int, RewardKind], tuple[tuple[float, float], ...]] = {
    (1, _D): ((0.21, 0.1), (0.24, 0.1), (0.29, 0.1)),
    (1, _E): ((0.14, 0.1), (0.16, 0.1), (0.17, 0.1)),
    (1, _F): ((0.14, 0.1), (0.16, 0.1), (0.17, 0.1)),
    (3, _D): ((0.19, 0.1), (0.16, 0.03), (0.24, 0.05), (0.25, 0.05)),
    (3, _E): ((0.10, 0.02), (0.08, 0.01), (0.08, 0.01), (0.08, 0.01)),
    (3, _F): ((0.10, 0.02), (0.08, 0.01), (0.08, 0.01), (0.08, 0.01)),
    (5, _D): ((0.17, 0.04), (0.16, 0.03), (0.26, 0.04), (0.24, 0.04)),
    (5, _E): ((0.08, 0.01), (0.05, 0.004), (0.06, 0.004), (0.06, 0.003)),
    (5, _F): ((0.08, 0.01), (0.05, 0.004), (0.06, 0.004), (0.06, 0.003)),
}
"""Mean and standard deviation of W by grid and reward, in the order of `COLUMNS`; one crossing has no communication."""

Cells = Mapping[tuple[str, int], Cell]
"""Cells by name of the variant and side of the grid."""


class Verdict(StrEnum):
    """What the seeds say of an ordering."""

    HOLDS = "holds"
    FAILS = "does not hold"
    OPEN = "undecided"


class Ordering(msgspec.Struct, frozen=True):
    """A claim, what was measured for it, and the verdict."""

    claim: str
    measured: str
    verdict: Verdict


def column_variant(column: str, reward: RewardKind) -> Variant:
    """The variant of a column of table II."""
    kind, abstraction, is_communicating = COLUMNS[column]
    return Variant(kind, abstraction, reward, is_communicating)


def cell_of(cells: Cells, column: str, reward: RewardKind, side: int) -> Cell:
    """The cell of a place in table II."""
    return cells[column_variant(column, reward).name, side]


def orderings(cells: Cells) -> list[Ordering]:
    """Every claim of the paper that its table II makes or contradicts."""
    found = [_memory_costs(cells, reward, pair) for reward in RewardKind for pair in _PAIRS_OF_ONE]
    found += [
        _less(cells, ("Simple", reward), ("No memory", reward), side) for side in SIDES[1:] for reward in RewardKind
    ]
    found += [
        _less(cells, (column, reward), (column, _D), side)
        for side in SIDES
        for reward in (_E, _F)
        for column in columns_of(side)
    ]
    found += [_twice_as_many(cells, reward) for reward in (_E, _F)]
    found += [_flatter(cells, column, side) for side in SIDES for column in ("Simple", "Complex")]
    found += [_close(cells, column, side) for side in SIDES for column in columns_of(side)]
    found += [_smaller_together(cells, side) for side in SIDES[1:]]
    found.append(_less(cells, ("Complex", _D), ("Complex + communication", _D), 3))
    found.append(_less(cells, ("Complex + communication", _D), ("Complex", _D), 5))
    return found


_PAIRS_OF_ONE = (("No memory", "Simple"), ("Simple", "Complex"))


def columns_of(side: int) -> tuple[str, ...]:
    """The columns of table II for a grid; one crossing has nobody to communicate with."""
    return tuple(COLUMNS)[: len(PAPER_W[side, _D])]


def _less(cells: Cells, first: tuple[str, RewardKind], second: tuple[str, RewardKind], side: int) -> Ordering:
    """W of `first` below that of `second`."""
    one, two = cell_of(cells, *first, side), cell_of(cells, *second, side)
    return _judged(f"{side}x{side}: W({_said(first)}) < W({_said(second)})", one.waiting, two.waiting)


def _memory_costs(cells: Cells, reward: RewardKind, pair: tuple[str, str]) -> Ordering:
    one, two = (cell_of(cells, column, reward, 1) for column in pair)
    claim = f"1x1: W({_said((pair[0], reward))}) <= W({_said((pair[1], reward))})"
    return _judged(claim, one.waiting, two.waiting)


def _said(place: tuple[str, RewardKind]) -> str:
    return f"{place[0].lower()}, {place[1]}"


def _judged(claim: str, low: Sequence[float], high: Sequence[float]) -> Ordering:
    gaps = np.array(high) - np.array(low)
    error = float(gaps.std(ddof=1)) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.inf
    gap = float(gaps.mean())
    verdict = Verdict.OPEN if abs(gap) <= ERRORS * error else Verdict.HOLDS if gap > 0 else Verdict.FAILS
    return Ordering(claim, f"{np.mean(low):.3f} and {np.mean(high):.3f}, gap {gap:+.4f} ± {error:.4f}", verdict)


def _twice_as_many(cells: Cells, reward: RewardKind) -> Ordering:
    gains = [
        float(np.mean(cell_of(cells, column, reward, 5).arrived_veh))
        / float(np.mean(cell_of(cells, column, _D, 5).arrived_veh))
        for column in COLUMNS
    ]
    measured = ", ".join(f"{column.lower()} {gain - 1:+.0%}" for column, gain in zip(COLUMNS, gains, strict=True))
    verdict = Verdict.HOLDS if max(gains) > 2 else Verdict.FAILS
    return Ordering(f"5x5: more than +100 % arrivals with {reward} against default", measured, verdict)


def _flatter(cells: Cells, column: str, side: int) -> Ordering:
    """The keys that a dual memory adds in the test against those of the plain table, over rewards."""
    grown = [
        sum(_grown(cell_of(cells, name, reward, side)) for reward in RewardKind) / 3 for name in (column, "No memory")
    ]
    verdict = Verdict.HOLDS if grown[0] < grown[1] else Verdict.FAILS
    claim = f"{side}x{side}: memory of {column.lower()} grows slower than the table of SARSA"
    return Ordering(claim, f"{grown[0]:.1f} and {grown[1]:.1f} keys a crossing", verdict)


def _smaller_together(cells: Cells, side: int) -> Ordering:
    """The paper says that communication reduces memory; an exchange hands out the union of all keys."""
    grown = [
        float(np.mean([_grown(cell_of(cells, column, reward, side)) for reward in RewardKind]))
        for column in ("Complex + communication", "Complex")
    ]
    verdict = Verdict.HOLDS if grown[0] < grown[1] else Verdict.FAILS
    claim = f"{side}x{side}: memory of complex grows slower with communication"
    return Ordering(claim, f"{grown[0]:.1f} and {grown[1]:.1f} keys a crossing", verdict)


def _grown(cell: Cell) -> float:
    return cell.series.keys[-1] - cell.keys_before


def _close(cells: Cells, column: str, side: int) -> Ordering:
    """Entropy and diffusion within one standard deviation of the seeds."""
    one, two = (np.array(cell_of(cells, column, reward, side).waiting) for reward in (_E, _F))
    verdict = Verdict.HOLDS if abs(one.mean() - two.mean()) <= max(one.std(), two.std()) else Verdict.FAILS
    claim = f"{side}x{side}: entropy and diffusion are close, {column.lower()}"
    return Ordering(claim, f"{one.mean():.3f} and {two.mean():.3f}, spread {max(one.std(), two.std()):.3f}", verdict)
