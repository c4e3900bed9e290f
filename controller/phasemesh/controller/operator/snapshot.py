"""What the decision loop hands to the operator's endpoints once a tick: one immutable struct, replaced whole."""

from __future__ import annotations

import msgspec

from phasemesh.contract.units import MonoNs
from phasemesh.controller.ladder_table import Rung
from phasemesh.controller.memory.memory_state import MemoryState
from phasemesh.controller.telemetry.hyper_drift import Drift
from phasemesh.controller.telemetry.records import RecordHeader, TickRecord
from phasemesh.controller.telemetry.signal_events import Event
from phasemesh.controller.telemetry.tick_metrics import DropCount


class OperatorState(msgspec.Struct, frozen=True):
    """The state of one agent after a turn of its decision loop.

    `last_tick_mono_ns` is when the loop last turned, with or without a decision. `record` is its newest tick and
    `record_mono_ns` when that ended, None before the first. `drops` and `lost_records` are totals since the agent's
    start, `recorder_fault` why records are being lost at present, or empty, `state_fault` why what is latched would not
    outlast this life, or empty. `events` are the newest entries of the event log, oldest first. `speed` is how many
    seconds of cabinet time pass in a second of the wall. `drift` is how far the hyper-action is from the usual one,
    None where nothing usual is known; `memory` is None where the agent remembers nothing.
    """

    header: RecordHeader
    started_mono_ns: MonoNs
    last_tick_mono_ns: MonoNs
    rung: Rung
    reason: str
    record: TickRecord | None = None
    drops: tuple[DropCount, ...] = ()
    lost_records: int = 0
    recorder_fault: str = ""
    state_fault: str = ""
    record_mono_ns: MonoNs | None = None
    events: tuple[Event, ...] = ()
    speed: float = 1.0
    drift: Drift | None = None
    memory: MemoryState | None = None


class OperatorBoard:
    """The one place where the decision loop puts its state and the endpoints look; neither waits for the other."""

    def __init__(self) -> None:
        self._state: OperatorState | None = None

    def publish(self, state: OperatorState) -> None:
        """Show `state` from now on; replacing one reference is atomic."""
        self._state = state

    def latest(self) -> OperatorState | None:
        """The newest state, or None before the decision loop has turned for the first time."""
        return self._state
