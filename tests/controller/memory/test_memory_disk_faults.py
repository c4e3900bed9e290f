"""The memory under kill -9, a full disk and a read-only disk: nothing that was committed is lost, nothing stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memory_factories import IDENTITY, MOVEMENTS, filled_store, make_entries
from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.store import MemoryStore
from phasemesh.controller.memory.store_writer import StoreWriter

TESTS = Path(__file__).parents[2]
NOBODY = 65534
WRITING = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from memory_factories import IDENTITY, MOVEMENTS, make_entries
from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.store import MemoryStore
store = MemoryStore(Path(sys.argv[1]), IDENTITY, MOVEMENTS)
store.open()
items = list(make_entries(6000).items())
print("ready", flush=True)
for start in range(0, len(items), 20):
    assert store.write(Changes(dict(items[start : start + 20]))) is None
    print(start + 20, flush=True)
"""
"""Commits twenty entries at a time and says how many are committed."""


@pytest.mark.parametrize("delay_s", [0.0, 0.013, 0.05, 0.11, 0.2])
def test_d18_kill_9_loses_nothing_that_was_committed(tmp_path: Path, delay_s: float) -> None:
    """At any moment: the entries before are there, byte for byte, and at most one commit more, as a whole."""
    path = tmp_path / "memory.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, str(path), str(TESTS)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(delay_s)
        os.kill(child.pid, signal.SIGKILL)
        said = child.stdout.read().split()
    committed = int(said[-1]) if said else 0
    entries = make_entries(6000)
    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    found = store.open().contents.entries
    store.close()

    assert len(found) in {committed, committed + 20}
    assert found == dict(list(entries.items())[: len(found)])


FULL_DISK = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from memory_factories import IDENTITY, MOVEMENTS, make_entries
from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.store import MemoryStore
from phasemesh.controller.memory.store_writer import StoreWriter

def until(holds):
    for _ in range(500):
        if holds():
            return
        time.sleep(0.01)
    raise SystemExit("waited in vain")

store = MemoryStore(Path(sys.argv[1]), IDENTITY, MOVEMENTS)
store.open()
writer = StoreWriter(store, retry_s=0.05)
items = list(make_entries(900).items())
writer.put(Changes(dict(items[:300])))
until(lambda: writer.commits == 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
writer.put(Changes(dict(items[300:600])))
until(lambda: writer.faults > 1)
writer.put(Changes(dict(items[600:])))
print(writer.fault, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
until(lambda: writer.fault == "" and writer.waiting == 0 and writer.commits > 1)
writer.close()
"""
"""Stages three times; from the second on no file may grow, after the third they may again."""


def test_d18_a_full_disk_is_told_and_nothing_that_was_staged_is_lost(tmp_path: Path) -> None:
    """What the disk refuses waits for it, whatever comes meanwhile."""
    path = tmp_path / "memory.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(TESTS)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    found = store.open()
    store.close()

    assert "cannot be written" in done.stdout
    assert found.contents.entries == make_entries(900)
    assert found.notes == ()


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder with a store that this process may read and not write."""
    with tempfile.TemporaryDirectory(prefix="phasemesh-read-only-") as name:
        folder = Path(name)
        filled_store(folder / "memory.sqlite", make_entries(40))
        (folder / "memory.sqlite").chmod(0o444)
        folder.chmod(0o555)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        yield folder
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_d18_a_read_only_disk_is_read_and_told(read_only: Path) -> None:
    """Memory has what it had; what is new lives in RAM, waits, and never raises."""
    store = MemoryStore(read_only / "memory.sqlite", IDENTITY, MOVEMENTS)

    found = store.open()
    fault = store.write(Changes({b"\0" * MOVEMENTS: LtmEntry(1, -2.0)}))

    assert found.contents.entries == make_entries(40)
    assert "cannot be written" in found.fault
    assert fault is not None
    assert sorted(each.name for each in read_only.iterdir()) == ["memory.sqlite"]


def test_a_refused_commit_is_merged_with_what_came_later(tmp_path: Path) -> None:
    """Of one row the newest value counts, and an end does not wait for a disk that refuses."""
    (tmp_path / "file").write_text("in the way")
    store = MemoryStore(tmp_path / "file" / "memory.sqlite", IDENTITY, MOVEMENTS)
    writer = StoreWriter(store, store.open().fault, retry_s=60.0)
    key = b"\1" * MOVEMENTS
    assert "cannot be written" in writer.fault

    writer.put(Changes())
    writer.put(Changes({key: LtmEntry(1, -2.0)}))
    for _ in range(500):
        if writer.waiting and writer.faults:
            break
        time.sleep(0.01)
    writer.put(Changes({key: LtmEntry(2, -1.0)}))
    writer.put(Changes({b"\2" * MOVEMENTS: None}))
    waiting = writer.waiting
    started = time.monotonic()
    writer.close()

    assert waiting == 2
    assert writer.faults >= 1
    assert time.monotonic() - started < 2.0


def test_an_orderly_end_writes_what_is_pending(tmp_path: Path) -> None:
    """Nothing that was staged before the end is left behind."""
    path = tmp_path / "memory.sqlite"
    store = MemoryStore(path, IDENTITY, MOVEMENTS)
    writer = StoreWriter(store, store.open().fault)
    entries = make_entries(500)
    for key, entry in entries.items():
        writer.put(Changes({key: entry}))
    writer.close()
    writer.close()

    again = MemoryStore(path, IDENTITY, MOVEMENTS)
    assert again.open().contents.entries == entries
    again.close()
    assert writer.fault == ""
