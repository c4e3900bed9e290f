"""Random drives of the guard: requests, calls and detector faults, driven through the sequencer second by second."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import msgspec
from guard_cases import CROSSING, LEFTS, PARTS, PEOPLE
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from factories import make_reading, make_snapshot
from phasemesh.contract.command import Interval, SignalState, advance, change_s, lights, request_stage, start
from phasemesh.contract.detection import INVALID_READING, LaneReading
from phasemesh.contract.history import ServiceHistory, empty_history, movement_waits_s, note_calls, note_signal
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import MIN_WALK_S, RED_REVERT_S, StageTiming, least_ped_clearance_s
from phasemesh.controller.safety.case import GuardCase, Verdict
from phasemesh.controller.safety.guard import Guard
from strategies import intersections

STEPS = 240
EMPTY, BUSY = make_reading(), make_reading(2.0)
LAWS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # Shrinking a drive would outlast the time limit of a test.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)

crossings = st.sampled_from((CROSSING, LEFTS, PARTS, PEOPLE)) | intersections()
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
        tuple(draw(times_of(intersection, stage)) for stage in range(count)),
        tuple(draw(st.lists(piece, min_size=1, max_size=40))),
    )


@st.composite
def times_of(draw: st.DrawFn, intersection: Intersection, stage: int) -> StageTiming:
    """Short times of one stage, with what its people need."""
    drawn = draw(timing)
    if not is_walked(intersection, stage):
        return drawn
    least_s = least_ped_clearance_s(intersection, intersection.stages[stage], drawn)
    return msgspec.structs.replace(
        drawn,
        walk_s=draw(st.sampled_from((MIN_WALK_S, 8.0))),
        ped_clearance_s=least_s + draw(st.sampled_from((0.0, 3.0))),
    )


def is_walked(intersection: Intersection, stage: int) -> bool:
    """Whether people walk in `stage`."""
    return any(intersection.movements[index].is_crossing for index in intersection.stages[stage].served)


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


def runs_of(seconds: list[Second], letter: str) -> list[tuple[int, int, int]]:
    """Movement, second of the start and length of each run of `letter` that begins and ends within `seconds`."""
    runs = []
    for movement, column in enumerate(zip(*(second.letters for second in seconds), strict=True)):
        at = 0
        for shown, group in itertools.groupby(column):
            length = len(list(group))
            if shown == letter and at > 0 and at + length < len(column):
                runs.append((movement, at, length))
            at += length
    return runs


def vehicles_of(intersection: Intersection) -> list[int]:
    """The movements that are no crossings."""
    return [index for index, movement in enumerate(intersection.movements) if not movement.is_crossing]


def service_bound_s(drive: Drive) -> float:
    """How much longer than its maximum a movement can wait: one full service of every stage.

    When a wait becomes overdue, at worst a change has just begun, whose stage then has its minimum green; after that
    the longest wait is served first, so that no stage is served twice before the movement's own.
    """
    change = max(change_s(timing) for timing in drive.timings)
    service = max(max(timing.min_green_s, timing.walk_s) for timing in drive.timings) + change + RED_REVERT_S
    return len(drive.timings) * (service + 1.0)
