"""Runs of whole cities for tests, each in a process of its own, through the same door as `phasemesh compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phasemesh.sim_harness.metrics import trips_digest
from phasemesh.sim_harness.request import RunRequest
from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.sumo.connection import TRIPS_NAME
from phasemesh.sim_harness.worker import run_apart


def run_city(folder: Path, scenario: str, controller: str, **changes: Any) -> RunResult:
    """The result of one run in a fresh process; its outputs are in `folder`."""
    return run_apart(RunRequest(scenario=scenario, controller=controller, report=str(folder), **changes))


def digest(folder: Path) -> str:
    """What names the trips of a run, vehicle by vehicle."""
    return trips_digest(folder / TRIPS_NAME)
