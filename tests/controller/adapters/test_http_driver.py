"""The adapter for cabinets behind the REST service, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest
from driver_suite import DriverSuite, Pilot, pilot

from agent_factories import make_cabinet, make_site
from cabinet_server import CabinetServer
from factories import make_intersection, make_timings
from phasemesh.contract.command import Command, CommandKind
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.errors import SiteError
from phasemesh.contract.site import Pace
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.http import HttpDriver, Patience, patience_of
from phasemesh.controller.adapters.table import open_driver

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
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Len", id="torn in its head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n{}", id="without a length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 1\r\n\r\n{}", id="two lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", id="less than nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}", id="without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{}", id="more than was asked"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 4000, id="headers without end"),
        pytest.param(b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}", id="no status"),
    ],
)
def test_a_service_that_talks_nonsense_is_a_fault(answer: bytes) -> None:
    """Whatever comes back, an agent gets a value and goes on."""
    with closing(Charlatan(answer)) as charlatan, closing(HttpDriver(charlatan.url, ODD_NAME)) as driver:
        observed = driver.observe(0, 0.0)
        applied = driver.apply(make_command())

    assert isinstance(observed, DriverFault)
    assert isinstance(applied, DriverFault)


SHORT = Patience(tick_s=0.2, answer_s=0.2)
"""Of a driver that waits for nobody longer than a fifth of a second, beside what it is asked to wait."""
CALLS: dict[str, Callable[[HttpDriver], object]] = {
    "attach": lambda driver: driver.attach(1),
    "observe": lambda driver: driver.observe(-1, 0.0),
    "apply": lambda driver: driver.apply(make_command()),
}


class Sluggard:
    """Answers each request on one port as `serve` does, each connection in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket, threading.Event], None], backlog: int = 5) -> None:
        """Listen at a free port of loopback; the event that `serve` gets ends every wait of it."""
        self.is_over = threading.Event()
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._answer, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _answer(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError):
            while connection.recv(65536):
                self._serve(connection, self.is_over)

    def close(self) -> None:
        """Let go of the port and end all threads."""
        self.is_over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5.0)


def hang(_connection: socket.socket, is_over: threading.Event) -> None:
    """Take the request and say nothing."""
    is_over.wait()


def trickle(connection: socket.socket, is_over: threading.Event) -> None:
    """Say the whole truth, one byte after another, each of them well within the patience."""
    for byte in http_answer("200 OK", b"{}" + b" " * 100):
        connection.sendall(bytes([byte]))
        is_over.wait(0.01)


def trickle_a_body(connection: socket.socket, is_over: threading.Event) -> None:
    """Say at once how long the answer is, and then take all the time for it."""
    connection.sendall(http_answer("200 OK", b" " * 200)[:-200])
    for _ in range(200):
        connection.sendall(b" ")
        is_over.wait(0.01)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("serve", [hang, trickle, trickle_a_body])
def test_a_cabinet_that_hangs_or_trickles_is_a_fault(
    call: str, serve: Callable[[socket.socket, threading.Event], None]
) -> None:
    """The deadline is that of the whole exchange: bytes that come in time one by one do not put it off."""
    with (
        closing(Sluggard(serve)) as sluggard,
        closing(HttpDriver(f"http://127.0.0.1:{sluggard.port}", ODD_NAME, patience=SHORT)) as driver,
    ):
        fault = CALLS[call](driver)

    assert isinstance(fault, DriverFault)
    assert "TimeoutError: timed out" in fault.reason


def test_a_cabinet_that_never_shakes_hands_is_a_fault() -> None:
    """The deadline is that of the encrypted connection too."""
    with closing(Sluggard(hang)) as sluggard:
        url = f"https://127.0.0.1:{sluggard.port}"
        with closing(HttpDriver(url, ODD_NAME, tls=ssl.create_default_context, patience=SHORT)) as driver:
            fault = driver.apply(make_command())

    assert isinstance(fault, DriverFault)
    assert "TimeoutError" in fault.reason


