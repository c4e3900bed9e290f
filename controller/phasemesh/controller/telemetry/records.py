"""The flight recorder: what went into every tick and what came out of it, in one append-only file.

A file is a sequence of frames, each `length` (4 bytes, big-endian), `crc32` of the body (4 bytes, big-endian) and a
body of `length` bytes: one MessagePack array whose first element names its struct. The first frame is the
`RecordHeader`, all others are `TickRecord` or `Gap`, and an `End` where the writer came to an orderly end. A frame that
does not check out costs only itself.

Recording never disturbs a tick: a full disk stops the writing, counts what is lost, and once there is room again the
file says how many records are missing.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from enum import StrEnum
from io import FileIO
from pathlib import Path

import msgspec

from phasemesh.contract.command import AppliedCommand, CommandKind
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.errors import RecordError
from phasemesh.contract.history import ServiceHistory
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.messages import PeerMessage
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.schedule import ScheduleRow
from phasemesh.contract.site import PlanKind
from phasemesh.contract.timing import SIMULATED_UNIT, StageTiming, UnitTiming
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder import Standing
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.ladder_table import Rung as Rung  # noqa: PLC0414 (readers of records look for it here)
from phasemesh.controller.memory.recall import Remembered
from phasemesh.controller.safety.case import Finding
from phasemesh.controller.safety.detectors import DetectorFault, DetectorHealth
from phasemesh.controller.trouble import Circumstances
from phasemesh.controller.unit_watch import UnitWatch

RECORD_FORMAT = 4
DEFAULT_MAX_BYTES = 64 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024
"""Longest body that a reader believes in; a record of a large intersection is a few kilobytes."""
STEP_NAMES = ("observe", "publish", "receive", "mask", "infer", "recall", "guard", "command", "record")
"""The nine steps of a tick, in the order of `TickRecord.step_ms`."""


class Source(StrEnum):
    """Who chose the wanted stage: the policy, a memory, the local plan, or nobody.

    Nobody chose where the tick was late (`hold`) or where the cabinet was left to its own plan (`release`).
    """

    POLICY = "policy"
    LTM = "ltm"
    STM = "stm"
    PLAN = "plan"
    HOLD = "hold"
    RELEASE = "release"


class RecordHeader(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="header"):
    """All that a replay needs besides the ticks.

    `format` and `spec_hash` stay the first two fields in every version. `bundle` is the bundle's name and
    `bundle_digest` the SHA-256 of its manifest in hex, or the name of the rule that acts in its place.
    """

    format: int
    spec_hash: str
    intersection: Intersection
    timings: tuple[StageTiming, ...]
    tick_s: float
    steps_per_tick: int
    seed: int
    stale_after_ticks: int
    comm_deadline_ms: float
    bundle: str
    bundle_digest: str
    plan: PlanKind
    boot_id: int
    unit: UnitTiming = SIMULATED_UNIT
    schedule: tuple[ScheduleRow, ...] = ()


class PeerInput(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The newest message of one neighbour, its age in ticks, and whether it was used; None when there never was one.

    `hears_us` is whether the neighbour hears this agent in turn, None where that was not known. No decision depends
    on it.
    """

    peer: IntersectionId
    age_ticks: int | None
    is_fresh: bool
    hears_us: bool | None
    message: PeerMessage | None


class TickRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="tick"):
    """One tick: its inputs, what the policy answered, what was chosen, what the guard and the cabinet made of it.

    `now_s` is the cabinet time at which the guard judged. The fields that end in `_before` are what the agent carried
    into the tick, so that each tick can be re-run by itself; `circumstances` are its inputs beside snapshot and
    messages. `snapshot` is as received, before any plausibility check; `peers` are in the order of
    `Intersection.neighbours`. Arrays are little-endian single precision bytes: `mask_noise`, `mask` and
    `mask_probability` [K], `hidden_before` [H], `logits` [S], `hyper_action` [k]; empty when there was none.
    `findings` are those about unit and detectors, `detector_faults` all detectors that were not trusted, `in_force` all
    events that kept the agent on `rung`. `wanted_stage` is what `source` chose, `stage` what the guard left of it,
    `rule` the rule that changed it, and `kind` what was asked of the cabinet. `step_ms` holds the wall time of each of
    `STEP_NAMES`, `cpu_ms` the processor time of the whole tick. `policy_fault` says why the policy had no answer,
    `command_fault` why the driver had none. `remembered` is what memory held of the situation, None without memory or
    where it was not asked.
    """

    tick: int
    step: int
    now_s: float
    snapshot: Snapshot
    peers: tuple[PeerInput, ...]
    mask_noise: bytes
    history_before: ServiceHistory
    hidden_before: bytes
    step_before: int
    detectors_before: DetectorHealth
    unit_before: UnitWatch
    standing_before: Standing
    circumstances: Circumstances
    logits: bytes
    mask: bytes
    mask_probability: bytes
    hyper_action: bytes
    legal: tuple[bool, ...]
    source: Source
    wanted_stage: int
    kind: CommandKind
    stage: int
    rule: str
    is_accepted: bool
    applied: AppliedCommand | None
    rung: Rung
    reason: str
    in_force: tuple[LadderEvent, ...]
    findings: tuple[Finding, ...]
    detector_faults: tuple[DetectorFault, ...]
    comm_misses: tuple[IntersectionId, ...]
    step_ms: tuple[float, ...]
    cpu_ms: float
    policy_fault: str
    command_fault: str
    remembered: Remembered | None = None

    @property
    def fault(self) -> str:
        """Why the policy had no answer and why the driver could not command, or nothing."""
        return "; ".join(reason for reason in (self.policy_fault, self.command_fault) if reason)


class Gap(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="gap"):
    """`count` records that could not be written are missing here."""

    count: int


class End(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="end"):
    """Nothing follows: the writer closed the file and left nothing undeclared."""


class Damage(msgspec.Struct, frozen=True):
    """Bytes of a file that hold no intact record: a torn tail, or a spot that was altered."""

    offset: int
    size_bytes: int
    reason: str


RecordItem = TickRecord | Gap | Damage

_ENCODER = msgspec.msgpack.Encoder()
_ITEM_DECODER: msgspec.msgpack.Decoder[TickRecord | Gap | End] = msgspec.msgpack.Decoder(TickRecord | Gap | End)
_HEADER_DECODER = msgspec.msgpack.Decoder(RecordHeader)
_PREFIX = struct.Struct(">II")


def _frame(item: RecordHeader | TickRecord | Gap | End) -> bytes:
    body = _ENCODER.encode(item)
    return _PREFIX.pack(len(body), zlib.crc32(body)) + body


END_MARK = _frame(End())
"""The last bytes of a file that is whole to its end."""


class RecordWriter:
    """Appends the records of one life of an agent to `path`; never raises on trouble with the disk.

    Records are handed to the system every `flush_every` ticks and at close; one at a time costs some microseconds and
    keeps the last tick of an agent that is killed. When the file would outgrow `max_bytes` it becomes
    `<path>.1`, replacing an older one, and a new file begins; so does a file that is already there at start-up. The
    header is written with the format of this writer, whatever it says.
    After a failed write, `retry_every` records are lost before the next attempt. `lost` counts all lost records,
    `fault` is the present trouble, or empty.
    """

    def __init__(
        self,
        path: Path,
        header: RecordHeader,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        flush_every: int = 1,
        retry_every: int = 30,
    ) -> None:
        self.lost = 0
        self.fault = ""
        self._path = path
        self._header = _frame(msgspec.structs.replace(header, format=RECORD_FORMAT))
        self._max_bytes = max_bytes
        self._flush_every = flush_every
        self._retry_every = retry_every
        self._retry_in = 0
        self._pending: list[bytes] = []
        self._undeclared = 0
        self._file: FileIO | None = None
        self._size_bytes = 0
        self._attempt()

    def write(self, record: TickRecord) -> None:
        """Take one record; on the disk at the next flush, or counted as lost."""
        if self._retry_in > 0:
            self._retry_in -= 1
            self._lose(1)
            return
        self._pending.append(_frame(record))
        if len(self._pending) >= self._flush_every:
            self.flush()

    def flush(self) -> None:
        """Write what is pending; what cannot be written is lost and counted."""
        if self._pending:
            self._attempt()

    def close(self) -> None:
        """Write what is pending and let go of the file; calling it again does nothing."""
        if self._pending or (self._undeclared and self._file is not None):
            self._attempt()
        self._let_go()

    def _attempt(self) -> None:
        gap = [_frame(Gap(self._undeclared))] if self._undeclared else []
        try:
            self._append(b"".join(gap + self._pending))
        except OSError as error:
            self._give_up(error)
        else:
            self.fault = ""
            self._undeclared = 0
        self._pending.clear()

    def _append(self, data: bytes) -> None:
        file = self._file
        if file is None or (self._size_bytes > 0 and self._size_bytes + len(data) + len(END_MARK) > self._max_bytes):
            file = self._begin_file()
        if self._size_bytes == 0:
            data = self._header + data
        file.seek(self._size_bytes)
        _write_all(file, data)
        self._size_bytes += len(data)

    def _begin_file(self) -> FileIO:
        self._let_go()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_file():
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = FileIO(self._path, "w")
        self._size_bytes = 0
        return self._file

    def _give_up(self, error: OSError) -> None:
        self.fault = f"{self._path}: {error.strerror}"
        self._retry_in = self._retry_every
        self._lose(len(self._pending))
        if self._file is not None:
            # The torn end is overwritten by the next attempt anyway; cutting it off only spares readers a `Damage`.
            with contextlib.suppress(OSError):
                self._file.truncate(self._size_bytes)

    def _lose(self, count: int) -> None:
        self.lost += count
        self._undeclared += count

    def _mark_end(self, file: FileIO) -> None:
        """Say that nothing is missing behind the last record, unless something is."""
        if self._undeclared or self.fault or self._size_bytes == 0:
            return
        try:
            file.seek(self._size_bytes)
            _write_all(file, END_MARK)
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(self._size_bytes)

    def _let_go(self) -> None:
        if self._file is not None:
            self._mark_end(self._file)
            # Everything was handed to the system before; a late complaint of close() has no one left to help.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None


