"""What a unit says when it refuses or latches: sentences for the person who comes to look, with every figure."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from unit_factories import WALKED

from agent_factories import make_cabinet
from factories import make_intersection
from phasemesh.contract.errors import InputError, SiteError
from phasemesh.contract.intersection import Intersection, Stage
from phasemesh.contract.timing import STREET, stage_timings
from phasemesh.controller.cabinet.arbiter import OverrideKind, fault_of_override
from phasemesh.controller.cabinet.latches import CLEAR_S, FILE_RULE, LatchBook
from phasemesh.controller.cabinet.readback import ReadBack
from phasemesh.controller.cabinet.sealed_file import (
    MAX_QUARANTINED,
    FileFault,
    hold,
    quarantine,
    read_sealed,
    write_sealed,
)

CROSSING = make_intersection()
RED_8 = "r" * 8

Shown = tuple[tuple[float, str], ...]

SEEN: tuple[tuple[Intersection, Shown, str, str], ...] = (
    (CROSSING, ((0.0, "GGrr"),), "I1", "movements 0 and 1 conflict, from nothing to GGrr"),
    (CROSSING, ((0.0, "GrGr"), (7.0, "GrrG")), "I1", "movements 0 and 3 conflict, from GrGr to GrrG"),
    (CROSSING, ((0.0, "GrGrr"),), "I2", "no signal shows this, from nothing to GrGrr"),
    (CROSSING, ((0.0, "rrrr"), (7.0, "yrrr")), "I2", "movement 0 goes from r to y, from rrrr to yrrr"),
    (WALKED, ((0.0, "ooooOOOO"), (7.0, "rrrrGrrr")), "I2", "movement 4 goes from O to G, from ooooOOOO to rrrrGrrr"),
    (
        CROSSING,
        ((0.0, "GrGr"), (7.0, "yryr"), (10.9, "rryr")),
        "I3",
        "movement 0 was yellow for 3.900 s, from yryr to rryr",
    ),
    (
        CROSSING,
        ((0.0, "Grrr"), (7.0, "yrrr"), (11.0, "rrrr"), (11.9, "rGrr")),
        "I4",
        "movement 1 opens 0.900 s after movement 0 closed, from rrrr to rGrr",
    ),
    (
        CROSSING,
        ((0.0, "Grrr"), (7.0, "yrrr"), (11.0, "rGrr")),
        "I4",
        "movement 1 opens 0.000 s after movement 0 closed, from yrrr to rGrr",
    ),
    (
        WALKED,
        ((0.0, "rrrrrGrr"), (6.9, RED_8)),
        "I8",
        f"the walk of movement 5 lasted 6.900 s, from rrrrrGrr to {RED_8}",
    ),
    (
        WALKED,
        ((0.0, "rrrrrGrr"), (7.0, RED_8), (21.9, "rGrrrrrr")),
        "I8",
        f"movement 1 opens 14.900 s after movement 5 closed, from {RED_8} to rGrrrrrr",
    ),
    (
        CROSSING,
        ((0.0, "GrGr"), (7.0, "yrGr"), (11.0, "rrGr"), (12.9, "GrGr")),
        "I10",
        "movement 0 was red for 1.900 s, from rrGr to GrGr",
    ),
)


@pytest.mark.parametrize(("intersection", "shown", "rule", "sentence"), SEEN, ids=[row[-1] for row in SEEN])
def test_the_read_back_says_what_it_saw(intersection: Intersection, shown: Shown, rule: str, sentence: str) -> None:
    """Movement, time and letters before and after."""
    eye = ReadBack(intersection, stage_timings(intersection, STREET))
    for now_s, letters in shown:
        findings = eye.look(letters, now_s)

    assert (rule, sentence) in [(finding.rule, finding.detail) for finding in findings]


OVERRIDES: tuple[tuple[OverrideKind, int | None, float, str], ...] = (
    (OverrideKind.RAIL, 1, 0.0, "ttl_s: 0.0 s is outside 0 to 3600 s"),
    (OverrideKind.MANUAL, 1, 3600.5, "ttl_s: 3600.5 s is outside 0 to 3600 s"),
    (OverrideKind.FIRE, None, 60.0, "stage: fire needs one"),
    (OverrideKind.FLASH, 0, 60.0, "stage: flash takes none"),
    (OverrideKind.TRANSIT, 2, 60.0, "stage: there is no stage 2"),
    (OverrideKind.MANUAL, -1, 60.0, "stage: there is no stage -1"),
    (OverrideKind.MANUAL, 1, 3600.0, ""),
    (OverrideKind.STOP_TIME, None, 0.5, ""),
)


@pytest.mark.parametrize(("kind", "stage", "ttl_s", "sentence"), OVERRIDES)
def test_an_override_that_is_not_admitted_is_told_why(
    kind: OverrideKind, stage: int | None, ttl_s: float, sentence: str
) -> None:
    """The field that is wrong, what it holds, and what it may hold; nothing for a sound one."""
    assert fault_of_override(CROSSING, kind, stage, ttl_s) == sentence


def test_a_site_that_contradicts_itself_gets_no_unit() -> None:
    """The intersection, the first fault and how many there are."""
    wrong = msgspec.structs.replace(CROSSING, stages=(*CROSSING.stages, Stage("wrong", (0, 1))))

    with pytest.raises(SiteError, match=r"^intersection crossing: .*conflict.* \(1 faults\); correct the site$"):
        make_cabinet(wrong)


def test_a_cause_that_holds_is_named_with_its_time() -> None:
    """An operator reads for how long the fault must not have been seen."""
    book = LatchBook(None, 0.0, 0.0)
    book.latch("I4", "", 5.0, 5.0)

    answer = book.reset("I4", "ann", "", 5.0 + CLEAR_S / 2, 6.0)

    assert answer == "I4 was breached within the last 1 s; its cause still holds"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"format":2,"latched":[],"resets":[]}', "{path}: has format 2, this phasemesh reads 1"),
        (b"[]", "{path}: is damaged: Expected `object`, got `array`"),
    ],
)
def test_a_file_of_latches_that_is_none_is_described(tmp_path: Path, content: bytes, sentence: str) -> None:
    """Path and reason stand in the fault that is latched, with the time at which power came."""
    path = tmp_path / "0.json"
    write_sealed(path, content)

    (fault,) = LatchBook(path, 5.0, 3600.0).latched

    assert (fault.rule, fault.day_s) == (FILE_RULE, 3600.0)
    assert fault.detail == f"unreadable latch file: {sentence.format(path=path)}"


@pytest.mark.parametrize("count", [0, MAX_QUARANTINED])
def test_a_damaged_file_that_cannot_be_set_aside_is_told(tmp_path: Path, count: int) -> None:
    """The latch is written over it all the same; that nobody can look at the old one any more is the trouble."""
    path = tmp_path / "0.json"
    for number in range(count):
        path.with_name(f"0.json.damaged-{number}").touch()
    path.write_bytes(b"{")

    book = LatchBook(path, 0.0, 0.0)

    told = f"{path}: cannot be set aside: there are 10 damaged ones already" if count else ""
    assert book.file_fault == told
    assert LatchBook(path, 1.0, 1.0).rules == (FILE_RULE,)


def test_damage_is_described(tmp_path: Path) -> None:
    """A file that is no envelope, and one whose seal does not fit."""
    path = tmp_path / "state.json"
    path.write_bytes(b"[1]")
    torn = read_sealed(path)
    path.write_bytes(b'{"digest": "ab", "body": {}}')

    assert torn == FileFault(f"{path}: is damaged: Expected `object`, got `array`")
    assert read_sealed(path) == FileFault(f"{path}: is damaged: the checksum differs")


def test_what_cannot_be_set_aside_is_described(tmp_path: Path) -> None:
    """Either there is nothing, or there are too many of them."""
    path = tmp_path / "state.json"
    absent = quarantine(path)
    path.write_bytes(b"{")
    for _ in range(MAX_QUARANTINED):
        quarantine(path)

    assert absent == FileFault(f"{path}: cannot be set aside: No such file or directory")
    assert quarantine(path) == FileFault(f"{path}: cannot be set aside: there are 10 damaged ones already")
    assert {each.name for each in tmp_path.iterdir()} == {"state.json", *(f"state.json.damaged-{n}" for n in range(10))}


def test_a_lock_that_is_refused_says_what_to_do(tmp_path: Path) -> None:
    """Another folder where none can be made, another process to stop where one is held."""
    path, far = tmp_path / "0.json", tmp_path / "gone" / "0.json"
    first = hold(path)

    with pytest.raises(InputError) as held:
        hold(path)
    with pytest.raises(InputError) as missing:
        hold(far)
    first.close()

    assert str(held.value) == f"{path}: another process serves this cabinet; stop it first"
    assert str(missing.value) == f"{far}.lock: cannot be made: No such file or directory; choose another folder"
