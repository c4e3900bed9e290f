"""Behaviour of the flight recorder's file: what is written can be read, and damage costs only what it hits."""

from __future__ import annotations

import math
import resource
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasemesh.contract.command import CommandKind
from phasemesh.contract.errors import RecordError
from phasemesh.contract.messages import Heard
from phasemesh.controller.ladder import Trial
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.memory.recall import Candidate
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.safety.detectors import DetectorFault, DetectorFaultKind
from phasemesh.controller.telemetry.records import (
    END_MARK,
    RECORD_FORMAT,
    Damage,
    Gap,
    PeerInput,
    RecordItem,
    RecordWriter,
    Rung,
    Source,
    TickRecord,
    has_end_mark,
    read_records,
)
from phasemesh.controller.unit_watch import Promise, UnitWatch
from record_factories import CROSSING, EAST, WEST, floats, make_header, make_message, make_record
from strategies import brisk

GOLDEN = Path(__file__).parents[2] / "golden" / "records_v4.bin"
GOLDEN_SPEC = "0123456789abcdef"

overwrites = settings(brisk, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""For laws whose examples each write the same file anew."""

numbers = st.floats(width=32)
arrays = st.lists(numbers, max_size=6).map(lambda values: floats(*values))
seconds = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(-(2**63), 2**63 - 1)


@st.composite
def records(draw: st.DrawFn) -> TickRecord:
    """Any record, with NaN where a policy or a detector may answer NaN."""
    reading = make_record().snapshot.readings[0]
    snapshot = msgspec.structs.replace(
        make_record().snapshot, readings=(msgspec.structs.replace(reading, queue_veh=draw(st.floats())),) * 4
    )
    changes: dict[str, Any] = {
        name: draw(arrays) for name in ("mask_noise", "logits", "mask", "mask_probability", "hyper_action")
    }
    return make_record(
        draw(counts),
        now_s=draw(seconds),
        peers=(
            PeerInput(
                EAST,
                draw(st.none() | counts),
                draw(st.booleans()),
                draw(st.none() | st.booleans()),
                draw(st.none() | st.just(make_message())),
            ),
        ),
        legal=tuple(draw(st.lists(st.booleans(), max_size=5))),
        source=draw(st.sampled_from(Source)),
        rung=draw(st.sampled_from(Rung)),
        reason=draw(st.text()),
        applied=draw(st.none() | st.just(make_record().applied)),
        step_ms=tuple(draw(st.lists(seconds, max_size=9))),
        **changes,
        snapshot=snapshot,
    )


def write_records(path: Path, ticks: int, **options: int) -> list[TickRecord]:
    """Write records of that many ticks to `path` and return them."""
    written = [make_record(tick) for tick in range(ticks)]
    with closing(RecordWriter(path, make_header(), **options)) as writer:
        for record in written:
            writer.write(record)
    return written


def read_all(path: Path) -> list[RecordItem]:
    """All that the file at `path` holds after its header."""
    return list(read_records(path)[1])


@given(st.lists(records(), max_size=4))
@overwrites
def test_whatever_is_recorded_reads_back_bit_for_bit(tmp_path: Path, written: list[TickRecord]) -> None:
    """Writing and reading any records gives the same records, NaN included."""
    path = tmp_path / "ticks.rec"
    with closing(RecordWriter(path, make_header())) as writer:
        for record in written:
            writer.write(record)

    header, items = read_records(path)

    assert header == make_header()
    assert [msgspec.msgpack.encode(item) for item in items] == [msgspec.msgpack.encode(item) for item in written]
    assert writer.lost == 0


def test_a_nan_of_a_detector_survives(tmp_path: Path) -> None:
    """A record shows the snapshot as it came, not as it was mended."""
    reading = msgspec.structs.replace(make_record().snapshot.readings[0], queue_veh=math.nan)
    snapshot = msgspec.structs.replace(make_record().snapshot, readings=(reading,) * 4)
    with closing(RecordWriter(tmp_path / "ticks.rec", make_header())) as writer:
        writer.write(make_record(snapshot=snapshot))

    (record,) = read_all(tmp_path / "ticks.rec")

    assert isinstance(record, TickRecord)
    assert math.isnan(record.snapshot.readings[0].queue_veh)


def test_the_header_is_on_the_disk_before_the_first_tick(tmp_path: Path) -> None:
    """An agent that dies before its first tick leaves a readable file."""
    with closing(RecordWriter(tmp_path / "new" / "ticks.rec", make_header())):
        header, items = read_records(tmp_path / "new" / "ticks.rec")

        assert header.intersection == CROSSING
        assert list(items) == []


def test_records_wait_for_the_flush(tmp_path: Path) -> None:
    """With `flush_every` three, the third record brings all three to the disk, and close brings the rest."""
    path = tmp_path / "ticks.rec"
    found = []
    with closing(RecordWriter(path, make_header(), flush_every=3)) as writer:
        for tick in range(4):
            writer.write(make_record(tick))
            found.append(len(read_all(path)))

    assert found == [0, 0, 3, 3]
    assert len(read_all(path)) == 4


@pytest.mark.parametrize("missing", [1, 7, 8, 9, 500])
def test_a_torn_tail_is_reported_as_a_value(tmp_path: Path, missing: int) -> None:
    """A file that ends inside a record gives all records before it and says what is left over."""
    path = tmp_path / "ticks.rec"
    written = write_records(path, 3)
    data = path.read_bytes().removesuffix(END_MARK)
    path.write_bytes(data[:-missing])

    items = read_all(path)

    assert items[:2] == written[:2]
    (tail,) = items[2:]
    assert isinstance(tail, Damage)
    assert "torn" in tail.reason
    assert tail.offset + tail.size_bytes == len(data) - missing


@given(st.data())
@overwrites
def test_any_bit_flip_costs_exactly_the_record_that_it_hits(tmp_path: Path, data: st.DataObject) -> None:
    """One altered bit after the header makes one record a `Damage` and leaves the others as they were."""
    path = tmp_path / "ticks.rec"
    written = write_records(path, 3)
    good = path.read_bytes().removesuffix(END_MARK)
    size = len(good) - header_size(good)
    place = data.draw(st.integers(0, size * 8 - 1))
    path.write_bytes(flipped(good, header_size(good) * 8 + place))

    items = read_all(path)

    hit = place * 3 // (size * 8)
    assert [index for index, item in enumerate(items) if isinstance(item, Damage)] == [hit]
    assert [item for item in items if not isinstance(item, Damage)] == written[:hit] + written[hit + 1 :]


@given(st.data())
@overwrites
def test_any_bit_flip_in_the_header_refuses_the_file(tmp_path: Path, data: st.DataObject) -> None:
    """No altered header is ever believed."""
    path = tmp_path / "ticks.rec"
    write_records(path, 1)
    good = path.read_bytes()
    path.write_bytes(flipped(good, data.draw(st.integers(0, header_size(good) * 8 - 1))))

    with pytest.raises(RecordError):
        read_records(path)


def header_size(data: bytes) -> int:
    """Bytes of the first frame of a file."""
    return 8 + int.from_bytes(data[:4], "big")


def flipped(data: bytes, bit: int) -> bytes:
    """`data` with one bit altered."""
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << (bit % 8)
    return bytes(altered)


def test_zeros_after_a_power_loss_are_damage(tmp_path: Path) -> None:
    """A file system that left zeros at the end of a file does not make records out of them."""
    path = tmp_path / "ticks.rec"
    written = write_records(path, 1)
    path.write_bytes(path.read_bytes() + bytes(300))

    first, tail = read_all(path)

    assert first == written[0]
    assert isinstance(tail, Damage)
    assert tail.size_bytes == 300


@pytest.mark.parametrize("data", [b"", b"{}", b"PK\x03\x04 some other kind of file altogether", bytes(64)])
def test_what_is_no_record_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    """A file of another kind is an error of the user that names the file."""
    path = tmp_path / "other.bin"
    path.write_bytes(data)

    with pytest.raises(RecordError, match="is not a record") as caught:
        read_records(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    """Reading what is not there says so."""
    with pytest.raises(RecordError, match=r"absent\.rec: cannot be read: No such file"):
        read_records(tmp_path / "absent.rec")


def test_a_foreign_spec_is_refused_with_both_hashes(tmp_path: Path) -> None:
    """A record of another observation spec cannot be replayed; the error names that spec and ours."""
    path = tmp_path / "ticks.rec"
    RecordWriter(path, make_header(spec_hash="feedfeedfeedfeed")).close()

    with pytest.raises(RecordError, match=f"feedfeedfeedfeed.*{make_header().spec_hash}"):
        read_records(path)


@pytest.mark.parametrize("version", [1, RECORD_FORMAT - 1, RECORD_FORMAT + 1, "two"])
def test_a_foreign_format_is_refused(tmp_path: Path, version: int | str) -> None:
    """A record of an earlier or a later format is not guessed at."""
    path = tmp_path / "ticks.rec"
    body = msgspec.msgpack.encode(["header", version, make_header().spec_hash, "what another format holds"])
    path.write_bytes(len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body)

    with pytest.raises(RecordError, match=f"is of record format {version!r}, this phasemesh reads {RECORD_FORMAT}"):
        read_records(path)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_real_record_of_an_earlier_version_is_refused(version: int) -> None:
    """One clear line names the file and both formats."""
    name = f"records_v{version}.bin"

    with pytest.raises(
        RecordError, match=rf"{name}: is of record format {version}, this phasemesh reads {RECORD_FORMAT}"
    ):
        read_records(GOLDEN.with_name(name), GOLDEN_SPEC)


def test_a_writer_stamps_its_own_format(tmp_path: Path) -> None:
    """Whoever fills in a header cannot mislabel the layout of what follows."""
    RecordWriter(tmp_path / "ticks.rec", make_header(format=1)).close()

    assert read_records(tmp_path / "ticks.rec")[0].format == RECORD_FORMAT


def test_the_golden_record_of_version_4_decodes_for_ever() -> None:
    """A file written once by version 4 still gives header, tick and gap."""
    header, items = read_records(GOLDEN, GOLDEN_SPEC)
    record, gap = items

    assert (header.intersection.id, header.tick_s, header.boot_id) == ("crossing", 5.0, 2**62 + 1)
    assert header.timings[1].yellow_s == 3.0
    assert isinstance(record, TickRecord)
    assert (record.tick, record.now_s, record.source, record.rung) == (42, 210.5, Source.LTM, Rung.ISOLATED)
    assert record.snapshot.readings[2].queue_veh == 3.0
    assert [(peer.peer, peer.age_ticks, peer.hears_us) for peer in record.peers] == [
        (EAST, 1, False),
        (WEST, None, None),
    ]
    assert record.peers[0].message is not None
    assert record.peers[0].message.heard == (Heard(CROSSING.id, 20.0), Heard(WEST, None))
    assert record.logits == floats(1.5, -0.5)
    assert record.remembered is not None
    assert (record.remembered.key, record.remembered.may_act) == (b"\x81\x00\x02\x05", True)
    assert record.remembered.candidates[0] == Candidate("ltm", 1, -12.5, 40, 2.0, 1764400000.0)
    assert record.applied is not None
    assert record.applied.lease_until_s == 225.5
    assert (record.kind, record.in_force) == (CommandKind.STAGE, (LadderEvent.NEIGHBOURS_STALE,))
    assert record.standing_before.trials == (Trial(LadderEvent.POLICY_FAULTY, 120.0, 60.0),)
    assert record.unit_before == UnitWatch(5.0, 30.0, Promise(0, 205.5, 190.0, 220.5, 2**62 + 1), None, 1)
    assert [lane.fault for lane in record.detectors_before.lanes] == [None, DetectorFaultKind.FLUTTER, None, None]
    assert record.detector_faults == (DetectorFault(CROSSING.lanes[1].id, DetectorFaultKind.FLUTTER, 180.0),)
    assert record.findings == (Finding("I16", Reaction.LOG, "the cabinet does not show what it accepted 2.0 s ago"),)
    assert record.circumstances.driver_fault == "no answer"
    assert record.circumstances.clock_step_s == -3600.0
    assert (record.policy_fault, record.command_fault, record.fault) == ("", "", "")
    assert gap == Gap(3)


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_an_end_that_was_cut_off_between_two_records_is_told(tmp_path: Path, kept: int) -> None:
    """Every record that is left is whole, and still the file does not pass for one that is complete."""
    path = tmp_path / "ticks.rec"
    written = write_records(path, 3)
    is_whole, data = has_end_mark(path), path.read_bytes()
    ends = [header_size(data)]
    while ends[-1] < len(data) - len(END_MARK):
        ends.append(ends[-1] + header_size(data[ends[-1] :]))
    path.write_bytes(data[: ends[kept]])

    assert is_whole
    assert read_all(path) == written[:kept]
    assert not has_end_mark(path)


def test_who_is_still_writing_has_not_ended(tmp_path: Path) -> None:
    """An agent that is killed leaves no mark; one that closes its file twice leaves one."""
    path = tmp_path / "ticks.rec"
    writer = RecordWriter(path, make_header())
    writer.write(make_record())
    before = has_end_mark(path)
    writer.close()
    size_bytes = path.stat().st_size
    writer.close()

    assert not before
    assert has_end_mark(path)
    assert path.stat().st_size == size_bytes


def test_a_file_that_made_room_for_the_next_is_marked_and_no_larger(tmp_path: Path) -> None:
    """Nothing is missing behind its last record either."""
    path = tmp_path / "ticks.rec"
    write_records(path, 9, max_bytes=12_000)
    older = path.with_name("ticks.rec.1")

    assert has_end_mark(older)
    assert max(older.stat().st_size, path.stat().st_size) <= 12_000


def test_losses_that_nothing_declares_leave_no_mark(tmp_path: Path) -> None:
    """Whoever could not say how much is missing must not say that nothing is."""
    path = tmp_path / "ticks.rec"
    writer = RecordWriter(path, make_header(), retry_every=9)
    writer.write(make_record())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        writer.write(make_record(1))
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert writer.lost == 1
    assert not has_end_mark(path)
    assert read_all(path) == [make_record()]
