"""What a run under attack leaves of its agents' memories: stores that are whole, with nothing set aside as damaged.

An agent sets aside what it cannot read when it starts, so that a store which a kill, a power cut or a full disk had
damaged is found here however often its agent was started again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

STORES = "memory"
"""Below the folder of a run: the store of each agent."""


def damaged_memories(folder: Path) -> Iterator[str]:
    """Why a memory in the run of `folder` did not survive, one sentence each; nothing where nobody remembers."""
    for path in sorted((folder / STORES).glob("*.sqlite*")):
        if ".damaged-" in path.name:
            yield f"a memory was damaged and set aside: {path.name}"
        elif path.suffix == ".sqlite" and (fault := _fault_of(path)):
            yield f"the memory {path.name} is not whole: {fault}"


def _fault_of(path: Path) -> str:
    """What SQLite finds wrong with the store at `path`, which is not altered; empty when it is whole."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            found = str(store.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else found
