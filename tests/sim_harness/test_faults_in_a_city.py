"""A city survives its own faults: dead and restarted agents, an interrupted run, agents on the wall clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from city_runs import run_city

from phasemesh.controller.telemetry.records import Rung, TickRecord, read_records
from phasemesh.sim_harness.result import RESULT_NAME
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import read_network

pytestmark = [pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(300)]

BUNDLE = "bundle:approach-lost-time"
VICTIM = read_network(find_scenario("cologne3").net_file).intersections[0].id


def _ticks(path: Path) -> list[TickRecord]:
    return [item for item in read_records(path)[1] if isinstance(item, TickRecord)]


def test_a_killed_agent_costs_its_own_signal_its_policy_and_nobody_else_anything(tmp_path: Path) -> None:
    """After kill -9 the cabinet takes over within the lease, the others go on, and the report says so."""
    result = run_city(
        tmp_path,
        "cologne3",
        BUNDLE,
        seconds=300.0,
        agents="processes",
        keeps_records=True,
        kills=((VICTIM, 100.0, None),),
    )

    assert result.is_complete
    assert result.lost_agents == (VICTIM,)
    # The last command before the death was that of 98 or 100 s; its lease is 10 s long.
    assert 186.0 <= result.intersections[VICTIM].own_plan_s <= 192.0
    others = [each for name, each in result.intersections.items() if name != VICTIM]
    assert [each.own_plan_s for each in others] == [0.0] * len(others)
    assert all(each.final_rung in (Rung.COORDINATED, Rung.ISOLATED) for each in others)
    assert result.intersections[VICTIM].final_rung == "", "the dead stand on no rung"
    assert result.collisions == 0


def test_a_restarted_agent_climbs_back_to_coordinated(tmp_path: Path) -> None:
    """A second life takes the lease again, hears its neighbours, and is heard by them."""
    result = run_city(
        tmp_path,
        "cologne3",
        BUNDLE,
        seconds=400.0,
        agents="processes",
        keeps_records=True,
        kills=((VICTIM, 100.0, 200.0),),
    )
    second_life = _ticks(tmp_path / "records" / "0-2.rec")
    start_up_s = second_life[0].step - 200.0

    assert result.is_complete
    assert result.lost_agents == ()
    assert result.agent_deaths == 1
    assert second_life[-1].rung is Rung.COORDINATED
    # How long the machine takes to start a process is not the agent's doing; all that follows is.
    assert result.intersections[VICTIM].own_plan_s - start_up_s < 110.0
    assert 0.0 <= start_up_s < 100.0
    assert all(each.final_rung == Rung.COORDINATED for each in result.intersections.values())


def test_ctrl_c_stops_everything_and_still_writes_the_report_so_far(tmp_path: Path) -> None:
    """An interrupted run ends within seconds, leaves no process behind, and says that it is not complete."""
    command = [sys.executable, "-m", "phasemesh.controller", "run", "cologne3", "--report", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 60.0
    while not (tmp_path / "records" / "0-1.rec").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2.0)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors.decode()
    assert b"Traceback" not in errors
    result = json.loads((tmp_path / RESULT_NAME).read_text())
    assert result["is_complete"] is False
    assert 0 < result["seconds"] < 3600
    assert (tmp_path / "index.html").is_file()
    assert _is_gone(process.pid)


def test_ctrl_c_in_a_comparison_keeps_what_was_complete(tmp_path: Path) -> None:
    """The runs that were done are reported, the others end at once, and none is started any more."""
    command = [sys.executable, "-m", "phasemesh.controller", "compare", "cologne3", "--report", str(tmp_path)]
    command += ["--controllers", "fixed,max-wave,approach,max-pressure", "--seeds", "1", "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    first = tmp_path / "runs" / "cologne3_fixed_1" / RESULT_NAME
    deadline = time.monotonic() + 90.0
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130, errors.decode()
    assert b"Traceback" not in errors
    assert [row["controller"] for row in json.loads((tmp_path / "results.json").read_text())] == ["fixed"]
    assert not (tmp_path / "runs" / "cologne3_max-pressure_1").exists()
    assert _is_gone(process.pid)


def _is_gone(group: int) -> bool:
    """Whether the last process of a group has ended within ten seconds."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_agents_on_the_wall_clock_keep_the_pace(tmp_path: Path) -> None:
    """In real time at 5 times the speed, 60 simulated seconds never take less than 12 s, and every agent decides."""
    result = run_city(
        tmp_path, "cologne3", BUNDLE, seconds=60.0, agents="processes", pace="realtime", speed=5.0, keeps_records=True
    )
    rungs = [{record.rung for record in _ticks(file)} for file in (tmp_path / "records").glob("*.rec")]

    assert result.is_complete
    assert result.wall_s >= 11.5
    assert result.collisions == 0
    assert len(rungs) == 3
    assert all(Rung.COORDINATED in of_agent for of_agent in rungs)


def test_signals_that_are_not_selected_keep_their_own_program(tmp_path: Path) -> None:
    """`--signals` commands a subset; the others are watched only."""
    result = run_city(
        tmp_path, "cologne3", BUNDLE, seconds=120.0, agents="processes", signals=(VICTIM,), keeps_records=True
    )

    assert result.agents == 1
    assert len(result.watched_signals) == 2
    assert result.ticks == 60
