"""The long-term memory of one intersection on disk: an SQLite database that survives power cuts, full disks and rot.

Read whole at start-up, written at stagings, never asked for a decision. Whatever is wrong with the file, every row that
checks out is kept, the rest is set aside for people to look at, and the trouble is told: control goes on without a
disk. Write-ahead log, one writer, `synchronous=FULL`: what was committed is there after a power cut.
"""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from phasemesh.controller.access.private_file import PRIVATE_MODE
from phasemesh.controller.memory.contents import Changes, Contents
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.rows import (
    COLUMNS,
    Row,
    StoreIdentity,
    Table,
    carved,
    entry_of,
    is_intact,
    ltm_row,
    trial_of,
    trial_row,
)
from phasemesh.controller.memory.trials import Trial
from phasemesh.controller.memory.write_ahead import is_whole_log

MAX_ASIDE = 10
"""Stores that are kept aside beside one path; the last of them is replaced by newer ones."""
BUSY_S = 2.0
"""How long a writer waits for somebody who looks at the file."""

_LTM = """CREATE TABLE ltm(key BLOB PRIMARY KEY, stage INTEGER NOT NULL, estimate BLOB NOT NULL, n INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID"""
_META = "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_TRIAL = """CREATE TABLE trial(key BLOB PRIMARY KEY, returns BLOB NOT NULL, n INTEGER NOT NULL, own_n INTEGER NOT NULL,
    wins INTEGER NOT NULL, losses INTEGER NOT NULL, promoted INTEGER NOT NULL, drift_n INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, checksum INTEGER NOT NULL) WITHOUT ROWID"""
MIGRATIONS: tuple[tuple[str, ...], ...] = ((_META, _LTM), (_TRIAL,))
"""What leads from each schema to the next, beginning with an empty file."""
SCHEMA = len(MIGRATIONS)
_IDENTITY = "identity"
_DAMAGE_CODES = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


Kept = TypeVar("Kept", LtmEntry, Trial)


class StoreFault(msgspec.Struct, frozen=True):
    """Why a store could not be read or written, and whether the file itself is at fault rather than the disk."""

    reason: str
    is_damage: bool = False


class Opening(msgspec.Struct, frozen=True):
    """What was found at start-up: `notes` tell of rows lost, files set aside and stores begun anew, for the log."""

    contents: Contents
    notes: tuple[str, ...] = ()
    fault: str = ""


class MemoryStore:
    """The file of one memory. Only one thread at a time may use it; no method raises on trouble with the disk."""

    def __init__(self, path: Path, identity: StoreIdentity, key_bytes: int) -> None:
        """The store at `path` of keys of `key_bytes` bytes; nothing is touched before `open`."""
        self._path = path
        self._identity = identity
        self._digest = identity.digest()
        self._key_bytes = key_bytes
        self._connection: sqlite3.Connection | None = None
        self._unmended: tuple[Contents, str] | None = None

    def open(self) -> Opening:
        """Read what is there, mend what is broken, and make ready for writing where the disk allows that."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return Opening(Contents(), fault=f"{self._path}: cannot be written: {error.strerror}")
        notes: list[str] = []
        contents, damage = self._read()
        why = self._foreign()
        if why and not (contents.entries or contents.trials):
            fault = self._set_aside("other", why, notes)
        else:
            # Rows that check out are of this memory, whatever the file says of itself.
            self._unmended = (contents, damage or why) if damage or why else None
            fault = self._mend(notes)
        if not fault and (refusal := self._make_ready()):
            fault = refusal.reason
            if refusal.is_damage:
                self._unmended = (contents, fault)
                fault = self._mend(notes)
        return Opening(contents, tuple(notes), fault)

    def write(self, changes: Changes) -> StoreFault | None:
        """Commit `changes` in one transaction; on the disk when this returns None, else not at all."""
        if fault := self._mend([]):
            return StoreFault(fault)
        if self._connection is None and (refusal := self._make_ready()):
            return refusal
        try:
            self._commit(self._known_connection(), changes)
        except sqlite3.Error as error:
            self.close()
            return StoreFault(f"{self._path}: cannot be written: {error}")
        return None

    def close(self) -> None:
        """Let go of the file; calling it again does nothing."""
        if self._connection is not None:
            # What was committed is on the disk already; closing only tidies up.
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _known_connection(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("a store must be made ready before it is written")
        return self._connection

    def _commit(self, connection: sqlite3.Connection, changes: Changes) -> None:
        with _transaction(connection):
            for table, rows, gone in (
                (Table.LTM, *self._split(changes.entries, ltm_row)),
                (Table.TRIAL, *self._split(changes.trials, trial_row)),
            ):
                connection.executemany(f"DELETE FROM {table} WHERE key = ?", gone)  # noqa: S608 (names of our tables)
                connection.executemany(_upsert(table), rows)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _split(
        self, changes: Mapping[bytes, Kept | None], row_of: Callable[[bytes, bytes, Kept], Row]
    ) -> tuple[list[Row], list[tuple[bytes]]]:
        rows = [row_of(self._digest, key, value) for key, value in changes.items() if value is not None]
        return rows, [(key,) for key, value in changes.items() if value is None]

    def _foreign(self) -> str:
        """Why the store that is there is not of this memory, or empty; what cannot be read is no reason."""
        try:
            with contextlib.closing(_connect_to_read(self._path)) as connection:
                schema = _schema(connection)
                found = connection.execute("SELECT value FROM meta WHERE name = ?", (_IDENTITY,)).fetchone()
        except (sqlite3.Error, OverflowError):
            return ""
        if schema > SCHEMA:
            return f"is of schema {schema}, this phasemesh writes {SCHEMA}"
        return "" if found is None else _difference(found[0], self._identity)

    def _read(self) -> tuple[Contents, str]:
        """What the intact rows say, wherever they are, and what is wrong with the file, or empty."""
        # SQLite may tidy up what it opens, so that the bytes are taken first.
        raw = self._raw()
        damage = ""
        rows: dict[Table, list[Row]] = {table: [] for table in Table}
        if self._path.exists():
            try:
                damage = self._read_tables(rows)
            except (sqlite3.Error, OverflowError) as error:
                damage = str(error) or "cannot be read"
        found = _contents(rows)
        if not damage and all(path == self._path or self._is_settled(path, data) for path, data in raw.items()):
            return found, ""
        for table in Table:
            for data in raw.values():
                rows[table] += carved(data, table, self._digest, self._key_bytes)
        carved_too = _contents(rows)
        return carved_too, damage or ("its log holds rows that it lacks" if carved_too != found else "")

    def _is_settled(self, path: Path, data: bytes) -> bool:
        """Whether SQLite saw all that was committed in `data`; what else a log holds was never committed."""
        return path == _log_of(self._path) and is_whole_log(data)

    def _read_tables(self, rows: dict[Table, list[Row]]) -> str:
        with contextlib.closing(_connect_to_read(self._path)) as connection:
            schema = _schema(connection)
            for table in list(Table)[:schema]:
                found = connection.execute(f"SELECT {', '.join(COLUMNS[table])} FROM {table}").fetchall()  # noqa: S608
                rows[table] += [row for row in found if is_intact(table, self._digest, row)]
                if len(rows[table]) < len(found):
                    return f"{len(found) - len(rows[table])} of {len(found)} rows of {table} do not check out"
            (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            return "" if verdict == "ok" else str(verdict)

    def _raw(self) -> dict[Path, bytes]:
        """The bytes of all files that may hold rows: the database, its log, and a mended one that was not finished."""
        found = {}
        for path in (self._path, _log_of(self._path), self._draft, _log_of(self._draft)):
            with contextlib.suppress(OSError):
                if data := path.read_bytes():
                    found[path] = data
        return found

    @property
    def _draft(self) -> Path:
        return self._path.with_name(f"{self._path.name}.new")

    def _mend(self, notes: list[str]) -> str:
        """Put what was saved into a new file and set the damaged one aside; returns why that failed, or empty."""
        if self._unmended is None:
            return ""
        contents, damage = self._unmended
        try:
            _remove(self._draft)
            with contextlib.closing(self._connect(self._draft)) as connection:
                self._commit(connection, Changes({**contents.entries}, {**contents.trials}))
            if fault := self._set_aside("damaged", f"is damaged: {damage}", notes):
                return fault
            self._draft.replace(self._path)
        except (OSError, sqlite3.Error) as error:
            return f"{self._path}: is damaged ({damage}) and cannot be mended: {error}"
        self._unmended = None
        notes.append(f"{self._path}: {len(contents.entries)} entries and {len(contents.trials)} trials were saved")
        return ""

    def _set_aside(self, why: str, reason: str, notes: list[str]) -> str:
        """Rename the database and its log; returns why that failed, or empty."""
        names = [self._path.with_name(f"{self._path.name}.{why}-{number}") for number in range(MAX_ASIDE)]
        aside = next((name for name in names if not name.exists()), names[-1])
        try:
            _remove(aside)
            for path, name in ((_log_of(self._path), _log_of(aside)), (self._path, aside)):
                if path.exists():
                    path.replace(name)
            _shared_of(self._path).unlink(missing_ok=True)
        except OSError as error:
            return f"{self._path}: {reason}; cannot be set aside: {error.strerror}"
        if aside.exists():
            notes.append(f"{self._path}: {reason}; kept as {aside.name}")
        return ""

    def _make_ready(self) -> StoreFault | None:
        """Open for writing: bring the schema up to date and say whose store it is."""
        try:
            self._connection = self._connect(self._path)
        except (OSError, sqlite3.Error) as error:
            self.close()
            return StoreFault(f"{self._path}: cannot be written: {error}", _is_damage(error))
        return None

    def _connect(self, path: Path) -> sqlite3.Connection:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE))
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            connection.execute("PRAGMA synchronous=FULL")
            # What was replaced or removed must not be found again in the bytes of a broken file.
            connection.execute("PRAGMA secure_delete=ON").fetchall()
            with _transaction(connection):
                migrate(connection)
                text = msgspec.json.encode(self._identity).decode()
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_IDENTITY, text))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema of `connection` to `SCHEMA`, inside the caller's transaction."""
    for step in MIGRATIONS[_schema(connection) :]:
        for statement in step:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA}")


