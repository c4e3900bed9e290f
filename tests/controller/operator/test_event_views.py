"""What the endpoints show of events and detectors."""

from __future__ import annotations

import math

import msgspec
import pytest

from phasemesh.controller.ladder_table import LadderEvent, Rung
from phasemesh.controller.operator import views
from phasemesh.controller.operator.event_views import DetectorView, EventView, detectors, events
from phasemesh.controller.safety.detectors import DetectorFault, DetectorFaultKind
from phasemesh.controller.telemetry.event_codes import EventCode
from phasemesh.controller.telemetry.signal_events import Event
from record_factories import CROSSING, make_record, make_state

FAULT = DetectorFault(CROSSING.lanes[2].id, DetectorFaultKind.STUCK_ON, 120.0)


def test_events_have_names_and_numbers() -> None:
    """A code is for programs, a name for people."""
    state = make_state(events=(Event(10.0, EventCode.RUNG, 2, "LOCAL: no answer"), Event(12.5, EventCode(8), 1)))

    assert events(state) == [
        EventView(10.0, 1002, "rung", 2, "LOCAL: no answer"),
        EventView(12.5, 8, "yellow_begin", 1, ""),
    ]


def test_every_lane_has_a_view_in_its_place() -> None:
    """Numbered as in the event log; the one that is not believed says why and since when."""
    record = make_record(detector_faults=(FAULT,))
    shown = detectors(make_state(record=record), record)

    assert [view.number for view in shown] == [1, 2, 3, 4]
    assert [view.lane for view in shown] == [lane.id for lane in CROSSING.lanes]
    assert [view.is_trusted for view in shown] == [True, True, False, True]
    assert (shown[2].fault, shown[2].since_s) == ("stuck_on", 120.0)
    assert (shown[0].fault, shown[0].since_s) == (None, None)


def test_a_number_that_is_none_is_null() -> None:
    """Which every JSON reader can read."""
    reading = msgspec.structs.replace(make_record().snapshot.readings[0], queue_veh=math.nan)
    snapshot = msgspec.structs.replace(make_record().snapshot, readings=(reading,) * 4)
    record = make_record(snapshot=snapshot)
    body = msgspec.json.encode(detectors(make_state(record=record), record))

    assert b'"queue_veh":null' in body
    assert b"NaN" not in body


def test_a_detector_that_is_not_believed_is_a_warning() -> None:
    """Health names the lane and what is wrong; it is no failure."""
    health = views.health(make_state(record=make_record(detector_faults=(FAULT,))), make_state().last_tick_mono_ns, "1")
    (check,) = health.checks["detectors:trusted"]

    assert (check.status, check.observed_value, check.observed_unit) == (views.Status.DEGRADED, 3, "of 4")
    assert check.output == f"{FAULT.lane}: stuck_on"


@pytest.mark.parametrize(
    ("own", "cabinet", "output"),
    [
        ((), (), ""),
        ((LadderEvent.CONFIG_DIFFERS,), (), "waiting for an operator: I19"),
        ((), ("I1",), "waiting for an operator: I1"),
        ((LadderEvent.CONFIG_DIFFERS, LadderEvent.POLICY_FAULTY), ("I1",), "waiting for an operator: I1, I19"),
    ],
)
def test_a_latch_is_a_warning(own: tuple[LadderEvent, ...], cabinet: tuple[str, ...], output: str) -> None:
    """The agent's own and those of its cabinet; what clears itself is none."""
    snapshot = msgspec.structs.replace(make_record().snapshot, latched=cabinet)
    state = make_state(record=make_record(in_force=own, snapshot=snapshot))
    (check,) = views.health(state, state.last_tick_mono_ns, "1").checks["guard:latched"]

    assert check.output == output
    assert (check.status is views.Status.DEGRADED) is bool(output)


@pytest.mark.parametrize("rung", [Rung.LOCAL, Rung.RELEASED, Rung.FLASH])
def test_below_the_policy_nobody_is_ready(rung: Rung) -> None:
    """Flash included."""
    state = make_state(rung=rung, reason="because")

    assert views.readiness(state, state.last_tick_mono_ns) == views.ReadinessView(False, rung, "because")


def test_a_decision_tells_what_was_asked_and_what_is_in_force() -> None:
    """A release is no wish for a stage."""
    view = views.decision(make_record(in_force=(LadderEvent.STARTING,)))

    assert (view.kind, view.in_force) == ("stage", (LadderEvent.STARTING,))


def test_views_of_detectors_are_complete() -> None:
    """Each has a lane, a judgement and what was read."""
    assert {"lane", "is_trusted", "fault", "queue_veh", "vehicles_50m_veh"} <= set(DetectorView.__struct_fields__)
