"""The adapter for cabinets behind the REST service, over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from driver_suite import DriverSuite, Pilot, pilot

from agent_factories import make_cabinet
from cabinet_server import CabinetServer
from factories import make_intersection, make_timings
from phasemesh.contract.command import Command, CommandKind
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.errors import SiteError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.http import HttpDriver

__all__ = ["pilot"]

ODD_NAME = IntersectionId("high street/2nd ümlaut?")
"""Ids of intersections may hold any character."""


class HttpBench:
    """A cabinet behind a live service."""

    def __init__(self, server: CabinetServer) -> None:
        """Begin at 100 s, so that step and time differ."""
        self.intersection = make_intersection(ODD_NAME, has_left_lanes=True)
        self.timings = make_timings(self.intersection)
        self.server = server
        server.install(make_cabinet(self.intersection, now_s=100.0))
        self.drivers: list[HttpDriver] = []
        self._step = 0

    def driver(self) -> HttpDriver:
        """As in `Bench`."""
        self.drivers.append(HttpDriver(self.server.url, self.intersection.id))
        return self.drivers[-1]

    def advance(self) -> None:
        """As in `Bench`."""
        self._step += 1
        self.server.step(self._step, 100.0 + self._step)

    def close(self) -> None:
        """Let go of all sockets."""
        for driver in self.drivers:
            driver.close()


@pytest.fixture(scope="module")
def server() -> Iterator[CabinetServer]:
    """A service that lives as long as this file needs it."""
    with closing(CabinetServer()) as made:
        yield made


@pytest.fixture
def bench(server: CabinetServer) -> Iterator[HttpBench]:
    """A fresh crossing with left turns whose name must be quoted in an address."""
    with closing(HttpBench(server)) as made:
        yield made


class TestHttpDriver(DriverSuite):
    """The REST adapter keeps the contract."""


def make_command() -> Command:
    """A plain command of the first life."""
    return Command(ODD_NAME, 1, 1, 0, 100.0, CommandKind.STAGE, 0, approved_s=100.0)


def test_observing_waits_for_the_step(bench: HttpBench) -> None:
    """A long poll returns as soon as the step is published, not before."""
    driver = bench.driver()
    timer = threading.Timer(0.2, bench.advance)
    started_s = time.monotonic()
    timer.start()
    snapshot = driver.observe(0, 5.0)
    waited_s = time.monotonic() - started_s
    timer.join()

    assert isinstance(snapshot, Snapshot)
    assert snapshot.step == 1
    assert 0.15 < waited_s < 2.0


def test_observing_ends_with_its_timeout(bench: HttpBench) -> None:
    """Without a new step the answer is none, after the time that was asked for."""
    started_s = time.monotonic()
    answer = bench.driver().observe(0, 0.2)
    waited_s = time.monotonic() - started_s

    assert answer is None
    assert 0.15 < waited_s < 2.0


def test_a_dead_service_is_a_fault() -> None:
    """Every call answers with a reason instead of raising."""
    server = CabinetServer(make_cabinet(make_intersection(ODD_NAME)))
    driver = HttpDriver(server.url, ODD_NAME)
    driver.attach(1)
    server.close()
    answers = (driver.attach(1), driver.observe(0, 0.05), driver.apply(make_command()))

    assert all(isinstance(answer, DriverFault) for answer in answers)


def test_a_service_that_comes_back_is_used_again(bench: HttpBench) -> None:
    """After a broken connection the next call connects anew."""
    driver = bench.driver()
    driver.attach(1)
    driver.close()

    assert isinstance(driver.observe(-1, 0.0), Snapshot)


def test_an_unknown_cabinet_is_a_fault_with_its_reason(bench: HttpBench) -> None:
    """What the service says is passed on."""
    with closing(HttpDriver(bench.server.url, IntersectionId("nowhere"))) as driver:
        fault = driver.attach(1)

    assert isinstance(fault, DriverFault)
    assert "404: there is no cabinet 'nowhere' here" in fault.reason


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8600", "ftp://localhost:8600", "http://", "http://localhost:port", "http://localhost:99999"],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """A site that names no HTTP address fails at start-up with one line."""
    with pytest.raises(SiteError, match="must look like http://host:port"):
        HttpDriver(url, ODD_NAME)


class Charlatan:
    """Answers every request on one port with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        """Listen at a free port of loopback."""
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(self._answer)

    def close(self) -> None:
        """Let go of the port."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5.0)


def http_answer(status: str, body: bytes) -> bytes:
    """A whole HTTP answer."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another protocol"),
        pytest.param(http_answer("200 OK", b"{not json"), id="garbage"),
        pytest.param(http_answer("200 OK", b'"\xff\xfe"'), id="no text"),
        pytest.param(http_answer("200 OK", b'{"step": 1}'), id="another struct"),
        pytest.param(http_answer("500 Internal Server Error", b"Internal Server Error"), id="a crash"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", id="torn"),
    ],
)
def test_a_service_that_talks_nonsense_is_a_fault(answer: bytes) -> None:
    """Whatever comes back, an agent gets a value and goes on."""
    with closing(Charlatan(answer)) as charlatan, closing(HttpDriver(charlatan.url, ODD_NAME)) as driver:
        observed = driver.observe(0, 0.0)
        applied = driver.apply(make_command())

    assert isinstance(observed, DriverFault)
    assert isinstance(applied, DriverFault)


def test_two_drivers_see_the_same(bench: HttpBench) -> None:
    """Every driver of an intersection observes the same snapshot."""
    first, second = Pilot(bench), bench.driver()

    assert second.observe(-1, 0.0) == first.see()
