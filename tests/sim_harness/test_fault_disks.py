"""Faults F16 to F18: torn writes, full disks, and whatever wants to fill them."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import Damage, Gap, RecordWriter, TickRecord, read_records
from phasemesh.sim_harness.faults.attack import Life
from phasemesh.sim_harness.torture.losses import LostRecords, lost_records
from record_factories import make_header, make_record

NAME = IntersectionId("crossing")


def _lost(folder: Path, ticks: int, *, is_orderly: bool = True) -> LostRecords:
    """What is missing of a life that commanded at so many ticks."""
    return lost_records(folder, [Life(NAME, 1, "0-1.rec", True, is_orderly, tuple(range(ticks)))])


def _ticks(path: Path) -> list[int]:
    return [item.tick for item in read_records(path)[1] if isinstance(item, TickRecord)]


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """A record of five ticks in the folder of a run."""
    path = tmp_path / "records" / "0-1.rec"
    writer = RecordWriter(path, make_header())
    for tick in range(5):
        writer.write(make_record(tick=tick))
    writer.close()
    return path


def test_f16_a_torn_end_costs_one_record_and_is_told(record: Path) -> None:
    """Power failed in the middle of a write: all records before are whole."""
    record.write_bytes(record.read_bytes()[:-20] + b"\x00\x01garbage")

    items = list(read_records(record)[1])

    assert _ticks(record) == [0, 1, 2, 3]
    assert any(isinstance(item, Damage) for item in items)
    assert _lost(record.parents[1], 5, is_orderly=False) == LostRecords(declared=1)


def test_f16_a_file_without_content_is_set_aside_and_the_next_life_begins(record: Path) -> None:
    """What power left of a file does not keep the next life from recording."""
    record.write_bytes(b"")

    writer = RecordWriter(record, make_header())
    writer.write(make_record(tick=0))
    writer.close()

    assert _ticks(record) == [0]
    assert record.with_name(f"{record.name}.1").exists()


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from phasemesh.controller.telemetry.records import RecordWriter
from record_factories import make_header, make_record
path = Path(sys.argv[1])
writer = RecordWriter(path, make_header(), retry_every=2)
for tick in range(12):
    if tick == 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100, resource.RLIM_INFINITY))
    if tick == 8:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.write(make_record(tick=tick))
print(writer.lost, bool(writer.fault))
writer.close()
"""
"""Writes twelve records to a file that cannot grow from the fifth to the eighth, in a process of its own."""


def test_f17_what_a_full_disk_costs_is_counted_and_declared(tmp_path: Path) -> None:
    """The writer never raises; later the file says how many are missing, and no hole is undeclared."""
    path = tmp_path / "records" / "0-1.rec"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lost, has_fault = done.stdout.split()

    gaps = [item.count for item in read_records(path)[1] if isinstance(item, Gap)]
    assert int(lost) >= 4
    assert has_fault == "False"
    assert sum(gaps) == int(lost)
    assert _lost(tmp_path, 12) == LostRecords(declared=int(lost))


def test_f17_the_limit_of_a_process_can_be_lifted_again() -> None:
    """The harness fills a disk for one process by its soft limit, which that process may have back."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    assert hard == resource.RLIM_INFINITY


def test_f18_a_record_never_outgrows_its_limit(tmp_path: Path) -> None:
    """However long an agent lives, two files of the limit are all that it keeps."""
    path, limit_bytes = tmp_path / "0-1.rec", 20_000
    writer = RecordWriter(path, make_header(), max_bytes=limit_bytes)
    for tick in range(200):
        writer.write(make_record(tick=tick))
    writer.close()

    assert sum(each.stat().st_size for each in tmp_path.iterdir()) <= 2 * limit_bytes
    assert _ticks(path)[-1] == 199
