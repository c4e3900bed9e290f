"""The monitor in real runs: cabinets that lie are sent into flash, programs that are not ours only get a report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from city_runs import run_city

from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.sumo.connection import SIGNAL_STATES_NAME
from phasemesh.sim_harness.sumo.xml_stream import elements

pytest.importorskip("libsumo", reason="needs SUMO")
pytestmark = pytest.mark.sumo

LIAR = """
import sys
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.request import RunRequest, resolve

class Liar(Cabinet):
    @property
    def lights(self):
        return super().lights.replace("y", "r")

import phasemesh.sim_harness.city as city
city.Cabinet = Liar
City(resolve(RunRequest(scenario="grid3x3", controller="max-pressure", report=sys.argv[1], seconds=120.0))).run()
"""
"""A city whose cabinets say yellow to themselves and red to the street."""


@pytest.fixture(scope="module")
def lied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run under cabinets that lie."""
    folder = tmp_path_factory.mktemp("lied")
    subprocess.run([sys.executable, "-W", "error", "-c", LIAR, folder], check=True, timeout=100)
    return folder


def test_a_cabinet_that_lies_trips_the_monitor(lied: Path) -> None:
    """Every signal is caught at its first change, by the rule that it broke, and stays latched."""
    result = msgspec.json.decode((lied / "result.json").read_bytes(), type=RunResult)

    assert result.monitor_trips > 0
    assert set(result.monitor_trips_by_check) <= {"skipped yellow", "short red clearance"}
    assert "turned from green to red without yellow" in result.monitor_findings[0]
    assert all("I2" in latched for latched in result.latched_faults)
    assert len(result.latched_faults) == result.agents


def test_what_is_latched_flashes_in_the_street(lied: Path) -> None:
    """SUMO's own record shows flash to the end of the run, at every signal."""
    last = {row["id"]: row["state"] for name, row in elements(lied / SIGNAL_STATES_NAME) if name == "tlsState"}

    assert len(last) == 9
    assert {letter for letters in last.values() for letter in letters} == {"o"}


def test_programs_of_sumo_are_only_reported(tmp_path: Path) -> None:
    """Findings in the programs that a network brings are told in words and counted apart from trips."""
    result = run_city(tmp_path, "ingolstadt21", "fixed", seconds=120.0)

    assert (result.monitor_trips, result.is_unsafe) == (0, False)
    assert result.sumo_program_findings == sum(result.monitor_trips_by_check.values()) > 0
    assert set(result.monitor_trips_by_check) <= {"conflict", "skipped yellow", "wrong order"}
    assert result.monitor_findings != ()
