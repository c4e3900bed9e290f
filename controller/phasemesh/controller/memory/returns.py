"""What to expect of a situation that memory does not know: the mean return with about as many vehicles waiting."""

from __future__ import annotations

from collections.abc import Sequence

from phasemesh.controller.memory.sight import GREEN

RATE = 0.05
"""How fast a bin forgets, once it has seen as much."""


class CoarseReturns:
    """A running mean a bin; a bin is the sum of the levels of all movements, whatever is green."""

    def __init__(self) -> None:
        self._bins: dict[int, tuple[int, float]] = {}

    def note(self, counts: Sequence[int], target: float) -> None:
        """A decision in the situation `counts` came to `target`."""
        bin_, (n, mean) = _bin(counts), self._bins.get(_bin(counts), (0, 0.0))
        self._bins[bin_] = n + 1, mean + max(RATE, 1.0 / (n + 1)) * (target - mean)

    def mean(self, counts: Sequence[int]) -> float:
        """The mean of the bin of `counts`, or of the nearest one that was seen, of two the smaller; 0 before any."""
        if not self._bins:
            return 0.0
        nearest = min(self._bins, key=lambda each: (abs(each - _bin(counts)), each))
        return self._bins[nearest][1]


def _bin(counts: Sequence[int]) -> int:
    return sum(count % GREEN for count in counts)
