"""What the memory hub knows: the newest offer of every agent, and their mean over holders, a key at a time.

Pure but for its own tables: no sockets, no clocks. Source: DMIL, sections IV-D and VI-A (the aggregator).
"""

from __future__ import annotations

from collections.abc import Iterable

from phasemesh.controller.memory.averaging import averaged_ltm
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.sync_wire import SYNC_VERSION, Offer, SharedEntry, Union, is_sound

MOST_KEYS_OF_AGENT = 50_000
"""What one agent may hold with the hub; more is not taken, since no memory keeps more."""


class Aggregate:
    """The union of all memories of a city; `hub` names this life of the hub, so that agents notice a restart."""

    def __init__(self, hub: int) -> None:
        self.hub = hub
        self.revision = 0
        self._tables: dict[bytes, dict[str, dict[bytes, LtmEntry]]] = {}
        self._unions: dict[bytes, dict[bytes, tuple[int, LtmEntry]]] = {}

    def take(self, agent: str, offer: Offer) -> Union:
        """Take up what `agent` offers, and answer with what it lacks."""
        known = agent in self._tables.get(offer.kin, {})
        is_strange = offer.hub not in {0, self.hub}
        self._learn(agent, offer.kin, offer.entries)
        since = offer.since if offer.hub == self.hub else 0
        union = self._unions.get(offer.kin, {})
        return Union(
            version=SYNC_VERSION,
            seq=offer.seq,
            hub=self.hub,
            revision=self.revision,
            wants_all=is_strange and not known,
            entries=tuple(
                SharedEntry(key, each.stage, each.q, each.n, each.mean, each.m2, each.updated_at_s)
                for key, (revision, each) in union.items()
                if revision > since
            ),
        )

    def _learn(self, agent: str, kin: bytes, entries: Iterable[SharedEntry]) -> None:
        table = self._tables.setdefault(kin, {}).setdefault(agent, {})
        touched = set()
        for each in entries:
            if is_sound(each) and (each.key in table or len(table) < MOST_KEYS_OF_AGENT):
                table[each.key] = LtmEntry(each.stage, each.q, each.n, each.mean, each.m2, each.updated_at_s)
                touched.add(each.key)
        if touched:
            self.revision += 1
            self._average(kin, touched)

    def _average(self, kin: bytes, keys: Iterable[bytes]) -> None:
        union = self._unions.setdefault(kin, {})
        for key in keys:
            holders = [{key: table[key]} for table in self._tables[kin].values() if key in table]
            mean = averaged_ltm(holders)[key]
            if key not in union or union[key][1] != mean:
                union[key] = self.revision, mean

    def union(self, kin: bytes) -> dict[bytes, LtmEntry]:
        """All that is known to the kin."""
        return {key: entry for key, (_, entry) in self._unions.get(kin, {}).items()}

    def forget(self, agent: str) -> None:
        """Drop what `agent` offered, as when its key was revoked; keys that nobody else holds are gone."""
        for kin, tables in self._tables.items():
            lost = tables.pop(agent, {})
            if not lost:
                continue
            self.revision += 1
            held = {key for table in tables.values() for key in table}
            for key in lost.keys() - held:
                self._unions.get(kin, {}).pop(key, None)
            self._average(kin, lost.keys() & held)
