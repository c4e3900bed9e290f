"""Real namespaces: agents reach each other and the bridge device, and nothing of it is ever left behind."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import httpx
import prometheus_client
import pytest
from namespace_city import NEEDS_NAMESPACES, REAL_IP, rests_of

from agent_factories import make_site
from command_line import eventually, run_phasemesh
from phasemesh.contract.errors import EndpointError, InputError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.access import access_of_site
from phasemesh.controller.access.middleware import protected
from phasemesh.controller.clock import MonotonicClock
from phasemesh.controller.operator.server import listen, serve_in_thread
from phasemesh.controller.operator.service import ROLES, operator_app
from phasemesh.controller.operator.snapshot import OperatorBoard
from phasemesh.sim_harness.agent_child import enter_namespace
from phasemesh.sim_harness.namespace_network import NamespaceNetwork, opened_network
from phasemesh.sim_harness.provision import EVERYWHERE, agent_proofs

NAMES = tuple(map(IntersectionId, ("a", "b", "c")))
CAP_NET_ADMIN, PR_CAPBSET_DROP = 12, 24
OWN = os.getpid()
Found = TypeVar("Found")


def _rests(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def network() -> Iterator[NamespaceNetwork]:
    """A network of three agents."""
    with opened_network(NAMES, _rests) as network:
        yield network


def inside(network: NamespaceNetwork, name: IntersectionId, ask: Callable[[], Found]) -> Found:
    """What `ask` finds out in the namespace of `name`."""
    with ThreadPoolExecutor(1, initializer=enter_namespace, initargs=(network.namespace_of(name),)) as crew:
        return crew.submit(ask).result()


def answer_of(address: str, port: int = 9) -> Callable[[], int]:
    """Tries to connect to `address`: 0, or the number of the error; ECONNREFUSED says that somebody is there."""

    def ask() -> int:
        with socket.socket() as asking:
            asking.settimeout(0.5)
            return asking.connect_ex((address, port))

    return ask


def status_of(url: str, headers: dict[str, str] | None = None) -> int:
    """How a request is answered."""
    return httpx.get(url, headers=headers, trust_env=False).status_code


@NEEDS_NAMESPACES
def test_agents_reach_each_other_the_bridge_device_and_their_own_loopback(network: NamespaceNetwork) -> None:
    """Whoever is there refuses a port that nobody listens at."""
    plan = network.plan
    addresses = [plan.gateway, *(home.address for home in plan.homes.values()), "127.0.0.1"]

    answers = {inside(network, name, answer_of(address)) for name in NAMES for address in addresses}

    assert answers == {errno.ECONNREFUSED}


@NEEDS_NAMESPACES
def test_nothing_leads_out_of_the_city(network: NamespaceNetwork) -> None:
    """An agent has no route to anywhere else."""
    assert inside(network, NAMES[0], answer_of("192.0.2.1")) == errno.ENETUNREACH


@NEEDS_NAMESPACES
def test_loopback_is_that_of_the_namespace(network: NamespaceNetwork) -> None:
    """What listens on loopback of the machine is not there for an agent."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        answer = inside(network, NAMES[0], answer_of("127.0.0.1", port))

    assert answer == errno.ECONNREFUSED


@NEEDS_NAMESPACES
def test_f11_an_unplugged_agent_has_its_loopback_only_until_it_is_plugged_in(network: NamespaceNetwork) -> None:
    """The others go on; back on the network everybody is there again."""
    others = (network.plan.gateway, network.plan.homes[NAMES[1]].address)
    network.plug(NAMES[0], is_in=False)
    cut_off = [inside(network, NAMES[0], answer_of(address)) for address in others]
    loopback = inside(network, NAMES[0], answer_of("127.0.0.1"))
    beside = inside(network, NAMES[2], answer_of(others[1]))
    network.plug(NAMES[0], is_in=True)

    assert errno.ECONNREFUSED not in cut_off
    assert (loopback, beside) == (errno.ECONNREFUSED, errno.ECONNREFUSED)
    for address in others:
        # Addresses of the link are looked up again first, which takes a moment.
        assert eventually(lambda to=address: inside(network, NAMES[0], answer_of(to)) == errno.ECONNREFUSED)


@NEEDS_NAMESPACES
def test_health_is_open_on_an_agents_own_loopback_and_takes_a_token_from_elsewhere(
    network: NamespaceNetwork, tmp_path: Path
) -> None:
    """A box may ask its own agent; the harness on the bridge device is somebody else, and proves who it is."""
    site = make_site(tmp_path)
    name = next(iter(site.file.directory))
    proof = agent_proofs(tmp_path, ())[name]
    app = operator_app(OperatorBoard().latest, prometheus_client.CollectorRegistry(), MonotonicClock().mono_ns)
    gate = protected(app, ROLES, access_of_site(tmp_path, site.file, (name,)))
    server = inside(network, NAMES[0], lambda: serve_in_thread(gate, EVERYWHERE, 0))
    hosts = ("127.0.0.1", network.plan.homes[NAMES[0]].address)
    own, outer = (f"http://{host}:{server.port}/metrics" for host in hosts)
    try:
        at_home = inside(network, NAMES[0], lambda: status_of(own))
        from_elsewhere = (
            status_of(outer),
            status_of(outer, {"Authorization": "Bearer guessed"}),
            status_of(outer, proof),
        )
    finally:
        server.close()

    assert at_home == 200
    assert from_elsewhere == (401, 401, 200)


