"""The ZeroMQ transport: the contract, and what only keys and sockets can get wrong."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from peer_factories import CENTRE, NORTH, SOUTH
from transport_suite import PATIENCE_S, TransportSuite, flush, hear

from phasemesh.contract.errors import EndpointError, SiteError
from phasemesh.contract.site import PeerAddress
from phasemesh.contract.topics import PEER_STATE
from phasemesh.controller.peers.keys import KeyPair, generate_keypair
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.transport import Arrival
from phasemesh.controller.peers.zmq_transport import MAX_WIRE_BYTES, ZmqTransport

KEYS = {name: generate_keypair() for name in (NORTH, SOUTH, CENTRE)}
LISTENERS = {name: keypair.public for name, keypair in KEYS.items()}
SILENCE_S = 0.7
"""How long nothing must arrive; a handshake over IPC takes about 1 ms."""


class ZmqNetwork:
    """Transports in one folder of IPC sockets, or on free TCP ports of the loopback."""

    def __init__(self, folder: Path, *, is_tcp: bool) -> None:
        self.endpoints = {
            name: f"tcp://127.0.0.1:{_free_port()}" if is_tcp else f"ipc://{folder}/{name}" for name in KEYS
        }
        self._transports: list[ZmqTransport] = []

    def join(self, own_id, neighbours, *, keypair: KeyPair | None = None, listeners=None) -> ZmqTransport:
        """An open transport of `own_id` that soon rejoins; by default with its own key, for every listener listed."""
        transport = ZmqTransport(
            own_id,
            self.endpoints[own_id],
            keypair or KEYS[own_id],
            {name: PeerAddress(self.endpoints[name], KEYS[name].public, 0) for name in neighbours},
            LISTENERS if listeners is None else listeners,
            rejoin_after_s=1.0,
        )
        self._transports.append(transport)
        return transport

    def close(self) -> None:
        """Close whatever a test left open."""
        for transport in self._transports:
            transport.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for the name of an IPC socket (107 bytes)."""
    path = Path(tempfile.mkdtemp(prefix="peers"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def network(folder: Path) -> Iterator[ZmqNetwork]:
    """Transports over TCP on the loopback."""
    network = ZmqNetwork(folder, is_tcp=True)
    yield network
    network.close()


@pytest.fixture
def ipc_network(folder: Path) -> Iterator[ZmqNetwork]:
    """Transports over IPC."""
    network = ZmqNetwork(folder, is_tcp=False)
    yield network
    network.close()


class TestZmqTransport(TransportSuite):
    """The ZeroMQ transport keeps the contract over TCP."""


def test_frames_flow_over_ipc(ipc_network: ZmqNetwork) -> None:
    """Agents of one box may use files as endpoints."""
    speaker, listener = ipc_network.join(NORTH, []), ipc_network.join(CENTRE, [NORTH])

    assert hear(speaker, b"hello", listener) == [Arrival(NORTH, b"hello")]


def test_a_listener_with_an_unlisted_key_hears_nothing(ipc_network: ZmqNetwork) -> None:
    """A forged key is refused and counted, while the listed neighbour goes on hearing (fault F7)."""
    speaker, friend = ipc_network.join(NORTH, []), ipc_network.join(CENTRE, [NORTH])
    stranger = ipc_network.join(SOUTH, [NORTH], keypair=generate_keypair())
    hear(speaker, b"hello", friend)
    _publish_until(speaker, lambda: speaker.refused > 0)
    heard = [_heard_within(speaker, stranger, SILENCE_S), hear(speaker, b"still here", friend)]

    assert speaker.refused > 0
    assert not heard[0]
    assert heard[1]


def test_a_refused_listener_tries_again(ipc_network: ZmqNetwork) -> None:
    """Once the publisher restarts with the listener's key listed, the listener hears it without a restart."""
    speaker = ipc_network.join(NORTH, [], listeners={})
    listener = ipc_network.join(CENTRE, [NORTH])
    _publish_until(speaker, lambda: speaker.refused > 0)
    speaker.close()

    assert hear(ipc_network.join(NORTH, []), b"welcome", listener) == [Arrival(NORTH, b"welcome")]


def test_a_client_without_curve_hears_nothing(ipc_network: ZmqNetwork) -> None:
    """A plain subscriber is not served."""
    speaker = ipc_network.join(NORTH, [])
    with zmq.Context() as context, context.socket(zmq.SUB) as plain:
        plain.setsockopt(zmq.LINGER, 0)
        plain.setsockopt(zmq.SUBSCRIBE, b"")
        plain.connect(ipc_network.endpoints[NORTH])
        deadline_s = time.monotonic() + SILENCE_S
        while time.monotonic() < deadline_s:
            speaker.publish(b"secret")
            heard = plain.poll(20)

            assert not heard


def test_a_listed_key_cannot_speak_for_another_intersection(ipc_network: ZmqNetwork) -> None:
    """An enrolled agent at a neighbour's endpoint is not believed: its key is not the neighbour's (fault F7)."""
    impostor = ipc_network.join(NORTH, [], keypair=KEYS[SOUTH])
    listener = ipc_network.join(CENTRE, [NORTH])

    assert not _heard_within(impostor, listener, SILENCE_S)


def test_the_right_key_is_heard_after_an_impostor(ipc_network: ZmqNetwork) -> None:
    """A listener that met the wrong key at an endpoint goes on trying until the right one is there."""
    impostor = ipc_network.join(NORTH, [], keypair=KEYS[SOUTH])
    listener = ipc_network.join(CENTRE, [NORTH])
    _heard_within(impostor, listener, 0.2)
    impostor.close()

    assert hear(ipc_network.join(NORTH, []), b"it is me", listener) == [Arrival(NORTH, b"it is me")]


def test_one_key_for_two_intersections_is_refused(ipc_network: ZmqNetwork) -> None:
    """A key that cannot tell two listeners apart is a broken site, and both are named."""
    listeners = {NORTH: KEYS[NORTH].public, CENTRE: KEYS[NORTH].public}

    with pytest.raises(SiteError, match="'centre' and 'north'"):
        ipc_network.join(SOUTH, [], listeners=listeners)


def test_a_malformed_key_is_refused_by_name(ipc_network: ZmqNetwork) -> None:
    """A key that is no key stops the start with the name of its owner."""
    with pytest.raises(SiteError, match="the public key of 'centre'"):
        ipc_network.join(NORTH, [], listeners={CENTRE: "short"})


def test_a_frame_of_the_largest_size_arrives(ipc_network: ZmqNetwork) -> None:
    """The topic's limit counts prefix and payload, not what the encryption adds."""
    speaker, listener = ipc_network.join(NORTH, []), ipc_network.join(CENTRE, [NORTH])
    frame = bytes(PEER_STATE.max_bytes - len(PEER_STATE.prefix))

    assert hear(speaker, frame, listener) == [Arrival(NORTH, frame)]


def test_an_oversize_frame_is_counted_and_its_link_lives_on(ipc_network: ZmqNetwork) -> None:
    """One byte over the topic's limit reaches the mailbox, which drops and counts it (fault F5)."""
    speaker, listener = ipc_network.join(NORTH, []), ipc_network.join(CENTRE, [NORTH])
    mailbox = Mailbox((NORTH,), stale_after_ticks=3)
    (arrival,) = hear(speaker, bytes(PEER_STATE.max_bytes), listener)
    kinds = [fault.kind for fault in (mailbox.accept(arrival, 0),) if fault is not None]

    assert (kinds, mailbox.faults) == (["oversize"], {(NORTH, "oversize"): 1})
    assert hear(speaker, b"good", listener)[-1] == Arrival(NORTH, b"good")


def test_a_monstrous_frame_is_never_read(ipc_network: ZmqNetwork) -> None:
    """Above 64 KiB libzmq itself cuts the sender off, and the next good frame arrives after the rejoin (fault F5)."""
    speaker, listener = ipc_network.join(NORTH, []), ipc_network.join(CENTRE, [NORTH])
    hear(speaker, b"first", listener)
    flush(listener)
    speaker.publish(bytes(MAX_WIRE_BYTES))
    after = [listener.poll(0.3), hear(speaker, b"good", listener)]

    assert not after[0]
    assert after[1] == [Arrival(NORTH, b"good")]


def test_a_port_in_use_stops_the_start_with_one_line(network: ZmqNetwork) -> None:
    """The error names intersection and endpoint and says what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(network.endpoints[NORTH].rpartition(":")[2])))
        other.listen()

        with pytest.raises(EndpointError, match=r"^'north' cannot publish on tcp://\S+: .*; stop the other process.*$"):
            network.join(NORTH, [])


def test_a_neighbour_is_heard_after_another_service_held_its_port(network: ZmqNetwork) -> None:
    """An answer that is not ZeroMQ's makes libzmq give up for good; the transport connects anew."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(network.endpoints[NORTH].rpartition(":")[2])))
        other.listen()
        listener = network.join(CENTRE, [NORTH])
        visitor, _ = other.accept()
        with visitor, contextlib.suppress(ConnectionResetError):
            visitor.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + bytes(100))
            while visitor.recv(1000):
                pass

    assert hear(network.join(NORTH, []), b"mine again", listener) == [Arrival(NORTH, b"mine again")]


@pytest.mark.parametrize("endpoint", ["nowhere", "tcp://not-an-address:1", "ipc:///missing/folder/socket"])
def test_an_endpoint_that_cannot_be_bound_stops_the_start(ipc_network: ZmqNetwork, endpoint: str) -> None:
    """A malformed or impossible endpoint is reported with the place to correct it."""
    ipc_network.endpoints[NORTH] = endpoint

    with pytest.raises(EndpointError, match="directory"):
        ipc_network.join(NORTH, [])


def test_a_malformed_address_of_a_neighbour_stops_the_start(ipc_network: ZmqNetwork) -> None:
    """The neighbour with the malformed address is named."""
    ipc_network.endpoints[NORTH] = "tcp//north"

    with pytest.raises(EndpointError, match="neighbour 'north'"):
        ipc_network.join(CENTRE, [NORTH])


def test_close_ends_the_thread_of_the_gate(ipc_network: ZmqNetwork) -> None:
    """No thread of a transport outlives it, also when its start failed."""
    before = threading.active_count()
    transport = ipc_network.join(NORTH, [])
    during = threading.active_count()
    transport.close()
    ipc_network.endpoints[NORTH] = "nowhere"
    with pytest.raises(EndpointError):
        ipc_network.join(NORTH, [])

    assert during == before + 1
    assert threading.active_count() == before


def test_a_busy_reader_finds_only_the_newest_frame(ipc_network: ZmqNetwork) -> None:
    """After a long pause there is one frame to read, not a backlog (fault F4)."""
    speaker, listener = ipc_network.join(NORTH, []), ipc_network.join(CENTRE, [NORTH])
    hear(speaker, b"first", listener)
    flush(listener)
    for number in range(100):
        speaker.publish(b"%03d" % number)
        time.sleep(0.002)
    time.sleep(0.2)
    reads = [listener.poll(PATIENCE_S), listener.poll(0.1)]

    assert reads == [(Arrival(NORTH, b"099"),), ()]


def _publish_until(speaker: ZmqTransport, is_done) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_done() and time.monotonic() < deadline_s:
        speaker.publish(b"hello")
        time.sleep(0.01)


def _heard_within(speaker: ZmqTransport, listener: ZmqTransport, duration_s: float) -> list[Arrival]:
    deadline_s = time.monotonic() + duration_s
    heard: list[Arrival] = []
    while time.monotonic() < deadline_s:
        speaker.publish(b"hello")
        heard += listener.poll(0.02)
    return heard
