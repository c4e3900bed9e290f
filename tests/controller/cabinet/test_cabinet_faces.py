"""The faces of a unit one by one: what stands behind the letters, and when each began."""

from __future__ import annotations

import msgspec
import pytest

from factories import make_intersection, make_timings
from phasemesh.contract.command import Interval, SignalState, start
from phasemesh.contract.timing import STREET
from phasemesh.controller.cabinet.display import Display, Face, advance_display, display_times, first_display, flash

CROSSING = make_intersection()
TIMES = display_times(make_timings(CROSSING, STREET), 6.0)
"""Under the street profile: minimum green 7 s, yellow 4 s, red clearance 1 s, all-red 2 s."""


def first_stage_to_come(face: Face, since_s: float) -> Display:
    """A face without stages: the first stage is next and not green yet."""
    return Display(face, SignalState(0, 0, Interval.RED_CLEARANCE, since_s), since_s)


def test_a_unit_without_stages_has_its_first_stage_before_it() -> None:
    """Start-up and flash, whoever asked for them, name the stage that will follow and when they began."""
    assert first_display(TIMES, 50.0, is_latched=False) == first_stage_to_come(Face.STARTUP_FLASH, 50.0)
    assert first_display(TIMES, 50.0, is_latched=True) == first_stage_to_come(Face.FLASH, 50.0)
    assert flash(50.0) == first_stage_to_come(Face.FLASH, 50.0)


@pytest.mark.parametrize(("ped_clearance_s", "all_red_s"), [(0.0, 2.0), (0.5, 5.5), (10.0, 15.0)])
def test_the_all_red_holds_the_longest_change_that_people_clear_in(ped_clearance_s: float, all_red_s: float) -> None:
    """However short the clearance of one stage is, its people may have been on their way when the power went."""
    vehicles, people = make_timings(CROSSING, STREET)
    walked = msgspec.structs.replace(people, ped_clearance_s=ped_clearance_s)

    assert display_times((vehicles, walked), 0.0).all_red_s == all_red_s


STEPS: tuple[tuple[Display, bool, float, Display], ...] = (
    (
        first_stage_to_come(Face.STARTUP_FLASH, 0.0),
        False,
        6.5,
        first_stage_to_come(Face.ALL_RED, 6.5),
    ),
    (first_stage_to_come(Face.STARTUP_FLASH, 0.0), True, 6.5, first_stage_to_come(Face.FLASH, 6.5)),
    (flash(0.0), False, 6.5, first_stage_to_come(Face.ALL_RED, 6.5)),
    (first_stage_to_come(Face.ALL_RED, 0.0), True, 0.5, first_stage_to_come(Face.FLASH, 0.5)),
    (first_stage_to_come(Face.ALL_RED, 0.0), False, 2.5, Display(Face.STAGES, start(0, 2.5), 2.5)),
    (
        Display(Face.STAGES, start(1, 0.0), 0.0),
        True,
        7.5,
        Display(Face.CLOSING, SignalState(1, 1, Interval.YELLOW, 7.5), 7.5),
    ),
    (
        Display(Face.CLOSING, SignalState(1, 1, Interval.YELLOW, 0.0), 0.0),
        True,
        4.5,
        Display(Face.CLOSING, SignalState(1, 1, Interval.RED_CLEARANCE, 4.5), 0.0),
    ),
    (
        Display(Face.CLOSING, SignalState(1, 1, Interval.RED_CLEARANCE, 4.0), 0.0),
        True,
        5.5,
        first_stage_to_come(Face.FLASH, 5.5),
    ),
    (
        Display(Face.CLOSING, SignalState(1, 1, Interval.RED_CLEARANCE, 4.0), 0.0),
        False,
        5.5,
        first_stage_to_come(Face.ALL_RED, 5.5),
    ),
    (
        Display(Face.STAGES, SignalState(1, 0, Interval.YELLOW, 0.0), -20.0),
        False,
        4.5,
        Display(Face.STAGES, SignalState(1, 0, Interval.RED_CLEARANCE, 4.5), -20.0),
    ),
)


@pytest.mark.parametrize(("display", "wants_flash", "now_s", "after"), STEPS)
def test_a_face_that_is_over_gives_way_to_the_next(
    display: Display, wants_flash: bool, now_s: float, after: Display
) -> None:
    """The new face counts from the step that shows it, an interval within a face from its own."""
    assert advance_display(display, TIMES, CROSSING, now_s, wants_flash=wants_flash) == after
