"""Rows of a memory store: what a checksum covers, and how rows are found in any bytes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory_factories import IDENTITY, MOVEMENTS, filled_store, make_entries, make_trials
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.rows import (
    LARGEST_COUNT,
    StoreIdentity,
    Table,
    as_stored,
    carved,
    entry_of,
    is_intact,
    ltm_row,
    trial_of,
    trial_row,
)
from phasemesh.controller.memory.trials import Trial

DIGEST = IDENTITY.digest()
NOISE = Random(1).randbytes(200_000)  # noqa: S311 (repeatable)
ENTRIES = st.builds(
    LtmEntry,
    stage=st.integers(0, 15),
    q=st.floats(-1e6, 1e6),
    n=st.integers(0, 2**40),
    mean=st.floats(-1e6, 1e6),
    m2=st.floats(0.0, 1e9),
    updated_at_s=st.floats(0.0, 2e9),
)


@given(key=st.binary(min_size=1, max_size=70), entry=ENTRIES)
def test_an_entry_comes_back_from_its_row_as_it_is_kept(key: bytes, entry: LtmEntry) -> None:
    """Single precision and whole seconds are all that is lost, and that only once."""
    kept = as_stored(entry)

    assert entry_of(ltm_row(DIGEST, key, entry)) == (key, kept)
    assert as_stored(kept) == kept
    assert kept.n <= LARGEST_COUNT


def test_a_trial_comes_back_from_its_row() -> None:
    """All of its fields are kept."""
    key, trial = b"\x01" * MOVEMENTS, Trial(7, -2.5, 6, -1.5, 3, 4, True, 0.25, 5, 99.0)

    assert trial_of(trial_row(DIGEST, key, trial)) == (key, trial)


@given(key=st.binary(min_size=1, max_size=20), entry=ENTRIES, bit=st.integers(0, 10_000))
def test_a_flipped_bit_of_a_row_breaks_its_checksum(key: bytes, entry: LtmEntry, bit: int) -> None:
    """Whichever bit of whichever column it is."""
    row = list(ltm_row(DIGEST, key, entry))
    column = bit % len(row)
    value = row[column]
    if isinstance(value, bytes):
        place = bit % (8 * len(value))
        row[column] = bytes(each ^ (1 << place % 8 if at == place // 8 else 0) for at, each in enumerate(value))
    else:
        row[column] = value ^ (1 << bit % 31)

    assert is_intact(Table.LTM, DIGEST, ltm_row(DIGEST, key, entry))
    assert not is_intact(Table.LTM, DIGEST, tuple(row))


@pytest.mark.parametrize("change", [{"gamma": 0.95}, {"reward": "halting"}, {"layout": "2" * 64}, {"timings": ""}])
def test_a_row_of_another_memory_does_not_check_out(change: dict[str, object]) -> None:
    """A value that was learned for another reward, discount, layout or timing plan means something else."""
    other: StoreIdentity = msgspec.structs.replace(IDENTITY, **change)
    row = ltm_row(DIGEST, b"key", LtmEntry(1, -3.0))

    assert not is_intact(Table.LTM, other.digest(), row)


def test_a_row_of_another_table_does_not_check_out() -> None:
    """Two tables of the same columns could not be mixed up."""
    row = ltm_row(DIGEST, b"key", LtmEntry(1, -3.0))

    assert not is_intact(Table.TRIAL, DIGEST, row)


@pytest.mark.parametrize("movements", [1, 12, 36, 60])
def test_rows_are_found_in_the_bytes_of_a_database(tmp_path: Path, movements: int) -> None:
    """Every row of both tables, and nothing else, whatever the size of a key."""
    entries = make_entries(min(200, 40 * movements), movements=movements)
    trials = make_trials(list(entries)[:50])
    path = tmp_path / "plain.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE ltm(key BLOB PRIMARY KEY, a, b, c, d, e) WITHOUT ROWID")
    connection.execute("CREATE TABLE trial(key BLOB PRIMARY KEY, a, b, c, d, e, f, g, h, i) WITHOUT ROWID")
    rows = [ltm_row(DIGEST, key, entry) for key, entry in entries.items()]
    connection.executemany("INSERT INTO ltm VALUES (?,?,?,?,?,?)", rows)
    connection.executemany(
        "INSERT INTO trial VALUES (?,?,?,?,?,?,?,?,?,?)",
        [trial_row(DIGEST, key, trial) for key, trial in trials.items()],
    )
    connection.commit()
    connection.close()
    data = path.read_bytes()

    assert dict(map(entry_of, carved(data, Table.LTM, DIGEST, movements))) == entries
    assert dict(map(trial_of, carved(data, Table.TRIAL, DIGEST, movements))) == trials


def test_nothing_is_found_in_noise_and_in_cut_rows(tmp_path: Path) -> None:
    """Chance headers have no checksum, and a row that is cut off is none."""
    path = tmp_path / "memory.sqlite"
    filled_store(path, make_entries(1))
    data = path.read_bytes()
    (row,) = carved(data, Table.LTM, DIGEST, MOVEMENTS)
    key = row[0]
    assert isinstance(key, bytes)
    start = data.index(key)

    assert list(carved(data[: start + 20], Table.LTM, DIGEST, MOVEMENTS)) == []
    assert list(carved(NOISE, Table.LTM, DIGEST, MOVEMENTS)) == []
