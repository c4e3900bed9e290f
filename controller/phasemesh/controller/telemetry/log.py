"""One way to log: a line of JSON an event on standard error, or a coloured line where a person is watching."""

from __future__ import annotations

import sys

import structlog


def configure_logging() -> None:
    """Set up the logging of this process; stamps are wall-clock time in UTC, for people only."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.__stderr__),
    )
