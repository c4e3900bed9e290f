"""What can go wrong with a memory without anybody noticing, as named alarms over windows of look-ups."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

WINDOW = 500
"""Look-ups that are judged together: some twenty minutes of decisions."""
EXPLODING_SHARE = 0.9
STALE_SHARE = 0.5
POISONED_DEMOTIONS = 3
DROPPED_SHARE = 0.5
LEAST_HIT_RATE = 0.1
"""A hit rate that never was above this has nothing to fall from."""
BEST_KEPT = 0.95
"""How much of the best hit rate is remembered from window to window: a slow change of the seasons is no drop."""


class MemoryAlarm(StrEnum):
    """What is wrong: too many classes, entries past their age, entries refuted, look-ups that no longer find."""

    CLASS_EXPLOSION = "class_explosion"
    STALE_ENTRIES = "stale_entries"
    POISONED_ENTRIES = "poisoned_entries"
    HIT_RATE_DROP = "hit_rate_drop"
    STORE_FAULT = "store_fault"


class MemoryCounts(msgspec.Struct, frozen=True):
    """Totals since start.

    Look-ups, those that found a candidate, situations never seen before, look-ups that found what is past its age, keys
    that were promoted and demoted, rows of the store that did not check out, and decisions by source.
    """

    look_ups: int = 0
    hits: int = 0
    new_keys: int = 0
    stale: int = 0
    promotions: int = 0
    demotions: int = 0
    by_source: dict[str, int] = {}

    @property
    def hit_rate(self) -> float:
        """Hits over look-ups; 0 before any."""
        return self.hits / max(1, self.look_ups)


class Window(msgspec.Struct, frozen=True):
    """What happened in one window, and the best hit rate of those before."""

    look_ups: int
    hits: int
    new_keys: int
    stale: int
    demotions: int
    best_hit_rate: float

    @property
    def hit_rate(self) -> float:
        """Hits over look-ups of the window."""
        return self.hits / max(1, self.look_ups)


ALARMS: dict[MemoryAlarm, Callable[[Window], bool]] = {
    MemoryAlarm.CLASS_EXPLOSION: lambda window: window.new_keys > EXPLODING_SHARE * window.look_ups,
    MemoryAlarm.STALE_ENTRIES: lambda window: window.stale > STALE_SHARE * max(1, window.hits),
    MemoryAlarm.POISONED_ENTRIES: lambda window: window.demotions >= POISONED_DEMOTIONS,
    MemoryAlarm.HIT_RATE_DROP: lambda window: (
        window.best_hit_rate > LEAST_HIT_RATE and window.hit_rate < DROPPED_SHARE * window.best_hit_rate
    ),
}
"""When each alarm is raised; it stands until a window passes without."""


class MemoryWatch(msgspec.Struct, frozen=True):
    """The counts at the end of the last window, the best hit rate so far, and the alarms that stand."""

    before: MemoryCounts = MemoryCounts()
    best_hit_rate: float = 0.0
    alarms: tuple[MemoryAlarm, ...] = ()


def watched(watch: MemoryWatch, counts: MemoryCounts, window: int = WINDOW) -> MemoryWatch:
    """The watch after a tick; it changes at the end of every window of look-ups."""
    before = watch.before
    if counts.look_ups - before.look_ups < window:
        return watch
    found = Window(
        look_ups=counts.look_ups - before.look_ups,
        hits=counts.hits - before.hits,
        new_keys=counts.new_keys - before.new_keys,
        stale=counts.stale - before.stale,
        demotions=counts.demotions - before.demotions,
        best_hit_rate=watch.best_hit_rate,
    )
    best = max(found.hit_rate, BEST_KEPT * watch.best_hit_rate)
    return MemoryWatch(counts, best, tuple(name for name, is_raised in ALARMS.items() if is_raised(found)))
