"""What a log of SQLite tells: a commit that was never finished is no damage, and every flipped bit is."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from memory_factories import IDENTITY, MOVEMENTS, make_entries
from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.store import MemoryStore
from phasemesh.controller.memory.write_ahead import is_whole_log


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A store of twenty rows as it is found after a kill in the middle of a commit of many more."""
    path, found = tmp_path / "memory.sqlite", tmp_path / "found" / "memory.sqlite"
    entries = list(make_entries(3000).items())
    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    store.open()
    assert store.write(Changes(dict(entries))) is None
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM ltm").fetchall()
    assert store.write(Changes(dict.fromkeys(dict(entries[20:])))) is None
    store.close()
    found.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA cache_size=2")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO ltm VALUES (?, ?, ?, ?, ?, ?)", rows)
        for name in ("memory.sqlite", "memory.sqlite-wal"):
            shutil.copyfile(tmp_path / name, found.parent / name)
        connection.execute("ROLLBACK")
    return found


def log_of(path: Path) -> Path:
    """The log beside a store."""
    return path.with_name(f"{path.name}-wal")


def test_d18_rows_of_a_commit_that_was_never_finished_are_not_there(killed: Path) -> None:
    """Although each of them checks out: all of a commit or nothing; the file is whole and stays where it is."""
    store = MemoryStore(killed, IDENTITY, MOVEMENTS)

    opening = store.open()
    store.close()

    assert len(opening.contents.entries) == 20
    assert (opening.notes, opening.fault) == ((), "")
    assert not list(killed.parent.glob("*.damaged-*"))


def test_the_log_of_a_killed_writer_is_whole(killed: Path) -> None:
    """Cut off at any place, as a kill leaves it; an empty one holds nothing."""
    data = log_of(killed).read_bytes()

    assert len(data) > 100_000
    assert all(is_whole_log(data[:length]) for length in (0, 5, 31, 32, 40, 5000, 50_001, len(data)))


@pytest.mark.parametrize("at", [0, 8, 16, 24, 32 + 8, 32 + 16, 32 + 24, 5000, 60_000])
def test_a_flipped_bit_in_a_log_is_damage(killed: Path, at: int) -> None:
    """In its head, in the head of a frame, and in a page."""
    data = bytearray(log_of(killed).read_bytes())
    data[at] ^= 4

    assert not is_whole_log(bytes(data))
