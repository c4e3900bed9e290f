"""An agent's process under its own faults: storms of restarts, dead loops, errors, full disks, latches."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_factories import WEST, make_cabinet, make_site
from agent_runs import Alone
from cabinet_server import CabinetServer
from command_line import PATIENCE_S, eventually, fetch, free_ports
from factories import make_intersection, make_reading
from phasemesh.contract.command import CommandKind
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.errors import EndpointError
from phasemesh.contract.site import Pace
from phasemesh.controller.ladder_table import ROWS, LadderEvent, Rung
from phasemesh.controller.life_file import LifeFile, kernel_boot, read_life, wall_ms, write_life
from phasemesh.controller.operator.orders import Order, OrderKind
from phasemesh.controller.process import EXIT_BROKEN, AgentLaunch, AgentProcess
from phasemesh.controller.watchdog import EXIT_LOOP_DEAD

QUEUES = tuple(make_reading(queue_veh) for queue_veh in (1.0, 4.0, 0.0, 2.0))
STREETS: dict[Any, tuple[Any, ...]] = {WEST: ()}
SOON_S = 15.0
"""Less than the pause of a storm of restarts, in seconds."""


@pytest.fixture(autouse=True)
def _switch_interval() -> Iterator[None]:
    """An agent process sets the interval at which threads change; tests after it must not inherit that."""
    before_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before_s)


@pytest.fixture
def server() -> Iterator[CabinetServer]:
    """A live service with one cabinet whose detectors have spoken."""
    cabinet = make_cabinet(make_intersection(WEST))
    cabinet.read(QUEUES)
    with closing(CabinetServer(cabinet)) as made:
        yield made


def launch_of(folder: Path, **changes: Any) -> AgentLaunch:
    """How to launch the agent of the site in `folder`."""
    return AgentLaunch(**{"site_folder": folder, "intersection_id": WEST, "boot_id": 5, **changes})


PROGRAM = """
import sys, threading, time
from pathlib import Path
import msgspec
from phasemesh.controller import process
from phasemesh.controller.agent import Agent
launch = msgspec.json.decode(sys.argv[1], type=process.AgentLaunch, dec_hook=lambda kind, value: kind(value))
{spoil}
process.serve_agent(launch)
"""


def serve(launch: AgentLaunch, spoil: str = "", **options: Any) -> subprocess.Popen[str]:
    """A process that runs `launch` after `spoil` has altered the code in it."""
    described = msgspec.json.encode(launch, enc_hook=str).decode()
    command = [sys.executable, "-c", PROGRAM.format(spoil=spoil), described]
    return subprocess.Popen(command, text=True, **{"stderr": subprocess.PIPE, **options})


def life_in(folder: Path) -> LifeFile:
    """What the file of lives in `folder` tells."""
    life = read_life(folder / "0.life.json")
    assert isinstance(life, LifeFile)
    return life


def events_in(errors: str) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in errors.splitlines() if line.startswith("{")]


class TestStorms:
    """Lives that follow each other too fast keep away from their cabinet (F23)."""

    def storm_of(self, folder: Path, short_lives: int) -> Path:
        """A state in which the last life has begun just now."""
        write_life(folder / "0.life.json", LifeFile(kernel_boot(), time.monotonic_ns(), short_lives))
        return folder

    def test_a_short_life_keeps_the_next_one_away(self, server: CabinetServer, tmp_path: Path) -> None:
        """The cabinet hears nothing for a second, the endpoints say why, and then the work begins."""
        (operator,) = free_ports(1)
        make_site(tmp_path / "site", STREETS, cabinet=server.url, operator=f"127.0.0.1:{operator}")
        state = self.storm_of(tmp_path, 0)
        leases: list[int] = []
        server.board.on_lease = lambda _name, boot_id: leases.append(boot_id)
        launch = launch_of(tmp_path / "site", records=tmp_path / "west.rec", state_folder=state)
        began_s = time.monotonic()
        with closing(Alone(launch)):
            ready_url = f"http://127.0.0.1:{operator}/readyz"
            assert eventually(lambda: b"keeping away" in (fetch(ready_url) or b""))
            had_lease = bool(leases)
            assert eventually(lambda: bool(leases))
            waited_s = time.monotonic() - began_s

        assert not had_lease
        assert waited_s >= 1.0
        assert life_in(state).short_lives == 1

    def test_without_a_folder_nobody_waits(self, server: CabinetServer, tmp_path: Path) -> None:
        """As in the harness, where lives are short on purpose."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        for boot_id in (1, 2, 3):
            launch = launch_of(tmp_path / "site", records=tmp_path / f"{boot_id}.rec", boot_id=boot_id)
            began_s = time.monotonic()
            with closing(Alone(launch)) as agent:
                assert eventually(lambda found=agent: len(found.ticks()) == 1)
            assert time.monotonic() - began_s < SOON_S

    def test_a_pause_can_be_ended(self, server: CabinetServer, tmp_path: Path) -> None:
        """SIGTERM does not wait for a minute to be over."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        state = self.storm_of(tmp_path, 20)
        began_s = time.monotonic()
        with closing(Alone(launch_of(tmp_path / "site", records=tmp_path / "west.rec", state_folder=state))):
            time.sleep(0.3)

        assert time.monotonic() - began_s < SOON_S
        assert server.call(server.board.cabinets[WEST].snapshot).mode is ControlMode.OWN_PLAN

    def test_a_state_that_cannot_be_written_is_no_hindrance(self, server: CabinetServer, tmp_path: Path) -> None:
        """Neither the lock nor the file of the life is a condition of control (F17)."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        (tmp_path / "file").write_text("in the way")
        launch = launch_of(tmp_path / "site", records=tmp_path / "west.rec", state_folder=tmp_path / "file" / "state")
        with closing(Alone(launch)) as agent:
            assert eventually(lambda: len(agent.ticks()) == 1)
            with pytest.raises(EndpointError, match="another agent on this machine"):
                AgentProcess(launch)


