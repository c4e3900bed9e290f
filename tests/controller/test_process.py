"""Agents as processes: over real sockets, against a live cabinet service, from start to an orderly end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from agent_factories import EAST, PAIR, STEPS_PER_TICK, WEST, Site, Town, make_cabinet, make_site
from cabinet_server import CabinetServer
from command_line import PATIENCE_S, eventually, fetch, free_ports, run_phasemesh, start_phasemesh
from factories import make_intersection, make_reading
from phasemesh.contract.command import Command, CommandKind
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.errors import EndpointError, SiteError
from phasemesh.contract.site import Pace
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.operator.server import listen
from phasemesh.controller.policy.bundle import find_bundle, load_bundle
from phasemesh.controller.policy.trust import config_folder, trusted_keys
from phasemesh.controller.process import AgentLaunch, AgentProcess
from phasemesh.controller.replay import Replayed, replay
from phasemesh.controller.snapshot_source import SnapshotSource
from phasemesh.controller.telemetry.records import RecordHeader, Rung, Source, TickRecord, read_records

TICKS = 8
QUEUES = tuple(make_reading(queue_veh) for queue_veh in (1.0, 4.0, 0.0, 2.0))


class Drive(NamedTuple):
    """What two agent processes left behind after some ticks side by side."""

    folder: Path
    headers: dict[IntersectionId, RecordHeader]
    records: dict[IntersectionId, list[TickRecord]]
    codes: dict[IntersectionId, int]
    modes: dict[IntersectionId, ControlMode]


def read_ticks(path: Path) -> tuple[RecordHeader, list[TickRecord]]:
    """The header and the ticks in a file of the flight recorder."""
    header, items = read_records(path)
    return header, [item for item in items if isinstance(item, TickRecord)]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Drive:
    """Two neighbours, one process each, in lockstep with a live service for a few ticks; ended by SIGTERM."""
    folder = tmp_path_factory.mktemp("drive")
    (folder / "home").mkdir()
    cabinets = (make_cabinet(make_intersection(*each), step=-1) for each in PAIR.items())
    with closing(CabinetServer(*cabinets)) as server:
        make_site(folder / "site", cabinet=server.url, ports=free_ports(2))
        agents = {name: start_agent(folder, name) for name in PAIR}
        try:
            pass_time(server)
            modes = {name: cabinet.mode for name, cabinet in server.board.cabinets.items()}
            codes = {name: end(agent, signal.SIGTERM) for name, agent in agents.items()}
        finally:
            for agent in agents.values():
                agent.kill()
                agent.communicate()
    found = {name: read_ticks(folder / f"{name}.rec") for name in PAIR}
    headers = {name: header for name, (header, _) in found.items()}
    return Drive(folder, headers, {name: records for name, (_, records) in found.items()}, codes, modes)


def pass_time(server: CabinetServer) -> None:
    """Begin when both agents are ready, then go on whenever both have commanded."""
    commands: list[Command] = []
    leases: list[IntersectionId] = []
    server.board.on_command = commands.append
    server.board.on_lease = lambda name, _boot_id: leases.append(name)
    assert eventually(lambda: set(leases) == set(PAIR))
    server.step(0, 0.0, QUEUES)
    for step in range(1, (TICKS - 1) * STEPS_PER_TICK + 1):
        if step % STEPS_PER_TICK == 1:
            assert eventually(lambda done=step // STEPS_PER_TICK: len(commands) == 2 * (done + 1))
        server.step(step, float(step), QUEUES)
    assert eventually(lambda: len(commands) == 2 * TICKS)


def start_agent(folder: Path, name: IntersectionId) -> subprocess.Popen[str]:
    """The agent of `name`, whose home lies in `folder`."""
    arguments = ["agent", "--site", str(folder / "site"), "--id", name, "--boot-id", "1"]
    arguments += ["--records", str(folder / f"{name}.rec")]
    return start_phasemesh(*arguments, HOME=str(folder / "home"), XDG_CONFIG_HOME=str(config_folder().parent))


def end(agent: subprocess.Popen[str], number: signal.Signals) -> int:
    """The exit code after the signal `number`."""
    agent.send_signal(number)
    agent.communicate(timeout=PATIENCE_S)
    return agent.returncode


class TestTwoProcesses:
    """Two neighbouring agents over encrypted ZeroMQ and HTTP."""

    def test_sigterm_ends_in_order(self, drive: Drive) -> None:
        """Both processes end with code 0."""
        assert drive.codes == {WEST: 0, EAST: 0}

    def test_every_tick_is_recorded(self, drive: Drive) -> None:
        """One record a control interval, at the steps that all agents count alike."""
        expected = [tick * STEPS_PER_TICK for tick in range(TICKS)]

        assert {name: [record.step for record in records] for name, records in drive.records.items()} == {
            WEST: expected,
            EAST: expected,
        }

    def test_neighbours_hear_each_other_in_every_tick(self, drive: Drive) -> None:
        """Each message of a step is used in that very step, and nobody is missed."""
        records = [record for each in drive.records.values() for record in each]

        assert {record.rung for record in records} == {Rung.COORDINATED}
        assert all(record.peers[0].message and record.peers[0].message.step == record.step for record in records)
        assert not any(record.comm_misses for record in records)

    def test_the_cabinets_obey(self, drive: Drive) -> None:
        """Every command was answered, and the agents hold the signals."""
        records = [record for each in drive.records.values() for record in each]

        assert all(record.applied is not None and record.fault == "" for record in records)
        assert set(drive.modes.values()) == {ControlMode.AGENT}

    def test_processes_decide_as_one_process_would(self, drive: Drive) -> None:
        """Wire, encryption and HTTP change nothing: agents that share a thread decide the same, bit for bit."""
        bundle = load_bundle(find_bundle("max-pressure"), trusted_keys())
        town = Town(PAIR, lambda: bundle.policy(0))
        town.begin(QUEUES)
        ticks = [decide(town)]
        for _ in range(TICKS - 1):
            town.advance(QUEUES)
            ticks.append(decide(town))

        assert [
            [(record.wanted_stage, record.applied, record.logits, record.mask) for record in drive.records[name]]
            for name in PAIR
        ] == [[tick[name] for tick in ticks] for name in PAIR]

    @pytest.mark.parametrize("name", PAIR)
    def test_what_a_process_recorded_replays(self, drive: Drive, name: IntersectionId) -> None:
        """The flight recorder of a real drive repeats itself without a difference."""
        bundle = load_bundle(find_bundle("max-pressure"), trusted_keys())
        outcome = replay(drive.folder / f"{name}.rec", bundle.policy_for(name))

        assert outcome == Replayed(TICKS, 0, None)

    def test_the_header_names_bundle_and_life(self, drive: Drive) -> None:
        """A record says which policy made it and in which life."""
        bundle = load_bundle(find_bundle("max-pressure"), trusted_keys())
        header = drive.headers[WEST]

        assert (header.bundle, header.bundle_digest, header.boot_id) == ("max-pressure", bundle.digest, 1)
        assert header.intersection == make_intersection(WEST, (EAST,))

    def test_nothing_is_left_below_home(self, drive: Drive) -> None:
        """An agent and its libraries write no file of their own: nothing phones home from the roadside."""
        assert list((drive.folder / "home").rglob("*")) == []


def decide(town: Town) -> dict[IntersectionId, tuple[object, ...]]:
    """What the agents of `town` decide on the present step."""
    sensed = {name: resident.agent.sense(resident.cabinet.snapshot()) for name, resident in town.residents.items()}
    records = {name: resident.agent.act(sensed[name]) for name, resident in town.residents.items()}
    return {name: (each.wanted_stage, each.applied, each.logits, each.mask) for name, each in records.items()}


def test_a_policy_starts_no_thread(tmp_path: Path) -> None:
    """Loading and asking a policy leaves the process with its one thread and its home without a file."""
    program = (
        "import os\n"
        "from phasemesh.controller.policy.bundle import find_bundle, load_bundle\n"
        "from phasemesh.controller.policy.trust import trusted_keys\n"
        "policy = load_bundle(find_bundle('max-pressure'), trusted_keys()).policy(0)\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True, timeout=PATIENCE_S
    )

    assert answer.stdout == "1\n"
    assert list(tmp_path.rglob("*")) == []


ALONE: dict[IntersectionId, tuple[IntersectionId, ...]] = {WEST: ()}


class Lonely:
    """An agent process without neighbours, whose loop runs in a thread of the test."""

    def __init__(self, folder: Path, boot_id: int = 5) -> None:
        """Start the loop on the site in `folder`."""
        self.records = folder / "west.rec"
        self.process = AgentProcess(AgentLaunch(folder, WEST, boot_id, self.records))
        self._thread = threading.Thread(target=self.process.run, daemon=True)
        self._thread.start()

    def ticks(self) -> list[TickRecord]:
        """What has been recorded so far."""
        return read_ticks(self.records)[1]

    def close(self) -> None:
        """Stop the loop and wait for its end."""
        self.process.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def _switch_interval() -> Iterator[None]:
    """An agent process sets the interval at which threads change; tests after it must not inherit that."""
    before_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before_s)


@pytest.fixture
def server() -> Iterator[CabinetServer]:
    """A live service with one cabinet."""
    with closing(CabinetServer(make_cabinet(make_intersection(WEST)))) as made:
        yield made


def make_lonely_site(folder: Path, cabinet: str, **changes: object) -> Site:
    """A site of one intersection."""
    make: Callable[..., Site] = make_site
    return make(folder, ALONE, cabinet=cabinet, ports=free_ports(1), **changes)


def test_a_bundle_that_is_refused_leaves_the_plan(server: CabinetServer, tmp_path: Path) -> None:
    """An agent whose bundle cannot be found runs all the same, on LOCAL, and says why."""
    make_lonely_site(tmp_path, server.url, bundle="no-such-bundle")
    with closing(Lonely(tmp_path)) as agent:
        assert eventually(lambda: len(agent.ticks()) == 1)
        (record,) = agent.ticks()

    assert (record.rung, record.source) == (Rung.LOCAL, Source.PLAN)
    assert "no-such-bundle: is no folder with a manifest.json" in record.reason


def test_an_agent_takes_the_lease_of_its_cabinet(server: CabinetServer, tmp_path: Path) -> None:
    """The cabinet knows the life that commands it."""
    make_lonely_site(tmp_path, server.url)
    with closing(Lonely(tmp_path, boot_id=77)) as agent:
        assert eventually(lambda: len(agent.ticks()) == 1)
        snapshot = server.call(server.board.cabinets[WEST].snapshot)

    assert (snapshot.lease_boot_id, snapshot.mode) == (77, ControlMode.AGENT)


def test_steps_between_two_ticks_are_slept_through(server: CabinetServer, tmp_path: Path) -> None:
    """In lockstep only every fifth step is decided on."""
    make_lonely_site(tmp_path, server.url)
    with closing(Lonely(tmp_path)) as agent:
        for step in range(1, 11):
            assert eventually(lambda seen=step: len(agent.ticks()) == 1 + (seen - 1) // 5)
            server.step(step, float(step))
        assert eventually(lambda: len(agent.ticks()) == 3)

    assert [record.step for record in agent.ticks()] == [0, 5, 10]


def test_a_dead_cabinet_is_waited_for(tmp_path: Path) -> None:
    """While nobody answers the agent lives on and says so; once the cabinet is there it begins its work."""
    port, operator = free_ports(2)
    make_lonely_site(tmp_path, f"http://127.0.0.1:{port}", operator=f"127.0.0.1:{operator}")
    with closing(Lonely(tmp_path)) as agent:
        assert eventually(lambda: b"ConnectionRefusedError" in (fetch(f"http://127.0.0.1:{operator}/healthz") or b""))
        cabinet = make_cabinet(make_intersection(WEST))
        cabinet.read(QUEUES)
        with closing(CabinetServer(cabinet, port=port)):
            assert eventually(lambda: len(agent.ticks()) == 1)

    assert [(record.rung, record.source) for record in agent.ticks()] == [(Rung.COORDINATED, Source.POLICY)]


def test_a_cabinet_that_goes_and_comes_back_is_driven_again(tmp_path: Path) -> None:
    """After an outage the agent takes the lease anew, but leaves the cabinet its own plan until it has been quiet."""
    (port,) = free_ports(1)
    make_lonely_site(tmp_path, f"http://127.0.0.1:{port}")
    with closing(Lonely(tmp_path)) as agent:
        with closing(CabinetServer(make_cabinet(make_intersection(WEST)), port=port)):
            assert eventually(lambda: len(agent.ticks()) == 1)
        successor = make_cabinet(make_intersection(WEST), step=5, now_s=5.0)
        eventually(lambda: False, 0.5)
        with closing(CabinetServer(successor, port=port)) as server:
            assert eventually(lambda: len(agent.ticks()) == 2)
            snapshot = server.call(successor.snapshot)
    _, last = agent.ticks()

    assert last.rung is Rung.RELEASED
    assert last.reason
    assert last.kind is CommandKind.RELEASE
    assert (snapshot.lease_boot_id, snapshot.mode) == (5, ControlMode.OWN_PLAN)


def test_a_lease_that_is_refused_after_a_fault_keeps_the_agent_away(
    server: CabinetServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cabinet can be seen again and is not the agent's any more: it stands on RELEASED and says why."""
    make_lonely_site(tmp_path, server.url)
    look = SnapshotSource.next
    faults = [DriverFault("no answer")]
    with closing(Lonely(tmp_path)) as agent:
        assert eventually(lambda: len(agent.ticks()) == 1)
        monkeypatch.setattr(SnapshotSource, "attach", lambda _source: DriverFault("a newer life has the lease"))
        monkeypatch.setattr(SnapshotSource, "next", lambda source: faults.pop() if faults else look(source))
        assert eventually(lambda: not faults)
        server.step(5, 5.0, QUEUES)
        assert eventually(lambda: len(agent.ticks()) == 2)
    _, last = agent.ticks()

    assert (last.rung, last.kind, last.reason) == (Rung.RELEASED, CommandKind.RELEASE, "a newer life has the lease")


