"""Step 9 of a tick: everything that went into it and came out of it, as one record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from phasemesh.contract.command import AppliedCommand
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.observation import FloatArray
from phasemesh.contract.tensors import PolicyFault, PolicyOutput
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.decision import Choice, Mind, Observed
from phasemesh.controller.ladder import Standing
from phasemesh.controller.memory.recall import Remembered
from phasemesh.controller.peers.gather import Gathered
from phasemesh.controller.peers.mailbox import PeerView
from phasemesh.controller.safety.case import Verdict
from phasemesh.controller.safety.detectors import detector_faults
from phasemesh.controller.stopwatch import Stopwatch
from phasemesh.controller.telemetry.records import PeerInput, Source, TickRecord
from phasemesh.controller.trouble import Circumstances


class Ticked(NamedTuple):
    """The parts of a finished tick; `mind` is what was carried into it, `hears_us` in the order of the views."""

    tick: int
    snapshot: Snapshot
    observed: Observed
    mind: Mind
    noise: FloatArray
    gathered: Gathered
    hears_us: tuple[bool | None, ...]
    output: PolicyOutput | PolicyFault
    standing: Standing
    circumstances: Circumstances
    choice: Choice
    remembered: Remembered | None
    verdict: Verdict
    now_s: float
    applied: AppliedCommand | DriverFault
    stopwatch: Stopwatch


def record_of(ticked: Ticked) -> TickRecord:
    """The record of `ticked`."""
    mind, observed, choice, applied = ticked.mind, ticked.observed, ticked.choice, ticked.applied
    return TickRecord(
        tick=ticked.tick,
        step=observed.snapshot.step,
        now_s=ticked.now_s,
        snapshot=ticked.snapshot,
        peers=tuple(map(_peer_input, ticked.gathered.views, ticked.hears_us)),
        mask_noise=as_bytes(ticked.noise),
        history_before=mind.history,
        hidden_before=as_bytes(mind.hidden),
        step_before=mind.step,
        detectors_before=mind.detectors,
        unit_before=mind.unit,
        standing_before=mind.standing,
        circumstances=ticked.circumstances,
        legal=observed.legal,
        source=Source(choice.source),
        wanted_stage=choice.stage,
        kind=choice.kind,
        stage=ticked.verdict.stage,
        rule=ticked.verdict.rule,
        is_accepted=ticked.verdict.is_accepted,
        applied=None if isinstance(applied, DriverFault) else applied,
        rung=ticked.standing.rung,
        reason=ticked.standing.reason,
        in_force=ticked.standing.in_force,
        findings=observed.findings,
        detector_faults=detector_faults(observed.detectors),
        comm_misses=ticked.gathered.misses,
        step_ms=tuple(ticked.stopwatch.step_ms),
        cpu_ms=ticked.stopwatch.cpu_ms,
        policy_fault=ticked.output.reason if isinstance(ticked.output, PolicyFault) else "",
        command_fault=applied.reason if isinstance(applied, DriverFault) else "",
        remembered=ticked.remembered,
        **_outputs(ticked.output),
    )


def as_bytes(values: FloatArray) -> bytes:
    """`values` as records hold them: little-endian single precision."""
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def _peer_input(view: PeerView, hears_us: bool | None) -> PeerInput:
    return PeerInput(view.peer, view.age_ticks, view.is_fresh, hears_us, view.message)


def _outputs(output: PolicyOutput | PolicyFault) -> dict[str, bytes]:
    if isinstance(output, PolicyFault):
        return dict.fromkeys(("logits", "mask", "mask_probability", "hyper_action"), b"")
    return {
        "logits": as_bytes(output.stage_logits),
        "mask": as_bytes(output.mask),
        "mask_probability": as_bytes(output.mask_probability),
        "hyper_action": as_bytes(output.hyper_action),
    }
