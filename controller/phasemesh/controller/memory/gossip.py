"""Sharing without a hub: neighbours average what they hold, pair by pair, weighted by how many holders it stands for.

Each entry travels as a mass: its value times a weight, and the weight, which is 1 where it was learned and 0 where it
was not. A pair that meets keeps half of the sum of both. Masses are neither made nor lost, so that over any connected
network every ratio goes to the sum of the values over the number of holders: the mean of the memory hub. Source:
Kempe, Dobra and Gehrke, FOCS 2003 (push-sum), applied to pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from phasemesh.controller.memory.entries import LtmEntry

Slot = tuple[bytes, int]
"""A key and a stage in the frame of the key."""


class Mass(msgspec.Struct, frozen=True):
    """A share of the sum over holders: of their values, of their number, and the busiest holder's statistics.

    Statistics are not averaged: visits of one holder must not count again with every exchange. They travel whole, and
    the busiest, of equals the newest, wins.
    """

    value: float
    weight: float
    n: int
    mean: float
    m2: float
    updated_at_s: float

    @property
    def q(self) -> float:
        """The mean over holders as far as it is known here."""
        return self.value / self.weight


Masses = dict[Slot, Mass]


def masses_of(entries: Mapping[bytes, LtmEntry]) -> Masses:
    """What an agent brings that has learned `entries` itself."""
    return {
        (key, each.stage): Mass(each.q, 1.0, each.n, each.mean, each.m2, each.updated_at_s)
        for key, each in entries.items()
    }


def met(mine: Masses, theirs: Masses) -> Masses:
    """What each of two neighbours holds after they met."""
    return {slot: _half(mine.get(slot), theirs.get(slot)) for slot in mine.keys() | theirs.keys()}


def _half(first: Mass | None, second: Mass | None) -> Mass:
    held = [each for each in (first, second) if each is not None]
    busiest = max(held, key=_busyness)
    return msgspec.structs.replace(
        busiest,
        value=_sum(each.value for each in held) / 2.0,
        weight=_sum(each.weight for each in held) / 2.0,
        updated_at_s=max(each.updated_at_s for each in held),
    )


def _busyness(mass: Mass) -> tuple[float, ...]:
    return mass.n, mass.mean, mass.m2


def _sum(numbers: Iterable[float]) -> float:
    return sum(sorted(numbers))


def learned(masses: Masses, before: Mapping[bytes, LtmEntry], now: Mapping[bytes, LtmEntry]) -> Masses:
    """The masses after an agent has learned `now` where it brought `before` to the gossip: the difference is added."""
    gone, new = masses_of(before), masses_of(now)
    changed = dict(masses)
    for slot in gone.keys() | new.keys():
        old, fresh, held = gone.get(slot), new.get(slot), masses.get(slot)
        value = (held.value if held else 0.0) + (fresh.value if fresh else 0.0) - (old.value if old else 0.0)
        weight = (held.weight if held else 0.0) + (fresh is not None) - (old is not None)
        source = fresh or held
        if source is not None:
            changed[slot] = msgspec.structs.replace(source, value=value, weight=weight)
    return changed


def entries_of(masses: Masses) -> dict[bytes, LtmEntry]:
    """The long-term entries that masses come to: of the stages of a key the one of the largest mean, then the least.

    As the hub does, an entry is as new as the newest of any stage of its key.
    """
    best: dict[bytes, tuple[int, Mass]] = {}
    newest: dict[bytes, float] = {}
    for (key, stage), mass in sorted(masses.items()):
        if mass.weight <= 0.0:
            continue
        newest[key] = max(newest.get(key, mass.updated_at_s), mass.updated_at_s)
        if key not in best or mass.q > best[key][1].q:
            best[key] = stage, mass
    return {
        key: LtmEntry(stage, mass.q, mass.n, mass.mean, mass.m2, newest[key]) for key, (stage, mass) in best.items()
    }
