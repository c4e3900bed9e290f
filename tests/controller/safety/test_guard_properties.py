"""Laws of the guard over random requests, calls and detector faults, driven through the sequencer second by second."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import msgspec
from guard_cases import CROSSING, LEFTS, PARTS, TIMING, Scene, timings_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from factories import make_reading, make_snapshot
from phasemesh.contract.command import Interval, SignalState, advance, change_s, lights, request_stage, start
from phasemesh.contract.detection import INVALID_READING, LaneReading
from phasemesh.contract.history import ServiceHistory, empty_history, movement_waits_s, note_calls, note_signal
from phasemesh.contract.intersection import GREEN_LETTERS, Intersection, conflicting_pairs
from phasemesh.contract.timing import StageTiming, faults_of_timing
from phasemesh.controller.safety.case import GuardCase, Reaction, Verdict
from phasemesh.controller.safety.guard import Guard, legal_stages

STEPS = 240
EMPTY, BUSY = make_reading(), make_reading(2.0)
LAWS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

crossings = st.sampled_from((CROSSING, LEFTS, PARTS))
timing = st.builds(
    StageTiming,
    min_green_s=st.sampled_from((1.0, 3.0, 5.0, 7.0)),
    max_green_s=st.sampled_from((10.0, 20.0)),
    absolute_max_green_s=st.sampled_from((20.0, 40.0)),
    yellow_s=st.sampled_from((2.0, 3.0, 4.0)),
    red_clearance_s=st.sampled_from((0.0, 1.0, 2.0)),
    max_wait_s=st.sampled_from((30.0, 45.0, 60.0)),
)


@dataclass(frozen=True)
class Drive:
    """A random drive: an intersection, its times, and pieces of (seconds, stage asked, busy lanes, faulty lanes)."""

    intersection: Intersection
    timings: tuple[StageTiming, ...]
    pieces: tuple[tuple[int, int, frozenset[int], frozenset[int]], ...]


@dataclass(frozen=True)
class Second:
    """What was true in one second of a drive, after the verdict."""

    now_s: float
    signal: SignalState
    letters: str
    waits_s: tuple[float, ...]
    case: GuardCase
    verdict: Verdict


@st.composite
def drives(draw: st.DrawFn) -> Drive:
    """Requests that stay for a while or flutter, for stages that exist or not, over lanes that call or not."""
    intersection = draw(crossings)
    count = len(intersection.stages)
    lanes = st.frozensets(st.integers(0, len(intersection.lanes) - 1))
    piece = st.tuples(
        st.sampled_from((1, 2, 7, 30, 90)), st.integers(-1, count), lanes, st.one_of(st.just(frozenset()), lanes)
    )
    return Drive(
        intersection,
        tuple(draw(st.lists(timing, min_size=count, max_size=count))),
        tuple(draw(st.lists(piece, min_size=1, max_size=40))),
    )


def drive_of(drive: Drive) -> list[Second]:
    """`drive` second by second: advance, look, judge, command."""
    guard = Guard(drive.intersection, drive.timings)
    signal, history = start(0, 0.0), empty_history(drive.intersection, 0.0)
    seconds = []
    each_second = (piece for piece in itertools.cycle(drive.pieces) for _ in range(piece[0]))
    for step, (_, stage, busy, faulty) in enumerate(itertools.islice(each_second, STEPS)):
        now_s = float(step)
        signal = advance(signal, drive.timings, now_s)
        history = look(drive.intersection, signal, history, now_s, readings_of(drive.intersection, busy, faulty))
        case = GuardCase(drive.intersection, drive.timings, signal, history, now_s, 1.0, "stage", stage, now_s)
        verdict = guard.judge(case)
        signal = request_stage(drive.intersection, signal, verdict.stage, now_s)
        waits_s = movement_waits_s(history, drive.intersection, now_s)
        seconds.append(Second(now_s, signal, lights(drive.intersection, signal), waits_s, case, verdict))
    return seconds


def readings_of(intersection: Intersection, busy: frozenset[int], faulty: frozenset[int]) -> tuple[LaneReading, ...]:
    """Readings with vehicles on the `busy` lanes and no valid value on the `faulty` ones."""
    return tuple(
        INVALID_READING if lane in faulty else BUSY if lane in busy else EMPTY
        for lane in range(len(intersection.lanes))
    )


def look(
    intersection: Intersection,
    signal: SignalState,
    history: ServiceHistory,
    now_s: float,
    readings: tuple[LaneReading, ...],
) -> ServiceHistory:
    """`history` after one look at signal and detectors."""
    snapshot = make_snapshot(intersection, now_s=now_s, signal=signal, readings=readings)
    return note_calls(note_signal(history, intersection, signal, now_s), snapshot)


def greens_of(seconds: list[Second]) -> list[tuple[int, float]]:
    """Stage and seconds of every green that was left."""
    left = (
        (before, after)
        for before, after in itertools.pairwise(seconds)
        if before.signal.interval is Interval.GREEN and after.signal != before.signal
    )
    return [(before.signal.stage, after.now_s - before.signal.since_s) for before, after in left]


def runs_of(seconds: list[Second], letter: str) -> list[tuple[int, int]]:
    """Second of the start and length of each complete run of `letter`, over all movements."""
    runs = []
    for column in zip(*(second.letters for second in seconds), strict=True):
        at = 0
        for shown, group in itertools.groupby(column):
            length = len(list(group))
            if shown == letter and at + length < len(column):
                runs.append((at, length))
            at += length
    return runs


def service_bound_s(drive: Drive) -> float:
    """How much longer than its maximum a movement can wait: one full service of every stage.

    When a wait becomes overdue, at worst a change has just begun, whose stage then has its minimum green; after that
    the longest wait is served first, so that no stage is served twice before the movement's own.
    """
    change = max(change_s(timing) for timing in drive.timings)
    service = max(timing.min_green_s for timing in drive.timings) + change
    return len(drive.timings) * (service + 1.0)


@LAWS
@given(drives())
def test_conflicting_movements_are_never_let_in_together(drive):
    """I1: whatever is asked for, no second of a drive shows a conflicting pair."""
    shown = {second.letters for second in drive_of(drive)}

    assert [letters for letters in shown if conflicting_pairs(drive.intersection, letters)] == []


@LAWS
@given(drives())
def test_every_green_ends_in_a_yellow_of_exactly_the_configured_time(drive):
    """I2, I3: green is followed by yellow of the closing stage's time, and yellow by red.

    Without red clearance a turn that only lost its protection goes on permissively from its yellow.
    """
    seconds = drive_of(drive)

    steps = {
        (old, new)
        for before, after in itertools.pairwise(seconds)
        for old, new in zip(before.letters, after.letters, strict=True)
        if old != new and {old, new} != GREEN_LETTERS
        if (old, new) != ("y", "g") or drive.timings[before.signal.from_stage].red_clearance_s > 0
    }
    assert steps <= {("G", "y"), ("g", "y"), ("y", "r"), ("r", "G"), ("r", "g")}
    for at, length in runs_of(seconds, "y"):
        assert length == drive.timings[seconds[at].signal.from_stage].yellow_s


@LAWS
@given(drives())
def test_no_green_is_shorter_than_its_minimum(drive):
    """I5: every green that was left had lasted its minimum."""
    greens = greens_of(drive_of(drive))

    assert [(stage, green_s) for stage, green_s in greens if green_s < drive.timings[stage].min_green_s] == []


@LAWS
@given(drives())
def test_no_green_is_longer_than_its_absolute_maximum(drive):
    """I6: no stage stays in green beyond its absolute maximum, with calls or without."""
    for second in drive_of(drive):
        green_s = second.now_s - second.signal.since_s
        limits = drive.timings[second.signal.stage]

        assert second.signal.interval is not Interval.GREEN or green_s < max(
            limits.absolute_max_green_s, limits.min_green_s
        )


@LAWS
@given(drives())
def test_no_green_is_longer_than_its_maximum_while_others_call(drive):
    """I6: in every second in which an unserved movement waits, the stage in green is below its maximum."""
    for second in drive_of(drive):
        served = drive.intersection.stages[second.signal.stage].served
        has_call = any(wait_s > 0 for index, wait_s in enumerate(second.waits_s) if index not in served)
        if second.signal.interval is Interval.GREEN and has_call:
            assert second.now_s - second.signal.since_s < drive.timings[second.signal.stage].max_green_s


@LAWS
@given(drives())
def test_every_called_movement_is_served_in_bounded_time(drive):
    """I7: no call waits longer than the maximum wait and one full service of every stage."""
    limit_s = max(timing.max_wait_s for timing in drive.timings) + service_bound_s(drive)

    longest_s = max(max(second.waits_s) for second in drive_of(drive))

    assert longest_s <= limit_s


@LAWS
@given(drives())
def test_an_overdue_movement_is_served_next(drive):
    """I7: whenever the minimum green is over, the stage put in force serves an overdue movement, if any."""
    stages = drive.intersection.stages
    for second in drive_of(drive):
        signal = second.case.signal
        is_over = second.now_s - signal.since_s >= drive.timings[signal.stage].min_green_s
        overdue = {
            index
            for index, wait_s in enumerate(second.waits_s)
            if index not in stages[signal.stage].served and wait_s >= max_wait_s(drive, index)
        }
        if overdue and is_over and signal.interval is Interval.GREEN:
            assert stages[second.verdict.stage].served & overdue


def max_wait_s(drive: Drive, movement: int) -> float:
    """The shortest maximum wait of the stages that serve `movement`."""
    served = [stage.served for stage in drive.intersection.stages]
    return min(timing.max_wait_s for timing, some in zip(drive.timings, served, strict=True) if movement in some)


@LAWS
@given(drives())
def test_a_stage_is_legal_exactly_when_a_request_for_it_is_granted(drive):
    """legal_stages and judge agree on every stage in every second, and at least one stage is legal."""
    guard = Guard(drive.intersection, drive.timings)
    for second in drive_of(drive)[::7]:
        case = second.case
        verdicts = [
            guard.judge(msgspec.structs.replace(case, stage=stage)) for stage in range(len(drive.intersection.stages))
        ]

        legal = guard.legal_stages(case.signal, case.history, case.now_s)

        assert legal == tuple(verdict.is_accepted for verdict in verdicts)
        assert any(legal)
        assert all(verdict.stage == stage for stage, verdict in enumerate(verdicts) if verdict.is_accepted)


@LAWS
@given(drives())
def test_a_verdict_always_names_a_stage_that_could_have_been_asked_for(drive):
    """What the guard puts in force is itself legal, and a refusal always says why."""
    guard = Guard(drive.intersection, drive.timings)
    for second in drive_of(drive)[::7]:
        case, verdict = second.case, second.verdict
        forced = [finding for finding in verdict.findings if finding.reaction is Reaction.FORCE]

        assert guard.legal_stages(case.signal, case.history, case.now_s)[verdict.stage]
        assert verdict.is_accepted == (verdict.rule == "")
        assert len(forced) <= 1
        assert guard.judge(case) == verdict


@given(st.lists(timing, min_size=2, max_size=2).map(tuple))
def test_the_times_of_these_laws_are_valid(timings):
    """The laws are tried on times that a simulated site may have."""
    faults = [fault for timing in timings for fault in faults_of_timing(timing, is_simulated=True)]

    assert faults == []


def test_legal_stages_needs_a_signal_that_can_be_read():
    """Of a signal with unknown stages nothing is legal, and nothing fails."""
    scene = Scene(signal=start(7, 0.0)).case()

    legal = legal_stages(scene.intersection, scene.timings, scene.signal, scene.history, scene.now_s)

    assert legal == (False, False)


def test_legal_stages_of_a_young_green_is_only_that_green():
    """I5: before the minimum green only the stage in force may be asked for; afterwards any."""
    scene = Scene().case()

    legal = [
        legal_stages(CROSSING, timings_of(CROSSING), scene.signal, scene.history, now_s)
        for now_s in (TIMING.min_green_s - 0.1, TIMING.min_green_s)
    ]

    assert legal == [(True, False), (True, True)]
