"""What tests of namespaces need: whether this machine can make them, what is left of them, and runs of cities."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.namespace_network import DEVICES, NAMESPACES, check_namespaces
from phasemesh.sim_harness.namespaces import owner_of
from phasemesh.sim_harness.request import RunRequest
from phasemesh.sim_harness.result import RESULT_NAME, RunResult

REAL_IP = shutil.which("ip") or "ip"
_RUN = """
import sys
import msgspec
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.request import RunRequest, resolve
City(resolve(msgspec.json.decode(sys.argv[1], type=RunRequest))).run()
"""


def _fault() -> str:
    try:
        check_namespaces()
    except InputError as error:
        return str(error)
    return ""


FAULT = _fault()
NEEDS_NAMESPACES = pytest.mark.skipif(bool(FAULT), reason=FAULT)
"""Skips a test where namespaces cannot be made, and says why."""


def rests_of(*owners: int) -> list[str]:
    """Namespaces and devices that belong to one of `owners`."""
    found = (path.name for folder in (DEVICES, NAMESPACES) if folder.is_dir() for path in folder.iterdir())
    return sorted(name for name in found if owner_of(name) in owners)


def start_apart(folder: Path, scenario: str, controller: str, **changes: Any) -> subprocess.Popen[str]:
    """A run in a fresh process, one namespace an agent, with its outputs in `folder`."""
    request = RunRequest(
        scenario=scenario,
        controller=controller,
        report=str(folder),
        agents="processes",
        keeps_records=True,
        has_namespaces=True,
        **changes,
    )
    return subprocess.Popen(
        [sys.executable, "-c", _RUN, msgspec.json.encode(request).decode()],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_apart_in_namespaces(folder: Path, scenario: str, controller: str, **changes: Any) -> RunResult:
    """The result of a run with one namespace an agent; fails unless nothing is left of its network."""
    process = start_apart(folder, scenario, controller, **changes)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert rests_of(process.pid) == []
    return msgspec.json.decode((folder / RESULT_NAME).read_bytes(), type=RunResult)


def is_gone(group: int) -> bool:
    """Whether no process of the session `group` is left, once those that are killed have ended."""
    try:
        os.killpg(group, signal.SIGCONT)
    except ProcessLookupError:
        return True
    return False
