"""Files that only their owner may read: written whole or not at all, mode 0600 whatever the umask."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE_MODE = 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def write_private(path: Path, content: bytes) -> None:
    """Put `content` in `path`; an interrupted write leaves the old file as it was. Raises OSError."""
    write_whole(path, content, PRIVATE_MODE)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put `content` in `path` with exactly that mode; an interrupted write leaves the old file. Raises OSError."""
    with _scratch(path, content, mode) as scratch:
        scratch.replace(path)
    _sync_folder(path.parent)


def create_private(path: Path, content: bytes) -> bool:
    """Put `content` in `path` unless there is such a file already; whether it was put there. Raises OSError."""
    with _scratch(path, content, PRIVATE_MODE) as scratch:
        try:
            path.hardlink_to(scratch)
        except FileExistsError:
            return False
    _sync_folder(path.parent)
    return True


def is_open_to_others(path: Path) -> bool:
    """Whether anybody but the owner may read or write the file at `path`; raises OSError."""
    return bool(stat.S_IMODE(path.stat().st_mode) & OTHERS)


@contextmanager
def _scratch(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """A synchronised file beside `path` that holds `content`; gone at the end, unless it was moved."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
