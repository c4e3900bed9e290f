"""The independent check of recorded lights, on recordings with one known breach each."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_timings
from phasemesh.contract.command import advance, lights, request_stage, start
from phasemesh.contract.errors import ScenarioError
from phasemesh.contract.intersection import Intersection, Stage
from phasemesh.contract.timing import BENCHMARK, STREET, StageTiming, TimingProfile
from phasemesh.sim_harness.signal_check import check_signal_states

NORTH_SOUTH = "GrGr"
NORTH_SOUTH_CLOSES = "yryr"
EAST_WEST = "rGrG"
EAST_WEST_CLOSES = "ryry"
ALL_RED = "rrrr"
FAULTLESS = ((NORTH_SOUTH, 8), (NORTH_SOUTH_CLOSES, 3), (EAST_WEST, 5), (EAST_WEST_CLOSES, 3), (NORTH_SOUTH, 6))

Runs = tuple[tuple[str, int], ...]


def record(path: Path, runs: Runs, *, name: str = "crossing", step_s: float = 1.0, begin_s: float = 100.0) -> Path:
    """A recording in which each state is shown for a number of steps, beside another signal that is never right."""
    letters = [shown for shown, steps in runs for _ in range(steps)]
    rows = [
        f'<tlsState time="{begin_s + number * step_s:.2f}" id="{signal}" programID="online" phase="0" state="{shown}"/>'
        for number, state in enumerate(letters)
        for signal, shown in ((name, state), ("other", "GGGG"))
    ]
    path.write_text("\n".join(["<tlsStates>", *rows, "</tlsStates>"]))
    return path


def check(
    folder: Path,
    runs: Runs,
    *,
    timing: StageTiming = BENCHMARK.timing,
    from_s: float = 0.0,
    step_s: float = 1.0,
    crossing: Intersection | None = None,
) -> list[str]:
    """The trips over a recording of `runs` on the plain crossing, every stage with the same times, as lines."""
    crossing = crossing or make_intersection()
    timings = {crossing.id: (timing,) * len(crossing.stages)}
    path = record(folder / "states.xml", runs, step_s=step_s)
    return [str(trip) for trip in check_signal_states(path, [crossing], timings, from_s)]


def test_a_correct_recording_has_no_faults(tmp_path: Path) -> None:
    """Two changes with the right times pass, whatever other signals do."""
    assert check(tmp_path, FAULTLESS) == []


def test_conflicting_greens_are_found(tmp_path: Path) -> None:
    """Crossing movements that are green together are named with the time."""
    (fault,) = check(tmp_path, ((ALL_RED, 3), ("GGrr", 20)))

    assert fault == "crossing at 103 s: movements 0 and 1 conflict in GGrr"


def test_yellow_still_conflicts(tmp_path: Path) -> None:
    """A green that begins while a crossing movement is yellow is a conflict."""
    faults = check(tmp_path, ((NORTH_SOUTH, 8), (NORTH_SOUTH_CLOSES, 2), ("yGyG", 1), (EAST_WEST, 9)))

    assert any("conflict in yGyG" in fault for fault in faults)


def test_unknown_letters_are_found(tmp_path: Path) -> None:
    """A commanded signal that is off shows letters that nobody asked for."""
    faults = check(tmp_path, ((ALL_RED, 3), ("OOOO", 3)))

    assert [fault.split(": ")[1] for fault in faults] == [f"movement {index} shows 'O'" for index in range(4)]


def test_green_must_end_in_yellow(tmp_path: Path) -> None:
    """Green that turns red at once is found for every movement."""
    faults = check(tmp_path, ((NORTH_SOUTH, 8), (EAST_WEST, 8)))

    assert faults == [
        f"crossing at 108 s: movement {index} turned from green to red without yellow" for index in (0, 2)
    ]


@pytest.mark.parametrize(("steps", "side"), [(1, "below"), (2, "below"), (4, "above"), (9, "above")])
def test_yellow_must_last_what_is_configured(tmp_path: Path, steps: int, side: str) -> None:
    """Yellow shorter or longer than 3 s is found."""
    faults = check(tmp_path, ((NORTH_SOUTH, 8), (NORTH_SOUTH_CLOSES, steps), (EAST_WEST, 8)))

    assert [fault for fault in faults if "was yellow" not in fault] == []
    assert len(faults) == 2
    assert f"was yellow for {steps} s, {side} 3 s" in faults[0]


@pytest.mark.parametrize(
    ("step_s", "steps", "is_right"), [(0.5, 6, True), (0.5, 7, False), (2.0, 2, True), (2.0, 1, False)]
)
def test_yellow_is_rounded_up_to_whole_steps(tmp_path: Path, step_s: float, steps: int, is_right: bool) -> None:
    """Where 3 s are no multiple of the step, yellow may last until the next step, but no longer."""
    runs = ((NORTH_SOUTH, 40), (NORTH_SOUTH_CLOSES, steps), (EAST_WEST, 40))

    assert (check(tmp_path, runs, step_s=step_s) == []) is is_right


def test_yellow_must_follow_green(tmp_path: Path) -> None:
    """Yellow out of red is found."""
    faults = check(tmp_path, ((ALL_RED, 3), ("yrrr", 3), (ALL_RED, 3)))

    assert faults == ["crossing at 103 s: movement 0 turned from red to yellow"]


def test_yellow_must_end_in_red(tmp_path: Path) -> None:
    """Yellow that turns green again is found."""
    faults = check(tmp_path, ((NORTH_SOUTH, 8), (NORTH_SOUTH_CLOSES, 3), (NORTH_SOUTH, 8)))

    assert [fault.split(": ")[1] for fault in faults] == [
        "movement 0 turned from yellow to green",
        "movement 2 turned from yellow to green",
    ]


def test_a_short_green_is_found(tmp_path: Path) -> None:
    """Green below the minimum is found for the movements and for the stage."""
    faults = check(tmp_path, (*FAULTLESS[:2], (EAST_WEST, 4), (EAST_WEST_CLOSES, 3), (NORTH_SOUTH, 9)))

    assert [fault.split(": ")[1] for fault in faults] == [
        "stage rGrG was green for 4 s, below 5 s",
        "movement 1 was green for 4 s, below 5 s",
        "movement 3 was green for 4 s, below 5 s",
    ]


@pytest.mark.parametrize("seconds", [1, 4])
def test_a_short_stage_is_found_where_its_movements_go_on(tmp_path: Path, seconds: int) -> None:
    """A stage that gives way to a larger one too early is found although no movement lost its green."""
    crossing = make_intersection()
    smaller = msgspec.structs.replace(crossing.stages[0], name="north", protected=(0,))
    crossing = msgspec.structs.replace(crossing, stages=(*crossing.stages, smaller))

    faults = check(tmp_path, ((ALL_RED, 2), ("Grrr", seconds), (NORTH_SOUTH, 9)), crossing=crossing)

    assert faults == [f"crossing at {102 + seconds} s: stage Grrr was green for {seconds} s, below 5 s"]


def test_red_clearance_that_looks_like_a_stage_is_no_short_green(tmp_path: Path) -> None:
    """While red clears, the movements that stay green may by chance show the letters of a smaller stage."""
    crossing = make_intersection(has_left_lanes=True)
    added = {"through": (0, 4), "north and its left turn": (0, 1), "north": (0,)}
    stages = tuple(Stage(name, protected) for name, protected in added.items())
    crossing = msgspec.structs.replace(crossing, stages=(*crossing.stages, *stages))
    runs = (("GrrrGrrr", 9), ("Grrryrrr", 4), ("Grrrrrrr", 1), ("GGrrrrrr", 9))

    assert check(tmp_path, runs, timing=STREET.timing, crossing=crossing) == []


def test_red_clearance_is_kept(tmp_path: Path) -> None:
    """With red clearance configured, a crossing green right after yellow is found."""
    changed = ((NORTH_SOUTH, 9), (NORTH_SOUTH_CLOSES, 4))

    hasty = check(tmp_path, (*changed, (EAST_WEST, 9)), timing=STREET.timing)
    calm = check(tmp_path, (*changed, (ALL_RED, 1), (EAST_WEST, 9)), timing=STREET.timing)

    assert hasty[0] == "crossing at 113 s: movement 1 turned green 0 s after 0 closed, not 1"
    assert len(hasty) == 4
    assert calm == []


def test_cut_off_intervals_are_not_judged(tmp_path: Path) -> None:
    """A green or yellow that was under way when commanding began, or when the recording ended, may be any length."""
    assert check(tmp_path, ((NORTH_SOUTH, 1), *FAULTLESS[1:], (NORTH_SOUTH_CLOSES, 1))) == []
    assert check(tmp_path, ((NORTH_SOUTH_CLOSES, 1), (EAST_WEST, 9))) == []


def test_the_own_program_is_not_judged(tmp_path: Path) -> None:
    """Rows before commanding began may show anything; those after it are judged."""
    runs = (("GGGG", 5), (ALL_RED, 5), ("GGGG", 5))

    assert check(tmp_path, runs, from_s=105.0)[0].startswith("crossing at 110 s")
    assert check(tmp_path, runs[:2], from_s=105.0) == []


def test_permissive_and_protected_green_are_one_green(tmp_path: Path) -> None:
    """A movement that goes over from permissive to protected green needs no yellow."""
    crossing = make_intersection(has_left_lanes=True)
    runs = (("GgrrGgrr", 9), ("ygrrygrr", 3), ("rGrrrGrr", 9), ("ryrrryrr", 3))

    assert check(tmp_path, runs, crossing=crossing) == []


def test_a_wrong_number_of_letters_is_found(tmp_path: Path) -> None:
    """A state that does not fit the intersection is a fault, not a crash."""
    faults = check(tmp_path, (("Gr", 3),))

    assert faults[0] == "crossing at 100 s: 2 letters for 4 movements"


def test_a_silent_signal_is_an_error(tmp_path: Path) -> None:
    """A recording that lacks an intersection must not pass as faultless."""
    path = record(tmp_path / "states.xml", FAULTLESS, name="elsewhere")
    crossing = make_intersection()

    with pytest.raises(ScenarioError, match="crossing"):
        check_signal_states(path, [crossing], {crossing.id: make_timings(crossing)}, 0.0)


@pytest.mark.parametrize("content", ["", "<tlsStates><tlsState", "<tlsStates><tlsState time='1'/></tlsStates>"])
def test_a_broken_recording_is_one_clear_line(tmp_path: Path, content: str) -> None:
    """A recording that SUMO did not complete raises ScenarioError naming the file."""
    path = tmp_path / "states.xml"
    path.write_text(content)
    crossing = make_intersection()

    with pytest.raises(ScenarioError, match=r"states\.xml"):
        check_signal_states(path, [crossing], {crossing.id: make_timings(crossing)}, 0.0)


@given(
    wishes=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=12),
    profile=st.sampled_from([BENCHMARK, STREET]),
)
def test_the_sequencer_passes(
    tmp_path_factory: pytest.TempPathFactory, wishes: list[tuple[int, int]], profile: TimingProfile
) -> None:
    """Whatever stages are asked for, once the minimum green is over, the lights of the sequencer have no faults."""
    crossing = make_intersection(has_left_lanes=True)
    timings = make_timings(crossing, profile)
    signal, now_s, shown = start(0, 100.0), 100.0, []
    for stage, longer_s in wishes:
        until_s = now_s + 8.0 + longer_s
        while now_s < until_s or now_s - signal.since_s < 7.0 or signal.interval != "green":
            signal = advance(signal, timings, now_s)
            shown.append((lights(crossing, signal), 1))
            now_s += 1.0
        signal = request_stage(crossing, signal, stage, now_s)
    path = record(tmp_path_factory.mktemp("run") / "states.xml", (*shown, (lights(crossing, signal), 1)))

    assert check_signal_states(path, [crossing], {crossing.id: timings}, 0.0) == []
