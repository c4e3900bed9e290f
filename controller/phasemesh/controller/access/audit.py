"""The audit log: who changed what, from where and why; append-only lines that each carry the hash of the one before.

A line cannot be altered, removed or put in between without breaking the chain. The chain alone cannot show that its
end was cut off, or that the whole file was written again: note the head now and then on another machine, and give it
to `verify`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.controller.access.private_file import PRIVATE_MODE

GENESIS = "0" * 64
"""What the first line carries in place of a hash."""
MAX_LINE_BYTES = 262_144
"""Longest line; far above any request that the endpoints take."""


class AuditKind(StrEnum):
    """What a line tells: a request before it is acted on, its outcome, a refusal, or a line that power loss tore."""

    ASKED = "asked"
    DONE = "done"
    REFUSED = "refused"
    TORN = "torn"


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of one event. `what` is method and path, `source` the address of the client."""

    kind: AuditKind
    who: str
    role: str
    source: str
    what: str
    reason: str = ""
    request: Any = None
    before: Any = None
    after: Any = None
    status: int | None = None


class AuditLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the file: an entry, its number, the wall clock in UTC, and the hash of the line before."""

    number: int
    at: str
    entry: AuditEntry
    previous: str


class AuditFault(msgspec.Struct, frozen=True):
    """Why an event could not be written down; a value, since the street goes on without it."""

    reason: str


class _End(msgspec.Struct, frozen=True):
    """The end of the file as this process left it: its size, and number and hash of its last line."""

    size_bytes: int
    number: int
    digest: str


class AuditLog:
    """Appends to one file, from any thread, and beside other processes that do the same."""

    def __init__(self, path: Path, wall_clock: Callable[[], float] | None = None) -> None:
        """Write to `path`, which is made with the first line; `wall_clock` gives seconds since 1970 UTC."""
        self._path = path
        self._wall_clock = wall_clock or (lambda: time.clock_gettime(time.CLOCK_REALTIME))
        self._lock = threading.Lock()
        self._end: _End | None = None

    def append(self, entry: AuditEntry) -> AuditFault | None:
        """Write `entry` to the disk before returning; otherwise say why it is not there, and leave no part of it."""
        with self._lock:
            try:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE_MODE)
                with os.fdopen(handle, "r+b", buffering=0) as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    self._end = self._appended(file, self._present_end(file), entry)
            except OSError as error:
                self._end = None
                return AuditFault(f"{self._path}: {error.strerror or error}")
        return None

    def _present_end(self, file: BinaryIO) -> _End:
        """Where to go on; a torn last line is closed, and a line that says so follows it."""
        size_bytes = os.fstat(file.fileno()).st_size
        if self._end is not None and self._end.size_bytes == size_bytes:
            return self._end
        lines = [] if size_bytes == 0 else _last_lines(file, size_bytes)
        if not lines:
            return _End(0, 0, GENESIS)
        if not lines[-1].endswith(b"\n"):
            _write(file, b"\n", size_bytes)
            size_bytes += 1
        if (found := _decoded(lines[-1])) is not None:
            return _End(size_bytes, found.number, _digest(lines[-1]))
        return self._mended(file, size_bytes, lines)

    def _mended(self, file: BinaryIO, size_bytes: int, lines: list[bytes]) -> _End:
        torn = lines[-1]
        known = next((found.number for line in reversed(lines) if (found := _decoded(line)) is not None), 0)
        note = AuditEntry(kind=AuditKind.TORN, who="", role="", source="", what=f"a line of {len(torn)} bytes")
        return self._appended(file, _End(size_bytes, known + 1, _digest(torn)), note)

    def _appended(self, file: BinaryIO, end: _End, entry: AuditEntry) -> _End:
        at = datetime.fromtimestamp(self._wall_clock(), UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode(AuditLine(number=end.number + 1, at=at, entry=entry, previous=end.digest)) + b"\n"
        if len(line) > MAX_LINE_BYTES:
            raise OSError(f"a line of {len(line)} bytes is over {MAX_LINE_BYTES}")
        size_bytes = os.fstat(file.fileno()).st_size
        _write(file, line, size_bytes)
        return _End(size_bytes + len(line), end.number + 1, _digest(line))


def _write(file: BinaryIO, content: bytes, size_bytes: int) -> None:
    """Append all of `content` and make it last; after a fault the file is cut back to `size_bytes`."""
    try:
        written = os.write(file.fileno(), content)
        if written < len(content):
            raise OSError(f"only {written} of {len(content)} bytes could be written; the disk is full")
        os.fsync(file.fileno())
    except OSError:
        os.ftruncate(file.fileno(), size_bytes)
        raise


def _last_lines(file: BinaryIO, size_bytes: int) -> list[bytes]:
    file.seek(max(0, size_bytes - 2 * MAX_LINE_BYTES))
    return file.read(2 * MAX_LINE_BYTES).splitlines(keepends=True)


def _digest(line: bytes) -> str:
    return hashlib.sha256(line.rstrip(b"\n")).hexdigest()


def _decoded(line: bytes) -> AuditLine | None:
    try:
        return msgspec.json.decode(line, type=AuditLine)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Verdict(msgspec.Struct, frozen=True):
    """What an audit log is worth: its lines, the hash of the last, lines that were torn, and where the chain breaks.

    `faults` is empty for a sound log.
    """

    lines: int
    head: str
    torn: tuple[int, ...]
    faults: tuple[str, ...]


def verify(path: Path, head: str = "") -> Verdict:
    """Judge the audit log at `path`; `head` is a hash that was noted earlier and must be in the chain.

    Raises:
        InputError: There is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _judged(iter(file), head)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _judged(lines: Iterator[bytes], head: str) -> Verdict:
    previous, digests, torn, faults = GENESIS, {GENESIS}, [], []
    number, pending = 0, ""
    for number, line in enumerate(lines, start=1):
        found = _decoded(line) if line.endswith(b"\n") else None
        is_note = found is not None and found.entry.kind is AuditKind.TORN
        if pending and not is_note:
            faults.append(pending)
        pending = ""
        if found is None:
            pending = f"line {number}: is no line of an audit log"
            torn.append(number)
        else:
            faults += _line_faults(found, number, previous)
        previous = _digest(line)
        digests.add(previous)
    faults += [pending] if pending else []
    if head and head not in digests:
        faults.append(f"no line has the hash {head}: the log was cut short or written again")
    return Verdict(number, previous, tuple(torn), tuple(faults))


def _line_faults(found: AuditLine, number: int, previous: str) -> list[str]:
    faults = [] if found.number == number else [f"line {number}: says that it is number {found.number}"]
    if found.previous != previous:
        faults.append(f"line {number}: does not carry the hash of the line before it")
    return faults
