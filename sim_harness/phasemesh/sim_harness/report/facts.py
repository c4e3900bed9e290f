"""What is told about one run apart from traffic: a fact is a row of `FACTS` or `SAFETY`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from phasemesh.sim_harness.result import Quantiles, RunResult

NONE = "none"
OF_CABINET = "cabinet "
"""Begins the name of a rule by which a cabinet, and not the guard of an agent, refused."""

AGENTS_MODES: dict[str, str] = {
    "processes": "one process for each agent",
    "inprocess": "all agents in the harness's process",
    "none": "no agents: SUMO's own control, only watched",
}


class Fact(msgspec.Struct, frozen=True):
    """One line: its title and its text for a run."""

    title: str
    text: Callable[[RunResult], str]


def _mode(result: RunResult) -> str:
    return AGENTS_MODES.get(result.agents_mode, result.agents_mode)


def _counts(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    by_rule = ", ".join(f"{name or 'unnamed'} {count:,}" for name, count in counts.items())
    return f"{total:,} ({by_rule})" if counts else NONE


def _guard(result: RunResult) -> str:
    return _counts({rule: count for rule, count in result.guard_rejections.items() if not _is_of_cabinet(rule)})


def _cabinet(result: RunResult) -> str:
    refused = {rule: count for rule, count in result.guard_rejections.items() if _is_of_cabinet(rule)}
    return _counts({rule.removeprefix(OF_CABINET): count for rule, count in refused.items()})


def _is_of_cabinet(rule: str) -> bool:
    return rule.startswith(OF_CABINET)


def _monitor(result: RunResult) -> str:
    """What the monitor saw; the times of SUMO's own programs are not ours to judge."""
    if result.agents_mode == "none":
        return f"conflicts and order only, of programs that are not ours: {_counts(result.monitor_trips_by_check)}"
    return _counts(result.monitor_trips_by_check)


def _latency(measured: Quantiles) -> str:
    if not measured.max:
        return "not measured"
    return f"p50 {measured.p50:.2f} ms, p99 {measured.p99:.2f} ms, max {measured.max:.2f} ms"


def _memory(result: RunResult) -> str:
    return f"{result.pss_mb_per_agent:.1f} MB" if result.pss_mb_per_agent else "not measured"


def _speed(result: RunResult) -> str:
    rate = f" ({result.seconds / result.wall_s:.1f} simulated s per s)" if result.wall_s else ""
    return f"{result.wall_s:,.1f} s{rate}"


FACTS: tuple[Fact, ...] = (
    Fact("Simulated", lambda result: f"{result.seconds:,.0f} s"),
    Fact("Seed", lambda result: str(result.seed)),
    Fact("Timing profile", lambda result: result.profile or NONE),
    Fact("Pace", lambda result: result.pace),
    Fact("Agents", lambda result: f"{result.agents:,}"),
    Fact("Where they ran", _mode),
    Fact("Tick", lambda result: f"{result.tick_s:g} s" if result.tick_s else NONE),
    Fact("Ticks of all agents", lambda result: f"{result.ticks:,}"),
    Fact("Deadline misses", lambda result: f"{result.deadline_misses:,} neighbour messages late or missing"),
    Fact("Fallback ticks", lambda result: f"{result.fallback_ticks:,} decided by a local plan"),
    Fact("Tick, wall time without waiting", lambda result: _latency(result.tick_ms)),
    Fact("Tick, CPU time", lambda result: _latency(result.tick_cpu_ms)),
    Fact("CPU time of the run", lambda result: f"{result.cpu_s:,.1f} s"),
    Fact("CPU time of the monitor", lambda result: f"{result.monitor_cpu_s:,.2f} s"),
    Fact("Wall time of the run", _speed),
    Fact("Memory for each agent (PSS)", _memory),
    Fact("Deaths of agents", lambda result: str(result.agent_deaths)),
    Fact("Lost agents", lambda result: ", ".join(result.lost_agents) or NONE),
    Fact("Versions", lambda result: ", ".join(f"{name} {text}" for name, text in result.versions.items()) or NONE),
)
"""In the order of the page."""

SAFETY: tuple[Fact, ...] = (
    Fact("Monitor trips, by check", _monitor),
    Fact("Collisions", lambda result: f"{result.collisions:,}"),
    Fact("Emergency stops", lambda result: f"{result.emergency_stops:,}"),
    Fact("Decisions replaced by the guard, by rule", _guard),
    Fact("Commands refused by cabinets, by rule", _cabinet),
    Fact("Faults latched at the end", lambda result: "; ".join(result.latched_faults) or NONE),
)
"""What tells whether a run was safe, in the order of the page."""
