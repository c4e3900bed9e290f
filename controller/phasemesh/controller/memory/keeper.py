"""Everything around the memory of one agent: its store, its alarms, and what operators are told of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from phasemesh.contract.intersection import Intersection
from phasemesh.contract.site import MemoryMode
from phasemesh.contract.timing import StageTiming
from phasemesh.controller.memory.agent_memory import AgentMemory, MemoryRules
from phasemesh.controller.memory.contents import Changes, Contents
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.layout import layout_of
from phasemesh.controller.memory.memory_alarms import MemoryAlarm, MemoryWatch, watched
from phasemesh.controller.memory.memory_state import MemoryState
from phasemesh.controller.memory.rows import StoreIdentity
from phasemesh.controller.memory.store import MemoryStore
from phasemesh.controller.memory.store_writer import StoreWriter
from phasemesh.controller.memory.street_reward import RewardRule

CLASSES = "levels-green,complex,l1,off"
"""How situations are seen and which count as one; another sight would read other keys."""

log = structlog.get_logger("phasemesh.agent")


class HubLine(Protocol):
    """What shares a memory with others; none of its methods waits. `answers` counts what came back."""

    answers: int

    def put(self, entries: Mapping[bytes, LtmEntry]) -> None:
        """Offer what this memory learned."""

    def take(self) -> dict[bytes, LtmEntry]:
        """What others were found to know since the last call."""

    def close(self) -> None:
        """Let go; calling it again does nothing."""


class MemoryKeeper:
    """The memory of one agent with what belongs to it; only the decision loop calls it."""

    def __init__(self, memory: AgentMemory, writer: StoreWriter | None, line: HubLine | None = None) -> None:
        """Keep `memory` in the store of `writer`, or in RAM alone; share it over `line`, or with nobody."""
        self.memory = memory
        self._line = line
        self._writer = writer
        self._watch = MemoryWatch()

    def note_tick(self) -> MemoryState:
        """After a tick: hand what was staged to the store and the hub, take what others know, look for alarms."""
        changes = self.memory.take_changes()
        self._save(changes)
        if self._line is not None:
            if changes:
                self._line.put({key: entry for key, entry in changes.entries.items() if entry is not None})
            if heard := self._line.take():
                self.memory.take_shared(heard)
                # What others know is kept, and not offered again as if it were this agent's own.
                self._save(self.memory.take_changes())
        counts = self.memory.counts
        self._watch = watched(self._watch, counts)
        writer, table = self._writer, self.memory.table
        fault = writer.fault if writer else ""
        return MemoryState(
            mode=self.memory.mode,
            ltm=len(table.ltm),
            stm=len(table.stm),
            promoted=self.memory.promoted,
            counts=counts,
            alarms=(*self._watch.alarms, *((MemoryAlarm.STORE_FAULT,) if fault else ())),
            has_store=writer is not None,
            store_fault=fault,
            store_faults=writer.faults if writer else 0,
            unsaved=writer.waiting if writer else 0,
            hub_answers=self._line.answers if self._line else None,
        )

    def _save(self, changes: Changes) -> None:
        if changes and self._writer is not None:
            self._writer.put(changes)

    def close(self) -> None:
        """Stage what was learned and write it; calling it again does nothing."""
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._writer is not None:
            self.memory.stage_now()
            if changes := self.memory.take_changes():
                self._writer.put(changes)
            self._writer.close()
            self._writer = None


def identity_of(
    intersection: Intersection, timings: tuple[StageTiming, ...], reward: RewardRule, tick_s: float
) -> StoreIdentity:
    """What the values of a memory at `intersection` depend on."""
    layout = layout_of(intersection)
    return StoreIdentity(
        intersection=intersection.id,
        layout=layout.digest,
        subgroup=layout.subgroup,
        timings=hashlib.sha256(msgspec.json.encode(timings, order="sorted")).hexdigest(),
        classes=CLASSES,
        reward=reward.kind.value,
        gamma=reward.gamma,
        tick_s=tick_s,
    )


def open_memory(
    intersection: Intersection,
    mode: MemoryMode,
    reward: RewardRule,
    *,
    identity: StoreIdentity,
    path: Path | None,
    clock_s: Callable[[], float] | None = None,
    rules: MemoryRules | None = None,
    line: HubLine | None = None,
) -> MemoryKeeper:
    """The memory of one agent, with what the store at `path` holds; None keeps it in RAM alone.

    All that is in the store is offered over `line` first: a hub may know nothing of earlier lives.
    """
    contents, writer = Contents(), None
    if path is not None:
        store = MemoryStore(path, identity, len(intersection.movements))
        opening = store.open()
        for note in opening.notes:
            log.warning("memory store", intersection=intersection.id, reason=note)
        if opening.fault:
            log.warning("memory not kept", intersection=intersection.id, reason=opening.fault)
        contents, writer = opening.contents, StoreWriter(store, opening.fault)
    memory = AgentMemory(intersection, mode, reward, rules=rules, contents=contents, clock_s=clock_s)
    if line is not None:
        line.put(memory.table.ltm)
    return MemoryKeeper(memory, writer, line)
