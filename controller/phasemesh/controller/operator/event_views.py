"""What the operator's endpoints say of events and detectors, and the pure functions that make it."""

from __future__ import annotations

import msgspec

from phasemesh.contract.units import LaneId
from phasemesh.controller.operator.snapshot import OperatorState
from phasemesh.controller.telemetry.records import TickRecord
from phasemesh.controller.telemetry.signal_events import Event


class EventView(msgspec.Struct, frozen=True):
    """One entry of the event log: cabinet time, code and its name, parameter, and a sentence where there is one."""

    at_s: float
    code: int
    name: str
    parameter: int
    text: str


class DetectorView(msgspec.Struct, frozen=True):
    """The detectors of one lane: what they said, as it came, and whether they are believed.

    `number` is the detector of the event log. `fault` is the kind of the present fault and `since_s` its beginning in
    cabinet time, None without one. Values that are not finite are null.
    """

    lane: LaneId
    number: int
    is_trusted: bool
    fault: str | None
    since_s: float | None
    queue_veh: float
    vehicles_50m_veh: float
    arrivals_veh: float
    wait_s: float


def events(state: OperatorState) -> list[EventView]:
    """The newest events, oldest first."""
    return [_event(entry) for entry in state.events]


def _event(entry: Event) -> EventView:
    return EventView(entry.at_s, int(entry.code), entry.code.name.lower(), entry.parameter, entry.text)


def detectors(state: OperatorState, record: TickRecord) -> list[DetectorView]:
    """Every lane in the order of `Intersection.lanes`."""
    faults = {fault.lane: fault for fault in record.detector_faults}
    views = []
    lanes = state.header.intersection.lanes
    for number, (lane, reading) in enumerate(zip(lanes, record.snapshot.readings, strict=True), start=1):
        fault = faults.get(lane.id)
        views.append(
            DetectorView(
                lane=lane.id,
                number=number,
                is_trusted=fault is None,
                fault=None if fault is None else fault.kind.value,
                since_s=None if fault is None else fault.since_s,
                queue_veh=reading.queue_veh,
                vehicles_50m_veh=reading.vehicles_50m_veh,
                arrivals_veh=reading.arrivals_veh,
                wait_s=reading.wait_s,
            )
        )
    return views
