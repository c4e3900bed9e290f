"""What a run says where nobody sits before a terminal."""

from __future__ import annotations

import pytest

from phasemesh.sim_harness.progress import Listener, Progress, Silence
from phasemesh.sim_harness.screen import MIN_WIDTH, Screen, print_table

NOTE = "agent [a]:car:[/b] is silent" + "; going on without it" * 10
MOMENT = Progress(elapsed_s=30.0, length_s=60.0, delay_s=12.3, ticks_per_s=40.0, deadline_misses=2, alive=3)


def run_before(listener: Listener) -> None:
    """A run that shows its progress twice and has one thing to say."""
    listener.show(MOMENT)
    listener.note(NOTE)
    listener.show(MOMENT)


def test_without_a_terminal_only_notes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A log gets the lines that should stay, letter by letter, and no bar."""
    with Screen("cologne3 max-pressure") as screen:
        run_before(screen)

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.rstrip("\n") == NOTE
    assert "cologne3" not in printed.err
    assert "30/60" not in printed.err


def test_a_run_that_fails_lets_the_error_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """The screen stops drawing and hides nothing."""
    with pytest.raises(RuntimeError, match="gone"), Screen("run"):
        raise RuntimeError("gone")

    assert capsys.readouterr().out == ""


def test_silence_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """The listener of comparison runs and tests prints nothing at all."""
    run_before(Silence())

    assert capsys.readouterr() == ("", "")


def test_a_table_is_printed_whole_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers stand to the right, and a table of usual width is not cut where the terminal is unknown."""
    headers = ["controller", *(f"column {number}" for number in range(6))]

    print_table(headers, [["bundle:[max-pressure]", *("1.5" for _ in range(6))]], "cologne3, seed 1")

    printed = capsys.readouterr()
    assert printed.err == ""
    assert "cologne3, seed 1" in printed.out
    assert all(word in printed.out for header in headers for word in header.split())
    row = next(line for line in printed.out.splitlines() if "bundle:[max-pressure]" in line)
    assert row.count(" 1.5 ") == 6
    assert max(len(line) for line in printed.out.splitlines()) <= MIN_WIDTH
