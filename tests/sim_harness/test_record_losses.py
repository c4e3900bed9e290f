"""Records that are missing: whatever a life owes is found, wherever in its files it should stand."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tortured_runs import cut_end_mark

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import END_MARK, Gap, RecordWriter, _frame
from phasemesh.sim_harness.faults.attack import Life
from phasemesh.sim_harness.torture.losses import LostRecords, lost_records
from record_factories import make_header, make_record

NAME = IntersectionId("crossing")
RECORD = "0-1.rec"
WHOLE = range(6)
LIFE = Life(NAME, 1, RECORD, has_spoken=True, is_orderly=True, steps=tuple(WHOLE))
KILLED = msgspec.structs.replace(LIFE, is_orderly=False)


def _leave(folder: Path, *ticks: int, name: str = RECORD) -> Path:
    """A file with `ticks`, closed in order."""
    path = folder / "records" / name
    writer = RecordWriter(path, make_header())
    for tick in ticks:
        writer.write(make_record(tick=tick))
    writer.close()
    return path


def _declare(path: Path, count: int) -> None:
    """Put a gap behind the last record, before the end mark."""
    path.write_bytes(path.read_bytes().removesuffix(END_MARK) + _frame(Gap(count)) + END_MARK)


def test_a_whole_life_lost_nothing(tmp_path: Path) -> None:
    """All ticks from the first to the last, and the end mark."""
    _leave(tmp_path, *WHOLE)

    assert lost_records(tmp_path, [LIFE]) == LostRecords()


@pytest.mark.parametrize(
    ("ticks", "undeclared", "says"),
    [
        ((2, 3, 4, 5), 2, "2 ticks are missing in one place and 0 are declared"),
        ((0, 1, 4, 5), 2, "2 ticks are missing in one place and 0 are declared"),
        ((0, 1, 2), 3, "3 of its 6 commands have no record, 0 are declared"),
        ((), 6, "6 of its 6 commands have no record"),
    ],
    ids=["head", "middle", "tail", "all"],
)
def test_what_is_missing_without_a_word_is_found(
    tmp_path: Path, ticks: tuple[int, ...], undeclared: int, says: str
) -> None:
    """At the head of a life, within it and at its end, also where the file itself looks whole."""
    _leave(tmp_path, *ticks)

    lost = lost_records(tmp_path, [LIFE])

    assert lost.declared == 0
    assert lost.undeclared >= undeclared
    assert any(says in finding for finding in lost.findings), lost.findings


def test_ticks_that_were_numbered_anew_do_not_hide_a_loss(tmp_path: Path) -> None:
    """The cabinet knows at which steps it was commanded, whatever the file counts."""
    writer = RecordWriter(tmp_path / "records" / RECORD, make_header())
    for tick, step in enumerate((0, 1, 4, 5)):
        writer.write(msgspec.structs.replace(make_record(tick=tick), step=step))
    writer.close()

    assert lost_records(tmp_path, [LIFE]).undeclared == 2


def test_a_life_without_a_file_is_found(tmp_path: Path) -> None:
    """Every agent that its cabinet heard left a file; one that never came so far owes none."""
    silent = msgspec.structs.replace(LIFE, has_spoken=False, steps=())

    assert lost_records(tmp_path, [LIFE]).findings == (f"{NAME}, life 1: there is no file of it",)
    assert lost_records(tmp_path, [silent]) == LostRecords()


def test_a_file_whose_header_is_gone_is_found(tmp_path: Path) -> None:
    """A file that nobody can read holds nothing."""
    path = _leave(tmp_path, *WHOLE)
    path.write_bytes(path.read_bytes()[5:])

    assert lost_records(tmp_path, [LIFE]).undeclared == 1


def test_an_orderly_end_without_its_mark_is_found(tmp_path: Path) -> None:
    """Who ends in order says so; who is killed cannot."""
    cut_end_mark(_leave(tmp_path, *WHOLE))

    assert lost_records(tmp_path, [LIFE]).undeclared == 1
    assert lost_records(tmp_path, [KILLED]) == LostRecords()


def test_a_killed_life_owes_its_last_command_at_most(tmp_path: Path) -> None:
    """A command is sent before it is recorded; two without a record are one too many."""
    cut_end_mark(_leave(tmp_path, *WHOLE[:-1]))
    one = lost_records(tmp_path, [KILLED])
    cut_end_mark(_leave(tmp_path, *WHOLE[:-2]))
    (tmp_path / "records" / f"{RECORD}.1").unlink()

    assert one.undeclared == 0
    assert lost_records(tmp_path, [KILLED]).undeclared == 1


@pytest.mark.parametrize(("count", "undeclared"), [(3, 0), (2, 1)])
def test_a_gap_has_to_cover_what_is_missing(tmp_path: Path, count: int, undeclared: int) -> None:
    """What it says counts as declared, what it leaves out does not."""
    _declare(_leave(tmp_path, 0, 1, 2), count)

    lost = lost_records(tmp_path, [LIFE])

    assert (lost.declared, lost.undeclared) == (count, undeclared)


def test_a_gap_that_declares_more_than_is_missing_is_found(tmp_path: Path) -> None:
    """A number that is wrong in either direction is no declaration."""
    path = _leave(tmp_path, 0, 1, 2)
    tail = b"".join(_frame(make_record(tick=tick)) for tick in (4, 5))
    path.write_bytes(path.read_bytes().removesuffix(END_MARK) + _frame(Gap(3)) + tail + END_MARK)

    lost = lost_records(tmp_path, [LIFE])

    assert (lost.declared, lost.undeclared) == (1, 2)


def test_a_file_that_was_set_aside_belongs_to_its_life(tmp_path: Path) -> None:
    """A file at its limit makes room for the next one, and the ticks go on from there."""
    _leave(tmp_path, 0, 1, 2, name=f"{RECORD}.1")
    _leave(tmp_path, 3, 4, 5)

    assert lost_records(tmp_path, [LIFE]) == LostRecords()