def test_a_tick_in_real_time_needs_no_common_step(server: CabinetServer, tmp_path: Path) -> None:
    """On a street the agent decides on whatever step is newest, at its own pace."""
    make_lonely_site(tmp_path, server.url, pace=Pace.REALTIME, speed=50.0)
    with closing(Lonely(tmp_path)) as agent:
        for step in range(1, 30):
            server.step(step, float(step))
            eventually(lambda: False, 0.02)
        assert eventually(lambda: len(agent.ticks()) >= 3)

    steps = [record.step for record in agent.ticks()]

    assert steps == sorted(set(steps))
    assert any(step % STEPS_PER_TICK for step in steps)


def test_an_agent_that_has_ended_let_go_of_everything(server: CabinetServer, tmp_path: Path) -> None:
    """Its port is free for its next life, and its record is complete."""
    make_lonely_site(tmp_path, server.url)
    with closing(Lonely(tmp_path)) as first:
        assert eventually(lambda: len(first.ticks()) == 1)
    with closing(Lonely(tmp_path, boot_id=6)) as second:
        assert eventually(lambda: second.records.exists() and len(second.ticks()) == 1)

    assert (tmp_path / "west.rec.1").exists()
    assert server.call(server.board.cabinets[WEST].snapshot).lease_boot_id == 6


