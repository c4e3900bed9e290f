"""Latched faults outlive power cuts and full disks, and only an operator clears them."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit_factories import full_disk

from phasemesh.controller.cabinet import sealed_file
from phasemesh.controller.cabinet.latches import CLEAR_S, FILE_RULE, MAX_DETAIL_CHARS, MAX_RESETS, RETRY_S, LatchBook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the latches are kept."""
    return tmp_path / "0.json"


def opened(path: Path | None, now_s: float = 0.0) -> LatchBook:
    """The book as it is after power came back."""
    return LatchBook(path, now_s, day_s=3600.0)


def test_nothing_is_latched_at_first(path: Path) -> None:
    """A first start without a file is an ordinary one."""
    book = opened(path)

    assert (book.rules, book.resets, book.file_fault) == ((), (), "")
    assert not path.exists()


def test_a_latch_survives_a_power_cut(path: Path) -> None:
    """Rule, sentence and time of day are there again."""
    before = opened(path)
    before.latch("I1", "movements 0 and 1 conflict", 5.0, 3605.0)
    after = opened(path)

    assert after.latched == before.latched
    assert [(each.rule, each.detail, each.day_s) for each in after.latched] == [
        ("I1", "movements 0 and 1 conflict", 3605.0)
    ]


def test_without_a_file_it_is_forgotten() -> None:
    """A cabinet that was given none still latches in this life."""
    book = opened(None)
    book.latch("I1", "", 5.0, 5.0)

    assert book.rules == ("I1",)
    assert opened(None).rules == ()


def test_the_first_report_is_kept(path: Path) -> None:
    """A monitor that repeats itself neither fills the disk nor hides how it began."""
    book = opened(path)
    book.latch("I3", "first", 1.0, 1.0)
    written = path.stat().st_mtime_ns
    book.latch("I3", "second", 2.0, 2.0)

    assert [each.detail for each in book.latched] == ["first"]
    assert path.stat().st_mtime_ns == written


def test_a_long_sentence_is_cut() -> None:
    """Nobody can fill a disk with one report."""
    book = opened(None)
    book.latch("I3", "x" * 10_000, 0.0, 0.0)

    assert len(book.latched[0].detail) == MAX_DETAIL_CHARS


def test_a_reset_clears_one_rule_and_is_remembered(path: Path) -> None:
    """The other rule stays latched; who cleared it, why and when survives the next power cut."""
    book = opened(path)
    book.latch("I1", "", 0.0, 0.0)
    book.latch("I4", "", 0.0, 0.0)
    refusal = book.reset("I1", "ann", "lamp replaced", 60.0, 4000.0)
    after = opened(path)

    assert refusal == ""
    assert book.rules == after.rules == ("I4",)
    assert [(each.rule, each.who, each.reason, each.day_s) for each in after.resets] == [
        ("I1", "ann", "lamp replaced", 4000.0)
    ]


def test_what_is_not_latched_cannot_be_reset() -> None:
    """The answer names the rule."""
    assert opened(None).reset("I1", "ann", "", 0.0, 0.0) == "'I1' is not latched"


@pytest.mark.parametrize(("age_s", "is_cleared"), [(0.0, False), (CLEAR_S / 2, False), (CLEAR_S, True), (60.0, True)])
def test_a_cause_that_holds_forbids_the_reset(age_s: float, is_cleared: bool) -> None:
    """What was reported a moment ago is still there."""
    book = opened(None)
    book.latch("I1", "", 0.0, 0.0)
    book.latch("I1", "", 100.0, 100.0)
    refusal = book.reset("I1", "ann", "", 100.0 + age_s, 0.0)

    assert (refusal == "") is is_cleared
    assert ("still holds" in refusal) is not is_cleared
    assert (book.rules == ()) is is_cleared


def test_a_fault_from_before_the_power_cut_may_be_reset_at_once(path: Path) -> None:
    """In this life nobody has reported it."""
    opened(path).latch("I1", "", 5.0, 5.0)

    assert opened(path).reset("I1", "ann", "", 0.0, 0.0) == ""


def test_only_the_newest_resets_are_kept() -> None:
    """The file does not grow for ever."""
    book = opened(None)
    for number in range(MAX_RESETS + 5):
        book.latch("I1", "", float(number), 0.0)
        book.reset("I1", str(number), "", number + CLEAR_S, 0.0)

    assert [each.who for each in book.resets] == [str(number) for number in range(5, MAX_RESETS + 5)]


def test_a_file_cut_off_anywhere_is_latched(path: Path) -> None:
    """After a torn write nobody knows what was latched, so that the unit flashes; the remains are set aside."""
    opened(path).latch("I1", "conflict", 5.0, 5.0)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        after = opened(path)
        (aside,) = path.parent.glob("*.damaged-*")

        assert after.rules == (FILE_RULE,)
        assert "unreadable latch file" in after.latched[0].detail
        assert aside.read_bytes() == whole[:length]
        assert opened(path).rules == (FILE_RULE,)
        aside.unlink()


@pytest.mark.parametrize(
    "body",
    [b"[]", b'{"format": 1}', b'{"format": 2, "latched": [], "resets": []}'],
    ids=["another type", "a field is missing", "another format"],
)
def test_a_sealed_file_of_another_kind_is_latched(path: Path, body: bytes) -> None:
    """A checksum that fits does not make it a file of latches."""
    sealed_file.write_sealed(path, body)

    assert opened(path).rules == (FILE_RULE,)


def test_an_unreadable_file_is_latched(path: Path) -> None:
    """A disk that does not answer hides what was latched."""
    path.mkdir()
    book = opened(path)

    assert book.rules == (FILE_RULE,)
    assert "cannot be read" in book.latched[0].detail
    assert "cannot be written" in book.file_fault


def test_an_untrusted_file_is_reset_like_any_fault(path: Path) -> None:
    """After somebody has looked, the unit starts again with a new file."""
    path.write_bytes(b"")
    book = opened(path)

    assert book.reset(FILE_RULE, "ann", "", CLEAR_S, 0.0) == ""
    assert opened(path).rules == ()


def test_a_full_disk_does_not_hinder_the_latch(path: Path) -> None:
    """The fault is latched in memory, the trouble is a value, and the writing is tried again."""
    book = opened(path)
    with full_disk():
        book.latch("I1", "", 5.0, 5.0)
        told = book.file_fault
    book.retry(5.0 + RETRY_S - 1.0)
    is_too_early = not path.exists()
    book.retry(5.0 + RETRY_S)

    assert book.rules == ("I1",)
    assert "cannot be written: File too large" in told
    assert is_too_early
    assert (book.file_fault, opened(path).rules) == ("", ("I1",))


def test_a_reset_that_cannot_be_written_flashes_again(path: Path) -> None:
    """After the next power cut the old latch is found, which is the safe side."""
    book = opened(path)
    book.latch("I1", "", 0.0, 0.0)
    with full_disk():
        refusal = book.reset("I1", "ann", "", 60.0, 60.0)

    assert (refusal, book.rules) == ("", ())
    assert book.file_fault
    assert opened(path).rules == ("I1",)


def test_a_power_cut_in_any_writing_loses_no_latch(path: Path) -> None:
    """However much of the next version was written, what was latched before is latched afterwards."""
    book = opened(path)
    book.latch("I1", "", 0.0, 0.0)
    before = path.read_bytes()
    book.latch("I4", "", 1.0, 1.0)
    draft = path.read_bytes()
    path.write_bytes(before)
    for length in range(len(draft) + 1):
        path.with_name("0.json.new").write_bytes(draft[:length])
        assert opened(path).rules == ("I1",)
