"""One small file that survives a power cut: replaced as a whole, sealed by a checksum, held by one process.

A new version is written beside the old one, flushed, renamed over it, and the folder is flushed; whenever the power
goes, the old or the new version is there, for its owner alone (0600). Trouble is a value, since a cabinet goes on
without its disk.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from io import FileIO
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.controller.access.private_file import PRIVATE_MODE

MAX_QUARANTINED = 10
"""Damaged files that are kept beside one path."""


class FileFault(msgspec.Struct, frozen=True):
    """Why a file could not be read or written."""

    reason: str


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    digest: str
    body: msgspec.Raw


def read_sealed(path: Path) -> bytes | FileFault | None:
    """The body of the file at `path`, None when there is none yet, or why it cannot be trusted."""
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return FileFault(f"{path}: cannot be read: {error.strerror}")
    try:
        envelope = msgspec.json.decode(content, type=_Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return FileFault(f"{path}: is damaged: {error}")
    body = bytes(envelope.body)
    if hashlib.sha256(body).hexdigest() != envelope.digest:
        return FileFault(f"{path}: is damaged: the checksum differs")
    return body


def write_sealed(path: Path, body: bytes) -> FileFault | None:
    """Replace the file at `path` by one with the JSON text `body`; when that fails, the old version stays."""
    content = msgspec.json.encode(_Envelope(hashlib.sha256(body).hexdigest(), msgspec.Raw(body)))
    draft = path.with_name(f"{path.name}.new")
    try:
        _write_flushed(draft, content)
        draft.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        return FileFault(f"{path}: cannot be written: {error.strerror}")
    return None


def _write_flushed(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        os.fchmod(file.fileno(), PRIVATE_MODE)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def quarantine(path: Path) -> FileFault | None:
    """Give the damaged file at `path` a second name for people to look at, without taking away the first.

    It stays in its place until a new version replaces it, so that a power cut in between cannot make it look absent.
    """
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in range(MAX_QUARANTINED))
    try:
        free = next((name for name in names if not name.exists()), None)
        if free is None:
            return FileFault(f"{path}: cannot be set aside: there are {MAX_QUARANTINED} damaged ones already")
        free.hardlink_to(path)
    except OSError as error:
        return FileFault(f"{path}: cannot be set aside: {error.strerror}")
    return None


def hold(path: Path) -> FileIO:
    """Keep every other process from holding `path` until the answer is closed, by a lock file beside it.

    Raises:
        InputError: Another process holds it, or the lock file cannot be made.
    """
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        lock = FileIO(lock_path, "w")
    except OSError as error:
        raise InputError(f"{lock_path}: cannot be made: {error.strerror}; choose another folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise InputError(f"{path}: another process serves this cabinet; stop it first") from None
    return lock
