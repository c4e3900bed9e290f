"""The gate that binds keys to intersections, spoken to as libzmq does."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import zmq
from peer_factories import CENTRE, NORTH

from phasemesh.controller.peers.keys import decode_key, generate_keypair
from phasemesh.controller.peers.zap import ZAP_ENDPOINT, KeyGate

KEYS = {NORTH: generate_keypair().public, CENTRE: generate_keypair().public}
STRANGER = generate_keypair().public


class Handshakes:
    """An open gate and a socket that asks it as the context's servers do."""

    def __init__(self, context: zmq.Context) -> None:
        self.gate = KeyGate(context, KEYS)
        self._socket = context.socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, 10_000)
        self._socket.connect(ZAP_ENDPOINT)

    def ask(self, *frames: bytes) -> list[bytes]:
        """The reply to a request of `frames`: version, id, status, text, user id, metadata."""
        self._socket.send_multipart(frames)
        return self._socket.recv_multipart()

    def close(self) -> None:
        """Close the socket and the gate."""
        self._socket.close()
        self.gate.close()


@pytest.fixture
def handshakes() -> Iterator[Handshakes]:
    """A gate that lets in north and centre."""
    context = zmq.Context()
    handshakes = Handshakes(context)
    yield handshakes
    handshakes.close()
    context.term()


def make_request(key: str, *, version: bytes = b"1.0", mechanism: bytes = b"CURVE") -> tuple[bytes, ...]:
    """A ZAP request for `key`."""
    return (version, b"42", b"phasemesh", b"127.0.0.1", b"", mechanism, decode_key(key, "a key"))


@pytest.mark.parametrize("name", [NORTH, CENTRE])
def test_a_listed_key_is_known_by_its_intersection(handshakes: Handshakes, name) -> None:
    """The user id of a connection is the intersection that owns the key, whatever the client claims."""
    reply = handshakes.ask(*make_request(KEYS[name]))

    assert reply == [b"1.0", b"42", b"200", b"OK", name.encode(), b""]
    assert handshakes.gate.refused == 0


def test_an_unlisted_key_is_refused_for_now(handshakes: Handshakes) -> None:
    """The status is temporary (300), since clients that get 400 never try again, and there is no user id."""
    reply = handshakes.ask(*make_request(STRANGER))

    assert (reply[1], reply[2], reply[4]) == (b"42", b"300", b"")
    assert handshakes.gate.refused == 1


@pytest.mark.parametrize(
    "frames",
    [
        (b"",),
        (b"1.0", b"42"),
        make_request(KEYS[NORTH])[:-1],
        (*make_request(KEYS[NORTH]), b"more"),
        (*make_request(KEYS[NORTH])[:-1], b"short"),
        make_request(KEYS[NORTH], version=b"2.0"),
        make_request(KEYS[NORTH], mechanism=b"NULL"),
        make_request(KEYS[NORTH], mechanism=b"PLAIN"),
    ],
)
def test_a_strange_request_is_refused_and_the_next_one_answered(
    handshakes: Handshakes, frames: tuple[bytes, ...]
) -> None:
    """Only whole CURVE requests can be let in, and no request ends the gate."""
    status = handshakes.ask(*frames)[2]

    assert status == b"300"
    assert handshakes.ask(*make_request(KEYS[NORTH]))[2] == b"200"


def test_a_closed_gate_leaves_no_thread() -> None:
    """Closing waits for the end of the thread."""
    before = threading.active_count()
    with zmq.Context() as context:
        KeyGate(context, KEYS).close()

    assert threading.active_count() == before
