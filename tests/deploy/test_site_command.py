"""A site written by the command: it is in order, and its first intersection runs as two processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from command_line import eventually, fetch, free_ports, run_phasemesh, start_phasemesh
from phasemesh.contract.site import Pace, SiteFile
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.site_folder import read_intersection, read_site

pytestmark = pytest.mark.sumo

SCENARIO = "cologne3"
TAKEOVER_S = 60.0
"""Longest time from the start of agent and cabinet to the first command that is obeyed, in real time."""


class Written(msgspec.Struct, frozen=True):
    """A site that the command wrote, what it printed, and the port that its cabinets are expected at."""

    folder: Path
    site: SiteFile
    printed: str
    port: int

    @property
    def name(self) -> IntersectionId:
        """The intersection that the file `intersections/0.json` describes."""
        return next(name for name, address in self.site.directory.items() if address.number == 0)

    @property
    def operator(self) -> str:
        """Where the agent of that intersection answers."""
        return f"http://{read_intersection(self.folder, self.site, self.name).operator}"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The site of cologne3, whose cabinets are served at a free port."""
    folder = tmp_path_factory.mktemp("site") / "cologne3"
    (port,) = free_ports(1)
    cabinet = f"http://127.0.0.1:{port}"
    done = run_phasemesh("site", SCENARIO, "--out", str(folder), "--cabinet", cabinet, "--bundle", "max-pressure")
    assert done.returncode == 0, done.stderr
    return Written(folder, read_site(folder), done.stdout, port)


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    """Whatever a test starts, killed at its end."""
    with ExitStack() as stack:
        yield stack


def start(processes: ExitStack, *arguments: str) -> subprocess.Popen[str]:
    """A command that the test does not outlive."""
    process = processes.enter_context(start_phasemesh(*arguments))
    processes.callback(process.kill)
    return process


def test_a_written_site_is_in_order(written: Written) -> None:
    """`phasemesh check` has nothing to say against it."""
    done = run_phasemesh("check", str(written.folder))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{written.folder}: this site is in order\n"


def test_the_command_says_how_to_start_an_agent(written: Written) -> None:
    """It prints how many intersections there are, where the keys lie, and the lines to type next."""
    lines = written.printed.splitlines()

    assert lines[0] == f"{written.folder}: 3 intersections, keys in {written.folder / 'keys'} (mode 0600)"
    assert lines[1:] == [
        f"  phasemesh agent --site {written.folder} --id {name} --state state" for name in written.site.directory
    ]


def test_a_site_is_for_the_clock_of_the_street(written: Written) -> None:
    """It keeps real time under the street profile, at the tick and with the bundle that were asked for."""
    site = written.site

    assert (site.name, site.profile, site.pace) == (SCENARIO, "street", Pace.REALTIME)
    assert (site.bundle, site.tick_s) == ("max-pressure", 5.0)
    assert len(site.directory) == 3


def test_a_second_site_never_overwrites_the_keys_of_the_first(written: Written) -> None:
    """The folder stays byte for byte as it was."""
    before = {path: path.read_bytes() for path in written.folder.rglob("*") if path.is_file()}

    done = run_phasemesh("site", SCENARIO, "--out", str(written.folder))

    assert done.returncode == 2
    assert {path: path.read_bytes() for path in written.folder.rglob("*") if path.is_file()} == before


def test_only_the_signals_asked_for_are_in_a_site(tmp_path: Path) -> None:
    """The others run themselves, and nobody is their neighbour."""
    done = run_phasemesh("site", SCENARIO, "--out", str(tmp_path / "one"), "--signals", "360082")

    assert done.returncode == 0
    site = read_site(tmp_path / "one")
    assert list(site.directory) == ["360082"]
    assert read_intersection(tmp_path / "one", site, IntersectionId("360082")).intersection.neighbours == ()


@pytest.mark.slow
def test_an_agent_and_its_cabinet_run_by_hand_and_end_when_told(written: Written, processes: ExitStack) -> None:
    """The agent lives, commands the cabinet, shows the phase, and both end in order on SIGTERM."""
    of_site = ("--site", str(written.folder), "--id", written.name, "--state", str(written.folder / "state"))
    of_viewer = ("--id", written.name, "--name", "alice")
    token = run_phasemesh("token", "--site", str(written.folder), *of_viewer).stdout.strip()
    url = f"http://127.0.0.1:{written.port}/v1/cabinets/{written.name}/state"
    cabinet = start(processes, "cabinet", *of_site, "--port", str(written.port))
    # An agent that sees the flash of the start keeps away for another minute (invariant I11); this one comes after it.
    assert eventually(lambda: b'"mode":"own_plan"' in (fetch(url, token) or b""))
    agent = start(processes, "agent", *of_site)

    assert eventually(lambda: b'"is_alive":true' in (fetch(f"{written.operator}/livez") or b""))
    assert eventually(lambda: b'"letters"' in (fetch(f"{written.operator}/v1/phase", token) or b""))
    phase = msgspec.json.decode(fetch(f"{written.operator}/v1/phase", token) or b"{}")
    # An agent first reads valid states for a while (invariant I12).
    assert eventually(lambda: b'"mode":"agent"' in (fetch(url, token) or b""), TAKEOVER_S)
    state = msgspec.json.decode(fetch(url, token) or b"{}")

    assert phase["intersection"] == written.name
    assert set(phase["letters"]) <= set("GgyrR")
    assert (state["mode"], state["intersection_id"]) == ("agent", written.name)
    for process in (agent, cabinet):
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20.0) == 0