@NEEDS_NAMESPACES
def test_everything_is_removed_at_the_end() -> None:
    """Namespaces and devices, after an orderly end as after an error."""
    with opened_network(NAMES, _rests):
        there = rests_of(OWN)
    after = rests_of(OWN)
    with pytest.raises(LookupError), opened_network(NAMES, _rests):
        raise LookupError

    assert len(there) == 1 + 2 * len(NAMES)
    assert after == rests_of(OWN) == []


@NEEDS_NAMESPACES
def test_two_harnesses_have_different_addresses(network: NamespaceNetwork) -> None:
    """A second process on the same machine takes a block of its own, and leaves that of the first alone."""
    code = "from phasemesh.sim_harness.namespace_network import opened_network as o\n"
    code += "with o(['x'], print) as n: print(n.plan.gateway)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() not in ("", network.plan.gateway)
    assert len(rests_of(OWN)) == 1 + 2 * len(NAMES)


@NEEDS_NAMESPACES
def test_what_a_killed_harness_left_is_removed_by_the_next() -> None:
    """Kill -9 leaves everything there; the next start removes it, and nothing of those that live."""
    code = "import os, signal\nfrom phasemesh.sim_harness.namespace_network import opened_network as o\n"
    code += "with o(['x', 'y'], print): os.kill(os.getpid(), signal.SIGKILL)"
    dead = subprocess.Popen([sys.executable, "-c", code])
    dead.wait()
    left = rests_of(dead.pid)
    with opened_network(NAMES, _rests):
        assert rests_of(dead.pid) == []

    assert dead.returncode == -signal.SIGKILL
    assert len(left) == 5


@NEEDS_NAMESPACES
def test_a_network_that_cannot_be_finished_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `ip` that fails half-way costs one line, and what was there already is removed."""
    program = tmp_path / "ip"
    program.write_text(
        f'#!/bin/sh\n[ "$1" != -netns ] || {{ echo "no such luck" >&2; exit 1; }}\nexec {REAL_IP} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    luck = pytest.raises(InputError, match=r"--namespaces: ip cannot make .*: no such luck")
    with luck as refused, opened_network(NAMES, _rests):
        pass

    assert "\n" not in str(refused.value)
    assert rests_of(OWN) == []


def test_a_namespace_that_is_not_there_cannot_be_entered(tmp_path: Path) -> None:
    """One line, before any socket is opened; a file that is no namespace is refused as well."""
    (tmp_path / "file").touch()

    for path in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(EndpointError, match=r"cannot be entered: (No such file|Invalid argument)"):
            enter_namespace(path)


@pytest.mark.sumo
def test_without_the_command_ip_nothing_is_run(tmp_path: Path) -> None:
    """Exit code 2, one line, and no report."""
    report = tmp_path / "report"
    done = run_phasemesh("run", "cologne1", "--namespaces", "--report", str(report), PATH=str(tmp_path))

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "phasemesh: --namespaces: the command ip is not on the PATH; install iproute2, or leave --namespaces out"
    ]
    assert not report.exists()


@pytest.mark.sumo
def test_without_root_nothing_is_run(tmp_path: Path) -> None:
    """A process that may not administer networks ends with exit code 2, one line, and no report."""
    report = tmp_path / "report"
    code = f"import ctypes, os, sys; ctypes.CDLL(None).prctl({PR_CAPBSET_DROP}, {CAP_NET_ADMIN}, 0, 0, 0)\n"
    code += "os.execv(sys.executable, [sys.executable, '-m', 'phasemesh.controller', *sys.argv[1:]])"
    command = [sys.executable, "-c", code, "run", "cologne1", "--namespaces", "--report", str(report)]
    environment = {**os.environ, "PATH": f"{Path(REAL_IP).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("phasemesh: --namespaces: ")
    assert "run as root" in line or "not on the PATH" in line
    assert not report.exists()


@pytest.mark.sumo
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "cologne1", "--agents", "inprocess"), "only processes have a network of their own"),
        (("torture", "cologne3", "--sweep"), "the sweep is about single messages"),
    ],
)
def test_namespaces_without_processes_are_refused(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    """One line and exit code 2."""
    done = run_phasemesh(*arguments, "--namespaces", "--report", str(tmp_path / "report"))

    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "report").exists()
