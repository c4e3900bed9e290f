"""Memories for tests: identities, entries and trials that are repeatable."""

from __future__ import annotations

from pathlib import Path
from random import Random

from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.rows import StoreIdentity, as_stored, rounded
from phasemesh.controller.memory.store import MemoryStore
from phasemesh.controller.memory.trials import Trial

MOVEMENTS = 12
IDENTITY = StoreIdentity(
    intersection="crossing",
    layout="0" * 64,
    subgroup="C4",
    timings="1" * 64,
    classes="complex,l1,gcd",
    reward="delay",
    gamma=0.985,
    tick_s=2.0,
)


def make_entries(count: int, seed: int = 1, movements: int = MOVEMENTS) -> dict[bytes, LtmEntry]:
    """So many different entries, in a random order of keys, as a restart would give them back."""
    draws = Random(seed)  # noqa: S311 (repeatable)
    entries: dict[bytes, LtmEntry] = {}
    while len(entries) < count:
        key = bytes(min(255, int(draws.expovariate(0.25))) for _ in range(movements))
        entries[key] = as_stored(
            LtmEntry(
                stage=draws.randrange(8),
                q=draws.gauss(-30.0, 9.0),
                n=draws.randrange(1, 400),
                mean=draws.gauss(-30.0, 9.0),
                m2=draws.uniform(0.0, 50.0),
                updated_at_s=1_700_000_000.0 + draws.randrange(1_000_000),
            )
        )
    return entries


def make_trials(keys: list[bytes], seed: int = 1) -> dict[bytes, Trial]:
    """A trial for each key, as a restart would give it back."""
    draws = Random(seed)  # noqa: S311 (repeatable)
    return {
        key: Trial(
            n=draws.randrange(100),
            mean=rounded(draws.gauss(-30.0, 9.0)),
            own_n=draws.randrange(50),
            own=rounded(draws.gauss(-30.0, 9.0)),
            wins=draws.randrange(20),
            losses=draws.randrange(20),
            is_promoted=draws.random() < 0.5,
            drift=rounded(draws.gauss(0.0, 1.0)),
            drift_n=draws.randrange(9),
            updated_at_s=1_700_000_000.0,
        )
        for key in keys
    }


def filled_store(path: Path, entries: dict[bytes, LtmEntry], trials: dict[bytes, Trial] | None = None) -> None:
    """A closed store at `path` that holds them."""
    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    assert store.open().fault == ""
    assert store.write(Changes({**entries}, {**(trials or {})})) is None
    store.close()