class TestLatches:
    """What is latched outlasts the process, until an operator resets it (I19)."""

    def test_a_latch_survives_and_is_reset(self, tmp_path: Path) -> None:
        """Another configuration holds this life and the next one down; the reset frees both for good."""
        cabinet = make_cabinet(make_intersection(WEST, (), has_left_lanes=False))
        cabinet.read(QUEUES)
        with closing(CabinetServer(cabinet)) as server:
            site = make_site(tmp_path / "site", STREETS, cabinet=server.url)
            other = msgspec.structs.replace(site.entries[0].timings[0], max_wait_s=149.0)
            stranger = make_site(tmp_path / "other", STREETS, cabinet=server.url, timings=(other,) * 2)
            launch = launch_of(stranger.folder, state_folder=tmp_path, records=tmp_path / "1.rec")
            with closing(Alone(launch)) as agent:
                assert eventually(lambda: len(agent.ticks()) == 1)
            first = agent.ticks()[0]
            kept = life_in(tmp_path).latched
            write_life(tmp_path / "0.life.json", LifeFile(latched=kept))
            launch = launch_of(site.folder, state_folder=tmp_path, records=tmp_path / "2.rec", boot_id=6)
            with closing(Alone(launch)) as agent:
                assert eventually(lambda: len(agent.ticks()) == 1)
                agent.process.orders.place(Order(OrderKind.RESET, "mended"), time.monotonic_ns())
                for step in range(1, 6):
                    server.step(step, float(step), QUEUES)
                assert eventually(lambda: len(agent.ticks()) == 2)
            held, freed = agent.ticks()

        assert (first.rung, kept) == (Rung.RELEASED, (LadderEvent.CONFIG_DIFFERS,))
        assert (held.rung, held.kind) == (Rung.RELEASED, CommandKind.RELEASE)
        assert freed.rung is Rung.COORDINATED
        assert life_in(tmp_path).latched == ()

    def test_a_damaged_file_of_lives_commands_nothing_until_it_is_reset(
        self, server: CabinetServer, tmp_path: Path
    ) -> None:
        """It may have held a latch: the signal is left to its own plan, and the reason says why."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        (tmp_path / "0.life.json").write_bytes(b"torn")
        launch = launch_of(tmp_path / "site", state_folder=tmp_path, records=tmp_path / "1.rec")
        with closing(Alone(launch)) as agent:
            assert eventually(lambda: len(agent.ticks()) == 1)
            agent.process.orders.place(Order(OrderKind.RESET, "looked at it"), time.monotonic_ns())
            for step in range(1, 6):
                server.step(step, float(step), QUEUES)
            assert eventually(lambda: len(agent.ticks()) == 2)
        held, freed = agent.ticks()

        assert (held.rung, held.kind) == (Rung.RELEASED, CommandKind.RELEASE)
        assert held.reason == f"latched until an operator resets it: {ROWS[LadderEvent.LIFE_UNREADABLE].sentence}"
        assert freed.rung is Rung.COORDINATED
        assert life_in(tmp_path).latched == ()


class TestNumbers:
    """Lives are told apart by numbers that rise (I18)."""

    def test_a_life_after_the_clock_was_set_back_is_obeyed(self, server: CabinetServer, tmp_path: Path) -> None:
        """The last life was numbered by a clock a year ahead; the cabinet obeys the new one all the same."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        last = wall_ms() + 365 * 86_400_000
        server.call(lambda: server.board.cabinets[WEST].attach(last))
        write_life(tmp_path / "0.life.json", LifeFile(highest_boot_id=last))
        launch = launch_of(tmp_path / "site", state_folder=tmp_path, records=tmp_path / "1.rec", boot_id=None)
        with closing(Alone(launch)) as agent:
            assert eventually(lambda: len(agent.ticks()) == 1)
            snapshot = server.call(server.board.cabinets[WEST].snapshot)

        assert (snapshot.lease_boot_id, snapshot.mode) == (last + 1, ControlMode.AGENT)
        assert agent.ticks()[0].rung is Rung.COORDINATED


