"""What the operator's endpoints say, as structs, and the pure functions that make them from the agent's state."""

from __future__ import annotations

from enum import StrEnum

import msgspec
import numpy as np

from phasemesh.contract.command import CommandKind, Interval, SignalState, lights
from phasemesh.contract.timing import StageTiming
from phasemesh.contract.units import NS_PER_S, IntersectionId, MonoNs
from phasemesh.controller.ladder_table import POLICY_RUNGS, LadderEvent, Rung
from phasemesh.controller.memory.memory_state import MemoryState
from phasemesh.controller.operator.snapshot import OperatorState
from phasemesh.controller.telemetry.hyper_drift import Drift
from phasemesh.controller.telemetry.records import STEP_NAMES, PeerInput, Source, TickRecord
from phasemesh.controller.telemetry.tick_metrics import latched_rules

DEAD_AFTER_TICKS = 3
"""A decision loop that has not turned for longer than this is dead.

Where cabinet time is slower than the wall the loop turns more seldom; where it is faster a busy machine is still slow.
"""


class Status(StrEnum):
    """Values of `status` in application/health+json; `warn` is degraded but safe."""

    GOOD = "pass"
    DEGRADED = "warn"
    FAILED = "fail"


class LivenessView(msgspec.Struct, frozen=True):
    """Whether the decision loop turns; `age_s` since its last turn, None before the first."""

    is_alive: bool
    age_s: float | None


class ReadinessView(msgspec.Struct, frozen=True):
    """Whether the agent's policy is in control, and which rung it stands on and why."""

    is_ready: bool
    rung: Rung | None
    reason: str


