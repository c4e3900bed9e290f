"""Trying ahead: what might happen is played in a copy of this process, so that what really happens is not touched.

A fork holds everything exactly as it is: SUMO, cabinets, agents, random numbers. SUMO's saved states hold less, and
loading one in the process that plays the real run perturbs it.
"""

from __future__ import annotations

import fcntl
import gc
import os
import stat
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from phasemesh.contract.errors import InputError, PhasemeshError

_OPEN_FILES = Path("/proc/self/fd")
_STANDARD_STREAMS = 3


class _Answer(msgspec.Struct, frozen=True):
    """What came of it: numbers, or the error that a user can put right."""

    values: tuple[float, ...] = ()
    error: str = ""


def check_branches() -> None:
    """Refuse systems that cannot copy a process with its open files; raises InputError."""
    if not hasattr(os, "fork") or not _OPEN_FILES.is_dir():
        raise InputError("looking ahead copies processes, which needs Linux; train with another recipe here")


def in_branch(work: Callable[[], Sequence[float]]) -> tuple[float, ...]:
    """What `work` answers in a copy of this process, which then ends; nothing that it does happens here.

    The process must have one thread. Raises PhasemeshError when the copy dies or SUMO gives up in it.
    """
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        _serve(work, sender)
    os.close(sender)
    with os.fdopen(receiver, "rb") as answers:
        content = answers.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise PhasemeshError(f"looking ahead: the copy of the process ended with status {status}")
    answer = msgspec.msgpack.decode(content, type=_Answer)
    if answer.error:
        raise PhasemeshError(f"looking ahead: {answer.error}")
    return answer.values


def _serve(work: Callable[[], Sequence[float]], sender: int) -> NoReturn:
    """Work in the copy, and end it without the clean-up that belongs to the original."""
    status = 1
    try:
        # A collection would touch, and so copy, every page of the original.
        gc.disable()
        _part_files()
        os.write(sender, msgspec.msgpack.encode(_answer(work)))
        status = 0
    finally:
        # Whatever happened, the copy must not live on as a second original.
        if status:
            traceback.print_exc()
        os._exit(status)


def _answer(work: Callable[[], Sequence[float]]) -> _Answer:
    try:
        return _Answer(values=tuple(float(value) for value in work()))
    except PhasemeshError as error:
        return _Answer(error=str(error))


def _part_files() -> None:
    """Read on from the same place without moving the original's, and write nowhere: positions in files are shared."""
    for file in tuple(_regular_files()):
        may_write = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        fresh = os.open(os.devnull, os.O_RDWR) if may_write else os.open(_OPEN_FILES / str(file), os.O_RDONLY)
        if not may_write:
            os.lseek(fresh, os.lseek(file, 0, os.SEEK_CUR), os.SEEK_SET)
        os.dup2(fresh, file)
        os.close(fresh)


def _regular_files() -> Iterator[int]:
    """The open files on a disk, the standard streams left out."""
    for path in _OPEN_FILES.iterdir():
        file = int(path.name)
        if file < _STANDARD_STREAMS:
            continue
        try:
            is_regular = stat.S_ISREG(os.fstat(file).st_mode)
        except OSError:
            # That of the listing itself is closed again.
            continue
        if is_regular:
            yield file