def test_a_cabinet_that_takes_no_connection_is_a_fault() -> None:
    """The deadline begins before the connection is opened; a full queue of a dead service lets nobody in."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0), backlog=0)))
        for _ in range(4):
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        driver = stack.enter_context(closing(HttpDriver(url, ODD_NAME, patience=SHORT)))
        fault = driver.apply(make_command())

    assert isinstance(fault, DriverFault)
    assert "TimeoutError: timed out" in fault.reason


def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    """What comes after the deadline goes to nobody: the next request has a connection and an answer of its own."""
    served: list[int] = []

    def serve(connection: socket.socket, is_over: threading.Event) -> None:
        served.append(len(served) + 1)
        number = served[-1]
        if number == 1:
            is_over.wait(0.4)
        connection.sendall(http_answer("503 No", b'{"reason": "request %d"}' % number))

    with (
        closing(Sluggard(serve)) as sluggard,
        closing(HttpDriver(f"http://127.0.0.1:{sluggard.port}", ODD_NAME, patience=SHORT)) as driver,
    ):
        late = driver.apply(make_command())
        time.sleep(0.3)
        # It may wait longer, so that only an answer to another request could be a wrong one.
        after = driver.observe(-1, 30.0)

    assert isinstance(late, DriverFault)
    assert "timed out" in late.reason
    assert isinstance(after, DriverFault)
    assert "503: request 2" in after.reason


def test_a_command_has_what_is_left_of_its_tick() -> None:
    """It is waited for until a tick after the snapshot came, and for as long as any other answer at least."""
    snapshot = msgspec.json.encode(make_cabinet(make_intersection(ODD_NAME)).snapshot())

    def serve(connection: socket.socket, is_over: threading.Event) -> None:
        is_over.wait(0.3)
        connection.sendall(http_answer("200 OK", snapshot))

    patience = Patience(tick_s=60.0, answer_s=0.1)
    with (
        closing(Sluggard(serve)) as sluggard,
        closing(HttpDriver(f"http://127.0.0.1:{sluggard.port}", ODD_NAME, patience=patience)) as driver,
    ):
        before = driver.apply(make_command())
        seen = driver.observe(-1, 30.0)
        after = driver.apply(make_command())
        attached = driver.attach(1)

    assert isinstance(seen, Snapshot)
    assert isinstance(before, DriverFault)
    assert isinstance(after, DriverFault)
    assert isinstance(attached, DriverFault)
    assert ["timed out" in fault.reason for fault in (before, after, attached)] == [True, False, True]
    assert "cannot be read" in after.reason


@pytest.mark.parametrize(
    ("pace", "speed", "tick_s", "expected"),
    [
        (Pace.REALTIME, 1.0, 2.0, Patience(2.0, 1.0)),
        (Pace.REALTIME, 1.0, 5.0, Patience(5.0, 2.5)),
        (Pace.REALTIME, 1.0, 0.5, Patience(0.5, 0.25)),
        (Pace.REALTIME, 20.0, 2.0, Patience(0.1, 1.0)),
        (Pace.REALTIME, 20.0, 0.5, Patience(0.025, 0.25)),
        (Pace.REALTIME, 0.1, 5.0, Patience(50.0, 25.0)),
        (Pace.LOCKSTEP, 1.0, 2.0, Patience(5.0, 5.0)),
    ],
)
def test_patience_follows_from_the_tick(
    tmp_path: Path, pace: Pace, speed: float, tick_s: float, expected: Patience
) -> None:
    """Half a tick for an answer, on a street never more; only simulations have other times."""
    site = msgspec.structs.replace(make_site(tmp_path).file, pace=pace, speed=speed, tick_s=tick_s)

    assert patience_of(site) == pytest.approx(expected)


def test_the_driver_of_a_site_has_the_patience_of_its_tick(tmp_path: Path) -> None:
    """An answer that trickles for more than a second is given up where a tick is half a second."""
    with closing(Sluggard(trickle)) as sluggard:
        site = make_site(tmp_path, cabinet=f"http://127.0.0.1:{sluggard.port}", pace=Pace.REALTIME)
        file = msgspec.structs.replace(site.file, tick_s=0.5)
        with closing(open_driver(site.entries[0], file, site.folder)) as driver:
            fault = driver.attach(1)

    assert isinstance(fault, DriverFault)
    assert "timed out" in fault.reason


def test_an_answer_may_come_in_any_pieces(bench: HttpBench) -> None:
    """Wherever the network cuts an answer, it reads the same, whatever the case and the order of its headers."""
    snapshot = msgspec.json.encode(make_cabinet(bench.intersection).snapshot())
    head = b"HTTP/1.0 200\r\ndate: today\r\nCONTENT-LENGTH:\t%d \r\nserver: any\r\n\r\n" % len(snapshot)
    cuts = iter(range(1, len(head) + 2))

    def serve(connection: socket.socket, is_over: threading.Event) -> None:
        cut = next(cuts)
        connection.sendall((head + snapshot)[:cut])
        is_over.wait(0.001)
        connection.sendall((head + snapshot)[cut:])

    with (
        closing(Sluggard(serve)) as sluggard,
        closing(HttpDriver(f"http://127.0.0.1:{sluggard.port}", ODD_NAME)) as driver,
    ):
        seen = [driver.observe(-1, 0.0) for _ in range(1, len(head) + 2)]

    assert set(map(type, seen)) == {Snapshot}
    assert seen.count(seen[0]) == len(seen)


def test_two_drivers_see_the_same(bench: HttpBench) -> None:
    """Every driver of an intersection observes the same snapshot."""
    first, second = Pilot(bench), bench.driver()

    assert second.observe(-1, 0.0) == first.see()