def _write_all(file: FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def read_records(path: Path, spec_hash: str = SPEC_HASH) -> tuple[RecordHeader, Iterator[RecordItem]]:
    """The header of the file at `path` and an iterator over its records, gaps and damaged spots, in order.

    Raises:
        RecordError: the file cannot be read, is no record, or was made with another format or observation spec.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from error
    body = _body_at(data, 0)
    if isinstance(body, str):
        raise RecordError(f"{path}: is not a record, or its header is damaged: {body}")
    return _header(path, body, spec_hash), _items(data, _PREFIX.size + len(body))


def has_end_mark(path: Path) -> bool:
    """Whether the writer of the file at `path`, which `read_records` could read, came to an orderly end there."""
    return path.read_bytes().endswith(END_MARK)


def _header(path: Path, body: bytes, spec_hash: str) -> RecordHeader:
    try:
        tag, version, found = msgspec.msgpack.decode(body, type=list[msgspec.Raw])[:3]
        if msgspec.msgpack.decode(tag) != "header":
            raise RecordError(f"{path}: is not a record: it does not begin with a header")
        if (written := msgspec.msgpack.decode(version)) != RECORD_FORMAT:
            raise RecordError(f"{path}: is of record format {written!r}, this phasemesh reads {RECORD_FORMAT}")
        if (named := msgspec.msgpack.decode(found, type=str)) != spec_hash:
            raise RecordError(f"{path}: recorded with observation spec {named}, this phasemesh has {spec_hash}")
        return _HEADER_DECODER.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: is not a record: {error}") from error


def _items(data: bytes, offset: int) -> Iterator[RecordItem]:
    while offset < len(data):
        item = _item_at(data, offset)
        if isinstance(item, str):
            end = _next_intact(data, offset + 1)
            yield Damage(offset, end - offset, item)
        else:
            end = offset + _PREFIX.size + _PREFIX.unpack_from(data, offset)[0]
            if not isinstance(item, End):
                yield item
        offset = end


def _item_at(data: bytes, offset: int) -> TickRecord | Gap | End | str:
    body = _body_at(data, offset)
    if isinstance(body, str):
        return body
    try:
        return _ITEM_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"no known item: {error}"


def _body_at(data: bytes, offset: int) -> bytes | str:
    """The body of the frame at `offset`, or why there is none."""
    start = offset + _PREFIX.size
    if start > len(data):
        return "torn: the file ends inside a record"
    length, checksum = _PREFIX.unpack_from(data, offset)
    if not 0 < length <= MAX_BODY_BYTES:
        return f"a length of {length} bytes"
    if start + length > len(data):
        return "torn: the file ends inside a record"
    body = data[start : start + length]
    return body if zlib.crc32(body) == checksum else "the checksum does not match"


def _next_intact(data: bytes, offset: int) -> int:
    """Where the next frame that checks out begins, or the end of `data`; every length begins with a zero byte."""
    offset = data.find(b"\0", offset)
    while offset >= 0:
        if isinstance(_body_at(data, offset), bytes):
            return offset
        offset = data.find(b"\0", offset + 1)
    return len(data)
