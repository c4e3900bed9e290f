"""The metrics of one agent, in a registry of its own, fed once a tick by the decision loop and read by Prometheus."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from phasemesh.contract.command import Interval, SignalState
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder_table import ROWS, Ending, Rung
from phasemesh.controller.memory.memory_state import MemoryState
from phasemesh.controller.telemetry.hyper_drift import Drift
from phasemesh.controller.telemetry.memory_metrics import MemoryMetrics
from phasemesh.controller.telemetry.records import RecordHeader, TickRecord
from phasemesh.controller.telemetry.refusals import RefusalCounts

DECISION_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)
UNKNOWN_NEIGHBOUR = "unknown"
"""Label of every sender that is no neighbour, so that strangers cannot add time series."""


_VERSION = importlib.metadata.version("phasemesh")
"""Read once: looking it up parses the metadata of the distribution."""


class DropCount(msgspec.Struct, frozen=True):
    """How many messages of one neighbour were dropped for one reason since the agent's start."""

    neighbour: IntersectionId
    reason: str
    count: int


class TickSummary(msgspec.Struct, frozen=True):
    """What the metrics need to know of one tick.

    `now_s` is cabinet time, `uptime_s` monotonic time since the agent's start. `signal` is what was seen before
    the command of the tick. `rejected_rule` is the rule by which the guard changed the wanted stage and
    `adapter_error` the kind of a driver's fault, both empty for none. `neighbour_ages_s` are in the order of
    `Intersection.neighbours`, None for one never heard, and so are `neighbours_hear_us`, None where it is not known.
    `drops` and `store_write_errors` are totals since the agent's start. `latched` are the rules whose breach waits for
    an operator, of the agent and of its cabinet; `detector_faults` are pairs of lane and kind; `clock_step_s` is how
    far the wall clock jumped. `drift` is how far the hyper-action is from the usual one, None where that is not known;
    `memory` is None without one.
    """

    rung: Rung
    now_s: float
    uptime_s: float
    signal: SignalState
    decision_s: float
    is_deadline_missed: bool = False
    comm_misses: int = 0
    rejected_rule: str = ""
    adapter_error: str = ""
    neighbour_ages_s: tuple[float | None, ...] = ()
    neighbours_hear_us: tuple[bool | None, ...] = ()
    drops: tuple[DropCount, ...] = ()
    store_write_errors: int = 0
    latched: frozenset[str] = frozenset()
    detector_faults: frozenset[tuple[str, str]] = frozenset()
    is_readback_mismatch: bool = False
    clock_step_s: float = 0.0
    drift: Drift | None = None
    memory: MemoryState | None = None


def drop_counts(faults: Mapping[tuple[IntersectionId, str], int]) -> tuple[DropCount, ...]:
    """The counts of a mailbox, by neighbour and kind of fault, frozen at this moment."""
    return tuple(DropCount(neighbour, reason, count) for (neighbour, reason), count in faults.items())


def summarise(
    record: TickRecord,
    *,
    tick_s: float,
    uptime_s: float,
    is_deadline_missed: bool = False,
    adapter_error: str = "",
    drops: tuple[DropCount, ...] = (),
    store_write_errors: int = 0,
    drift: Drift | None = None,
    memory: MemoryState | None = None,
) -> TickSummary:
    """The summary of `record`, completed by what records do not hold; see `TickSummary`."""
    return TickSummary(
        rung=record.rung,
        now_s=record.now_s,
        uptime_s=uptime_s,
        signal=record.snapshot.signal,
        decision_s=sum(record.step_ms) / 1000.0,
        is_deadline_missed=is_deadline_missed,
        rejected_rule=record.rule,
        adapter_error=adapter_error,
        comm_misses=len(record.comm_misses),
        neighbour_ages_s=tuple(None if peer.age_ticks is None else peer.age_ticks * tick_s for peer in record.peers),
        neighbours_hear_us=tuple(peer.hears_us for peer in record.peers),
        drops=drops,
        store_write_errors=store_write_errors,
        latched=latched_rules(record),
        detector_faults=frozenset((fault.lane, str(fault.kind)) for fault in record.detector_faults),
        is_readback_mismatch=any(finding.rule == "I16" for finding in record.findings),
        clock_step_s=abs(record.circumstances.clock_step_s),
        drift=drift,
        memory=memory,
    )


