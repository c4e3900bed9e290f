"""The outcome of one run: what `result.json` and every row of `results.json` hold."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

RESULT_FORMAT = 1
LOCK_DELAY_S = 500.0
"""A run with more delay than this counts as locked."""


class Quantiles(msgspec.Struct, frozen=True):
    """Median, 99th percentile and maximum of a measurement; zeros without any."""

    p50: float
    p99: float
    max: float


class SeriesPoint(msgspec.Struct, frozen=True):
    """One moment of a run: simulated seconds since its start, mean delay so far, vehicles halting at signals."""

    time_s: float
    delay_s: float
    queue_veh: float


class IntersectionResult(msgspec.Struct, frozen=True):
    """One intersection over a run: means over the moments at which it was looked at."""

    mean_queue_veh: float
    mean_wait_s: float
    own_plan_s: float
    final_rung: str


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one controller on one scenario; times in seconds, means over all loaded vehicles where it says so."""

    format: int = RESULT_FORMAT
    scenario: str
    controller: str
    seed: int
    profile: str
    agents_mode: str
    pace: str
    tick_s: float
    seconds: float
    is_complete: bool
    delay_s: float
    duration_s: float
    waiting_s: float
    loaded: int
    completed: int
    unfinished: int
    undeparted: int
    collisions: int
    emergency_stops: int
    teleports: int
    ticks: int
    deadline_misses: int
    fallback_ticks: int
    guard_rejections: dict[str, int]
    tick_ms: Quantiles
    tick_cpu_ms: Quantiles
    wall_s: float
    cpu_s: float
    agents: int
    pss_mb_per_agent: float
    lost_agents: tuple[str, ...] = ()
    agent_deaths: int = 0
    program_changes: tuple[str, ...] = ()
    watched_signals: tuple[str, ...] = ()
    series: tuple[SeriesPoint, ...] = ()
    intersections: dict[str, IntersectionResult] = {}
    versions: dict[str, str] = {}

    @property
    def is_locked(self) -> bool:
        """Whether the network locked up."""
        return self.delay_s > LOCK_DELAY_S


def quantiles(values: Sequence[float]) -> Quantiles:
    """Median, 99th percentile and maximum of `values`."""
    if not values:
        return Quantiles(0.0, 0.0, 0.0)
    p50, p99, largest = np.percentile(np.asarray(values), (50, 99, 100))
    return Quantiles(round(float(p50), 4), round(float(p99), 4), round(float(largest), 4))
