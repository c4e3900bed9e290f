"""SUMO with its window, on a display without a screen; each run in a process of its own."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from phasemesh.sim_harness.scenarios.registry import find_scenario

pytest.importorskip("traci", reason="needs SUMO")
pytestmark = pytest.mark.sumo

LIMIT_S = 60.0
NO_DISPLAY = ":4095"
"""A display that nobody serves."""
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from phasemesh.contract.errors import PhasemeshError
from phasemesh.sim_harness.sumo.connection import SumoOptions, start
options = SumoOptions(output=Path(sys.argv[2]), config=Path(sys.argv[1]), is_gui=True)


def close_window():
    for process in Path("/proc/self/task", str(os.getpid()), "children").read_text().split():
        os.kill(int(process), signal.SIGKILL)
        os.waitpid(int(process), 0)


try:
    with start(options) as simulation:
        while simulation.time_s < 20:
            simulation.step()
        if len(sys.argv) > 3:
            close_window()
            simulation.set_lights("A0", "r" * 16)
        print("at", simulation.time_s)
except PhasemeshError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def display() -> Iterator[str]:
    """The name of a display of our own."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed")
    reading, writing = os.pipe()
    with subprocess.Popen(
        [program, "-displayfd", str(writing)], pass_fds=[writing], stderr=subprocess.DEVNULL
    ) as server:
        os.close(writing)
        assert select.select([reading], [], [], LIMIT_S)[0], "Xvfb says nothing"
        yield f":{os.read(reading, 16).decode().strip()}"
        os.close(reading)
        server.terminate()


def _run(folder: Path, display: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = find_scenario("grid1x1").config
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(config), str(folder), *arguments],
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_city_runs_in_its_window(tmp_path: Path, display: str) -> None:
    """The simulation steps in the window as without it, and says nothing beside."""
    done = _run(tmp_path, display)

    assert (done.returncode, done.stdout) == (0, "at 20.0\n"), done.stderr


def test_a_closed_window_ends_the_run_in_one_line(tmp_path: Path, display: str) -> None:
    """Whatever is asked of a simulation whose window was closed, the answer is one line."""
    done = _run(tmp_path, display, "close")

    assert (done.returncode, done.stdout) == (0, "ScenarioError SUMO stopped: Connection closed by SUMO.\n"), (
        done.stderr
    )


def test_a_display_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """SUMO's own reason is quoted at once, without trying other ports."""
    done = _run(tmp_path, NO_DISPLAY)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ScenarioError SUMO cannot start: ")
    assert NO_DISPLAY in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