def test_a_second_agent_of_one_intersection_is_refused(server: CabinetServer, tmp_path: Path) -> None:
    """It ends with one line and exit code 2, and the first one goes on (F22)."""
    make_lonely_site(tmp_path, server.url)
    with closing(Lonely(tmp_path)):
        with pytest.raises(EndpointError, match="another agent on this machine controls west"):
            AgentProcess(AgentLaunch(tmp_path, WEST, 6))
        answer = run_phasemesh("agent", "--site", str(tmp_path), "--id", WEST)

    assert answer.returncode == 2
    assert "another agent on this machine controls west" in answer.stderr.splitlines()[-1]


def test_a_second_agent_from_a_copy_of_the_site_is_refused(server: CabinetServer, tmp_path: Path) -> None:
    """Where the lock is another one, the address on which the first one publishes is the second bolt."""
    site = make_lonely_site(tmp_path / "site", server.url)
    endpoint = site.file.directory[WEST].endpoint
    shutil.copytree(tmp_path / "site", tmp_path / "copy")
    with closing(Lonely(tmp_path / "site")), pytest.raises(EndpointError, match=endpoint):
        AgentProcess(AgentLaunch(tmp_path / "copy", WEST, 6))


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    """A cabinet that cannot be meant is found at start-up."""
    make_lonely_site(tmp_path, "carrier-pigeon://roof")

    with pytest.raises(SiteError, match="must look like http://host:port"):
        AgentProcess(AgentLaunch(tmp_path, WEST, 1))


