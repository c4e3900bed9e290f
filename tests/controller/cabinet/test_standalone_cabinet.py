"""`phasemesh cabinet`: one cabinet as a process of its own, on the monotonic clock."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from agent_factories import EAST, WEST, Site, make_site
from command_line import PATIENCE_S, eventually, fetch, free_ports, run_phasemesh, start_phasemesh
from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.contract.detection import ControlMode, Snapshot
from phasemesh.contract.site import Pace
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.http import HttpDriver
from phasemesh.controller.operator.server import listen

SPEED = 20.0
"""Simulated seconds a second, so that twenty steps take one."""


class Running:
    """A cabinet process that already serves."""

    def __init__(self, site: Site, port: int) -> None:
        """Start the cabinet of the west and wait until it answers."""
        self.url = f"http://127.0.0.1:{port}"
        self.process = start_phasemesh("cabinet", "--site", str(site.folder), "--id", WEST, "--port", str(port))
        assert eventually(lambda: fetch(f"{self.url}/v1/cabinets") is not None)

    def state(self) -> Snapshot:
        """The present snapshot."""
        return msgspec.json.decode(fetch(f"{self.url}/v1/cabinets/west/state") or b"", type=Snapshot)

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """The exit code after the signal `number`, and what was printed as an error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err

    def close(self) -> None:
        """Leave no process behind."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two crossings in accelerated real time."""
    return make_site(tmp_path_factory.mktemp("site"), pace=Pace.REALTIME, speed=SPEED)


@pytest.fixture
def running(site: Site) -> Iterator[Running]:
    """The cabinet of the west."""
    with closing(Running(site, *free_ports(1))) as process:
        yield process


def test_a_cabinet_serves_steps_and_ends(running: Running) -> None:
    """It serves its one intersection, steps by itself at the site's speed, obeys, and ends in order on SIGTERM."""
    listed = msgspec.json.decode(fetch(f"{running.url}/v1/cabinets") or b"")
    with closing(HttpDriver(running.url, WEST)) as driver:
        first = driver.observe(-1, 1.0)
        later = driver.observe(first.step + 9, 5.0) if isinstance(first, Snapshot) else None
        assert isinstance(later, Snapshot)
        command = Command(WEST, 1, 1, later.step, later.now_s, CommandKind.STAGE, later.signal.stage)
        applied = driver.apply(command)
    mode = running.state().mode
    code, err = running.end(signal.SIGTERM)

    assert listed == [WEST]
    assert later.now_s == later.step
    assert isinstance(applied, AppliedCommand)
    assert applied.rule in {"", "I2", "I6", "I7"}
    assert mode is ControlMode.AGENT
    assert (code, err) == (0, "")


def test_an_interrupt_ends_it_in_order(running: Running) -> None:
    """Control-C at a terminal is no failure either."""
    assert running.end(signal.SIGINT) == (0, "")


def refusal(answer: subprocess.CompletedProcess[str]) -> str:
    """The one line with which the command refused."""
    assert answer.returncode == 2, answer
    assert answer.stdout == ""
    (line,) = answer.stderr.splitlines()
    return line


def test_a_port_in_use_is_one_line(site: Site) -> None:
    """The address is named and the exit code is 2."""
    with closing(listen("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        answer = run_phasemesh("cabinet", "--site", str(site.folder), "--id", EAST, "--port", str(port))

    assert refusal(answer).startswith(f"phasemesh: 127.0.0.1:{port} cannot be bound: Address already in use")


def test_an_unknown_intersection_is_one_line(site: Site) -> None:
    """What is there is named."""
    answer = run_phasemesh("cabinet", "--site", str(site.folder), "--id", IntersectionId("nowhere"))

    assert "there is no intersection 'nowhere'; the first are east, west" in refusal(answer)


def test_a_folder_without_a_site_is_one_line(tmp_path: Path) -> None:
    """The missing file is named."""
    answer = run_phasemesh("cabinet", "--site", str(tmp_path), "--id", WEST)

    assert refusal(answer).startswith(f"phasemesh: {tmp_path}/site.json: No such file or directory")