def latched_rules(record: TickRecord) -> frozenset[str]:
    """The rules that only an operator can reset, of the agent and of its cabinet."""
    own = (ROWS[event] for event in record.in_force)
    return frozenset(row.rule for row in own if row.ending is Ending.LATCHED) | frozenset(record.snapshot.latched)


class TickMetrics:
    """The metrics of one agent; `registry` is what `/metrics` shows, `refusals` the part that no tick counts."""

    def __init__(self, header: RecordHeader) -> None:
        self.registry = CollectorRegistry()
        self.refusals = RefusalCounts()
        self.registry.register(self.refusals)
        self._last: TickSummary | None = None
        self._memory: MemoryMetrics | None = None
        self._dropped: dict[tuple[str, str], int] = {}
        self._name_build(header)
        self._name_decision()
        self._name_neighbours(header.intersection.neighbours)
        self._name_safety()
        self._name_drift()
        green = Counter(
            "tsc_phase_green_seconds", "Cabinet time for which a stage was green.", ["stage"], registry=self.registry
        )
        self._green = [green.labels(str(stage)) for stage in range(len(header.intersection.stages))]

    def _name_build(self, header: RecordHeader) -> None:
        build = Info("tsc_build", "What this agent runs.", registry=self.registry)
        build.info(
            {
                "version": _VERSION,
                "intersection": header.intersection.id,
                "spec_hash": header.spec_hash,
                "bundle": header.bundle,
                "bundle_digest": header.bundle_digest,
            }
        )
        mode = Gauge("tsc_mode", "1 for the present rung of the ladder.", ["mode"], registry=self.registry)
        self._modes = {rung: mode.labels(rung.value) for rung in Rung}

    def _name_decision(self) -> None:
        registry = self.registry
        self._duration = Histogram(
            "tsc_decision_duration_seconds",
            "Wall time from the snapshot to the command.",
            buckets=DECISION_BUCKETS_S,
            registry=registry,
        )
        self._missed = Counter("tsc_decision_deadline_missed", "Ticks whose command came too late.", registry=registry)
        self._comm_missed = Counter(
            "tsc_comm_deadline_missed", "Messages that were not there when the tick went on.", registry=registry
        )
        self._rejections = Counter(
            "tsc_guard_rejections", "Wanted stages that the guard changed.", ["rule"], registry=registry
        )
        self._adapter_errors = Counter(
            "tsc_adapter_errors", "Calls that the driver could not answer.", ["kind"], registry=registry
        )
        self._store_errors = Counter(
            "tsc_store_write_errors", "Records that could not be written and are lost.", registry=registry
        )
        self._last_decision = Gauge(
            "tsc_last_decision_uptime_seconds",
            "Monotonic time of the newest decision since the agent's start; a dead loop stops it.",
            registry=registry,
        )

    def _name_neighbours(self, neighbours: tuple[IntersectionId, ...]) -> None:
        ages = Gauge(
            "tsc_neighbour_message_age_seconds",
            "Age of the newest message of a neighbour; +Inf when there was none.",
            ["neighbour"],
            registry=self.registry,
        )
        self._ages = [ages.labels(name) for name in neighbours]
        for age in self._ages:
            age.set(math.inf)
        hears_us = Gauge(
            "tsc_neighbour_hears_us",
            "1 while a neighbour hears this agent, 0 while it does not; NaN where that is not known.",
            ["neighbour"],
            registry=self.registry,
        )
        self._hears_us = [hears_us.labels(name) for name in neighbours]
        for heard in self._hears_us:
            heard.set(math.nan)
        self._neighbours = frozenset(neighbours)
        self._drops = Counter(
            "tsc_neighbour_messages_dropped",
            "Messages that were received and not used.",
            ["neighbour", "reason"],
            registry=self.registry,
        )

    def _name_safety(self) -> None:
        registry = self.registry
        self._changes = Counter(
            "tsc_ladder_changes", "Changes of the rung, by the rung that was reached.", ["to"], registry=registry
        )
        self._latched = Gauge(
            "tsc_guard_latched", "1 while a breach of the rule waits for an operator.", ["rule"], registry=registry
        )
        self._detector_faults = Gauge(
            "tsc_detector_fault", "1 while a detector is not trusted.", ["detector", "kind"], registry=registry
        )
        self._mismatches = Counter(
            "tsc_readback_mismatch", "Ticks in which the cabinet did not show what it accepted.", registry=registry
        )
        self._clock_steps = Counter(
            "tsc_clock_step_seconds", "By how much the wall clock jumped, in either direction.", registry=registry
        )

    def _name_drift(self) -> None:
        self._drift_distance = Gauge(
            "tsc_hyper_drift_distance",
            "Jensen-Shannon distance of the hyper-action from the usual one; NaN where that is not known.",
            registry=self.registry,
        )
        self._drift_distance.set(math.nan)
        self._drifts = Gauge(
            "tsc_hyper_drift", "1 while that distance has been too large for long.", registry=self.registry
        )

    def _note_drift(self, drift: Drift | None) -> None:
        distance = None if drift is None else drift.distance
        self._drift_distance.set(math.nan if distance is None else distance)
        self._drifts.set(drift is not None and drift.is_alarm)

    def note(self, summary: TickSummary) -> None:
        """Count one tick; only the decision loop calls this."""
        last = self._last
        if last is None or last.rung != summary.rung:
            for rung, mode in self._modes.items():
                mode.set(rung == summary.rung)
            self._changes.labels(summary.rung.value).inc()
        self._note_safety(summary, last)
        self._note_drift(summary.drift)
        self._duration.observe(summary.decision_s)
        self._last_decision.set(summary.uptime_s)
        self._note_faults(summary, 0 if last is None else last.store_write_errors)
        self._note_neighbours(summary)
        if summary.memory is not None:
            if self._memory is None:
                self._memory = MemoryMetrics(self.registry)
            self._memory.note(summary.memory)
        if last is not None:
            for stage, green_s in green_seconds(last.signal, last.now_s, summary.signal, summary.now_s):
                self._green[stage].inc(green_s)
        self._last = summary

    def _note_neighbours(self, summary: TickSummary) -> None:
        for age, age_s in zip(self._ages, summary.neighbour_ages_s, strict=False):
            age.set(math.inf if age_s is None else age_s)
        for heard, hears_us in zip(self._hears_us, summary.neighbours_hear_us, strict=False):
            heard.set(math.nan if hears_us is None else hears_us)
        self._note_drops(summary.drops)

    def _note_faults(self, summary: TickSummary, stored_before: int) -> None:
        if summary.is_deadline_missed:
            self._missed.inc()
        self._comm_missed.inc(summary.comm_misses)
        if summary.rejected_rule:
            self._rejections.labels(summary.rejected_rule).inc()
        if summary.adapter_error:
            self._adapter_errors.labels(summary.adapter_error).inc()
        if summary.store_write_errors > stored_before:
            self._store_errors.inc(summary.store_write_errors - stored_before)

    def _note_safety(self, summary: TickSummary, last: TickSummary | None) -> None:
        latched_before = last.latched if last else frozenset[str]()
        for rule in summary.latched ^ latched_before:
            self._latched.labels(rule).set(rule in summary.latched)
        faults_before = last.detector_faults if last else frozenset[tuple[str, str]]()
        for lane, kind in summary.detector_faults ^ faults_before:
            self._detector_faults.labels(lane, kind).set((lane, kind) in summary.detector_faults)
        if summary.is_readback_mismatch:
            self._mismatches.inc()
        if summary.clock_step_s:
            self._clock_steps.inc(summary.clock_step_s)

    def _note_drops(self, drops: tuple[DropCount, ...]) -> None:
        for drop in drops:
            key = (drop.neighbour, drop.reason)
            new = drop.count - self._dropped.get(key, 0)
            if new > 0:
                label = drop.neighbour if drop.neighbour in self._neighbours else UNKNOWN_NEIGHBOUR
                self._drops.labels(label, drop.reason).inc(new)
                self._dropped[key] = drop.count


def green_seconds(
    before: SignalState, before_s: float, signal: SignalState, now_s: float
) -> tuple[tuple[int, float], ...]:
    """Pairs of stage and green seconds between two sights of a signal, at `before_s` and at `now_s`.

    Exact as long as no more than one change begins or ends between the two. A cabinet whose clock went backwards
    adds nothing.
    """
    if now_s <= before_s:
        return ()
    if signal == before:
        return ((signal.stage, now_s - before_s),) if signal.interval is Interval.GREEN else ()
    pairs = []
    if before.interval is Interval.GREEN and signal.from_stage == before.stage and signal.interval is Interval.YELLOW:
        pairs.append((before.stage, max(0.0, min(signal.since_s, now_s) - before_s)))
    if signal.interval is Interval.GREEN:
        pairs.append((signal.stage, max(0.0, now_s - max(before_s, signal.since_s))))
    return tuple(pairs)