def _schema(connection: sqlite3.Connection) -> int:
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    return int(schema)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that never changes a file, not even on a disk that is read-only."""
    is_writable = all(os.access(each, os.W_OK, effective_ids=True) for each in (path, path.parent))
    mode = "mode=rw" if is_writable else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=BUSY_S, isolation_level=None)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except sqlite3.Error:
        # A transaction that a full disk has broken may be rolled back already.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _upsert(table: Table) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(COLUMNS[table]))})"  # noqa: S608 (our table)


def _is_damage(error: OSError | sqlite3.Error) -> bool:
    """Whether the bytes of a file are wrong; the system lets us write it, whatever SQLite says of that."""
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF in _DAMAGE_CODES


def _difference(text: str, identity: StoreIdentity) -> str:
    """How the identity in the file differs from `identity`, or empty."""
    try:
        found = msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError:
        return ""
    wanted = msgspec.to_builtins(identity)
    other = [
        f"{name} {found.get(name)} instead of {value}" for name, value in wanted.items() if found.get(name) != value
    ]
    return f"is of another memory: {', '.join(other)}" if other else ""


def _contents(rows: Mapping[Table, Sequence[Row]]) -> Contents:
    """What intact rows say; of several versions of a row the newest counts."""
    entries: dict[bytes, LtmEntry] = {}
    for key, entry in map(entry_of, rows[Table.LTM]):
        known = entries.get(key)
        if _is_sound(entry.q, entry.mean, entry.m2) and (known is None or _age_order(known) < _age_order(entry)):
            entries[key] = entry
    trials: dict[bytes, Trial] = {}
    for key, trial in map(trial_of, rows[Table.TRIAL]):
        before = trials.get(key)
        if _is_sound(trial.drift, trial.mean + trial.own, 0.0) and (
            before is None or _age_order(before) < _age_order(trial)
        ):
            trials[key] = trial
    return Contents(entries, trials)


def _age_order(value: LtmEntry | Trial) -> tuple[float, int]:
    return value.updated_at_s, value.n


def _is_sound(level: float, mean: float, m2: float) -> bool:
    return math.isfinite(level) and math.isfinite(mean) and math.isfinite(m2) and m2 >= 0.0


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _shared_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-shm")


def _remove(path: Path) -> None:
    for each in (path, _log_of(path), _shared_of(path)):
        each.unlink(missing_ok=True)
