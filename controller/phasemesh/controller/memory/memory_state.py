"""What the decision loop tells of its memory once a tick."""

from __future__ import annotations

import msgspec

from phasemesh.contract.site import MemoryMode
from phasemesh.controller.memory.memory_alarms import MemoryAlarm, MemoryCounts


class MemoryState(msgspec.Struct, frozen=True):
    """The state of a memory after a tick: sizes in keys, counts since start, alarms, and the trouble of its store.

    `unsaved` are rows that wait for the disk, `store_faults` commits that it refused.
    `hub_answers` counts the answers of the memory hub, None without one.
    """

    mode: MemoryMode
    ltm: int
    stm: int
    promoted: int
    counts: MemoryCounts
    alarms: tuple[MemoryAlarm, ...] = ()
    has_store: bool = False
    store_fault: str = ""
    store_faults: int = 0
    unsaved: int = 0
    hub_answers: int | None = None
