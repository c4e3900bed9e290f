"""The commands on runs in which something unsafe was shown, and on cities whose configuration names more files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from city_runs import run_city

from phasemesh.sim_harness.scenarios.registry import find_scenario

pytest.importorskip("libsumo", reason="needs SUMO")
pytestmark = pytest.mark.sumo

LIAR = """
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.cli import main

class Liar(Cabinet):
    @property
    def lights(self):
        return super().lights.replace("y", "r")

import phasemesh.sim_harness.city as city
city.Cabinet = Liar
main()
"""
"""The command line, with cabinets that say yellow to themselves and red to the street."""
SPARE = '<additional><tlLogic id="{}" type="static" programID="spare" offset="0"><phase duration="9" state="{}"/>'


def test_an_unsafe_run_ends_with_exit_code_1(tmp_path: Path) -> None:
    """Whoever looks at nothing but the exit code learns that the monitor tripped; one line says where and why."""
    done = subprocess.run(
        [sys.executable, "-c", LIAR, "run", "cologne1", "--agents", "inprocess", "--seconds", "60", "--report", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("not as required")]

    assert done.returncode == 1, done.stderr
    assert "trips of the monitor" in told
    assert "turned from green to red without yellow" in told
    assert (tmp_path / "out" / "index.html").exists()


def test_files_that_a_configuration_names_are_loaded_once(tmp_path: Path) -> None:
    """SUMO refuses a second program of one name, as it refuses second detectors and stops."""
    city = find_scenario("cologne1")
    more = tmp_path / "more.add.xml"
    more.write_text(SPARE.format("GS_cluster_357187_359543", "r" * 20) + "</tlLogic></additional>")
    config = tmp_path / "more.sumocfg"
    config.write_text(
        f'<configuration><net-file value="{city.net_file}"/><additional-files value="{more.name}"/>'
        '<begin value="25200"/><end value="25260"/></configuration>'
    )

    assert run_city(tmp_path / "out", str(config), "fixed", seconds=10.0).is_complete