class TestDeaths:
    """A process whose loop cannot go on ends, lets go, and says why in one line."""

    DEAD = "Agent.tick = lambda self, snapshot: threading.Event().wait()\nprocess.longest_silence_s = lambda *_: 1.5"
    BROKEN = "def fall(self, snapshot): raise ZeroDivisionError('a wrong turn')\nAgent.sense = fall"

    def test_a_dead_loop_ends_the_process(self, server: CabinetServer, tmp_path: Path) -> None:
        """Its threads live, its endpoints answer, and yet it is dead (F29)."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        agent = serve(launch_of(tmp_path / "site"), self.DEAD)
        _, errors = agent.communicate(timeout=PATIENCE_S)
        (last,) = [line for line in events_in(errors) if line["level"] == "critical"]

        assert agent.returncode == EXIT_LOOP_DEAD
        assert (last["event"], last["intersection"]) == ("decision loop dead", WEST)
        assert last["silent_s"] >= 1.5

    def test_an_error_of_its_own_ends_the_process(self, server: CabinetServer, tmp_path: Path) -> None:
        """One line names the error and its place; there is no traceback, and the code is no other."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        agent = serve(launch_of(tmp_path / "site"), self.BROKEN)
        _, errors = agent.communicate(timeout=PATIENCE_S)
        (last,) = [line for line in events_in(errors) if line["level"] == "critical"]

        assert agent.returncode == EXIT_BROKEN
        assert "Traceback" not in errors
        assert (last["event"], last["error"]) == ("agent broken", "ZeroDivisionError('a wrong turn')")

    def test_an_error_lets_go_of_the_cabinet(self, server: CabinetServer, tmp_path: Path) -> None:
        """A tick that fails after a good one leaves the signal to the cabinet's own plan at once."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        spoil = (
            "sense = Agent.sense\n"
            "def fall(self, snapshot):\n"
            "    if snapshot.step > 0: raise ZeroDivisionError('a wrong turn')\n"
            "    return sense(self, snapshot)\n"
            "Agent.sense = fall"
        )
        agent = serve(launch_of(tmp_path / "site"), spoil)
        cabinet = server.board.cabinets[WEST]
        assert eventually(lambda: server.call(lambda: cabinet.mode) is ControlMode.AGENT)
        for step in range(1, 6):
            server.step(step, float(step), QUEUES)
        agent.communicate(timeout=PATIENCE_S)

        assert agent.returncode == EXIT_BROKEN
        assert server.call(lambda: cabinet.mode) is ControlMode.OWN_PLAN

    def test_a_stopped_process_goes_on(self, server: CabinetServer, tmp_path: Path) -> None:
        """SIGSTOP and SIGCONT are no death: the agent takes up its work where the street is by then (F1)."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url, pace=Pace.REALTIME, speed=20.0)
        agent = serve(launch_of(tmp_path / "site"), "process.longest_silence_s = lambda *_: 1.5")
        cabinet = server.board.cabinets[WEST]
        assert eventually(lambda: server.call(lambda: cabinet.mode) is ControlMode.AGENT)
        agent.send_signal(signal.SIGSTOP)
        time.sleep(2.0)
        agent.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        is_alive = agent.poll() is None
        agent.terminate()
        agent.communicate(timeout=PATIENCE_S)

        assert is_alive
        assert agent.returncode == 0


