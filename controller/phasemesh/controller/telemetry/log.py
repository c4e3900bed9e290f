"""One way to log: a line of JSON an event on standard error, or a coloured line where a person is watching.

Nothing here may hold up or end the process: a line that its reader does not take at once is lost and counted.
"""

from __future__ import annotations

import os
import select
import sys
from typing import TextIO, cast

import structlog

MAX_LINE_BYTES = 4096
"""Bytes that a pipe which is ready takes without waiting (POSIX PIPE_BUF on Linux); longer lines are cut."""


class ForgivingStream:
    """A text stream that drops what cannot be written now: full disk, closed pipe, reader that is stuck."""

    def __init__(self, handle: int | None) -> None:
        """Write to the open file `handle`; without one everything is lost."""
        self._handle = handle
        self.lost = 0

    def write(self, text: str) -> int:
        """Write `text` or lose it; never waits, never raises."""
        try:
            is_written = self._handle is not None and _write_now(self._handle, _cut(text))
        except OSError:
            is_written = False
        self.lost += not is_written
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _write_now(handle: int, data: bytes) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLOUT)
    return bool(poll.poll(0)) and os.write(handle, data) == len(data)


def _cut(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return data if len(data) <= MAX_LINE_BYTES else data[: MAX_LINE_BYTES - 1] + b"\n"


def configure_logging(handle: int | None = None) -> ForgivingStream:
    """Set up the logging of this process on `handle`, by default standard error; returns where the lines go.

    Stamps are wall-clock time in UTC, for people only.
    """
    errors = sys.__stderr__
    if handle is None and errors is not None:
        handle = errors.fileno()
    target = ForgivingStream(handle)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if handle is not None and os.isatty(handle)
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", target)),
    )
    return target
