"""The high-resolution event log: what happened at an intersection, derived from the records of its ticks.

`events_of` is a pure function of two records that follow each other, so that the log of a running agent and one that is
computed from a record file are the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from phasemesh.contract.command import CommandKind, Interval, SignalState
from phasemesh.contract.detection import ControlMode, LaneReading
from phasemesh.controller.ladder_table import LADDER, ROWS, RUNGS, LadderEvent
from phasemesh.controller.safety.detectors import DetectorFaultKind
from phasemesh.controller.telemetry.event_codes import EventCode
from phasemesh.controller.telemetry.records import RecordHeader, TickRecord
from phasemesh.controller.telemetry.signal_events import Event, event, signal_events

DEFAULT_CAPACITY = 1000
"""Events that an agent keeps in memory: some minutes of a busy intersection."""
MODE_EVENTS: dict[ControlMode, tuple[EventCode, int, EventCode, int]] = {
    ControlMode.PREEMPT: (EventCode.PREEMPT_ON, 1, EventCode.PREEMPT_OFF, 1),
    ControlMode.MANUAL: (EventCode.MANUAL_CONTROL, 1, EventCode.MANUAL_CONTROL, 0),
    ControlMode.STOP_TIME: (EventCode.STOP_TIME, 1, EventCode.STOP_TIME, 0),
    ControlMode.FLASH: (EventCode.FLASH_STATUS, 5, EventCode.FLASH_STATUS, 2),
    ControlMode.STARTUP: (EventCode.FLASH_STATUS, 7, EventCode.FLASH_STATUS, 2),
}
"""Code and parameter with which a mode begins and ends; flash has the values of NTCIP 1202 unitFlashStatus."""
FAULT_CODES = {
    DetectorFaultKind.SILENT: EventCode.DETECTOR_FAULT_WATCHDOG,
    DetectorFaultKind.FLUTTER: EventCode.DETECTOR_FAULT_CHANGES,
}
"""Codes of the kinds of detector faults that the enumerations name; all others are `DETECTOR_FAULT_OTHER`."""
_LADDER_NUMBERS: dict[LadderEvent, int] = {row.event: number for number, row in enumerate(LADDER, start=1)}


class EventLog:
    """The newest events of one agent; only its decision loop writes, anybody may read `events`."""

    def __init__(self, header: RecordHeader, capacity: int = DEFAULT_CAPACITY) -> None:
        """Keep at most `capacity` events of the life that `header` describes."""
        self.events: tuple[Event, ...] = ()
        self._header = header
        self._ring: deque[Event] = deque(maxlen=capacity)
        self._before: TickRecord | None = None

    def note(self, record: TickRecord) -> tuple[Event, ...]:
        """Take the record of the next tick; returns the events that it adds, oldest first."""
        added = events_of(self._header, self._before, record)
        self._before = record
        if added:
            self._ring.extend(added)
            self.events = tuple(self._ring)
        return added


def events_of(header: RecordHeader, before: TickRecord | None, record: TickRecord) -> tuple[Event, ...]:
    """The events of `record`, which follows `before`, or begins the log; in the order of their times."""
    found = (
        *_life_events(record, before),
        *_circumstance_events(record),
        *_unit_events(record, before),
        *_detector_events(header, record, before),
        *_neighbour_events(record, before),
        *_hearing_events(record, before),
        *_ladder_events(record, before),
        *_decision_events(record),
        *_signal_events(header, record, before),
    )
    return tuple(sorted(found, key=_time_of))


def _time_of(entry: Event) -> float:
    return entry.at_s


def rule_number(rule: str) -> int:
    """The number of a rule such as I7; 0 for what is no rule of the table."""
    digits = rule.removeprefix("I")
    return int(digits) if digits.isdecimal() else 0


def _life_events(record: TickRecord, before: TickRecord | None) -> Iterator[Event]:
    if before is None and record.tick == 0:
        yield event(record.snapshot.now_s, EventCode.LIFE_BEGIN, 0)


def _circumstance_events(record: TickRecord) -> Iterator[Event]:
    at_s, circumstances = record.snapshot.now_s, record.circumstances
    if step_s := circumstances.clock_step_s:
        yield event(at_s, EventCode.CLOCK_UPDATED, abs(step_s), f"the wall clock jumped by {step_s:.3f} s")
    if circumstances.late is not None:
        yield event(record.now_s, EventCode.LATE_DECISION, 0, circumstances.late.detail)


def _unit_events(record: TickRecord, before: TickRecord | None) -> Iterator[Event]:
    at_s, mode = record.snapshot.now_s, record.snapshot.mode
    mode_before = before.snapshot.mode if before else ControlMode.AGENT
    if mode is not mode_before:
        if mode_before in MODE_EVENTS:
            yield event(at_s, *MODE_EVENTS[mode_before][2:])
        if mode in MODE_EVENTS:
            yield event(at_s, *MODE_EVENTS[mode][:2])
    latched_before = before.snapshot.latched if before else ()
    for rule in record.snapshot.latched:
        if rule not in latched_before:
            yield event(at_s, EventCode.ALARM_ON, rule_number(rule), f"the cabinet latched {rule}")
    for rule in latched_before:
        if rule not in record.snapshot.latched:
            yield event(at_s, EventCode.ALARM_OFF, rule_number(rule), f"{rule} was reset in the cabinet")
    for finding in record.findings:
        if finding.rule == "I16":
            yield event(at_s, EventCode.READBACK_MISMATCH, record.snapshot.signal.stage + 1, finding.detail)


def _detector_events(header: RecordHeader, record: TickRecord, before: TickRecord | None) -> Iterator[Event]:
    at_s = record.snapshot.now_s
    if before is not None:
        pairs = zip(before.snapshot.readings, record.snapshot.readings, strict=False)
        for number, (reading_before, reading) in enumerate(pairs, start=1):
            if reading is not reading_before and (is_on := _is_on(reading)) != _is_on(reading_before):
                yield event(at_s, EventCode.DETECTOR_ON if is_on else EventCode.DETECTOR_OFF, number)
    faults_before = before.detector_faults if before else ()
    if record.detector_faults == faults_before:
        return
    numbers = {lane.id: number for number, lane in enumerate(header.intersection.lanes, start=1)}
    for fault in record.detector_faults:
        if fault not in faults_before:
            code = FAULT_CODES.get(fault.kind, EventCode.DETECTOR_FAULT_OTHER)
            yield event(at_s, code, numbers[fault.lane], f"{fault.lane}: {fault.kind}")
    faulty = {fault.lane for fault in record.detector_faults}
    for fault in faults_before:
        if fault.lane not in faulty:
            yield event(at_s, EventCode.DETECTOR_RESTORED, numbers[fault.lane], fault.lane)


def _is_on(reading: LaneReading) -> bool:
    return reading.is_valid and reading.vehicles_50m_veh > 0


def _neighbour_events(record: TickRecord, before: TickRecord | None) -> Iterator[Event]:
    fresh_before = [peer.is_fresh for peer in before.peers] if before else [True] * len(record.peers)
    for number, (peer, was_fresh) in enumerate(zip(record.peers, fresh_before, strict=False), start=1):
        if peer.is_fresh != was_fresh:
            code = EventCode.NEIGHBOUR_FRESH if peer.is_fresh else EventCode.NEIGHBOUR_STALE
            yield event(record.snapshot.now_s, code, number, peer.peer)


def _hearing_events(record: TickRecord, before: TickRecord | None) -> Iterator[Event]:
    """That a neighbour does not hear this agent, and when that is over or cannot be told any longer."""
    heard_before = [peer.hears_us for peer in before.peers] if before else [None] * len(record.peers)
    for number, (peer, did_hear) in enumerate(zip(record.peers, heard_before, strict=False), start=1):
        if peer.hears_us is False and did_hear is not False:
            text = f"{peer.peer} does not hear this agent"
            yield event(record.snapshot.now_s, EventCode.UNHEARD_BEGIN, number, text)
        elif did_hear is False and peer.hears_us is not False:
            text = f"{peer.peer} hears this agent" if peer.hears_us else f"{peer.peer} does not tell whom it hears"
            yield event(record.snapshot.now_s, EventCode.UNHEARD_END, number, text)


def _ladder_events(record: TickRecord, before: TickRecord | None) -> Iterator[Event]:
    at_s, in_force_before = record.snapshot.now_s, before.in_force if before else ()
    if record.in_force != in_force_before:
        for found in record.in_force:
            if found not in in_force_before:
                yield event(at_s, EventCode.TROUBLE_BEGIN, _LADDER_NUMBERS[found], ROWS[found].sentence)
        for gone in in_force_before:
            if gone not in record.in_force:
                yield event(at_s, EventCode.TROUBLE_END, _LADDER_NUMBERS[gone], ROWS[gone].sentence)
    if before is None or before.rung is not record.rung:
        yield event(at_s, EventCode.RUNG, RUNGS.index(record.rung), _rung_text(record))


def _rung_text(record: TickRecord) -> str:
    return f"{record.rung}: {record.reason}" if record.reason else record.rung


def _decision_events(record: TickRecord) -> Iterator[Event]:
    if record.rule:
        code = EventCode.GUARD_REFUSAL if record.stage == record.snapshot.signal.stage else EventCode.GUARD_FORCE
        yield event(record.now_s, code, rule_number(record.rule), record.rule)
    if record.applied is None:
        yield event(record.now_s, EventCode.COMMAND_LOST, 0, record.command_fault)
    elif not record.applied.is_accepted:
        rule = record.applied.rule
        yield event(record.now_s, EventCode.CABINET_REFUSAL, rule_number(rule), rule)


def _signal_events(header: RecordHeader, record: TickRecord, before: TickRecord | None) -> Iterator[Event]:
    intersection, timings = header.intersection, header.timings
    seen = record.snapshot.signal
    if before is not None:
        last = before.applied.signal if before.applied else before.snapshot.signal
        yield from signal_events(intersection, timings, last, seen)
    if record.applied is None or record.applied.signal == seen:
        return
    shown = record.applied.signal
    if _ends_green(seen, shown) and record.kind is CommandKind.STAGE:
        code = EventCode.MAX_OUT if record.rule == "I6" else EventCode.FORCE_OFF
        yield event(shown.since_s, code, shown.from_stage + 1, record.source)
    yield from signal_events(intersection, timings, seen, shown)


def _ends_green(before: SignalState, after: SignalState) -> bool:
    return before.interval is Interval.GREEN and after.stage != before.stage