def test_a_busy_operator_port_is_refused(server: CabinetServer, tmp_path: Path) -> None:
    """Endpoints that nobody could reach are no silent loss."""
    with closing(listen("127.0.0.1", 0)) as holder:
        make_lonely_site(tmp_path, server.url, operator=f"127.0.0.1:{holder.getsockname()[1]}")

        with pytest.raises(EndpointError, match="cannot be bound: Address already in use"):
            AgentProcess(AgentLaunch(tmp_path, WEST, 1))


def test_an_orphan_ends(server: CabinetServer, tmp_path: Path) -> None:
    """An agent that was told to end with its parent stops when that is gone, even without a signal."""
    make_lonely_site(tmp_path, server.url)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from phasemesh.controller.process import AgentLaunch, serve_agent\n"
        "print(os.getpid(), flush=True)\n"
        f"serve_agent(AgentLaunch(Path({str(tmp_path)!r}), 'west', 1, None, True))\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}])"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert eventually(lambda: server.call(server.board.cabinets[WEST].snapshot).lease_boot_id == 1)
    parent.kill()
    parent.communicate(timeout=PATIENCE_S)

    assert eventually(lambda: not is_running(child))


def is_running(process_id: int) -> bool:
    """Whether a process of that number lives and is no mere entry of a table."""
    status = Path(f"/proc/{process_id}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"
