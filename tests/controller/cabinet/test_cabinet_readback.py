"""The cabinet's own eye: finds every unlawful light from the letters alone, and nothing else."""

from __future__ import annotations

import pytest
from unit_factories import STAGES_OF_FOUR, WALKED

from factories import make_intersection
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import STREET, StageTiming, stage_timings
from phasemesh.controller.cabinet.readback import ReadBack
from phasemesh.controller.safety.case import Reaction

CROSSING = make_intersection()
"""Under the street profile: yellow 4 s, red clearance 1 s, minimum green 7 s; walk 7 s, clearance of people 10 s."""

Shown = list[tuple[float, str]]


def times_of(intersection: Intersection) -> tuple[StageTiming, ...]:
    """The times of the street."""
    return stage_timings(intersection, STREET)


def rules_of(intersection: Intersection, shown: Shown) -> list[str]:
    """The rules that break when each of `shown` appears at its second."""
    eye = ReadBack(intersection, times_of(intersection))
    return [finding.rule for now_s, letters in shown for finding in eye.look(letters, now_s)]


LAWFUL: dict[str, tuple[Intersection, Shown]] = {
    "a change": (CROSSING, [(0, "GrGr"), (7, "yryr"), (11, "rrrr"), (12, "rGrG"), (19, "ryry"), (23, "rrrr")]),
    "longer than needed": (CROSSING, [(0, "GrGr"), (90, "yryr"), (96, "rrrr"), (99, "rGrG")]),
    "flash and back": (CROSSING, [(0, "GrGr"), (1, "oooo"), (7, "rrrr"), (9, "GrGr")]),
    "flash in a yellow": (CROSSING, [(0, "GrGr"), (7, "yryr"), (8, "oooo"), (14, "rrrr"), (16, "rGrG")]),
    "flash in a walk": (WALKED, [(0, "GrGrrGrG"), (1, "ooooOOOO"), (7, "r" * 8), (22, "GrGrrGrG")]),
    "a protected turn goes on yielding": (
        STAGES_OF_FOUR,
        [(0, "rGrrrGrr"), (5, "ryrrryrr"), (9, "r" * 8), (10, "GgrrGgrr")],
    ),
    "a protected turn goes on yielding without red": (
        STAGES_OF_FOUR,
        [(0, "rGrrrGrr"), (5, "ryrrryrr"), (9, "rgrrrgrr"), (10, "GgrrGgrr")],
    ),
    "a yielding turn gets its protection": (
        STAGES_OF_FOUR,
        [(0, "GgrrGgrr"), (7, "ygrrygrr"), (11, "rgrrrgrr"), (12, "rGrrrGrr")],
    ),
    "people clear": (
        WALKED,
        [(0, "GrGrrGrG"), (7, "GrGrrrrr"), (17, "yryrrrrr"), (21, "r" * 8), (22, "rGrGGrGr")],
    ),
}


@pytest.mark.parametrize("name", LAWFUL)
def test_lawful_lights_are_left_alone(name: str) -> None:
    """Nothing is found in any order that the street knows."""
    intersection, shown = LAWFUL[name]

    assert rules_of(intersection, shown) == []


