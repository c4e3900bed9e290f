"""The outcome of one run: what `result.json` and every row of `results.json` hold."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from phasemesh.contract.site import MemoryMode
from phasemesh.sim_harness.metrics import PeopleMetrics

RESULT_FORMAT = 1
RESULT_NAME = "result.json"
"""The outcome of a run in its folder."""
LOCK_DELAY_S = 500.0
"""A run with more delay than this counts as locked."""
KEPT_FINDINGS = 20
"""Findings of the monitor that are told in words; all are counted."""


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
    """One intersection over a run: means over the moments at which it was looked at.

    `final_rung` is empty where there was no agent at the end.
    """

    mean_queue_veh: float
    mean_wait_s: float
    own_plan_s: float
    final_rung: str


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one controller on one scenario; times in seconds, means over all loaded vehicles where it says so.

    `monitor_trips` counts what the monitor found in the lights under a controller of ours, `sumo_program_findings` the
    same under a program of SUMO, whose times are not judged; `monitor_findings` are the first `KEPT_FINDINGS` of
    either, `monitor_trips_by_check` all of them by the name of their check. `latched_faults` name the cabinets that
    were in flash at the end, with the rules that keep them there. `people` are those on foot, whom no mean over
    vehicles counts. `memory` is whether agents remembered, `sources` how many ticks each `Source` decided.
    `why_incomplete` says what ended a run that nobody interrupted.
    """

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
    monitor_trips: int = 0
    monitor_findings: tuple[str, ...] = ()
    monitor_trips_by_check: dict[str, int] = {}
    sumo_program_findings: int = 0
    monitor_cpu_s: float = 0.0
    latched_faults: tuple[str, ...] = ()
    people: PeopleMetrics = PeopleMetrics()
    memory: str = MemoryMode.OFF.value
    sources: dict[str, int] = {}
    why_incomplete: str = ""

    @property
    def is_locked(self) -> bool:
        """Whether the network locked up."""
        return self.delay_s > LOCK_DELAY_S

    @property
    def is_unsafe(self) -> bool:
        """Whether the monitor tripped under a controller of ours."""
        return self.monitor_trips > 0


def quantiles(values: Sequence[float]) -> Quantiles:
    """Median, 99th percentile and maximum of `values`."""
    if not values:
        return Quantiles(0.0, 0.0, 0.0)
    p50, p99, largest = np.percentile(np.asarray(values), (50, 99, 100))
    return Quantiles(round(float(p50), 4), round(float(p99), 4), round(float(largest), 4))
