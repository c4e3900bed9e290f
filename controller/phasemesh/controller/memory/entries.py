"""What memory holds for a key: estimates of one stage in the short term, one best stage in the long term."""

from __future__ import annotations

import math

import msgspec

MOST_COUNT = 255
"""The largest count of a movement that a key tells apart: a key has one byte a movement."""


class Estimate(msgspec.Struct, frozen=True):
    """The value of a stage in a situation: latest `q`, how often it was tried, and how its targets spread.

    `mean` and `m2` follow Welford: the mean of all targets that `q` was moved towards, and the sum of squared
    deviations from it.
    """

    q: float
    n: int = 0
    mean: float = 0.0
    m2: float = 0.0

    def noted(self, q: float, target: float) -> Estimate:
        """This estimate after one more visit that moved it towards `target` and left it at `q`."""
        n = self.n + 1
        deviation = target - self.mean
        mean = self.mean + deviation / n
        return Estimate(q, n, mean, self.m2 + deviation * (target - mean))

    @property
    def spread(self) -> float:
        """Standard deviation of the targets; infinite while there are fewer than two."""
        return math.sqrt(self.m2 / (self.n - 1)) if self.n > 1 else math.inf


class LtmEntry(msgspec.Struct, frozen=True):
    """The best stage of a key, in the frame of the key, with its value, visits, spread and last change.

    `updated_at_s` is in seconds of whatever clock the memory is told: wall time on the street, steps in the queue city.
    Source: DMIL, algorithm 2 (state, action, Q).
    """

    stage: int
    q: float
    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    updated_at_s: float = 0.0

    @property
    def estimate(self) -> Estimate:
        """The entry without its stage."""
        return Estimate(self.q, self.n, self.mean, self.m2)


def ltm_entry(stage: int, estimate: Estimate, at_s: float) -> LtmEntry:
    """The long-term entry that a staged estimate becomes at `at_s`."""
    return LtmEntry(stage, estimate.q, estimate.n, estimate.mean, estimate.m2, at_s)


def merged(first: Estimate, second: Estimate) -> Estimate:
    """Both series of visits as one, with the `q` of `second`. Source: Chan, Golub and LeVeque, 1979."""
    n = first.n + second.n
    if n == 0:
        return second
    gap = second.mean - first.mean
    mean = first.mean + gap * second.n / n
    return Estimate(second.q, n, mean, first.m2 + second.m2 + gap * gap * first.n * second.n / n)
