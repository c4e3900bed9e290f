"""The memory on disk: what is written comes back, what does not fit is set aside, what is broken costs only itself."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from random import Random

import msgspec
import pytest

from memory_factories import IDENTITY, MOVEMENTS, filled_store, make_entries, make_trials
from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.rows import StoreIdentity
from phasemesh.controller.memory.store import MAX_ASIDE, MIGRATIONS, SCHEMA, MemoryStore, Opening

NOISE = Random(1).randbytes(20_000)  # noqa: S311 (repeatable)


def _opened(path: Path, identity: StoreIdentity = IDENTITY) -> Opening:
    store = MemoryStore(path, identity, MOVEMENTS)
    found = store.open()
    store.close()
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "state" / "3.memory.sqlite"


def test_what_was_written_comes_back(path: Path) -> None:
    """Entries and trials, from a file that only its owner may read, with an empty log."""
    entries = make_entries(300)
    trials = make_trials(list(entries)[:100])
    filled_store(path, entries, trials)

    found = _opened(path)

    assert found.contents.entries == entries
    assert found.contents.trials == trials
    assert (found.notes, found.fault) == ((), "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_d18_a_row_of_twelve_movements_needs_at_most_60_bytes(path: Path) -> None:
    """Written staging by staging in random order, indexes and free space included."""
    entries = make_entries(10_000)
    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    store.open()
    items = list(entries.items())
    for start in range(0, len(items), 500):
        assert store.write(Changes(dict(items[start : start + 500]))) is None
    store.close()

    assert path.stat().st_size / len(entries) <= 60.0


def test_a_newer_value_replaces_and_none_removes(path: Path) -> None:
    """A commit holds changes, not the whole memory."""
    entries = make_entries(3)
    first, second, third = entries
    filled_store(path, entries, make_trials([first, second]))
    newer = msgspec.structs.replace(entries[first], q=-1.0)
    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    store.open()
    assert store.write(Changes({first: newer, second: None}, {second: None})) is None
    store.close()

    found = _opened(path)

    assert found.contents.entries == {first: newer, third: entries[third]}
    assert list(found.contents.trials) == [first]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"layout": "2" * 64}, "layout"),
        ({"timings": "3" * 64}, "timings"),
        ({"reward": "halting"}, "reward halting instead of delay"),
        ({"gamma": 0.95}, "gamma 0.95 instead of 0.985"),
        ({"classes": "simple,l1,off"}, "classes"),
    ],
)
def test_d20_a_store_of_another_memory_is_kept_aside(path: Path, change: dict[str, object], word: str) -> None:
    """A change of layout, timing plan, reward or gamma clears the memory; the old one stays for those who go back."""
    entries = make_entries(20)
    other: StoreIdentity = msgspec.structs.replace(IDENTITY, **change)
    store = MemoryStore(path, other, MOVEMENTS)
    store.open()
    store.write(Changes({**entries}))
    store.close()

    found = _opened(path)

    assert found.contents.entries == {}
    assert word in found.notes[0]
    assert _opened(path.with_name(f"{path.name}.other-0"), other).contents.entries == entries
    assert _opened(path) == Opening(found.contents)


def test_a_store_of_a_newer_schema_is_kept_aside(path: Path) -> None:
    """What a later phasemesh wrote is not guessed at."""
    filled_store(path, {})
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()

    found = _opened(path)

    assert f"schema {SCHEMA + 1}" in found.notes[0]
    assert found.fault == ""


def test_a_store_of_the_first_schema_is_brought_up_to_date(path: Path) -> None:
    """It had no trials; its entries stay."""
    entries = make_entries(30)
    filled_store(path, entries)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE trial")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    key = next(iter(entries))

    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    found = store.open()
    trials = make_trials([key])
    assert store.write(Changes(trials={**trials})) is None
    store.close()

    assert (found.contents.entries, found.notes) == (entries, ())
    assert _opened(path).contents.trials == trials
    assert len(MIGRATIONS) == SCHEMA == 2


@pytest.mark.parametrize("content", [b"", b"garbage", NOISE, b"SQLite format 3\x00" + b"\0" * 84])
def test_d18_a_torn_file_is_set_aside_and_control_goes_on(path: Path, content: bytes) -> None:
    """A file without a readable row leads to an empty memory that can be written; damage is told."""
    path.parent.mkdir()
    path.write_bytes(content)

    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    found = store.open()
    entries = make_entries(5)
    assert store.write(Changes({**entries})) is None
    store.close()

    assert found.contents.entries == {}
    assert found.fault == ""
    assert bool(found.notes) == bool(content)
    assert _opened(path).contents.entries == entries


def test_d18_a_flipped_bit_loses_one_row_at_most(path: Path) -> None:
    """Wherever it is: in a row, in a page of pointers, in the header of the file, in the schema."""
    entries = make_entries(400)
    trials = make_trials(list(entries)[:100])
    filled_store(path, entries, trials)
    whole = path.read_bytes()
    draws = Random(4)  # noqa: S311 (repeatable)
    bits = [*range(0, 800, 13), *(draws.randrange(8 * len(whole)) for _ in range(60))]
    lost = 0
    for bit in bits:
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        for each in path.parent.iterdir():
            each.unlink()
        path.write_bytes(broken)

        found = _opened(path)

        missing = len(entries) + len(trials) - len(found.contents.entries) - len(found.contents.trials)
        assert found.fault == ""
        assert missing <= 1, f"bit {bit} lost {missing} rows"
        assert all(entries[key] == entry for key, entry in found.contents.entries.items())
        assert all(trials[key] == trial for key, trial in found.contents.trials.items())
        assert missing == 0 or found.notes
        assert _opened(path).contents == found.contents
        lost += missing
    assert lost > 10


def test_d18_a_mended_store_that_was_not_finished_is_taken_up(path: Path) -> None:
    """Power went between setting the damaged file aside and renaming the new one."""
    entries = make_entries(50)
    filled_store(path, entries)
    path.rename(path.with_name(f"{path.name}.new"))

    found = _opened(path)

    assert found.contents.entries == entries
    assert _opened(path).contents.entries == entries


def test_only_so_many_damaged_stores_are_kept(path: Path) -> None:
    """A disk that rots for ever does not fill up with what it broke."""
    path.parent.mkdir()
    for number in range(MAX_ASIDE + 3):
        path.write_bytes(b"garbage %d" % number)
        assert _opened(path).fault == ""

    kept = sorted(path.parent.glob("*.damaged-*"))
    assert len(kept) == MAX_ASIDE
    assert kept[-1].read_bytes() == b"garbage %d" % (MAX_ASIDE + 2)


def test_a_row_that_no_memory_would_write_is_refused(path: Path) -> None:
    """Poison has a checksum too: a value that is no number never becomes a decision."""
    entries = make_entries(3)
    poisoned = next(iter(entries))
    filled_store(path, {**entries, poisoned: msgspec.structs.replace(entries[poisoned], q=float("nan"))})

    found = _opened(path)

    assert set(found.contents.entries) == set(entries) - {poisoned}


def test_a_path_that_can_be_no_file_is_a_fault_and_nothing_else(tmp_path: Path) -> None:
    """Where a file stands in place of the folder, memory lives without a disk."""
    (tmp_path / "file").write_text("in the way")
    store = MemoryStore(tmp_path / "file" / "memory.sqlite", IDENTITY, MOVEMENTS)

    assert "cannot be written" in store.open().fault
    assert store.write(Changes({**make_entries(1)})) is not None


def test_a_folder_in_place_of_the_file_is_set_aside(tmp_path: Path) -> None:
    """Whatever stands there, the memory gets its file."""
    (tmp_path / "memory.sqlite").mkdir()
    entries = make_entries(1)

    filled_store(tmp_path / "memory.sqlite", entries)

    assert _opened(tmp_path / "memory.sqlite").contents.entries == entries
    assert (tmp_path / "memory.sqlite.damaged-0").is_dir()
