"""The metrics of an agent's memory; an agent without one has none of them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from phasemesh.controller.memory.memory_alarms import MemoryAlarm, MemoryCounts
from phasemesh.controller.memory.memory_state import MemoryState

FALLBACK = "fallback"
"""Source of a decision that neither memory nor policy took: the local plan, a hold, or the cabinet left to itself."""
SOURCES = ("ltm", "stm", "policy")


def source_name(source: str) -> str:
    """The source of a decision as operators know it."""
    return source if source in SOURCES else FALLBACK


def decisions_by_source(counts: MemoryCounts) -> dict[str, int]:
    """All decisions since start by the names of `source_name`, each of which is there."""
    totals = dict.fromkeys((*SOURCES, FALLBACK), 0)
    for source, count in counts.by_source.items():
        totals[source_name(source)] += count
    return totals


class MemoryMetrics:
    """Counts what a memory tells of itself once a tick."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counted: dict[str, float] = {}
        self._look_ups = Counter("tsc_memory_look_ups", "Situations that were looked up.", registry=registry)
        self._hits = Counter("tsc_memory_hits", "Look-ups that found an entry.", registry=registry)
        self._promotions = Counter("tsc_memory_promotions", "Keys that have won a say.", registry=registry)
        self._demotions = Counter("tsc_memory_demotions", "Entries that were refuted and dropped.", registry=registry)
        self._store_faults = Counter("tsc_memory_store_faults", "Commits that the disk refused.", registry=registry)
        self._decisions = Counter("tsc_memory_decisions", "Decisions by their source.", ["source"], registry=registry)
        self._hit_rate = Gauge("tsc_memory_hit_rate", "Hits over look-ups since start.", registry=registry)
        self._unsaved = Gauge("tsc_memory_unsaved_rows", "Rows that wait for the disk.", registry=registry)
        self._keys = Gauge("tsc_memory_keys", "Keys of the long and the short term.", ["memory"], registry=registry)
        self._alarms = Gauge("tsc_memory_alarm", "1 while the alarm stands.", ["alarm"], registry=registry)

    def note(self, state: MemoryState) -> None:
        """Take the state after one tick."""
        counts = state.counts
        self._raise(self._look_ups, "look_ups", counts.look_ups)
        self._raise(self._hits, "hits", counts.hits)
        self._raise(self._promotions, "promotions", counts.promotions)
        self._raise(self._demotions, "demotions", counts.demotions)
        self._raise(self._store_faults, "store_faults", state.store_faults)
        for source, count in decisions_by_source(counts).items():
            self._raise(self._decisions.labels(source), source, count)
        self._hit_rate.set(counts.hit_rate)
        self._unsaved.set(state.unsaved)
        self._keys.labels("ltm").set(state.ltm)
        self._keys.labels("stm").set(state.stm)
        for alarm in MemoryAlarm:
            self._alarms.labels(alarm.value).set(alarm in state.alarms)

    def _raise(self, counter: Counter, name: str, total: int) -> None:
        counter.inc(total - self._counted.get(name, 0))
        self._counted[name] = total
