"""The sequencer: what a change of stage shows, for how long, and what it may never show."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_timings
from phasemesh.contract.command import (
    TIME_EPSILON_S,
    AppliedCommand,
    Command,
    CommandKind,
    Interval,
    SignalState,
    advance,
    change_s,
    closing_movements,
    elapsed_green_s,
    lights,
    request_stage,
    start,
)
from phasemesh.contract.intersection import GREEN_LETTERS, Intersection, Stage
from phasemesh.contract.timing import PAPER, STREET, StageTiming, TimingProfile
from phasemesh.contract.units import IntersectionId
from strategies import STEPS_S, brisk, intersections, requests, stage_times


class Shown(NamedTuple):
    """What a signal showed at one cabinet step."""

    now_s: float
    signal: SignalState
    letters: str


class Film(NamedTuple):
    """A whole run of the sequencer over one intersection."""

    intersection: Intersection
    timings: tuple[StageTiming, ...]
    shown: list[Shown]


def _drive(
    intersection: Intersection, timings: tuple[StageTiming, ...], wishes: list[int | None], step_s: float
) -> list[Shown]:
    signal = start(0, 0.0)
    shown = []
    for count, wish in enumerate(wishes):
        now_s = count * step_s
        signal = advance(signal, timings, now_s)
        if wish is not None:
            signal = request_stage(intersection, signal, wish % len(intersection.stages), now_s)
        shown.append(Shown(now_s, signal, lights(intersection, signal)))
    return shown


@st.composite
def films(draw: st.DrawFn) -> Film:
    """Runs of random intersections, times and requests at the cabinet steps that must be served."""
    intersection = draw(intersections())
    times = draw(stage_times(intersection))
    shown = _drive(intersection, times, draw(requests()), draw(st.sampled_from(STEPS_S)))
    return Film(intersection, times, shown)


def _collisions(intersection: Intersection, letters: str) -> list[tuple[int, int]]:
    moving = [index for index, letter in enumerate(letters) if letter != "r"]
    return [
        (first, second)
        for first in moving
        for second in moving
        if first < second
        and intersection.conflicts[first][second] == "1"
        and not (letters[first] in "gy" and intersection.yields_to[first][second] == "1")
        and not (letters[second] in "gy" and intersection.yields_to[second][first] == "1")
    ]


@brisk
@given(films())
def test_yellow_lasts_exactly_as_configured(film: Film) -> None:
    """The interval after a yellow begins exactly the yellow time of the stage that it closes after the yellow began."""
    for before, after in zip(film.shown, film.shown[1:], strict=False):
        if before.signal.interval is not Interval.YELLOW:
            continue
        yellow_s = film.timings[before.signal.from_stage].yellow_s
        is_due = after.now_s - before.signal.since_s >= yellow_s - TIME_EPSILON_S

        if is_due:
            assert after.signal != before.signal
            assert before.now_s - before.signal.since_s < yellow_s
        else:
            assert after.signal == before.signal


@brisk
@given(films())
def test_each_interval_begins_exactly_where_the_one_before_ended(film: Film) -> None:
    """Whatever the cabinet step, the stamps of red clearance and green are sums of the configured times."""
    for before, after in zip(film.shown, film.shown[1:], strict=False):
        timing = film.timings[before.signal.from_stage]
        if after.signal.stage != before.signal.stage:
            continue
        if before.signal.interval is Interval.YELLOW and after.signal.interval is Interval.RED_CLEARANCE:
            assert after.signal.since_s == pytest.approx(before.signal.since_s + timing.yellow_s)
        if before.signal.interval is Interval.RED_CLEARANCE and after.signal.interval is Interval.GREEN:
            assert after.signal.since_s == pytest.approx(before.signal.since_s + timing.red_clearance_s)
        if before.signal.interval is Interval.YELLOW and after.signal.interval is Interval.GREEN:
            cleared_s = timing.yellow_s + timing.red_clearance_s
            assert after.signal.since_s == pytest.approx(before.signal.since_s + cleared_s)


@brisk
@given(films())
def test_no_movement_goes_from_green_to_red_without_yellow(film: Film) -> None:
    """A movement of vehicles that is green at one step is green or yellow at the next."""
    for before, after in zip(film.shown, film.shown[1:], strict=False):
        dropped = [
            index
            for index, (old, new) in enumerate(zip(before.letters, after.letters, strict=True))
            if old in GREEN_LETTERS and new == "r" and not film.intersection.movements[index].is_crossing
        ]

        assert dropped == []


@brisk
@given(films())
def test_movements_that_keep_green_and_protection_never_lose_green(film: Film) -> None:
    """During a change, the movements that both stages serve, no less protected, keep the very letter that they had."""
    for frame in film.shown:
        old, new = (film.intersection.stages[index] for index in (frame.signal.from_stage, frame.signal.stage))
        for index in (old.served & new.served) - closing_movements(old, new):
            kept = "G" if index in old.protected else "g"

            assert frame.letters[index] in GREEN_LETTERS
            assert frame.signal.interval is Interval.GREEN or frame.letters[index] == kept


@brisk
@given(films())
def test_no_conflicting_movements_are_ever_let_in_together(film: Film) -> None:
    """Valid stages give lights without a conflicting pair in every interval of every change."""
    for frame in film.shown:
        assert _collisions(film.intersection, frame.letters) == []


@brisk
@given(films())
def test_yellow_is_shown_only_to_movements_that_lose_their_green_or_protection(film: Film) -> None:
    """No movement is yellow that the next stage serves as before, and none that was red before the change."""
    for frame in film.shown:
        yellow = {index for index, letter in enumerate(frame.letters) if letter == "y"}
        old, new = (film.intersection.stages[index] for index in (frame.signal.from_stage, frame.signal.stage))

        lost_protection = {index for index in old.protected if index in new.permissive}
        closing = (old.served - new.served) | lost_protection
        assert yellow in (set(), {index for index in closing if not film.intersection.movements[index].is_crossing})


@brisk
@given(films())
def test_red_clearance_lets_in_only_what_stays_green(film: Film) -> None:
    """In red clearance every movement is red that is not green in both stages with the same protection."""
    for frame in film.shown:
        if frame.signal.interval is Interval.RED_CLEARANCE:
            old, new = (film.intersection.stages[index] for index in (frame.signal.from_stage, frame.signal.stage))
            moving = {index for index, letter in enumerate(frame.letters) if letter != "r"}

            assert moving == (old.served & new.served) - (set(old.protected) & set(new.permissive))


@brisk
@given(films(), st.integers(0, 7), st.floats(0.0, 100.0))
def test_a_request_during_a_change_alters_nothing(film: Film, wish: int, now_s: float) -> None:
    """A signal in yellow or red clearance is returned as it was, whichever stage is asked for."""
    stage = wish % len(film.intersection.stages)
    for frame in film.shown:
        asked = request_stage(film.intersection, frame.signal, stage, now_s)

        if frame.signal.interval is not Interval.GREEN:
            assert asked is frame.signal


@brisk
@given(films(), st.floats(0.0, 100.0))
def test_a_request_for_the_current_stage_alters_nothing(film: Film, now_s: float) -> None:
    """Asking again for the stage in force, or the one being changed to, neither restarts nor ends anything."""
    for frame in film.shown:
        assert request_stage(film.intersection, frame.signal, frame.signal.stage, now_s) is frame.signal


@brisk
@given(films())
def test_a_request_is_always_carried_out_in_the_end(film: Film) -> None:
    """After the time of the change, the stage that was being changed to is in green."""
    last = film.shown[-1].signal
    after_s = last.since_s + change_s(film.timings[last.from_stage])
    settled = advance(last, film.timings, after_s)

    assert settled.interval is Interval.GREEN
    assert settled.stage == last.stage


@brisk
@given(films(), st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_advancing_in_two_steps_is_advancing_in_one(film: Film, first_s: float, second_s: float) -> None:
    """How often the cabinet looks does not alter what it sees at the end."""
    frame = film.shown[-1]
    early_s, late_s = frame.now_s + first_s, frame.now_s + first_s + second_s
    twice = advance(advance(frame.signal, film.timings, early_s), film.timings, late_s)

    assert twice == advance(frame.signal, film.timings, late_s)


@pytest.mark.parametrize("step_s", STEPS_S)
@pytest.mark.parametrize("profile", [STREET, PAPER])
def test_a_whole_change_shows_the_steps_of_its_times(step_s: float, profile: TimingProfile) -> None:
    """A change shows yellow and all red for as many steps as begin within the configured times."""
    crossing = make_intersection()
    timing = profile.timing
    wishes: list[int | None] = [1] + [None] * 40
    shown = _drive(crossing, make_timings(crossing, profile), wishes, step_s)
    letters = [frame.letters for frame in shown]

    assert letters.count("yryr") == math.ceil(timing.yellow_s / step_s)
    assert letters.count("yryr") + letters.count("rrrr") == math.ceil(change_s(timing) / step_s)
    assert set(letters) <= {"yryr", "rrrr", "rGrG"}


def test_yellow_is_never_shorter_where_the_step_does_not_divide_it() -> None:
    """At a step of 2 s a yellow of 3 s is shown for two steps, and the green still counts from the third second."""
    crossing = make_intersection()
    shown = _drive(crossing, make_timings(crossing), [1, None, None], 2.0)

    assert [frame.letters for frame in shown] == ["yryr", "yryr", "rGrG"]
    assert shown[-1].signal.since_s == 3.0


def test_a_change_to_a_superset_needs_no_yellow() -> None:
    """When no movement loses its green, the next stage is green at once and counts from the request."""
    crossing = msgspec.structs.replace(
        make_intersection(), stages=(Stage("north", (0,)), Stage("both", (0, 2)), Stage("east", (1, 3)))
    )
    signal = request_stage(crossing, start(0, 0.0), 1, 20.0)

    assert signal == SignalState(stage=1, from_stage=0, interval=Interval.GREEN, since_s=20.0)
    assert lights(crossing, signal) == "GrGr"


def test_a_change_to_a_subset_shows_yellow_only_to_the_rest() -> None:
    """The movement that both stages serve stays green while the other clears."""
    crossing = msgspec.structs.replace(
        make_intersection(), stages=(Stage("both", (0, 2)), Stage("north", (0,)), Stage("east", (1, 3)))
    )
    shown = _drive(crossing, make_timings(crossing), [1, None, None, None], 1.0)

    assert [frame.letters for frame in shown] == ["Gryr"] * 3 + ["Grrr"]


def test_a_movement_that_loses_its_protection_is_cleared_before_opposing_traffic_starts() -> None:
    """From a protected left turn to the opposing through movement with that left permissive there is a yellow."""
    crossing = make_intersection(has_left_lanes=True)
    protected_left = crossing.stages[1]
    mixed = crossing.stages[0]
    signal = request_stage(crossing, start(1, 0.0), 0, 20.0)

    assert set(protected_left.protected) == set(mixed.permissive)
    assert signal.interval is Interval.YELLOW


def test_a_longer_step_than_the_whole_change_skips_no_green_stamp() -> None:
    """One late look after yellow and red clearance lands in the green that began on time."""
    crossing = make_intersection()
    times = make_timings(crossing, STREET)
    changing = request_stage(crossing, start(0, 0.0), 1, 10.0)
    late = advance(changing, times, 60.0)

    assert late == SignalState(stage=1, from_stage=0, interval=Interval.GREEN, since_s=15.0)
    assert elapsed_green_s(late, 60.0) == 45.0


def test_the_times_of_a_change_are_those_of_the_stage_that_it_closes() -> None:
    """With different yellows the one of the stage that loses its green counts."""
    crossing = make_intersection()
    short, long = make_timings(crossing)
    times = (msgspec.structs.replace(short, yellow_s=5.0), long)
    changing = request_stage(crossing, start(0, 0.0), 1, 0.0)

    assert advance(changing, times, 4.9).interval is Interval.YELLOW
    assert advance(changing, times, 5.0).interval is Interval.GREEN


def test_sums_of_small_steps_do_not_lengthen_a_yellow() -> None:
    """Thirty steps of 0.1 s end a yellow of 3 s although their sum is not quite 3."""
    crossing = make_intersection()
    now_s = sum([0.1] * 3, 0.0) + 2.7 - 4e-16

    assert now_s != 3.0
    assert advance(request_stage(crossing, start(0, 0.0), 1, 0.0), make_timings(crossing), now_s).stage == 1
    assert advance(request_stage(crossing, start(0, 0.0), 1, 0.0), make_timings(crossing), now_s).interval == "green"


def test_the_start_is_a_green_that_has_changed_from_nothing() -> None:
    """A signal starts in green, from its own stage, at the given time."""
    assert start(2, 7.0) == SignalState(stage=2, from_stage=2, interval=Interval.GREEN, since_s=7.0)


@pytest.mark.parametrize("interval", [Interval.PED_CLEARANCE, Interval.YELLOW, Interval.RED_CLEARANCE])
def test_there_is_no_elapsed_green_during_a_change(interval: Interval) -> None:
    """The elapsed green is 0 while yellow or red clearance is shown."""
    signal = SignalState(stage=1, from_stage=0, interval=interval, since_s=0.0)

    assert elapsed_green_s(signal, 2.0) == 0.0


def test_change_time_is_yellow_and_red_clearance() -> None:
    """The change of the street profile takes 4 s and 1 s."""
    assert change_s(STREET.timing) == 5.0


@pytest.mark.parametrize("kind", list(CommandKind))
def test_commands_survive_json(kind: CommandKind) -> None:
    """A command decodes from its JSON to itself."""
    command = Command(IntersectionId("a"), boot_id=2**60, seq=3, step=4, decided_s=5.5, kind=kind, stage=1)

    assert msgspec.json.decode(msgspec.json.encode(command), type=Command) == command


@pytest.mark.parametrize("approved_s", [None, 5.5])
def test_the_approval_of_the_guard_survives_json(approved_s: float | None) -> None:
    """When the guard let a command pass, or that it never did, reaches the cabinet (I25)."""
    command = Command(IntersectionId("a"), 1, 3, 4, 5.5, CommandKind.STAGE, 1, approved_s=approved_s)

    assert msgspec.json.decode(msgspec.json.encode(command), type=Command).approved_s == approved_s


def test_a_command_is_not_approved_unless_somebody_says_so() -> None:
    """Without a word of the guard there is no approval."""
    assert Command(IntersectionId("a"), 1, 3, 4, 5.5, CommandKind.STAGE, 1).approved_s is None


def test_intervals_have_stable_names() -> None:
    """The names on the wire of the parts of a stage do not change."""
    assert [interval.value for interval in Interval] == ["green", "ped_clearance", "yellow", "red_clearance"]


def test_an_unknown_kind_of_command_is_refused() -> None:
    """Nothing but a stage and a release can be asked of a cabinet (I17)."""
    with pytest.raises(msgspec.ValidationError, match="flash"):
        msgspec.convert("flash", CommandKind)


def test_an_applied_command_survives_json() -> None:
    """What was really shown decodes from its JSON to itself."""
    applied = AppliedCommand(4, 1, 0, is_accepted=False, rule="min_green", signal=start(0, 1.0), lease_until_s=9.0)

    assert msgspec.json.decode(msgspec.json.encode(applied), type=AppliedCommand) == applied


def test_a_command_with_an_unknown_field_is_refused() -> None:
    """A field that this version does not know is an error and not ignored."""
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert({"stage": 0, "from_stage": 0, "interval": "green", "since_s": 0.0, "colour": 1}, SignalState)
