"""A run whose process dies, or whose SUMO gives up, ends with a report that says so, and so do its agents."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from command_line import PATIENCE_S, eventually, start_phasemesh
from phasemesh.sim_harness.request import RunRequest
from phasemesh.sim_harness.result import RESULT_NAME, RunResult
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.torture.demand import repeat_demand
from phasemesh.sim_harness.watcher import WHY

pytestmark = [pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(600)]

LATE = """<routes><trip id="a" depart="0" from="A1B1" to="B1C1"/><trip id="b" depart="400" from="A1B1" to="B1C1"/>
<trip id="c" depart="800" from="A1B1" to="B1C1"/><trip id="d" depart="3000" from="nowhere" to="B1C1"/></routes>"""
"""Demand whose last vehicle starts where there is no road, which SUMO finds out on the way."""


LENGTH_S = 8 * 3600.0
"""Far longer than anybody waits before a run is killed."""
LONG_S = 4 * PATIENCE_S
"""How long a test waits for a process that has a page to draw, on a machine that is busy with others."""


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A scenario that cannot be over before it is killed."""
    return str(repeat_demand(find_scenario("cologne3"), LENGTH_S, tmp_path_factory.mktemp("endless")))


def _result(folder: Path) -> RunResult:
    return msgspec.json.decode((folder / RESULT_NAME).read_bytes(), type=RunResult)


def _descendants(process: int) -> set[int]:
    """All processes that `process` started, directly or not, as proc(5) tells of each thread."""
    found: set[int] = set()
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            found |= {child} | _descendants(child)
    return found


def test_a_killed_run_ends_with_a_report(endless: str, tmp_path: Path) -> None:
    """Kill -9 of the process that owns the simulation: one line, result and page are there, and no agent is left."""
    run = start_phasemesh("run", endless, "--report", str(tmp_path))
    record = tmp_path / "records" / "0-1.rec"
    assert eventually(lambda: record.exists() and record.stat().st_size > 50_000)
    children = _descendants(run.pid)
    run.send_signal(signal.SIGKILL)
    # The watcher holds the pipe until it has written everything, and so do the agents until they end.
    _, errors = run.communicate(timeout=LONG_S)
    result = _result(tmp_path)
    told = [line for line in errors.splitlines() if line.startswith("phasemesh:")]

    assert run.returncode == -signal.SIGKILL
    assert len(told) == 1
    assert WHY in told[0]
    assert (result.is_complete, result.why_incomplete) == (False, WHY)
    assert result.ticks > 0
    assert result.loaded > 0
    assert WHY in (tmp_path / "index.html").read_text()
    assert len(children) >= 4
    assert eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_a_killed_worker_says_so_to_whoever_waits_for_it(endless: str, tmp_path: Path) -> None:
    """A run of a comparison that dies leaves its result, and its last line is that of the watcher."""
    request = RunRequest(scenario=endless, controller="max-pressure", report=str(tmp_path / "out"))
    path = tmp_path / "request.json"
    path.write_bytes(msgspec.json.encode(request))
    command = [sys.executable, "-m", "phasemesh.sim_harness.worker", str(path)]
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    # SUMO writes a trip when it is over: the run is well under way.
    trips = tmp_path / "out" / "tripinfo.xml"
    assert eventually(lambda: trips.exists() and trips.stat().st_size > 20_000)
    worker.kill()
    _, errors = worker.communicate(timeout=LONG_S)

    assert _result(tmp_path / "out").why_incomplete == WHY
    assert WHY in errors.splitlines()[-1]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_runs_of_a_comparison_end_with_it(endless: str, tmp_path: Path, how: signal.Signals) -> None:
    """However the command ends, nobody goes on computing what nobody waits for."""
    command = ("compare", endless, "--controllers", "fixed,max-pressure", "--seeds", "1", "--report", str(tmp_path))
    comparison = start_phasemesh(*command)
    assert eventually(lambda: len(list(tmp_path.rglob("tripinfo.xml"))) == 2)
    children = _descendants(comparison.pid)
    comparison.send_signal(how)
    comparison.communicate(timeout=LONG_S)

    assert len(children) >= 2
    assert eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def test_a_simulation_that_gives_up_leaves_what_there_is(tmp_path: Path) -> None:
    """SUMO's own reason ends the run in one line with exit code 2, and stands in result and page."""
    routes, config = tmp_path / "late.rou.xml", tmp_path / "late.sumocfg"
    routes.write_text(LATE)
    net = find_scenario("grid3x3").net_file
    config.write_text(
        f'<configuration><net-file value="{net}"/><route-files value="{routes.name}"/>'
        '<begin value="0"/><end value="3600"/></configuration>'
    )
    arguments = ("--agents", "inprocess", "--report", str(tmp_path / "out"))
    run = start_phasemesh("run", str(config), *arguments)
    _, errors = run.communicate(timeout=LONG_S)
    result = _result(tmp_path / "out")

    assert run.returncode == 2, errors
    assert errors.splitlines()[-1].startswith("phasemesh: SUMO stopped: The edge 'nowhere'")
    assert result.why_incomplete.startswith("SUMO stopped: The edge 'nowhere'")
    assert not result.is_complete
    assert 0.0 < result.seconds < 3000.0
    assert "SUMO stopped" in (tmp_path / "out" / "index.html").read_text()
