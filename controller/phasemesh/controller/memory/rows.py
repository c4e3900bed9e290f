"""The rows of a memory store: their columns, the checksum of each, and how they are found in a broken file.

A checksum covers the table, everything that the values depend on (`StoreIdentity`), and the row. A row that checks out
is therefore worth its place wherever it was found, and a flipped bit costs the row that it hit and no other.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.trials import Trial

Value = int | bytes
Row = tuple[Value, ...]

_ESTIMATE = struct.Struct("<fff")
_RETURNS = struct.Struct("<fff")
_PACKED = {"estimate": _ESTIMATE, "returns": _RETURNS}
_INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
"""Bytes of an integer by its serial type in SQLite's record format; types 8 and 9 are the numbers 0 and 1."""
_INTEGER_TYPES = re.escape(bytes(_INTEGER_SIZES))
_MOST_ONE_BYTE = 127
LARGEST_COUNT = 2**31 - 1


class Table(StrEnum):
    """The tables with a checksum a row."""

    LTM = "ltm"
    TRIAL = "trial"


COLUMNS: dict[Table, tuple[str, ...]] = {
    Table.LTM: ("key", "stage", "estimate", "n", "updated_at", "checksum"),
    Table.TRIAL: ("key", "returns", "n", "own_n", "wins", "losses", "promoted", "drift_n", "updated_at", "checksum"),
}
"""Little-endian single precision numbers: `estimate` holds q, mean and m2, `returns` mean, own and drift.

`updated_at` is in whole seconds. `checksum` is signed, so that it has four bytes and no more.
"""


class StoreIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the values of a store depend on; with another one they mean something else.

    `layout` and `timings` are digests, `reward` and `gamma` those of the policy's training, `tick_s` the time between
    decisions in seconds, `classes` the names of abstraction, shift and scale.
    """

    intersection: str
    layout: str
    subgroup: str
    timings: str
    classes: str
    reward: str
    gamma: float
    tick_s: float

    def digest(self) -> bytes:
        """The name of all fields together."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).digest()


def rounded(value: float) -> float:
    """`value` in single precision, as a store keeps it."""
    (kept,) = struct.unpack("<f", struct.pack("<f", value))
    return float(kept)


def as_stored(entry: LtmEntry) -> LtmEntry:
    """`entry` as it is after a restart: single precision and whole seconds."""
    return LtmEntry(
        stage=entry.stage,
        q=rounded(entry.q),
        n=min(entry.n, LARGEST_COUNT),
        mean=rounded(entry.mean),
        m2=rounded(entry.m2),
        updated_at_s=float(int(entry.updated_at_s)),
    )


def ltm_row(digest: bytes, key: bytes, entry: LtmEntry) -> Row:
    """The row of `entry` in the store of the identity `digest`."""
    estimate = _ESTIMATE.pack(entry.q, entry.mean, entry.m2)
    values = (key, entry.stage, estimate, min(entry.n, LARGEST_COUNT), int(entry.updated_at_s))
    return (*values, checksum(Table.LTM, digest, values))


def trial_row(digest: bytes, key: bytes, trial: Trial) -> Row:
    """The row of `trial` in the store of the identity `digest`."""
    returns = _RETURNS.pack(trial.mean, trial.own, trial.drift)
    counts = (trial.n, trial.own_n, trial.wins, trial.losses, int(trial.is_promoted), trial.drift_n)
    values = (key, returns, *counts, int(trial.updated_at_s))
    return (*values, checksum(Table.TRIAL, digest, values))


def checksum(table: Table, digest: bytes, values: Row) -> int:
    """The signed CRC-32 of a row without its checksum."""
    found = zlib.crc32(msgspec.msgpack.encode((table.value, digest, values)))
    return found - 2**32 if found >= 2**31 else found


def is_intact(table: Table, digest: bytes, row: Row) -> bool:
    """Whether `row` is as it was written, for the identity `digest`."""
    return len(row) == len(COLUMNS[table]) and row[-1] == checksum(table, digest, row[:-1])


def entry_of(row: Row) -> tuple[bytes, LtmEntry]:
    """Key and entry of an intact row of `ltm`."""
    key, stage, estimate, n, updated_at, _ = row
    q, mean, m2 = _ESTIMATE.unpack(_bytes(estimate))
    return _bytes(key), LtmEntry(_int(stage), q, _int(n), mean, m2, float(_int(updated_at)))


def trial_of(row: Row) -> tuple[bytes, Trial]:
    """Key and trial of an intact row of `trial`."""
    key, returns, n, own_n, wins, losses, promoted, drift_n, updated_at, _ = row
    mean, own, drift = _RETURNS.unpack(_bytes(returns))
    return _bytes(key), Trial(
        n=_int(n),
        mean=mean,
        own_n=_int(own_n),
        own=own,
        wins=_int(wins),
        losses=_int(losses),
        is_promoted=bool(promoted),
        drift=drift,
        drift_n=_int(drift_n),
        updated_at_s=float(_int(updated_at)),
    )


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0


def carved(data: bytes, table: Table, digest: bytes, key_bytes: int) -> Iterator[Row]:
    """The intact rows of `table` anywhere in `data`, the bytes of a database or of its log, in order of place.

    A key has `key_bytes` bytes. The same row may be found several times, and older versions of it too. Source: SQLite's
    record format (a header of serial types, then the values), of which every row is a whole.
    """
    for found in re.finditer(_header(table, key_bytes), data, re.DOTALL):
        row = _decoded(data, found.end(1), _types(found.group(1), key_bytes))
        if row is not None and is_intact(table, digest, row):
            yield row


def _header(table: Table, key_bytes: int) -> bytes:
    """A pattern for the headers of rows; it looks ahead, so that no chance match hides a row behind it."""
    parts = [re.escape(_varint(12 + 2 * key_bytes)) if name == "key" else _column(name) for name in COLUMNS[table]]
    length = 1 + len(_varint(12 + 2 * key_bytes)) + len(parts) - 1
    return b"(?<=" + re.escape(bytes([length])) + b")(?=(" + b"".join(parts) + b"))"


def _column(name: str) -> bytes:
    if name in _PACKED:
        return re.escape(bytes([12 + 2 * _PACKED[name].size]))
    return b"[" + _INTEGER_TYPES + b"]"


def _varint(number: int) -> bytes:
    return bytes([number]) if number <= _MOST_ONE_BYTE else bytes([0x80 | number >> 7, number & 0x7F])


def _types(header: bytes, key_bytes: int) -> list[int]:
    """Serial types of the columns; that of the key, which comes first, may have two bytes."""
    return [12 + 2 * key_bytes, *header[len(_varint(12 + 2 * key_bytes)) :]]


def _decoded(data: bytes, offset: int, types: list[int]) -> Row | None:
    """The values behind a header that ends at `offset`; None where `data` ends before them."""
    values: list[Value] = []
    for kind in types:
        size = (kind - 12) // 2 if kind >= 12 else _INTEGER_SIZES[kind]
        part = data[offset : offset + size]
        if len(part) < size:
            return None
        values.append(part if kind >= 12 else kind - 8 if kind >= 8 else int.from_bytes(part, "big", signed=True))
        offset += size
    return tuple(values)
