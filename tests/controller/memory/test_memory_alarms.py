"""What goes wrong with a memory raises an alarm by name, and what is well raises none (D20)."""

from __future__ import annotations

from random import Random

import pytest

from phasemesh.controller.memory.memory_alarms import WINDOW, MemoryAlarm, MemoryCounts, MemoryWatch, watched

WELL = MemoryCounts(look_ups=WINDOW, hits=WINDOW // 2, new_keys=WINDOW // 10)


def _alarms(*windows: MemoryCounts) -> tuple[MemoryAlarm, ...]:
    """What stands after windows, each given by what was counted in it."""
    watch, total = MemoryWatch(), MemoryCounts()
    for window in windows:
        names = ("look_ups", "hits", "new_keys", "stale", "demotions")
        total = MemoryCounts(**{name: getattr(total, name) + getattr(window, name) for name in names})
        watch = watched(watch, total)
    return watch.alarms


def test_a_memory_that_is_well_raises_nothing() -> None:
    """Window after window."""
    assert _alarms(*[WELL] * 5) == ()


@pytest.mark.parametrize(
    ("window", "alarm"),
    [
        (MemoryCounts(WINDOW, 0, WINDOW), MemoryAlarm.CLASS_EXPLOSION),
        (MemoryCounts(WINDOW, 100, 10, stale=51), MemoryAlarm.STALE_ENTRIES),
        (MemoryCounts(WINDOW, 100, 10, demotions=3), MemoryAlarm.POISONED_ENTRIES),
    ],
)
def test_d20_each_trouble_has_its_alarm(window: MemoryCounts, alarm: MemoryAlarm) -> None:
    """One window is enough, and one that is well ends it."""
    assert _alarms(window) == (alarm,)
    assert alarm not in _alarms(window, WELL)


def test_d20_a_falling_hit_rate_alarms() -> None:
    """Half of the best that was; a memory that never found much has nothing to fall from."""
    low = MemoryCounts(WINDOW, WINDOW // 5, WINDOW // 10)
    never = MemoryCounts(WINDOW, WINDOW // 20, WINDOW // 10)
    none = MemoryCounts(WINDOW, 0, WINDOW // 10)

    assert _alarms(WELL, WELL, low) == (MemoryAlarm.HIT_RATE_DROP,)
    assert _alarms(never, never, none) == ()
    assert _alarms(WELL, *[low] * 20) == ()


def test_d20_a_random_stream_of_situations_alarms() -> None:
    """Keys over visits is 1 where nothing ever recurs, however many there are."""
    draws, seen, watch = Random(3), set[int](), MemoryWatch()  # noqa: S311 (repeatable)
    for visits in range(1, WINDOW + 1):
        seen.add(draws.getrandbits(64))
        watch = watched(watch, MemoryCounts(look_ups=visits, new_keys=len(seen)))

    assert watch.alarms == (MemoryAlarm.CLASS_EXPLOSION,)


def test_a_window_is_judged_at_its_end() -> None:
    """Not a look-up earlier."""
    assert watched(MemoryWatch(), MemoryCounts(WINDOW - 1, 0, WINDOW - 1)) == MemoryWatch()
