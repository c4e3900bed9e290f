"""The slack of the unit's times: what falls short by a rounding error counts as whole, and nothing beyond it."""

from __future__ import annotations

import pytest
from unit_factories import WALKED

from factories import make_intersection, make_timings
from phasemesh.contract.command import TIME_EPSILON_S, start
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import STREET, stage_timings
from phasemesh.controller.cabinet.arbiter import Override, OverrideKind, still_live
from phasemesh.controller.cabinet.display import (
    MIN_FLASH_S,
    Display,
    Face,
    advance_display,
    display_times,
    first_display,
    flash,
)
from phasemesh.controller.cabinet.latches import CLEAR_S, LatchBook
from phasemesh.controller.cabinet.readback import ReadBack

CROSSING = make_intersection()
TIMES = display_times(make_timings(CROSSING, STREET), 6.0)
"""Under the street profile: minimum green 7 s, yellow 4 s, red clearance 1 s, all-red 2 s."""
STARTING = first_display(TIMES, 0.0, is_latched=False)
RED_8 = "r" * 8

ENDINGS: tuple[tuple[Display, bool, float, Face], ...] = (
    (STARTING, False, 6.0, Face.ALL_RED),
    (STARTING, True, 6.0, Face.FLASH),
    (flash(0.0), False, MIN_FLASH_S, Face.ALL_RED),
    (Display(Face.ALL_RED, start(0, 0.0), 0.0), False, TIMES.all_red_s, Face.STAGES),
    (Display(Face.STAGES, start(0, 0.0), 0.0), True, 7.0, Face.CLOSING),
)


@pytest.mark.parametrize(("display", "wants_flash", "lasts_s", "face"), ENDINGS)
def test_a_face_ends_a_rounding_error_early(display: Display, wants_flash: bool, lasts_s: float, face: Face) -> None:
    """Steps that add up to a hair less than a time have lasted that time; two hairs less have not."""
    faces = [
        advance_display(display, TIMES, CROSSING, now_s, wants_flash=wants_flash).face
        for now_s in (lasts_s - 2 * TIME_EPSILON_S, lasts_s - TIME_EPSILON_S)
    ]

    assert faces == [display.face, face]


def test_an_override_ends_a_rounding_error_early() -> None:
    """It is over at the step that ends its life, whatever the steps add up to."""
    override = Override(OverrideKind.MANUAL, 1, 0.0, 0.0, "", "")

    assert still_live((override,), -2 * TIME_EPSILON_S) == (override,)
    assert still_live((override,), -TIME_EPSILON_S) == ()


def test_a_fault_is_clear_a_rounding_error_early() -> None:
    """Who waits for the second that the sentence names is not sent away."""
    book = LatchBook(None, 0.0, 0.0)
    book.latch("I1", "", 0.0, 0.0)

    assert book.reset("I1", "ann", "", CLEAR_S - 2 * TIME_EPSILON_S, 0.0) != ""
    assert book.reset("I1", "ann", "", CLEAR_S - TIME_EPSILON_S, 0.0) == ""


Shown = tuple[tuple[float, str], ...]

SHORT: tuple[tuple[Intersection, Shown, float, str, str], ...] = (
    (CROSSING, ((-7.0, "GrGr"), (0.0, "yrGr")), 4.0, "rrGr", "I3"),
    (CROSSING, ((-11.0, "Grrr"), (-4.0, "yrrr"), (0.0, "rrrr")), 1.0, "rGrr", "I4"),
    (WALKED, ((0.0, "rrrrrGrr"),), 7.0, RED_8, "I8"),
    (WALKED, ((-7.0, "rrrrrGrr"), (0.0, RED_8)), 15.0, "rGrrrrrr", "I8"),
    (CROSSING, ((-11.0, "GrGr"), (-4.0, "yrGr"), (0.0, "rrGr")), 2.0, "GrGr", "I10"),
)


@pytest.mark.parametrize(("intersection", "shown", "lasts_s", "letters", "rule"), SHORT)
def test_the_read_back_forgives_a_rounding_error(
    intersection: Intersection, shown: Shown, lasts_s: float, letters: str, rule: str
) -> None:
    """A time that is short by the slack latches nothing; one that is short by twice as much does."""
    found = []
    for now_s in (lasts_s - 2e-6, lasts_s - 1e-6):
        eye = ReadBack(intersection, stage_timings(intersection, STREET))
        assert [eye.look(letters_before, at_s) for at_s, letters_before in shown] == [()] * len(shown)
        found.append([finding.rule for finding in eye.look(letters, now_s)])

    assert found == [[rule], []]