class Check(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One measurement of health."""

    status: Status
    observed_value: float | str | None = None
    observed_unit: str = ""
    output: str = ""


class HealthView(msgspec.Struct, frozen=True, rename="camel"):
    """application/health+json; `checks` are keyed `component:measurement`."""

    status: Status
    version: str
    service_id: str
    description: str
    checks: dict[str, list[Check]]


class PhaseView(msgspec.Struct, frozen=True):
    """What the signal shows, as of cabinet time `as_of_s`, which is `age_s` ago, or None when that is not known.

    `stage` is the one that `interval` belongs to and `since_s` when that began; during a change `next_stage` is the
    stage that follows, in green None because none is committed. `min_left_s` and `max_left_s` bound the rest of
    `interval`. `letters` has one letter a movement, `mode` says who controls the cabinet.
    """

    intersection: IntersectionId
    as_of_s: float
    age_s: float | None
    letters: str
    stage: int
    stage_name: str
    interval: Interval
    since_s: float
    next_stage: int | None
    next_stage_name: str | None
    min_left_s: float
    max_left_s: float
    mode: str
    lease_until_s: float
    rung: Rung
    reason: str


class NeighbourView(msgspec.Struct, frozen=True):
    """One neighbour: its newest message, and how many others were dropped since the agent's start, by reason.

    `hears_us` says whether the neighbour hears this agent in turn, None where that is not known. Boot ids are text
    because JSON readers round large integers.
    """

    neighbour: IntersectionId
    is_fresh: bool
    hears_us: bool | None
    age_ticks: int | None
    age_s: float | None
    boot_id: str | None
    seq: int | None
    step: int | None
    dropped: dict[str, int]


class DecisionView(msgspec.Struct, frozen=True):
    """The newest decision: inputs, answer of the policy, choice, verdict of the guard, time of every step."""

    tick: int
    step: int
    now_s: float
    source: Source
    legal: tuple[bool, ...]
    logits: list[float | None]
    mask: list[float | None]
    mask_probability: list[float | None]
    hyper_action: list[float | None]
    wanted_stage: int
    kind: CommandKind
    stage: int
    rule: str
    is_accepted: bool
    rung: Rung
    reason: str
    in_force: tuple[LadderEvent, ...]
    comm_misses: tuple[IntersectionId, ...]
    step_ms: dict[str, float]
    cpu_ms: float
    fault: str


class VersionView(msgspec.Struct, frozen=True):
    """What this agent is and runs."""

    version: str
    intersection: IntersectionId
    boot_id: str
    spec_hash: str
    bundle: str
    bundle_digest: str
    plan: str
    tick_s: float
    uptime_s: float


class NoStateView(msgspec.Struct, frozen=True):
    """Why there is nothing to show yet."""

    reason: str


def age_s(state: OperatorState, now: MonoNs) -> float:
    """Seconds since the decision loop of `state` last turned."""
    return (now - state.last_tick_mono_ns) / NS_PER_S


def liveness(state: OperatorState | None, now: MonoNs) -> LivenessView:
    """Alive means that the decision loop itself has turned lately, whatever other threads do."""
    if state is None:
        return LivenessView(is_alive=False, age_s=None)
    age = age_s(state, now)
    return LivenessView(is_alive=age <= DEAD_AFTER_TICKS * state.header.tick_s / min(1.0, state.speed), age_s=age)


def readiness(state: OperatorState | None, now: MonoNs) -> ReadinessView:
    """Ready means alive and armed: the policy chooses the stages."""
    if state is None:
        return ReadinessView(is_ready=False, rung=None, reason="the decision loop has not turned yet")
    if not liveness(state, now).is_alive:
        return ReadinessView(is_ready=False, rung=state.rung, reason="the decision loop no longer turns")
    return ReadinessView(is_ready=state.rung in POLICY_RUNGS, rung=state.rung, reason=state.reason)


def health(state: OperatorState | None, now: MonoNs, version: str) -> HealthView:
    """The worst of all checks; only a decision loop that does not turn is a failure."""
    if state is None:
        checks = {"decision_loop:age": [Check(Status.FAILED, output="the decision loop has not turned yet")]}
        return HealthView(Status.FAILED, version, "", "signal agent", checks)
    checks = {
        "decision_loop:age": [_loop_check(state, now)],
        "ladder:rung": [_rung_check(state)],
        "guard:latched": [_latch_check(state.record)],
        "state:kept": [Check(Status.DEGRADED if state.state_fault else Status.GOOD, output=state.state_fault)],
        "detectors:trusted": [_detector_check(state.record)],
        "neighbours:fresh": [_neighbour_check(state.record)],
        "neighbours:hearing": [_hearing_check(state.record)],
        "recorder:lost": [_recorder_check(state)],
        "hyper_action:drift": [_drift_check(state.drift)],
    }
    if state.memory is not None:
        checks["memory:alarms"] = [_memory_check(state.memory)]
    order = list(Status)
    worst = max((check.status for found in checks.values() for check in found), key=order.index)
    return HealthView(worst, version, state.header.intersection.id, "signal agent", checks)


def _loop_check(state: OperatorState, now: MonoNs) -> Check:
    status = Status.GOOD if liveness(state, now).is_alive else Status.FAILED
    return Check(status, observed_value=round(age_s(state, now), 3), observed_unit="s")


def _rung_check(state: OperatorState) -> Check:
    status = Status.GOOD if state.rung is Rung.COORDINATED else Status.DEGRADED
    return Check(status, observed_value=state.rung.value, output=state.reason)


def _latch_check(record: TickRecord | None) -> Check:
    rules = sorted(latched_rules(record)) if record else []
    status = Status.DEGRADED if rules else Status.GOOD
    output = f"waiting for an operator: {', '.join(rules)}" if rules else ""
    return Check(status, observed_value=len(rules), observed_unit="rules", output=output)


def _detector_check(record: TickRecord | None) -> Check:
    faults = record.detector_faults if record else ()
    lanes = len(record.snapshot.readings) if record else 0
    output = ", ".join(f"{fault.lane}: {fault.kind}" for fault in faults)
    status = Status.DEGRADED if faults else Status.GOOD
    return Check(status, observed_value=lanes - len(faults), observed_unit=f"of {lanes}", output=output)


def _neighbour_check(record: TickRecord | None) -> Check:
    peers = record.peers if record else ()
    stale = [peer.peer for peer in peers if not peer.is_fresh]
    status = Status.DEGRADED if stale else Status.GOOD
    output = f"stale: {', '.join(stale)}" if stale else ""
    return Check(status, observed_value=len(peers) - len(stale), observed_unit=f"of {len(peers)}", output=output)


def _hearing_check(record: TickRecord | None) -> Check:
    peers = record.peers if record else ()
    deaf = [peer.peer for peer in peers if peer.hears_us is False]
    status = Status.DEGRADED if deaf else Status.GOOD
    output = f"do not hear this agent: {', '.join(deaf)}" if deaf else ""
    return Check(status, observed_value=len(peers) - len(deaf), observed_unit=f"of {len(peers)}", output=output)


def _drift_check(drift: Drift | None) -> Check:
    if drift is None:
        return Check(Status.GOOD, output="the bundle knows no usual hyper-action of this intersection")
    status = Status.DEGRADED if drift.is_alarm else Status.GOOD
    value = None if drift.distance is None else round(drift.distance, 4)
    output = f"above {drift.threshold:g} for {drift.above_s:.0f} s" if drift.above_s else ""
    return Check(status, observed_value=value, observed_unit="Jensen-Shannon distance", output=output)


def _memory_check(memory: MemoryState) -> Check:
    status = Status.DEGRADED if memory.alarms else Status.GOOD
    output = ", ".join(memory.alarms) + (f" ({memory.store_fault})" if memory.store_fault else "")
    return Check(status, observed_value=len(memory.alarms), observed_unit="alarms", output=output)


def _recorder_check(state: OperatorState) -> Check:
    status = Status.DEGRADED if state.recorder_fault or state.lost_records else Status.GOOD
    return Check(status, observed_value=state.lost_records, observed_unit="records", output=state.recorder_fault)


def phase(state: OperatorState, record: TickRecord, now: MonoNs) -> PhaseView:
    """What the signal shows after the newest tick: what was applied, else what was observed."""
    intersection = state.header.intersection
    signal = record.applied.signal if record.applied else record.snapshot.signal
    is_green = signal.interval is Interval.GREEN
    stage = signal.stage if is_green else signal.from_stage
    low_s, high_s = time_left_s(signal, state.header.timings[stage], record.now_s)
    return PhaseView(
        intersection=intersection.id,
        as_of_s=record.now_s,
        age_s=None if state.record_mono_ns is None else (now - state.record_mono_ns) / NS_PER_S,
        letters=lights(intersection, signal),
        stage=stage,
        stage_name=intersection.stages[stage].name,
        interval=signal.interval,
        since_s=signal.since_s,
        next_stage=None if is_green else signal.stage,
        next_stage_name=None if is_green else intersection.stages[signal.stage].name,
        min_left_s=low_s,
        max_left_s=high_s,
        mode=record.snapshot.mode.value,
        lease_until_s=record.applied.lease_until_s if record.applied else record.snapshot.lease_until_s,
        rung=state.rung,
        reason=state.reason,
    )


def time_left_s(signal: SignalState, timing: StageTiming, now_s: float) -> tuple[float, float]:
    """The least and the most seconds that the interval of `signal` still lasts, with the times of its stage."""
    low_s, high_s = {
        Interval.GREEN: (timing.min_green_s, timing.absolute_max_green_s),
        Interval.PED_CLEARANCE: (timing.ped_clearance_s, timing.ped_clearance_s),
        Interval.YELLOW: (timing.yellow_s, timing.yellow_s),
        Interval.RED_CLEARANCE: (timing.red_clearance_s, timing.red_clearance_s),
    }[signal.interval]
    elapsed_s = now_s - signal.since_s
    return max(0.0, low_s - elapsed_s), max(0.0, high_s - elapsed_s)


def neighbours(state: OperatorState, record: TickRecord) -> list[NeighbourView]:
    """Every neighbour, in the order of `Intersection.neighbours`."""
    return [_neighbour(state, peer) for peer in record.peers]


def _neighbour(state: OperatorState, peer: PeerInput) -> NeighbourView:
    message = peer.message
    return NeighbourView(
        neighbour=peer.peer,
        is_fresh=peer.is_fresh,
        hears_us=peer.hears_us,
        age_ticks=peer.age_ticks,
        age_s=None if peer.age_ticks is None else peer.age_ticks * state.header.tick_s,
        boot_id=str(message.boot_id) if message else None,
        seq=message.seq if message else None,
        step=message.step if message else None,
        dropped={drop.reason: drop.count for drop in state.drops if drop.neighbour == peer.peer},
    )


def decision(record: TickRecord) -> DecisionView:
    """The newest decision; numbers that are not finite become null, which is all that JSON has for them."""
    return DecisionView(
        tick=record.tick,
        step=record.step,
        now_s=record.now_s,
        source=record.source,
        legal=record.legal,
        logits=_floats(record.logits),
        mask=_floats(record.mask),
        mask_probability=_floats(record.mask_probability),
        hyper_action=_floats(record.hyper_action),
        wanted_stage=record.wanted_stage,
        kind=record.kind,
        stage=record.stage,
        rule=record.rule,
        is_accepted=record.is_accepted,
        rung=record.rung,
        reason=record.reason,
        in_force=record.in_force,
        comm_misses=record.comm_misses,
        step_ms=dict(zip(STEP_NAMES, record.step_ms, strict=False)),
        cpu_ms=record.cpu_ms,
        fault=record.fault,
    )


def _floats(array: bytes) -> list[float | None]:
    values: list[float | None] = np.frombuffer(array, dtype="<f4").tolist()
    return values


def version_of(state: OperatorState, now: MonoNs, version: str) -> VersionView:
    """What this agent is and runs."""
    header = state.header
    return VersionView(
        version=version,
        intersection=header.intersection.id,
        boot_id=str(header.boot_id),
        spec_hash=header.spec_hash,
        bundle=header.bundle,
        bundle_digest=header.bundle_digest,
        plan=header.plan.value,
        tick_s=header.tick_s,
        uptime_s=(now - state.started_mono_ns) / NS_PER_S,
    )
