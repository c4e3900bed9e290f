"""Token buckets: how often one principal or one address may ask."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

import msgspec

MAX_BUCKETS = 4096
"""Addresses and principals that are remembered; the ones that asked longest ago are forgotten first."""


class Rate(msgspec.Struct, frozen=True):
    """`per_s` requests a second in the long run, `burst` of them at once."""

    per_s: float
    burst: float


class RateLimit:
    """Buckets of one rate by name; a name that was forgotten begins with a full bucket."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def wait_s(self, name: Hashable, now_s: float) -> float:
        """Take one from the bucket of `name` at the monotonic time `now_s`: 0 if there was one, else the wait."""
        level, then_s = self._buckets.get(name, (self._rate.burst, now_s))
        level = min(self._rate.burst, level + max(0.0, now_s - then_s) * self._rate.per_s)
        is_there = level >= 1.0
        self._buckets[name] = (level - 1.0 if is_there else level, now_s)
        self._buckets.move_to_end(name)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0 if is_there else (1.0 - level) / self._rate.per_s
