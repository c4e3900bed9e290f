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
from command_line import PATIENCE_S, eventually, free_ports, run_phasemesh, start_phasemesh
from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.contract.detection import ControlMode, Snapshot
from phasemesh.contract.site import Pace
from phasemesh.contract.timing import UnitTiming
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.tokens import read_agent_token
from phasemesh.controller.adapters.http import HttpDriver
from phasemesh.controller.cabinet.latches import LatchBook
from phasemesh.controller.cabinet.standalone import local_day_s
from phasemesh.controller.operator.server import listen
from phasemesh.controller.site_folder import write_site

SPEED = 20.0
"""Simulated seconds a second, so that twenty steps take one."""
START_UP_STEPS = 8
"""Six seconds of flash and two of red, in steps of a second."""


class Running:
    """A cabinet process that already serves, and the agent's way to it."""

    def __init__(self, site: Site, port: int, *options: str) -> None:
        """Start the cabinet of the west and wait until it answers."""
        self.url = f"http://127.0.0.1:{port}"
        number = site.file.directory[WEST].number
        self.driver = HttpDriver(self.url, WEST, read_agent_token(site.folder, number))
        self.process = start_phasemesh(
            "cabinet", "--site", str(site.folder), "--id", WEST, "--port", str(port), *options
        )
        assert eventually(lambda: isinstance(self.driver.observe(-1, 0.0), Snapshot))

    def state(self, after_step: int = -1) -> Snapshot:
        """The first snapshot after `after_step`."""
        snapshot = self.driver.observe(after_step, 5.0)
        assert isinstance(snapshot, Snapshot)
        return snapshot

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """The exit code after the signal `number`, and what was printed as an error."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err

    def close(self) -> None:
        """Leave no process behind."""
        self.driver.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Two crossings in accelerated real time, whose cabinets start like those of a street."""
    made = make_site(tmp_path_factory.mktemp("site"), pace=Pace.REALTIME, speed=SPEED)
    entries = tuple(msgspec.structs.replace(entry, unit=UnitTiming()) for entry in made.entries)
    write_site(made.folder, made.file, entries, made.keypairs)
    return made._replace(entries=entries)


@pytest.fixture
def running(site: Site) -> Iterator[Running]:
    """The cabinet of the west."""
    with closing(Running(site, *free_ports(1))) as process:
        yield process


def test_a_cabinet_starts_steps_obeys_and_ends(running: Running) -> None:
    """It leaves its start-up flash by itself at the site's speed, obeys, and ends in order on SIGTERM."""
    early = running.state()
    started = running.state(after_step=START_UP_STEPS)
    later = running.state(after_step=started.step + 5)
    number, stage = later.step, later.signal.stage
    applied = running.driver.apply(
        Command(WEST, 1, 1, number, later.now_s, CommandKind.STAGE, stage, approved_s=later.now_s)
    )
    mode = running.state().mode
    code, err = running.end(signal.SIGTERM)

    assert early.step > START_UP_STEPS or early.mode is ControlMode.STARTUP
    assert started.mode is ControlMode.OWN_PLAN
    assert later.now_s == later.step
    assert isinstance(applied, AppliedCommand)
    assert applied.rule in {"", "I2", "I6", "I7"}
    assert mode is ControlMode.AGENT
    assert (code, err) == (0, "")


def test_the_time_of_day_is_that_of_the_wall(running: Running) -> None:
    """Plans by time of day follow the local clock, whatever the speed of the site."""
    shown_s = running.state().day_s

    assert 0.0 <= shown_s < 86_400.0
    assert (local_day_s(0.0) - shown_s) % 86_400.0 < PATIENCE_S


def test_a_fault_outlasts_a_killed_process(site: Site, tmp_path: Path) -> None:
    """A cabinet that is killed in flash comes back in flash."""
    file = tmp_path / "state" / f"{site.file.directory[WEST].number}.json"
    file.parent.mkdir()
    LatchBook(file, 0.0, 0.0).latch("I1", "seen before the power went", 0.0, 0.0)
    latched = []
    for _ in range(2):
        with closing(Running(site, *free_ports(1), "--state", str(file.parent))) as running:
            running.state(after_step=START_UP_STEPS)
            snapshot = running.state()
            latched.append((snapshot.mode, snapshot.latched))
            running.process.kill()

    assert latched == [(ControlMode.FLASH, ("I1",))] * 2


def test_two_processes_never_serve_one_cabinet(site: Site, tmp_path: Path) -> None:
    """The second is refused in one line as long as the first lives, whatever its port; the folder is made."""
    folder = str(tmp_path / "new" / "state")
    with closing(Running(site, *free_ports(1), "--state", folder)) as running:
        port = str(free_ports(1)[0])
        second = run_phasemesh("cabinet", "--site", str(site.folder), "--id", WEST, "--port", port, "--state", folder)
        is_alive = running.process.poll() is None

    assert is_alive
    assert "another process serves this cabinet; stop it first" in refusal(second)


def test_a_state_folder_that_cannot_be_is_one_line(site: Site, tmp_path: Path) -> None:
    """A file in its place is named."""
    (tmp_path / "state").write_text("")
    port = str(free_ports(1)[0])
    answer = run_phasemesh(
        "cabinet", "--site", str(site.folder), "--id", WEST, "--port", port, "--state", str(tmp_path / "state")
    )

    assert refusal(answer).startswith(f"phasemesh: {tmp_path}/state: cannot be made")


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
