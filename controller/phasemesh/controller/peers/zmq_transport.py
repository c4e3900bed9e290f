"""Frames between agents over ZeroMQ: one publisher, one subscriber a neighbour, every end proven by its CURVE key.

The options and their order follow the measurements of libzmq 4.3.5 that docs/messages.md lists.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import zmq

from phasemesh.contract.errors import EndpointError
from phasemesh.contract.site import PeerAddress
from phasemesh.contract.topics import PEER_STATE
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import KeyPair, decode_key
from phasemesh.controller.peers.transport import Arrival
from phasemesh.controller.peers.zap import KeyGate

ZAP_DOMAIN = b"phasemesh"
"""With this domain enforced, a publisher whose gate is gone lets in nobody instead of everybody."""
CURVE_OVERHEAD_BYTES = 33
"""What CURVE adds to a frame on the wire: command name 8, nonce 8, authenticator 16, flags 1 (ZeroMQ RFC 26)."""

SOCKET_OPTIONS: dict[int, int] = {
    zmq.MAXMSGSIZE: PEER_STATE.max_bytes + CURVE_OVERHEAD_BYTES,
    zmq.LINGER: 0,
    zmq.SNDHWM: 8,
    zmq.RCVHWM: 8,
    zmq.HEARTBEAT_IVL: 500,
    zmq.HEARTBEAT_TIMEOUT: 1000,
    zmq.HEARTBEAT_TTL: 1000,
    zmq.HANDSHAKE_IVL: 3000,
    zmq.CONNECT_TIMEOUT: 2000,
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 2000,
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 10,
}
"""Options of every socket, times in ms (keep-alive idle in s); libzmq's defaults wait for half a minute or forever."""
REJOIN_AFTER_S = 20.0
"""Silence after which a neighbour is connected to anew: after one oversize frame, or one answer of another service
on the neighbour's port, libzmq reports nothing and never tries again (measured, 4.3.5)."""


class ZmqTransport:
    """A `Transport` over TCP or IPC; belongs to the thread that made it, with a context of its own.

    `listeners` are the public keys that may hear this agent; a key decides which intersection its owner is. Frames
    of a neighbour are taken only from whoever proves the key in its address. `rejoin_after_s` must be longer than a
    few ticks, since a neighbour that is silent for so long is connected to anew.

    Raises:
        EndpointError: `endpoint` cannot be bound, or the address of a neighbour is malformed.
        SiteError: a key is malformed or belongs to two intersections.
    """

    def __init__(
        self,
        own_id: IntersectionId,
        endpoint: str,
        keypair: KeyPair,
        neighbours: Mapping[IntersectionId, PeerAddress],
        listeners: Mapping[IntersectionId, str],
        rejoin_after_s: float = REJOIN_AFTER_S,
    ) -> None:
        self._resources = ExitStack()
        self._poller = zmq.Poller()
        self._links: dict[zmq.Socket[bytes], _Link] = {}
        self._rejoin_after_s = rejoin_after_s
        self._is_closed = False
        with ExitStack() as undo:
            undo.callback(self.close)
            self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            self._resources.callback(self._context.term)
            self._gate = KeyGate(self._context, listeners)
            self._resources.callback(self._gate.close)
            self._publisher = self._open(zmq.PUB, keypair)
            self._bind(own_id, endpoint)
            for name, address in neighbours.items():
                self._join(name, address, keypair)
            undo.pop_all()

    def _open(self, kind: int, keypair: KeyPair) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        self._resources.callback(socket.close)
        for option, value in SOCKET_OPTIONS.items():
            socket.setsockopt(option, value)
        socket.curve_secretkey = decode_key(keypair.secret, "the secret key of this agent")
        socket.curve_publickey = decode_key(keypair.public, "the public key of this agent")
        return socket

    def _bind(self, own_id: IntersectionId, endpoint: str) -> None:
        self._publisher.curve_server = True
        self._publisher.zap_domain = ZAP_DOMAIN
        self._publisher.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        try:
            self._publisher.bind(endpoint)
        except zmq.ZMQError as error:
            remedy = (
                "stop the other process that holds it (a second agent of this intersection?)"
                if error.errno == errno.EADDRINUSE
                else "correct the endpoint of this intersection in the site's directory"
            )
            raise EndpointError(f"{own_id!r} cannot publish on {endpoint}: {error.strerror}; {remedy}") from error

    def _join(self, name: IntersectionId, address: PeerAddress, keypair: KeyPair) -> None:
        socket = self._open(zmq.SUB, keypair)
        socket.setsockopt(zmq.CONFLATE, 1)
        socket.curve_serverkey = decode_key(address.public_key, f"the public key of {name!r}")
        socket.setsockopt(zmq.SUBSCRIBE, PEER_STATE.prefix)
        try:
            socket.connect(address.endpoint)
        except zmq.ZMQError as error:
            raise EndpointError(
                f"the endpoint {address.endpoint} of neighbour {name!r} is unusable: {error.strerror}; "
                "correct it in the site's directory"
            ) from error
        self._links[socket] = _Link(name, address.endpoint, socket)
        self._poller.register(socket, zmq.POLLIN)

    @property
    def refused(self) -> int:
        """Handshakes refused because of an unknown key so far (fault F7)."""
        return self._gate.refused

    def publish(self, frame: bytes) -> None:
        """Send `frame` to every listener; one that is gone or stuck misses it."""
        if not self._is_closed:
            self._publisher.send(PEER_STATE.prefix + frame, zmq.NOBLOCK)

    def poll(self, timeout_s: float) -> Sequence[Arrival]:
        """The newest unread frame of each neighbour, waiting at most `timeout_s` (whole ms) for the first one."""
        if self._is_closed:
            return ()
        ready = self._poller.poll(max(0, int(1000.0 * timeout_s)))
        now_s = time.monotonic()
        taken = [self._links[socket].take(now_s) for socket, _ in ready]
        for link in self._links.values():
            link.rejoin_if_silent(now_s, self._rejoin_after_s)
        return tuple(arrival for arrival in taken if arrival is not None)

    def close(self) -> None:
        """Close the sockets, then the gate that guards them, then the context."""
        self._is_closed = True
        self._resources.close()


class _Link:
    """The connected subscriber of one neighbour, and when it last brought a frame or was connected, in s."""

    def __init__(self, peer: IntersectionId, endpoint: str, socket: zmq.Socket[bytes]) -> None:
        self._peer = peer
        self._endpoint = endpoint
        self._socket = socket
        self._alive_s = time.monotonic()

    def take(self, now_s: float) -> Arrival | None:
        """The newest frame, or None if it is gone again; one read, since a conflating connection holds one frame."""
        try:
            frame = self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        self._alive_s = now_s
        return Arrival(self._peer, frame.removeprefix(PEER_STATE.prefix))

    def rejoin_if_silent(self, now_s: float, rejoin_after_s: float) -> None:
        """Connect anew if nothing came for `rejoin_after_s`; a frame on its way at that moment is lost."""
        if now_s - self._alive_s > rejoin_after_s:
            self._socket.disconnect(self._endpoint)
            self._socket.connect(self._endpoint)
            self._alive_s = now_s
