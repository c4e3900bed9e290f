"""The event log: what happened at an intersection, derived from its records alone."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_factories import EAST, PAIR, STALE_AFTER_TICKS, STEPS_PER_TICK, TICK_S, WEST, Town
from agent_towns import make_town, policy_of
from factories import make_reading, make_timings
from phasemesh.contract.command import AppliedCommand, CommandKind, request_stage, start
from phasemesh.contract.detection import INVALID_READING, ControlMode
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import PlanKind
from phasemesh.controller.ladder_table import LADDER, LadderEvent, Rung
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.safety.detectors import DetectorFault, DetectorFaultKind
from phasemesh.controller.telemetry.event_codes import ANNOUNCED, EventCode
from phasemesh.controller.telemetry.events import EventLog, events_of, rule_number
from phasemesh.controller.telemetry.records import RECORD_FORMAT, RecordHeader, TickRecord
from phasemesh.controller.telemetry.signal_events import Event
from phasemesh.controller.trouble import Circumstances
from record_factories import CROSSING, make_header, make_record

HEADER = make_header()
BEFORE = make_record(1, now_s=5.0)
LANE = CROSSING.lanes[1].id


def follow(**changes: Any) -> list[tuple[EventCode, int]]:
    """Code and parameter of what a second tick adds that differs from the first by `changes`."""
    record = make_record(2, now_s=10.0, **changes)
    return [(each.code, each.parameter) for each in events_of(HEADER, BEFORE, record)]


def seen(record: TickRecord, **changes: Any) -> TickRecord:
    """`record` with another snapshot."""
    return msgspec.structs.replace(record, snapshot=msgspec.structs.replace(record.snapshot, **changes))


def snapshot(**changes: Any) -> Any:
    """The snapshot of the second tick with `changes`."""
    return msgspec.structs.replace(make_record(2, now_s=10.0).snapshot, **changes)


def test_a_quiet_tick_tells_nothing() -> None:
    """Where nothing changes nothing is written."""
    assert follow() == []


def test_a_life_begins_with_its_rung() -> None:
    """The first record of a life tells that it began, where it stands, and who is not heard."""
    first = events_of(HEADER, None, make_record(0, now_s=0.0))

    assert [each.code for each in first] == [EventCode.LIFE_BEGIN, EventCode.NEIGHBOUR_STALE, EventCode.RUNG]


def test_a_log_that_begins_in_the_middle_knows_no_beginning() -> None:
    """A file that was put aside begins with some tick of a life."""
    codes = [each.code for each in events_of(HEADER, None, make_record(7))]

    assert EventCode.LIFE_BEGIN not in codes


@pytest.mark.parametrize(
    ("mode", "begin", "end"),
    [
        (ControlMode.PREEMPT, (EventCode.PREEMPT_ON, 1), (EventCode.PREEMPT_OFF, 1)),
        (ControlMode.MANUAL, (EventCode.MANUAL_CONTROL, 1), (EventCode.MANUAL_CONTROL, 0)),
        (ControlMode.STOP_TIME, (EventCode.STOP_TIME, 1), (EventCode.STOP_TIME, 0)),
        (ControlMode.FLASH, (EventCode.FLASH_STATUS, 5), (EventCode.FLASH_STATUS, 2)),
        (ControlMode.STARTUP, (EventCode.FLASH_STATUS, 7), (EventCode.FLASH_STATUS, 2)),
    ],
)
def test_modes_begin_and_end(mode: ControlMode, begin: tuple[EventCode, int], end: tuple[EventCode, int]) -> None:
    """Each with the codes of the enumerations."""
    taken = make_record(2, now_s=10.0, snapshot=snapshot(mode=mode))
    free = make_record(3, now_s=15.0)

    assert follow(snapshot=snapshot(mode=mode)) == [begin]
    assert [(each.code, each.parameter) for each in events_of(HEADER, taken, free)] == [end]


def test_between_agent_and_own_plan_nothing_is_told() -> None:
    """That is what the ladder is for."""
    assert follow(snapshot=snapshot(mode=ControlMode.OWN_PLAN)) == []


def test_a_latch_of_the_cabinet_is_an_alarm() -> None:
    """On with the breach, off with the reset, numbered by its rule."""
    latched = make_record(2, now_s=10.0, snapshot=snapshot(latched=("I1",)))

    assert follow(snapshot=snapshot(latched=("I1",))) == [(EventCode.ALARM_ON, 1)]
    assert [(each.code, each.parameter) for each in events_of(HEADER, latched, make_record(3, now_s=15.0))] == [
        (EventCode.ALARM_OFF, 1)
    ]


@pytest.mark.parametrize(("step_s", "parameter"), [(3600.0, 3600), (-7.4, 7), (1e9, 32_767)])
def test_a_jump_of_the_clock_is_event_181(step_s: float, parameter: int) -> None:
    """With its size in seconds, in either direction."""
    assert follow(circumstances=Circumstances(clock_step_s=step_s)) == [(EventCode.CLOCK_UPDATED, parameter)]


def test_detectors_go_on_and_off() -> None:
    """A vehicle in the nearest zone is presence; an invalid reading is none."""
    readings = list(BEFORE.snapshot.readings)
    occupied = [*readings[:2], make_reading(2.0), INVALID_READING]
    with_vehicle = make_record(2, now_s=10.0, snapshot=snapshot(readings=tuple(occupied)))

    assert follow(snapshot=snapshot(readings=tuple(occupied))) == [(EventCode.DETECTOR_ON, 3)]
    assert [(each.code, each.parameter) for each in events_of(HEADER, with_vehicle, make_record(3, now_s=15.0))] == [
        (EventCode.DETECTOR_OFF, 3)
    ]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (DetectorFaultKind.SILENT, EventCode.DETECTOR_FAULT_WATCHDOG),
        (DetectorFaultKind.FLUTTER, EventCode.DETECTOR_FAULT_CHANGES),
        (DetectorFaultKind.STUCK_ON, EventCode.DETECTOR_FAULT_OTHER),
        (DetectorFaultKind.STUCK_OFF, EventCode.DETECTOR_FAULT_OTHER),
        (DetectorFaultKind.OUT_OF_RANGE, EventCode.DETECTOR_FAULT_OTHER),
    ],
)
def test_faults_of_detectors_come_and_go(kind: DetectorFaultKind, code: EventCode) -> None:
    """Each kind with the code of the enumerations that fits, and one code for the recovery."""
    fault = DetectorFault(LANE, kind, 10.0)
    broken = make_record(2, now_s=10.0, detector_faults=(fault,))

    assert follow(detector_faults=(fault,)) == [(code, 2)]
    assert [(each.code, each.parameter) for each in events_of(HEADER, broken, make_record(3, now_s=15.0))] == [
        (EventCode.DETECTOR_RESTORED, 2)
    ]
    assert events_of(HEADER, broken, make_record(3, now_s=15.0, detector_faults=(fault,))) == ()


def test_a_rung_is_told_with_its_reason() -> None:
    """Every change of the ladder, with what began or ended."""
    events = events_of(
        HEADER,
        BEFORE,
        make_record(2, now_s=10.0, rung=Rung.LOCAL, reason="no answer", in_force=(LadderEvent.POLICY_FAULTY,)),
    )
    number = [row.event for row in LADDER].index(LadderEvent.POLICY_FAULTY) + 1

    assert [(each.code, each.parameter) for each in events] == [
        (EventCode.TROUBLE_BEGIN, number),
        (EventCode.RUNG, 2),
    ]
    assert events[1].text == "LOCAL: no answer"


def test_trouble_that_ends_is_told() -> None:
    """Also while worse trouble keeps the agent where it is."""
    before = make_record(
        1, now_s=5.0, rung=Rung.RELEASED, in_force=(LadderEvent.CABINET_SILENT, LadderEvent.POLICY_FAULTY)
    )
    after = make_record(2, now_s=10.0, rung=Rung.RELEASED, in_force=(LadderEvent.CABINET_SILENT,))

    assert [each.code for each in events_of(HEADER, before, after)] == [EventCode.TROUBLE_END]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"rule": "I5", "wanted_stage": 1}, [(EventCode.GUARD_REFUSAL, 5)]),
        ({"rule": "I7", "stage": 1}, [(EventCode.GUARD_FORCE, 7)]),
        ({"applied": None, "command_fault": "no answer"}, [(EventCode.COMMAND_LOST, 0)]),
        ({"applied": AppliedCommand(2, 1, 0, False, "I13", start(0, 0.0), 25.0)}, [(EventCode.CABINET_REFUSAL, 13)]),
        (
            {"applied": AppliedCommand(2, 1, 0, False, "transit", start(0, 0.0), 25.0)},
            [(EventCode.CABINET_REFUSAL, 0)],
        ),
        ({"findings": (Finding("I16", Reaction.LOG, "late"),)}, [(EventCode.READBACK_MISMATCH, 1)]),
        ({"findings": (Finding("I11", Reaction.RELEASE, "taken"),)}, []),
        (
            {"circumstances": Circumstances(late=Finding("I23", Reaction.HOLD, "miss 1"))},
            [(EventCode.LATE_DECISION, 0)],
        ),
    ],
)
def test_what_guard_and_cabinet_did(changes: dict[str, Any], expected: list[tuple[EventCode, int]]) -> None:
    """Refusals, forces, lost commands and lies, each with the number of its rule."""
    assert follow(**changes) == expected


def test_a_neighbour_that_falls_silent_and_comes_back() -> None:
    """By its place among the neighbours, and by name."""
    peers = BEFORE.peers
    stale = make_record(2, now_s=10.0, peers=(msgspec.structs.replace(peers[0], is_fresh=False), peers[1]))
    lost = events_of(HEADER, BEFORE, stale)
    found = events_of(HEADER, stale, make_record(3, now_s=15.0))

    assert lost == (Event(10.0, EventCode.NEIGHBOUR_STALE, 1, EAST),)
    assert found == (Event(15.0, EventCode.NEIGHBOUR_FRESH, 1, EAST),)


@pytest.mark.parametrize(
    ("hears_us", "text"),
    [(True, "east hears this agent"), (None, "east does not tell whom it hears")],
    ids=["heard again", "not known"],
)
def test_a_neighbour_that_does_not_hear_is_told_once(hears_us: bool | None, text: str) -> None:
    """When it begins and when it is over, however it ends; never tick by tick (fault F21)."""
    peers = BEFORE.peers
    deaf = (msgspec.structs.replace(peers[0], hears_us=False), peers[1])
    again = (msgspec.structs.replace(peers[0], hears_us=hears_us), peers[1])
    first, second = make_record(2, now_s=10.0, peers=deaf), make_record(3, now_s=15.0, peers=deaf)

    assert events_of(HEADER, BEFORE, first) == (
        Event(10.0, EventCode.UNHEARD_BEGIN, 1, "east does not hear this agent"),
    )
    assert events_of(HEADER, first, second) == ()
    assert events_of(HEADER, second, make_record(4, now_s=20.0, peers=again)) == (
        Event(20.0, EventCode.UNHEARD_END, 1, text),
    )


@pytest.mark.parametrize(("rule", "cause"), [("", EventCode.FORCE_OFF), ("I6", EventCode.MAX_OUT)])
def test_a_green_that_a_command_ends_has_a_cause(rule: str, cause: EventCode) -> None:
    """Forced off by whoever chose, or out at its maximum; both before the green is over."""
    shown = request_stage(CROSSING, start(0, 0.0), 1, 10.0)
    codes = [code for code, _ in follow(rule=rule, stage=1, applied=AppliedCommand(2, 1, 1, True, "", shown, 25.0))]

    assert codes[-3:] == [cause, EventCode.GREEN_TERMINATION, EventCode.YELLOW_BEGIN]


def test_a_green_that_the_cabinet_ends_by_itself_has_none() -> None:
    """Who ends a green under a release is not the agent."""
    shown = request_stage(CROSSING, start(0, 0.0), 1, 10.0)
    applied = AppliedCommand(2, 0, 0, True, "", shown, 10.0)
    codes = [code for code, _ in follow(kind=CommandKind.RELEASE, applied=applied)]

    assert codes == [EventCode.GREEN_TERMINATION, EventCode.YELLOW_BEGIN]


@pytest.mark.parametrize(("rule", "number"), [("I7", 7), ("I25", 25), ("lease", 0), ("", 0), ("Ix", 0)])
def test_rules_have_numbers(rule: str, number: int) -> None:
    """What is no rule of the table is 0."""
    assert rule_number(rule) == number


class TestLog:
    """The log of one agent: bounded, readable at any time, the same as from its records."""

    def test_it_keeps_the_newest(self) -> None:
        """A small log forgets its oldest entries."""
        log = EventLog(HEADER, capacity=3)
        for tick in range(8):
            log.note(make_record(tick, now_s=5.0 * tick, rung=Rung.LOCAL if tick % 2 else Rung.COORDINATED))

        assert [(each.at_s, each.code) for each in log.events] == [
            (25.0, EventCode.RUNG),
            (30.0, EventCode.RUNG),
            (35.0, EventCode.RUNG),
        ]

    def test_what_was_read_does_not_change(self) -> None:
        """An endpoint that looks while the loop writes sees one state of the log."""
        log = EventLog(HEADER)
        log.note(make_record(0, now_s=0.0))
        read = log.events
        log.note(make_record(1, now_s=5.0, rung=Rung.LOCAL))

        assert len(read) < len(log.events)
        assert log.events[: len(read)] == read

    def test_a_drive_tells_the_same_from_its_records(self) -> None:
        """The log that an agent kept is the one that its records give, and its times never go back."""
        town = make_town(0.0, 1.0)
        header = header_of(town)
        log, added = EventLog(header, capacity=10_000), []
        records = []
        for tick in range(60):
            policy_of(town).fault = "broken" if 20 <= tick < 23 else ""
            absent = (EAST,) if 40 <= tick < 50 else ()
            record = town.tick((3.0, float(tick % 3), 0.0, 2.0), absent=absent)[WEST]
            records.append(record)
            added += log.note(record)
        again = [
            each
            for before, record in zip([None, *records], records, strict=False)
            for each in events_of(header, before, record)
        ]
        codes = {each.code for each in added}

        assert tuple(added) == log.events == tuple(again)
        assert {EventCode.RUNG, EventCode.TROUBLE_BEGIN, EventCode.TROUBLE_END, EventCode.NEIGHBOUR_STALE} <= codes
        assert {EventCode.GREEN_BEGIN, EventCode.YELLOW_BEGIN, EventCode.FORCE_OFF, EventCode.DETECTOR_ON} <= codes
        assert all(first.at_s <= second.at_s + TICK_S for first, second in itertools.pairwise(added))

    def test_a_quiet_town_still_logs(self) -> None:
        """Readers take a silent intersection for a broken one; its changes of stage are events enough."""
        town = make_town(0.0, 1.0)
        log = EventLog(header_of(town))
        for tick in range(60):
            policy_of(town).scores = (float(tick // 4 % 2), 0.5)
            log.note(town.tick()[WEST])

        assert len(log.events) >= 9


def header_of(town: Town) -> RecordHeader:
    """The header of the records of the west."""
    intersection = town.residents[WEST].cabinet.intersection
    return RecordHeader(
        format=RECORD_FORMAT,
        spec_hash=SPEC_HASH,
        intersection=intersection,
        timings=make_timings(intersection),
        tick_s=TICK_S,
        steps_per_tick=STEPS_PER_TICK,
        seed=7,
        stale_after_ticks=STALE_AFTER_TICKS,
        comm_deadline_ms=200.0,
        bundle="none",
        bundle_digest="",
        plan=PlanKind.ACTUATED,
        boot_id=1,
    )


def test_our_own_codes_are_in_the_vendor_range() -> None:
    """Above all enumerations, and below what readers drop; no code has two meanings."""
    own = [code for code in EventCode if code > 218]

    assert all(1001 <= code <= 32_767 for code in own)
    assert len({int(code) for code in EventCode}) == len(EventCode)


def test_what_people_must_see_is_announced() -> None:
    """Changes of the rung and faults stand in the log of the process, the daily round of lights does not."""
    assert {EventCode.RUNG, EventCode.TROUBLE_BEGIN, EventCode.CLOCK_UPDATED, EventCode.ALARM_ON} <= ANNOUNCED
    assert {EventCode.UNHEARD_BEGIN, EventCode.UNHEARD_END} <= ANNOUNCED
    assert not {EventCode.GREEN_BEGIN, EventCode.DETECTOR_ON, EventCode.FORCE_OFF} & ANNOUNCED
    assert set(PAIR) == {WEST, EAST}


def test_every_code_is_explained() -> None:
    """The page of records has each code of the log in its table and no other."""
    page = (Path(__file__).parents[3] / "docs" / "records.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## Events")[2].splitlines() if re.match(r"\| \d", line)]
    explained = {int(code) for row in rows for code in row.split("|")[1].split(",")}

    assert explained == {int(code) for code in EventCode}
