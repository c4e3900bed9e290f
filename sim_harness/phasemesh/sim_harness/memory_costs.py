"""What a full memory costs an agent: looking a decision up, its store on disk, and reading that at the start."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.command import start
from phasemesh.contract.detection import INVALID_READING, ControlMode, Snapshot
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.site import MemoryMode
from phasemesh.contract.timing import BENCHMARK, stage_timings
from phasemesh.contract.units import NS_PER_MS
from phasemesh.controller.memory.agent_memory import MOST_ENTRIES
from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.equivalence import Equivalence, ScaleMode
from phasemesh.controller.memory.keeper import MemoryKeeper, identity_of, open_memory
from phasemesh.controller.memory.layout import layout_of
from phasemesh.controller.memory.sight import sight_of
from phasemesh.controller.memory.store import MemoryStore
from phasemesh.controller.memory.street_reward import RewardRule
from phasemesh.sim_harness.eight_stages import eight_stage_crossing

LOOK_UPS = 4000
STAGING = 1000
"""Rows of one commit: they reach a store in no order."""


class MemoryCosts(msgspec.Struct, frozen=True):
    """Look-ups in CPU ms, the store in bytes a row, and opening it in ms; `hits` of `LOOK_UPS` found something.

    On a machine that others use the wall clock measures them, not the look-up.
    """

    rows: int
    p50_ms: float
    p99_ms: float
    hits: int
    row_bytes: float
    opening_ms: float


def memory_costs(rows: int = MOST_ENTRIES) -> MemoryCosts:
    """Measure a memory of `rows` entries of a crossing of twelve movements and eight stages."""
    crossing = eight_stage_crossing()
    draws = np.random.default_rng(1)
    identity = identity_of(crossing, stage_timings(crossing, BENCHMARK), RewardRule(), 2.0)
    with tempfile.TemporaryDirectory(prefix="phasemesh-memory-") as folder:
        path = Path(folder) / "0.memory.sqlite"
        seen = _fill(MemoryStore(path, identity, len(crossing.movements)), crossing, rows, draws)
        started_ns = time.perf_counter_ns()
        keeper = open_memory(crossing, MemoryMode.LIVE, RewardRule(), identity=identity, path=path)
        opening_ms = (time.perf_counter_ns() - started_ns) / NS_PER_MS
        took_ms = _look_ups_ms(keeper, crossing, seen, draws)
        keeper.close()
        return MemoryCosts(
            rows=rows,
            p50_ms=float(np.percentile(took_ms, 50)),
            p99_ms=float(np.percentile(took_ms, 99)),
            hits=keeper.memory.counts.hits,
            row_bytes=path.stat().st_size / rows,
            opening_ms=opening_ms,
        )


def _fill(store: MemoryStore, crossing: Intersection, rows: int, draws: np.random.Generator) -> list[Snapshot]:
    """Put `rows` entries into `store`, a staging at a time, and return some of the snapshots that they are of."""
    relation, sight = Equivalence(layout_of(crossing), scale=ScaleMode.OFF), sight_of(crossing)
    entries: dict[bytes, LtmEntry] = {}
    seen: list[Snapshot] = []
    while len(entries) < rows:
        snapshots = [_snapshot(crossing, draws) for _ in range(STAGING)]
        counts = np.array([sight.counts(each) for each in snapshots], dtype=np.int64)
        number = int(draws.integers(1, 400))
        for key in relation.canonical(counts)[0]:
            entries[key.tobytes()] = LtmEntry(0, q=-30.5, n=number, mean=-31.25, m2=7.75, updated_at_s=1.7e9 + number)
        seen = seen[:LOOK_UPS] + snapshots[: STAGING // 10]
    store.open()
    items = list(entries.items())[:rows]
    for begin in range(0, rows, STAGING):
        store.write(Changes(dict(items[begin : begin + STAGING])))
    store.close()
    return seen


def _look_ups_ms(
    keeper: MemoryKeeper, crossing: Intersection, seen: list[Snapshot], draws: np.random.Generator
) -> list[float]:
    """Half of the situations were seen before, half are new."""
    legal = (True,) * len(crossing.stages)
    took = []
    for number in range(LOOK_UPS):
        snapshot = seen[number % len(seen)] if number % 2 else _snapshot(crossing, draws)
        started_ns = time.thread_time_ns()
        keeper.memory.look_up(snapshot, legal)
        took.append((time.thread_time_ns() - started_ns) / NS_PER_MS)
    return took


def _snapshot(crossing: Intersection, draws: np.random.Generator) -> Snapshot:
    """Any stage green, and queues of a few vehicles."""
    queues = (draws.geometric(0.25, len(crossing.lanes)) - 1).astype(float).tolist()
    readings = tuple(msgspec.structs.replace(INVALID_READING, is_valid=True, queue_veh=queue) for queue in queues)
    return Snapshot(
        intersection_id=crossing.id,
        step=0,
        now_s=1.7e9,
        signal=start(int(draws.integers(len(crossing.stages))), 0.0),
        mode=ControlMode.AGENT,
        lease_until_s=0.0,
        lease_boot_id=1,
        readings=readings,
        lease_s=10.0,
        config_digest="",
    )
