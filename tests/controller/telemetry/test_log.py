"""Logging never raises and never waits, whatever stands behind standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from phasemesh.controller.telemetry.log import MAX_LINE_BYTES, ForgivingStream, configure_logging


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe: to read and to write."""
    reading, writing = os.pipe()
    yield reading, writing
    for handle in (reading, writing):
        try:
            os.close(handle)
        except OSError:
            continue


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    """Other tests find logging as it was."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_an_event_is_a_line_of_json(pipe: tuple[int, int]) -> None:
    """With its level and a stamp for people."""
    configure_logging(pipe[1])
    structlog.get_logger("test").warning("driver fault", reason="no answer")
    line = json.loads(os.read(pipe[0], 4096))

    assert (line["event"], line["level"], line["reason"]) == ("driver fault", "warning", "no answer")
    assert line["timestamp"].endswith("Z")


def test_a_full_disk_loses_lines_and_nothing_else() -> None:
    """ENOSPC is counted."""
    handle = os.open("/dev/full", os.O_WRONLY)
    stream = configure_logging(handle)
    for _ in range(3):
        structlog.get_logger("test").info("tick")
    os.close(handle)

    assert stream.lost == 3


def test_a_reader_that_is_gone_loses_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    """EPIPE is counted."""
    os.close(pipe[0])
    stream = ForgivingStream(pipe[1])
    stream.write("one\n")

    assert stream.lost == 1


def test_a_reader_that_is_stuck_holds_up_nobody(pipe: tuple[int, int]) -> None:
    """A full pipe takes no more lines; the writer goes on at once, and again when there is room."""
    stream = ForgivingStream(pipe[1])
    line = "x" * 999 + "\n"
    for _ in range(200):
        stream.write(line)
    lost = stream.lost
    while os.read(pipe[0], 65_536) and stream.lost == lost:
        stream.write(line)
        break

    assert 100 < lost < 200
    assert stream.lost == lost


def test_a_handle_that_was_closed_loses_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    """EBADF is counted."""
    os.close(pipe[1])
    stream = ForgivingStream(pipe[1])

    assert stream.write("one\n") == 4
    assert stream.lost == 1


def test_without_standard_error_all_is_lost() -> None:
    """A process that was started without one logs to nobody."""
    stream = ForgivingStream(None)
    stream.write("one\n")
    stream.flush()

    assert stream.lost == 1


@pytest.mark.parametrize("text", ["x" * 10_000, "ü" * 10_000, "\ud800 lone surrogate\n"])
def test_a_line_fits_into_a_pipe(pipe: tuple[int, int], text: str) -> None:
    """What is longer is cut, and what is no text is replaced."""
    stream = ForgivingStream(pipe[1])
    stream.write(text)
    data = os.read(pipe[0], 65_536)

    assert stream.lost == 0
    assert len(data) <= MAX_LINE_BYTES
    assert data.endswith(b"\n")


PROGRAM = (
    "import structlog\n"
    "from phasemesh.controller.telemetry.log import configure_logging\n"
    "stream = configure_logging()\n"
    "for _ in range(1000): structlog.get_logger('test').info('tick', text='x' * 100)\n"
    "raise SystemExit(0 if stream.lost == {lost} else 9)\n"
)


@pytest.mark.parametrize(("target", "lost"), [("/dev/full", 1000), ("/dev/null", 0)])
def test_a_process_on_a_full_disk_ends_as_if_nothing_were(target: str, lost: int) -> None:
    """Neither a line nor the last flush of the interpreter changes its exit code."""
    with Path(target).open("w") as file:
        ended = subprocess.run([sys.executable, "-c", PROGRAM.format(lost=lost)], stderr=file, check=False, timeout=60)

    assert ended.returncode == 0


def test_a_process_without_standard_error_lives() -> None:
    """Closed before it began."""
    command = f'exec {sys.executable} -c "{PROGRAM.format(lost=1000)}" 2>&-'
    ended = subprocess.run(["/bin/sh", "-c", command], check=False, timeout=60)

    assert ended.returncode == 0
