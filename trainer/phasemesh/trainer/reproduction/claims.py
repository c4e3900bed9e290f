"""Claims of a paper, judged by figures: what held, what did not, and what too few seeds leave open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
import numpy as np


class Verdict(StrEnum):
    """What became of a claim."""

    HELD = "held"
    FAILED = "did not hold"
    OPEN = "open: too few seeds"


class Claim(msgspec.Struct, frozen=True):
    """What a paper says, what was found, and how that was judged; `why` names what explains a claim that failed."""

    text: str
    found: str
    verdict: Verdict
    why: str = ""


LEAST_SEEDS = 2
"""With fewer there is no spread to judge by."""


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean of `values`; infinite for fewer than two."""
    if len(values) < LEAST_SEEDS:
        return math.inf
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def spread_of(values: Sequence[float]) -> str:
    """Mean and standard deviation, as a table shows them."""
    if len(values) < LEAST_SEEDS:
        return f"{values[0]:.1f}" if values else "-"
    return f"{np.mean(values):.1f} +- {np.std(values, ddof=1):.1f}"


def is_less(text: str, less: Sequence[float], more: Sequence[float], why: str = "") -> Claim:
    """The claim that `less` are smaller than `more`: by more than one standard error of the difference."""
    if min(len(less), len(more)) < LEAST_SEEDS:
        return Claim(text, _beside(less, more), Verdict.OPEN, why)
    error = math.hypot(standard_error(less), standard_error(more))
    has_held = float(np.mean(more) - np.mean(less)) > error
    return Claim(text, _beside(less, more), Verdict.HELD if has_held else Verdict.FAILED, "" if has_held else why)


def is_alike(text: str, first: Sequence[float], second: Sequence[float], errors: float = 2.0, why: str = "") -> Claim:
    """The claim that both are the same: means within so many standard errors of their difference."""
    if min(len(first), len(second)) < LEAST_SEEDS:
        return Claim(text, _beside(first, second), Verdict.OPEN, why)
    error = math.hypot(standard_error(first), standard_error(second))
    has_held = abs(float(np.mean(first) - np.mean(second))) <= errors * error
    return Claim(text, _beside(first, second), Verdict.HELD if has_held else Verdict.FAILED, "" if has_held else why)


def is_within(text: str, values: Sequence[float], goal: Sequence[float], why: str = "") -> Claim:
    """The claim that `values` reach `goal` to within the standard deviation of the goal, or are smaller."""
    if min(len(values), len(goal)) < LEAST_SEEDS:
        return Claim(text, _beside(values, goal), Verdict.OPEN, why)
    has_held = float(np.mean(values) - np.mean(goal)) <= float(np.std(goal, ddof=1))
    return Claim(text, _beside(values, goal), Verdict.HELD if has_held else Verdict.FAILED, "" if has_held else why)


def is_interior(text: str, found: Mapping[int, Sequence[float]], why: str = "") -> Claim:
    """The claim that the best of several sizes is neither the smallest nor the largest."""
    shown = "; ".join(f"{size}: {spread_of(values)}" for size, values in sorted(found.items()))
    if any(len(values) < LEAST_SEEDS for values in found.values()):
        return Claim(text, shown, Verdict.OPEN, why)
    best = min(found, key=lambda size: float(np.mean(found[size])))
    has_held = min(found) < best < max(found)
    return Claim(text, shown, Verdict.HELD if has_held else Verdict.FAILED, "" if has_held else why)


def _beside(first: Sequence[float], second: Sequence[float]) -> str:
    return f"{spread_of(first)} against {spread_of(second)}"
