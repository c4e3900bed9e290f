"""Small, valid records and operator states for tests; every argument has a default that makes a plain tick."""

from __future__ import annotations

from typing import Any

import numpy as np

from factories import make_intersection, make_snapshot, make_timings
from phasemesh.contract.command import AppliedCommand, CommandKind, SignalState, start
from phasemesh.contract.history import empty_history
from phasemesh.contract.messages import Heard, PeerMessage, compose
from phasemesh.contract.observation import HIDDEN_SIZE, HYPER_SIZE, SPEC_HASH, SUMMARY_SIZE
from phasemesh.contract.site import PlanKind
from phasemesh.contract.units import NS_PER_S, IntersectionId, MonoNs
from phasemesh.controller.ladder import FRESH
from phasemesh.controller.ladder_table import Rung
from phasemesh.controller.operator.snapshot import OperatorState
from phasemesh.controller.safety.detectors import empty_health
from phasemesh.controller.telemetry.records import RECORD_FORMAT, PeerInput, RecordHeader, Source, TickRecord
from phasemesh.controller.trouble import Circumstances
from phasemesh.controller.unit_watch import UnitWatch

EAST = IntersectionId("east")
WEST = IntersectionId("west")
CROSSING = make_intersection(neighbours=(EAST, WEST))


def make_header(**changes: Any) -> RecordHeader:
    """The header of a crossing with the neighbours east and west and ticks of five seconds."""
    values: dict[str, Any] = {
        "format": RECORD_FORMAT,
        "spec_hash": SPEC_HASH,
        "intersection": CROSSING,
        "timings": make_timings(CROSSING),
        "tick_s": 5.0,
        "steps_per_tick": 5,
        "seed": 7,
        "stale_after_ticks": 3,
        "comm_deadline_ms": 200.0,
        "bundle": "zoo",
        "bundle_digest": "ab" * 32,
        "plan": PlanKind.ACTUATED,
        "boot_id": 2**62 + 1,
    }
    return RecordHeader(**{**values, **changes})


def make_message(sender: IntersectionId = EAST, *, step: int = 0) -> PeerMessage:
    """A message of zeros, whose sender heard the crossing one tick ago."""
    zeros = np.zeros(SUMMARY_SIZE + HIDDEN_SIZE, dtype=np.float32)
    vectors = {"summary": zeros[:SUMMARY_SIZE], "policy": zeros[:2], "hidden": zeros[:HIDDEN_SIZE]}
    return compose(sender, 11, 3, step, **vectors, heard=(Heard(CROSSING.id, 5.0),))


def floats(*values: float) -> bytes:
    """The bytes of single precision `values`, as records hold them."""
    return np.array(values, dtype="<f4").tobytes()


def make_record(tick: int = 0, *, signal: SignalState | None = None, now_s: float = 10.0, **changes: Any) -> TickRecord:
    """A tick in which east is fresh and hears, west was never heard, and the policy's choice went through."""
    shown = signal or start(0, 0.0)
    values: dict[str, Any] = {
        "step": tick,
        "now_s": now_s,
        "snapshot": make_snapshot(CROSSING, step=tick, now_s=now_s, signal=shown),
        "peers": (PeerInput(EAST, 1, True, True, make_message(step=tick)), PeerInput(WEST, None, False, None, None)),
        "mask_noise": floats(0.5, 0.5),
        "history_before": empty_history(CROSSING, 0.0),
        "step_before": max(tick, 0) - 1,
        "hidden_before": bytes(4 * HIDDEN_SIZE),
        "detectors_before": empty_health(CROSSING, 0.0),
        "unit_before": UnitWatch(),
        "standing_before": FRESH,
        "circumstances": Circumstances(),
        "logits": floats(1.5, -0.5),
        "mask": floats(1.0, 0.0),
        "mask_probability": floats(0.75, 0.25),
        "hyper_action": bytes(4 * HYPER_SIZE),
        "legal": (True, False),
        "source": Source.POLICY,
        "wanted_stage": 0,
        "kind": CommandKind.STAGE,
        "stage": 0,
        "rule": "",
        "is_accepted": True,
        "applied": AppliedCommand(tick, 0, 0, True, "", shown, now_s + 15.0),
        "rung": Rung.COORDINATED,
        "reason": "",
        "in_force": (),
        "findings": (),
        "detector_faults": (),
        "comm_misses": (WEST,),
        "step_ms": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        "cpu_ms": 2.5,
        "policy_fault": "",
        "command_fault": "",
    }
    return TickRecord(tick=tick, **{**values, **changes})


def make_state(**changes: Any) -> OperatorState:
    """A state whose decision loop started at 0 s and last turned at 100 s of the monotonic clock."""
    values: dict[str, Any] = {
        "header": make_header(),
        "started_mono_ns": MonoNs(0),
        "last_tick_mono_ns": MonoNs(100 * NS_PER_S),
        "rung": Rung.COORDINATED,
        "reason": "",
        "record": make_record(),
    }
    return OperatorState(**{**values, **changes})
