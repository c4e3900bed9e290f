"""Behaviour of the flight recorder when the disk is full, slow to recover, or shared with older files."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from phasemesh.controller.telemetry.records import Gap, RecordWriter, TickRecord, read_records
from record_factories import make_header, make_record

FULL_DISK = Path("/dev/full")


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """The system refuses to let any file of this process grow beyond `size_bytes`, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def ticks_of(path: Path) -> list[int | str]:
    """The ticks in the file at `path`, with gaps written as such."""
    return [
        item.tick if isinstance(item, TickRecord) else f"gap {item.count}" if isinstance(item, Gap) else item.reason
        for item in read_records(path)[1]
    ]


def test_a_full_disk_from_the_start_loses_records_but_raises_nothing() -> None:
    """Every record is counted as lost and the reason is remembered."""
    with closing(RecordWriter(FULL_DISK, make_header())) as writer:
        for tick in range(100):
            writer.write(make_record(tick))

    assert writer.lost == 100
    assert writer.fault == "/dev/full: No space left on device"


def test_the_device_of_a_path_is_never_renamed() -> None:
    """Only regular files are put aside at start-up."""
    RecordWriter(FULL_DISK, make_header()).close()

    assert FULL_DISK.is_char_device()


def test_a_disk_that_fills_up_leaves_a_clean_end_and_later_a_declared_gap(tmp_path: Path) -> None:
    """Records before and after the trouble are intact, and between them the file says how many are missing."""
    path = tmp_path / "ticks.rec"
    with closing(RecordWriter(path, make_header(), retry_every=4)) as writer:
        writer.write(make_record(0))
        with file_size_limit(path.stat().st_size + 100):
            writer.write(make_record(1))
            fault_when_full = writer.fault
        size_when_full = path.stat().st_size
        ticks_when_full = ticks_of(path)
        for tick in range(2, 9):
            writer.write(make_record(tick))

    assert "File too large" in fault_when_full
    assert ticks_when_full == [0]
    assert size_when_full < path.stat().st_size
    assert ticks_of(path) == [0, "gap 5", 6, 7, 8]
    assert (writer.lost, writer.fault) == (5, "")


def test_a_disk_that_stays_full_is_tried_again_only_now_and_then(tmp_path: Path) -> None:
    """Between two attempts the writer counts and does nothing else; a gap covers all attempts."""
    path = tmp_path / "ticks.rec"
    with closing(RecordWriter(path, make_header(), retry_every=2)) as writer:
        with file_size_limit(path.stat().st_size):
            for tick in range(7):
                writer.write(make_record(tick))
        for tick in range(7, 10):
            writer.write(make_record(tick))

    assert ticks_of(path) == ["gap 9", 9]
    assert writer.lost == 9


def test_close_declares_a_gap_that_is_still_open(tmp_path: Path) -> None:
    """When the disk has room again by the time of closing, the file ends with what is missing."""
    path = tmp_path / "ticks.rec"
    with closing(RecordWriter(path, make_header())) as writer:
        with file_size_limit(path.stat().st_size):
            writer.write(make_record(0))
        writer.write(make_record(1))

    assert ticks_of(path) == ["gap 2"]


def test_a_folder_that_cannot_be_made_loses_records_but_raises_nothing(tmp_path: Path) -> None:
    """A path below a file is trouble with the disk like any other."""
    (tmp_path / "file").write_text("in the way")

    with closing(RecordWriter(tmp_path / "file" / "ticks.rec", make_header())) as writer:
        writer.write(make_record())

    assert writer.lost == 1
    assert writer.fault


def test_a_file_that_would_outgrow_its_limit_is_put_aside(tmp_path: Path) -> None:
    """The newest records are always kept, in two files that are each within the limit and readable alone."""
    path = tmp_path / "ticks.rec"
    limit = 12_000
    with closing(RecordWriter(path, make_header(), max_bytes=limit)) as writer:
        for tick in range(20):
            writer.write(make_record(tick))

    older = tmp_path / "ticks.rec.1"
    kept = ticks_of(older) + ticks_of(path)
    assert kept == list(range(20 - len(kept), 20))
    assert len(kept) < 20
    assert max(older.stat().st_size, path.stat().st_size) <= limit
    assert read_records(older)[0] == read_records(path)[0]


def test_a_new_life_puts_the_record_of_the_last_one_aside(tmp_path: Path) -> None:
    """The record of an agent that died is still there after its restart."""
    path = tmp_path / "ticks.rec"
    with closing(RecordWriter(path, make_header(boot_id=1))) as writer:
        writer.write(make_record(5))
    RecordWriter(path, make_header(boot_id=2)).close()

    assert read_records(path)[0].boot_id == 2
    assert read_records(tmp_path / "ticks.rec.1")[0].boot_id == 1
    assert ticks_of(tmp_path / "ticks.rec.1") == [5]


def test_closing_twice_does_nothing(tmp_path: Path) -> None:
    """A second close neither raises nor writes."""
    path = tmp_path / "ticks.rec"
    writer = RecordWriter(path, make_header(), flush_every=5)
    writer.write(make_record(0))
    writer.close()
    writer.close()

    assert ticks_of(path) == [0]
