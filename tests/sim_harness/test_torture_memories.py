"""What a torture finds of the memories of its agents."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from phasemesh.sim_harness.torture.course import Course, requests_of, run_torture
from phasemesh.sim_harness.torture.memories import STORES, damaged_memories

BUNDLE = "approach-lost-time"


def write_store(folder: Path, name: str) -> Path:
    """A store with some rows in the folder of a run."""
    path = folder / STORES / name
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as store:
        store.execute("CREATE TABLE ltm(key BLOB PRIMARY KEY, n INTEGER) WITHOUT ROWID")
        store.executemany("INSERT INTO ltm VALUES (?, ?)", [(bytes([n]) * 400, n) for n in range(100)])
        store.commit()
    return path


def test_whole_memories_and_none_at_all_are_no_finding(tmp_path: Path) -> None:
    """A store of another layout that was set aside is no damage either."""
    assert list(damaged_memories(tmp_path)) == []
    write_store(tmp_path, "0.memory.sqlite")
    write_store(tmp_path, "1.memory.sqlite").rename(tmp_path / STORES / "1.memory.sqlite.other-1")

    assert list(damaged_memories(tmp_path)) == []


def test_a_store_that_an_agent_set_aside_as_damaged_is_found(tmp_path: Path) -> None:
    """However whole the new one is."""
    write_store(tmp_path, "0.memory.sqlite")
    write_store(tmp_path, "1.memory.sqlite").rename(tmp_path / STORES / "0.memory.sqlite.damaged-1")

    assert list(damaged_memories(tmp_path)) == ["a memory was damaged and set aside: 0.memory.sqlite.damaged-1"]


@pytest.mark.parametrize("at", [0, 4096])
def test_a_store_that_is_not_whole_at_the_end_is_found(tmp_path: Path, at: int) -> None:
    """In its head, where SQLite cannot read it, and in the head of a page, where it can."""
    path = write_store(tmp_path, "0.memory.sqlite")
    with path.open("r+b") as store:
        store.seek(at)
        store.write(b"\xff" * 600)

    found = list(damaged_memories(tmp_path))

    assert len(found) == 1
    assert found[0].startswith("the memory 0.memory.sqlite is not whole: ")


@pytest.mark.sumo
def test_both_runs_remember_in_folders_of_their_own(tmp_path: Path) -> None:
    """Neither knows what the other learned; without a memory neither has a folder."""
    course = Course(scenario="cologne3", bundle=BUNDLE, report=tmp_path, seconds=900.0, memory="live")

    attacked, calm = requests_of(course, "F1")

    assert (attacked.memory, calm.memory) == ("live", "live")
    assert attacked.memory_folder == str(Path(attacked.report) / STORES)
    assert calm.memory_folder == str(Path(calm.report) / STORES)
    assert requests_of(Course(scenario="cologne3", bundle=BUNDLE, report=tmp_path), "F1")[0].memory == "off"


@pytest.mark.sumo
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_city_that_remembers_survives_f16_and_f17_with_whole_stores(tmp_path: Path) -> None:
    """Power fails and the disk is full: all as required, and each store can be read and holds what was learned."""
    course = Course(scenario="cologne3", bundle=BUNDLE, report=tmp_path, seconds=1500.0, memory="live")

    judgement = run_torture(course, "F16,F17")

    assert judgement.all_failures == ()
    assert {verdict.fault for verdict in judgement.verdicts} == {"F16", "F17"}
    stores = sorted((tmp_path / "tortured" / STORES).glob("*.memory.sqlite"))
    assert len(stores) == 3
    for path in stores:
        with closing(sqlite3.connect(path)) as store:
            assert store.execute("SELECT count(*) FROM ltm").fetchone()[0] > 0
