"""Writes a memory to its store beside the decision loop, which never waits for a disk."""

from __future__ import annotations

import threading

from phasemesh.controller.memory.contents import Changes
from phasemesh.controller.memory.store import MemoryStore

RETRY_S = 60.0
"""Time between two tries to write what a full or broken disk has refused, in seconds."""
CLOSE_S = 5.0
"""How long an orderly end waits for the last commit, in seconds."""


class StoreWriter:
    """The one writer of a store, on a thread of its own.

    What a disk refuses is kept, newest value a key, and tried again. `fault` is the present trouble or empty, `faults`
    how often a commit failed.
    """

    def __init__(self, store: MemoryStore, fault: str = "", retry_s: float = RETRY_S) -> None:
        """Write to the opened `store`; `fault` is what its opening said."""
        self.fault = fault
        self.faults = 0
        self.commits = 0
        self._store = store
        self._retry_s = retry_s
        self._pending = Changes()
        self._is_closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="memory-store", daemon=True)
        self._thread.start()

    def put(self, changes: Changes) -> None:
        """Commit `changes` soon; returns at once."""
        if not changes:
            return
        with self._wake:
            self._pending = _after(self._pending, changes)
            self._wake.notify()

    @property
    def waiting(self) -> int:
        """How many rows are not on the disk yet."""
        pending = self._pending
        return len(pending.entries) + len(pending.trials)

    def close(self, wait_s: float = CLOSE_S) -> None:
        """Write what is pending, wait at most `wait_s` for that, and let go; calling it again does nothing."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join(wait_s)

    def _run(self) -> None:
        while (changes := self._next()) is not None:
            fault = self._store.write(changes)
            if fault is None:
                self.commits += 1
                self.fault = ""
            else:
                self._keep(changes, fault.reason)
        self._store.close()

    def _next(self) -> Changes | None:
        """What to commit; None at the end, which does not wait for a disk that refuses."""
        with self._wake:
            while not self._pending and not self._is_closing:
                self._wake.wait()
            if not self._pending:
                return None
            changes, self._pending = self._pending, Changes()
            return changes

    def _keep(self, refused: Changes, reason: str) -> None:
        self.faults += 1
        self.fault = reason
        with self._wake:
            if self._is_closing:
                self._pending = Changes()
                return
            self._pending = _after(refused, self._pending)
            self._wake.wait_for(lambda: self._is_closing, self._retry_s)


def _after(before: Changes, changes: Changes) -> Changes:
    """Both as one commit; of one row the newer value counts."""
    return Changes({**before.entries, **changes.entries}, {**before.trials, **changes.trials})
