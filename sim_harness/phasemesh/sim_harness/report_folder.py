"""The folder of one run: made for it, kept to one writer, and as it was when the run cannot start."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from phasemesh.contract.errors import InputError, PhasemeshError

EDGES_NAME = "edges.xml"
LOCK_NAME = ".running"
_EDGE_INPUT_NAME = "edges.add.xml"
_INPUTS = ("*.add.xml", LOCK_NAME)
"""What is written for SUMO and for other runs before a run begins."""


def make_folder(folder: Path) -> None:
    """Make the report's folder, in which files can be written; raises InputError where that is impossible."""
    if set(":,") & set(str(folder.resolve())):
        raise InputError(
            f"--report {folder}: SUMO takes a colon or comma for something else; choose a path without one"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        edge_output(folder)
    except OSError as error:
        raise InputError(f"--report {folder}: cannot be made: {error.strerror}; choose another folder") from error


@contextmanager
def only_writer(folder: Path, flag: str = "--report", what: str = "run") -> Iterator[None]:
    """Keep a second writer out of `folder`, which `flag` named; raises InputError when another `what` is there."""
    with (folder / LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{flag} {folder}: another {what} is writing there; choose another folder") from None
        yield


def inputs_in(folder: Path) -> frozenset[Path] | None:
    """What an earlier run was given in `folder`, or None where there is no such folder."""
    if not folder.is_dir():
        return None
    return frozenset(path for pattern in _INPUTS for path in folder.glob(pattern))


@contextmanager
def withdrawn_if_refused(folder: Path, before: frozenset[Path] | None) -> Iterator[None]:
    """Take back what was written for a run that is refused within; `before` is what `inputs_in` said before that.

    Only for the one writer of `folder`, since whoever writes there meanwhile would lose the same.
    """
    try:
        yield
    except PhasemeshError:
        for path in (inputs_in(folder) or frozenset()) - (before or frozenset()):
            path.unlink()
        if before is None:
            # SUMO may have left something of its own that tells why it refused.
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def forget_earlier_run(folder: Path, results: Sequence[str]) -> None:
    """Remove what an earlier run left, its `results` too, once SUMO has accepted this one."""
    for name in ("records", "logs"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in results:
        (folder / name).unlink(missing_ok=True)


def edge_output(folder: Path) -> Path:
    """The additional file that makes SUMO measure each edge into `EDGES_NAME` beside it."""
    path = folder / _EDGE_INPUT_NAME
    path.write_text(f'<additional><edgeData id="delay" file="{EDGES_NAME}" excludeEmpty="true"/></additional>\n')
    return path
