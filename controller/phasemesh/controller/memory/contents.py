"""What a memory holds for longer than a life, and what of it changed; apart from the store, which few agents load."""

from __future__ import annotations

import msgspec

from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.trials import Trial


class Contents(msgspec.Struct, frozen=True):
    """What a store holds, by key."""

    entries: dict[bytes, LtmEntry] = {}
    trials: dict[bytes, Trial] = {}


class Changes(msgspec.Struct, frozen=True):
    """What one commit writes, by key; None removes."""

    entries: dict[bytes, LtmEntry | None] = {}
    trials: dict[bytes, Trial | None] = {}

    def __bool__(self) -> bool:
        return bool(self.entries or self.trials)