UNLAWFUL: dict[str, tuple[Intersection, Shown, list[str]]] = {
    "a conflict at once": (CROSSING, [(0, "GGrr")], ["I1"]),
    "a yellow in conflict": (CROSSING, [(0, "GrGr"), (7, "yGyr")], ["I1", "I1"]),
    "a walk in conflict": (WALKED, [(0, "GrrrGrrr")], ["I1"]),
    "two turns that both must yield": (STAGES_OF_FOUR, [(0, "GGrrrGrr")], ["I1"]),
    "a letter too many": (CROSSING, [(0, "GrGrr")], ["I2"]),
    "a letter that no head has": (CROSSING, [(0, "GrGu")], ["I2"]),
    "a yielding walk": (WALKED, [(0, "GrGrrgrG")], ["I2"]),
    "half a flash": (CROSSING, [(0, "orrr")], ["I2"]),
    "no yellow": (CROSSING, [(0, "GrGr"), (7, "rrrr")], ["I2", "I2"]),
    "back to green": (CROSSING, [(0, "GrGr"), (7, "yryr"), (11, "GrGr")], ["I2", "I2"]),
    "yellow out of red": (CROSSING, [(0, "GrGr"), (7, "GrGy")], ["I1", "I1", "I2"]),
    "green out of flash": (CROSSING, [(0, "oooo"), (7, "GrGr")], ["I2"] * 2 + ["I4"] * 4),
    "protection lost without a yellow": (STAGES_OF_FOUR, [(0, "rGrrrGrr"), (7, "rgrrrGrr")], ["I2"]),
    "a yellow turn that had to yield": (STAGES_OF_FOUR, [(0, "rgrrrrrr"), (7, "ryrrrrrr"), (11, "rgrrrrrr")], ["I2"]),
    "a short yellow": (CROSSING, [(0, "GrGr"), (7, "yryr"), (10.9, "rrrr")], ["I3", "I3"]),
    "a short clearance": (CROSSING, [(0, "GrGr"), (7, "yryr"), (11, "rrrr"), (11.9, "rGrr")], ["I4", "I4"]),
    "no clearance": (CROSSING, [(0, "GrGr"), (7, "yryr"), (11, "rGrr")], ["I4", "I4"]),
    "a protection too early": (STAGES_OF_FOUR, [(0, "GgrrGgrr"), (7, "ygrrygrr"), (11, "rGrrrGrr")], ["I4", "I4"]),
    "a short clearance after flash": (CROSSING, [(0, "oooo"), (7, "rrrr"), (7.5, "Grrr")], ["I4", "I4"]),
    "a short walk": (WALKED, [(0, "rrrrrGrr"), (6.9, "r" * 8)], ["I8"]),
    "people still on their way": (WALKED, [(0, "rrrrrGrr"), (7, "r" * 8), (21.9, "rGrrrrrr")], ["I8"]),
    "people still on their way after flash": (WALKED, [(0, "ooooOOOO"), (7, "r" * 8), (21, "Grrrrrrr")], ["I8", "I8"]),
    "a short red": (CROSSING, [(0, "GrGr"), (7, "yrGr"), (11, "rrGr"), (12.9, "GrGr")], ["I10"]),
}


@pytest.mark.parametrize("name", UNLAWFUL)
def test_unlawful_lights_are_found(name: str) -> None:
    """Each breach has the rule that it breaks, once for each movement or pair."""
    intersection, shown, rules = UNLAWFUL[name]

    assert rules_of(intersection, shown) == rules


def test_a_finding_asks_for_a_latch_and_says_what_was_seen() -> None:
    """Rule, movements and letters are enough for the person who comes to look."""
    eye = ReadBack(CROSSING, times_of(CROSSING))
    eye.look("GrGr", 0.0)
    (finding,) = eye.look("GrrG", 7.0)[:1]

    assert (finding.rule, finding.reaction) == ("I1", Reaction.LATCH)
    assert finding.detail == "movements 0 and 3 conflict, from GrGr to GrrG"


def test_what_stays_is_judged_once() -> None:
    """The same letters are not reported second by second."""
    eye = ReadBack(CROSSING, times_of(CROSSING))

    assert [len(eye.look("GGrr", now_s)) for now_s in (0.0, 1.0, 2.0)] == [1, 0, 0]


def test_the_same_light_again_counts_from_its_beginning() -> None:
    """The yellow of one movement is not measured from that of another."""
    shown: Shown = [(0, "GrGr"), (7, "yrGr"), (9, "yryr"), (11, "rryr"), (13, "rrrr")]

    assert rules_of(CROSSING, shown) == []
    assert rules_of(CROSSING, [*shown[:-1], (12.9, "rrrr")]) == ["I3"]
