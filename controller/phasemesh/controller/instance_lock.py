"""One agent for one intersection on one machine (invariant I18): a lock that the system gives back with the process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from phasemesh.contract.errors import EndpointError
from phasemesh.contract.units import IntersectionId


class InstanceLock:
    """Held from its making to `close`, or to the end of the process, however that comes."""

    def __init__(self, path: Path, name: IntersectionId, fallback: Path) -> None:
        """Take the lock of intersection `name` at `path`.

        On a disk that takes no new file, the lock is that of the file `fallback`, which must be there.

        Raises:
            EndpointError: another process holds it.
        """
        self._handle = _opened(path, fallback)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise EndpointError(
                f"another agent on this machine controls {name} ({path} is locked); stop it before starting a new one"
            ) from error

    def close(self) -> None:
        """Let go; calling it again does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _opened(path: Path, fallback: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        pass
    try:
        return os.open(fallback, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise EndpointError(f"{path}: cannot be locked: {error.strerror}") from error
