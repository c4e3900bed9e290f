"""What single steps of an agent and of its services cost, each the best of many repetitions on this machine."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from phasemesh.contract.tensors import INPUTS, PolicyInput
from phasemesh.contract.units import IntersectionId, MonoNs
from phasemesh.controller.access.access import Access, Asked
from phasemesh.controller.access.middleware import App, RouteRole, protected
from phasemesh.controller.access.rate import Rate
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.tokens import add_token, new_token
from phasemesh.controller.cabinet.service import ROUTES
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.telemetry.records import STEP_NAMES, TickRecord, read_records
from phasemesh.controller.telemetry.tick_metrics import TickMetrics, summarise
from phasemesh.controller.watchdog import Watchdog
from phasemesh.sim_harness.queue_city import QueueCity

ROUNDS = 200
REPEATS = 20
OTHER_DATA_BYTES = 32 * 2**20
"""More than the caches that belong to one core hold."""
TICK_S = 2.0
_HERE = IntersectionId("crossing")


def judging_us() -> float:
    """Microseconds for judging one request of an agent whose token is known."""
    with tempfile.TemporaryDirectory(prefix="phasemesh-costs-") as folder:
        access, header = _access(Path(folder))
        asked = Asked(Role.AGENT, _HERE, header, "127.0.0.1")
        return best_us(lambda: access.judge(asked))


def gate_us() -> float:
    """Microseconds that the whole gate adds to one request: headers, path, token and rate."""
    with tempfile.TemporaryDirectory(prefix="phasemesh-costs-") as folder:
        access, header = _access(Path(folder))
        gate = protected(_nothing, [RouteRole(row.method, row.path, row.role) for row in ROUTES], access)
        scope = {
            "type": "http",
            "method": "POST",
            "path": f"/v1/cabinets/{_HERE}/command",
            "headers": [(b"host", b"x"), (b"authorization", header), (b"content-length", b"2")],
            "client": ("127.0.0.1", 1),
        }
        return asyncio.run(_best_of_calls_us(gate, scope)) - asyncio.run(_best_of_calls_us(_nothing, scope))


def queue_steps_per_s(side: int, cities: int, intervals: int) -> float:
    """Intersection-steps that queue cities of `side` by `side` make a second of CPU, demand included."""
    city, rng = QueueCity(side, range(cities)), np.random.default_rng(0)
    stages = rng.integers(0, 8, (intervals, cities, side * side))
    began_s = time.process_time()
    for shown in stages:
        city.advance(shown)
    return stages.size * city.rules.interval_steps / (time.process_time() - began_s)


def beating_us() -> float:
    """Microseconds for one turn of a loop that a watchdog watches."""
    with closing(Watchdog(10.0, lambda _silent_s: None, lambda: MonoNs(time.monotonic_ns()))) as watchdog:
        return best_us(watchdog.beat)


def noting_us(record_file: Path) -> float:
    """Microseconds for putting one tick of a recorded run into the metrics, the median over its ticks."""
    header, items = read_records(record_file)
    metrics = TickMetrics(header)
    costs_us: list[float] = []
    for record in (item for item in items if isinstance(item, TickRecord)):
        summary = summarise(record, tick_s=TICK_S, uptime_s=record.now_s)
        before_ns = time.perf_counter_ns()
        metrics.note(summary)
        costs_us.append((time.perf_counter_ns() - before_ns) / 1e3)
    return statistics.median(costs_us)


def inferring_ms(record_file: Path) -> float:
    """Milliseconds for asking the policy in a recorded run, the median over its ticks."""
    _, items = read_records(record_file)
    step = STEP_NAMES.index("infer")
    return statistics.median(item.step_ms[step] for item in items if isinstance(item, TickRecord))


def asking_ms(policy: Policy, *, is_cold: bool) -> float:
    """Milliseconds of CPU for asking `policy`, the median; `is_cold` fills the caches with other data before each.

    Between two ticks of an agent its box does other work, so that every tick finds them as they are then.
    """
    sizes = {"L": 12, "S": 4, "K": 3}
    inputs = PolicyInput(
        *(
            np.full([size if isinstance(size, int) else sizes[size] for size in spec.shape], 0.5, dtype=np.float32)
            for spec in INPUTS
        )
    )
    others = np.zeros(OTHER_DATA_BYTES // 8)
    costs_ms: list[float] = []
    for _ in range(ROUNDS):
        if is_cold:
            others += 1.0
        before_ns = time.thread_time_ns()
        policy.infer(inputs)
        costs_ms.append((time.thread_time_ns() - before_ns) / 1e6)
    return statistics.median(costs_ms)


def best_us(step: Callable[[], object]) -> float:
    """Microseconds of one `step`: the mean of `ROUNDS`, the best of `REPEATS`."""
    return min(_mean_us(step) for _ in range(REPEATS))


def _mean_us(step: Callable[[], object]) -> float:
    before_ns = time.perf_counter_ns()
    for _ in range(ROUNDS):
        step()
    return (time.perf_counter_ns() - before_ns) / 1e3 / ROUNDS


async def _best_of_calls_us(app: App, scope: dict[str, Any]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        before_ns = time.perf_counter_ns()
        for _ in range(ROUNDS):
            await app(scope, _empty, _nothing)
        best = min(best, (time.perf_counter_ns() - before_ns) / 1e3 / ROUNDS)
    return best


async def _nothing(*_: object) -> None:
    return None


async def _empty() -> dict[str, Any]:
    return {"type": "http.request"}


def _access(folder: Path) -> tuple[Access, bytes]:
    token, path = new_token(), folder / "0.tokens.json"
    add_token(path, token, "agent", Role.AGENT)
    return Access({_HERE: path}, principal_rate=Rate(per_s=1e6, burst=1e6)), f"Bearer {token}".encode()
