"""Tells everyone who listens what a tick came to: flight recorder, event log, metrics, operators, log."""

from __future__ import annotations

from pathlib import Path

import structlog

from phasemesh.contract.hyper_profile import HyperProfile
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.clock import Clock
from phasemesh.controller.ladder_table import Rung
from phasemesh.controller.memory.memory_state import MemoryState
from phasemesh.controller.operator.snapshot import OperatorBoard, OperatorState
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.telemetry.event_codes import ANNOUNCED
from phasemesh.controller.telemetry.events import EventLog
from phasemesh.controller.telemetry.hyper_drift import Drift, DriftWatch
from phasemesh.controller.telemetry.records import RecordHeader, RecordWriter, TickRecord
from phasemesh.controller.telemetry.signal_events import Event
from phasemesh.controller.telemetry.tick_metrics import TickMetrics, drop_counts, summarise

log = structlog.get_logger("phasemesh.agent")


class Announcer:
    """Belongs to the decision loop; nothing here can fail a tick."""

    def __init__(
        self,
        header: RecordHeader,
        records: Path | None,
        mailbox: Mailbox,
        clock: Clock,
        speed: float = 1.0,
        profile: HyperProfile | None = None,
    ) -> None:
        """Announce the ticks of the life that `header` describes, into the file `records` unless it is None.

        `speed` is how many seconds of cabinet time pass in a second of `clock`, `profile` the usual hyper-action.
        """
        self.board = OperatorBoard()
        self.metrics = TickMetrics(header)
        self._header = header
        self._mailbox = mailbox
        self._clock = clock
        self._speed = speed
        self._started_ns = clock.mono_ns()
        self._writer = RecordWriter(records, header) if records else None
        self._events = EventLog(header)
        self._drifts = DriftWatch(profile)
        self._drift: Drift | None = None
        self._fault = self._state_fault = ""
        self._memory: MemoryState | None = None
        self._record: TickRecord | None = None
        self._record_ns: MonoNs | None = None

    def note_tick(self, record: TickRecord, *, is_late: bool) -> None:
        """A tick is over."""
        self._fault = ""
        self._record, self._record_ns = record, self._clock.mono_ns()
        if self._writer is not None:
            self._writer.write(record)
        for event in self._events.note(record):
            if event.code in ANNOUNCED:
                self._tell(event)
        self._note_drift(record)
        self.metrics.note(
            summarise(
                record,
                tick_s=self._header.tick_s,
                uptime_s=(self._clock.mono_ns() - self._started_ns) / NS_PER_S,
                is_deadline_missed=is_late,
                adapter_error="driver" if record.applied is None else "",
                drops=drop_counts(self._mailbox.faults),
                store_write_errors=self._writer.lost if self._writer else 0,
                drift=self._drift,
                memory=self._memory,
            )
        )
        self.show()

    def _note_drift(self, record: TickRecord) -> None:
        """Told to the log when it begins and when it is over."""
        before, self._drift = self._drift, self._drifts.note(record)
        was_alarm, is_alarm = (each is not None and each.is_alarm for each in (before, self._drift))
        if self._drift is not None and was_alarm != is_alarm:
            log.warning(
                "hyper-action drifts" if is_alarm else "hyper-action is as usual",
                intersection=self._header.intersection.id,
                distance=None if self._drift.distance is None else round(self._drift.distance, 4),
                threshold=self._drift.threshold,
            )

    def note_memory(self, state: MemoryState) -> None:
        """What the memory of the agent is after the tick that ends now; alarms are told when they are news."""
        before = self._memory.alarms if self._memory else ()
        for alarm in state.alarms:
            if alarm not in before:
                log.warning("memory alarm", intersection=self._header.intersection.id, alarm=alarm.value)
        self._memory = state

    def note_fault(self, fault: str) -> None:
        """The driver gave no snapshot; told to the log when it is news, since a dead cabinet is asked on and on."""
        if fault != self._fault:
            log.warning("driver fault", intersection=self._header.intersection.id, reason=fault)
        self._fault = fault

    def note_state(self, fault: str) -> None:
        """Why what is latched would not outlast this life, or empty; shown from the next turn on."""
        self._state_fault = fault

    def show(self, fault: str = "") -> None:
        """Publish the state of the loop, which just turned; with a `fault` nothing is commanded."""
        record = self._record
        is_released = record is None or bool(fault)
        self.board.publish(
            OperatorState(
                header=self._header,
                started_mono_ns=self._started_ns,
                last_tick_mono_ns=self._clock.mono_ns(),
                rung=Rung.RELEASED if is_released or record is None else record.rung,
                reason=fault or (record.reason if record else "waiting for the first snapshot of the cabinet"),
                record=record,
                record_mono_ns=self._record_ns,
                drops=drop_counts(self._mailbox.faults),
                lost_records=self._writer.lost if self._writer else 0,
                recorder_fault=self._writer.fault if self._writer else "",
                state_fault=self._state_fault,
                events=self._events.events,
                speed=self._speed,
                drift=self._drift,
                memory=self._memory,
            )
        )

    def close(self) -> None:
        """Complete the record file; calling it again does nothing."""
        if self._writer is not None:
            self._writer.close()

    def _tell(self, event: Event) -> None:
        log.info(
            event.code.name.lower(),
            intersection=self._header.intersection.id,
            at_s=event.at_s,
            parameter=event.parameter,
            reason=event.text,
        )