class TestDisks:
    """A full disk costs records and lines, never a tick (F17)."""

    def test_records_and_log_on_a_full_disk(self, server: CabinetServer, tmp_path: Path) -> None:
        """The agent commands as ever, ends in order, and says how much is lost."""
        (operator,) = free_ports(1)
        make_site(tmp_path / "site", STREETS, cabinet=server.url, operator=f"127.0.0.1:{operator}")
        with Path("/dev/full").open("w") as full:
            agent = serve(launch_of(tmp_path / "site", records=Path("/dev/full")), stderr=full)
            cabinet = server.board.cabinets[WEST]
            assert eventually(lambda: server.call(lambda: cabinet.mode) is ControlMode.AGENT)
            health = fetch(f"http://127.0.0.1:{operator}/healthz") or b""
            agent.terminate()
            agent.communicate(timeout=PATIENCE_S)

        assert agent.returncode == 0
        assert b"No space left on device" in health

    def test_a_log_that_nobody_reads_is_no_hindrance(self, server: CabinetServer, tmp_path: Path) -> None:
        """A closed pipe behind standard error does not end an agent."""
        make_site(tmp_path / "site", STREETS, cabinet=server.url)
        reading, writing = os.pipe()
        agent = serve(launch_of(tmp_path / "site"), stderr=writing)
        os.close(writing)
        os.close(reading)
        cabinet = server.board.cabinets[WEST]
        assert eventually(lambda: server.call(lambda: cabinet.mode) is ControlMode.AGENT)
        agent.terminate()
        agent.communicate(timeout=PATIENCE_S)

        assert agent.returncode == 0


def test_a_service_manager_hears_of_the_loop(server: CabinetServer, tmp_path: Path) -> None:
    """Ready once the neighbours and the cabinet were met, then a sign of life with the loop's turns, then the end."""
    make_site(tmp_path / "site", STREETS, cabinet=server.url)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        agent = serve(launch_of(tmp_path / "site"), env=environment)
        heard = {manager.recv(64)}
        while not {b"READY=1", b"WATCHDOG=1"} <= heard:
            heard.add(manager.recv(64))
        agent.terminate()
        agent.communicate(timeout=PATIENCE_S)
        while b"STOPPING=1" not in heard:
            heard.add(manager.recv(64))

    assert heard == {b"READY=1", b"WATCHDOG=1", b"STOPPING=1"}


def test_a_change_of_the_rung_stands_in_the_log(tmp_path: Path) -> None:
    """The first rung of a life, and each one after it, with its reason."""
    (port,) = free_ports(1)
    make_site(tmp_path / "site", STREETS, cabinet=f"http://127.0.0.1:{port}")
    cabinet = make_cabinet(make_intersection(WEST))
    with closing(CabinetServer(cabinet, port=port)) as server:
        agent = serve(launch_of(tmp_path / "site"))
        assert eventually(lambda: server.call(lambda: cabinet.mode) is ControlMode.AGENT)
        agent.terminate()
        _, errors = agent.communicate(timeout=PATIENCE_S)
    told = {line["event"]: line["reason"] for line in events_in(errors) if line["event"] in ("rung", "trouble_begin")}

    assert told["rung"].startswith("LOCAL: not one of 4 lanes has a sound detector")
    assert told["trouble_begin"] == "no detector can be trusted"
