"""Frames between agents over ZeroMQ: one publisher, one subscriber a neighbour, every end proven by its CURVE key.

The options and their order follow the measurements of libzmq 4.3.5 that docs/messages.md lists.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import structlog
import zmq

from phasemesh.contract.errors import EndpointError, SiteError
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
MAX_WIRE_BYTES = 65_536 + CURVE_OVERHEAD_BYTES
"""Above the longest frame of the topic, so that one which is too long is counted and its link lives on. A longer one
makes libzmq end the connection without a word."""

SOCKET_OPTIONS: dict[int, int] = {
    zmq.MAXMSGSIZE: MAX_WIRE_BYTES,
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
"""Silence after which a neighbour is connected to anew: after one frame above `MAX_WIRE_BYTES`, or one answer of
another service on the neighbour's port, libzmq reports nothing and never tries again (measured, 4.3.5)."""
REBIND_PATIENCE_S = 5.0
"""How long the endpoint may stay taken after a revocation before the log tells of it, and how often it does then."""

log = structlog.get_logger("phasemesh.peers")


class ZmqTransport:
    """A `Transport` over TCP or IPC; belongs to the thread that made it, with a context of its own.

    `listeners` are the public keys that may hear this agent; a key decides which intersection its owner is. Frames
    of a neighbour are taken only from whoever proves the key in its address. A neighbour or listener whose key is
    empty was revoked: it is neither heard nor let in. `rejoin_after_s` must be longer than a few ticks, since a
    neighbour that is silent for so long is connected to anew.

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
        self._own_id, self._endpoint, self._keypair = own_id, endpoint, keypair
        self._resources = ExitStack()
        self._poller = zmq.Poller()
        self._links: dict[zmq.Socket[bytes], _Link] = {}
        self._rejoin_after_s = rejoin_after_s
        self._is_closed = False
        self._publisher: zmq.Socket[bytes] | None = None
        self._listeners = dict(listeners)
        self._revision: Revision | None = None
        self._dropped: set[IntersectionId] = set()
        self._closed_s = 0.0
        with ExitStack() as undo:
            undo.callback(self.close)
            self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            self._resources.callback(self._context.term)
            self._gate = KeyGate(self._context, listeners)
            self._resources.callback(self._gate.close)
            self._publisher = self._bound()
            for name, address in neighbours.items():
                self._join(name, address)
            undo.pop_all()

    def _open(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        for option, value in SOCKET_OPTIONS.items():
            socket.setsockopt(option, value)
        socket.curve_secretkey = decode_key(self._keypair.secret, "the secret key of this agent")
        socket.curve_publickey = decode_key(self._keypair.public, "the public key of this agent")
        return socket

    def _bound(self) -> zmq.Socket[bytes]:
        """A publisher at the endpoint of this agent; raises EndpointError, leaving nothing open."""
        publisher = self._open(zmq.PUB)
        publisher.curve_server = True
        publisher.zap_domain = ZAP_DOMAIN
        publisher.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        try:
            publisher.bind(self._endpoint)
        except zmq.ZMQError as error:
            publisher.close()
            remedy = (
                "stop the other process that holds it (a second agent of this intersection?)"
                if error.errno == errno.EADDRINUSE
                else "correct the endpoint of this intersection in the site's directory"
            )
            raise EndpointError(
                f"{self._own_id!r} cannot publish on {self._endpoint}: {error.strerror}; {remedy}"
            ) from error
        return publisher

    def _join(self, name: IntersectionId, address: PeerAddress) -> None:
        if not address.public_key:
            return
        server_key = decode_key(address.public_key, f"the public key of {name!r}")
        socket = self._open(zmq.SUB)
        socket.setsockopt(zmq.CONFLATE, 1)
        socket.curve_serverkey = server_key
        socket.setsockopt(zmq.SUBSCRIBE, PEER_STATE.prefix)
        try:
            socket.connect(address.endpoint)
        except zmq.ZMQError as error:
            socket.close()
            raise EndpointError(
                f"the endpoint {address.endpoint} of neighbour {name!r} is unusable: {error.strerror}; "
                "correct it in the site's directory"
            ) from error
        self._links[socket] = _Link(name, address, socket)
        self._poller.register(socket, zmq.POLLIN)

    def revise(self, neighbours: Mapping[IntersectionId, PeerAddress], listeners: Mapping[IntersectionId, str]) -> None:
        """Take up another directory with the next `publish` or `poll`; may be called from any thread.

        Connections with whoever lost its key are dropped, not only its handshakes refused: libzmq would keep them.
        """
        self._revision = Revision(dict(neighbours), dict(listeners))

    def _take_up(self) -> None:
        """Carry a pending revision out; what cannot be carried out is left out, and never lets anybody in."""
        revision, self._revision = self._revision, None
        if revision is None:
            return
        try:
            self._gate.admit(revision.listeners)
        except SiteError as error:
            log.error("a changed directory is not taken up", intersection=self._own_id, reason=str(error))
            return
        lost = set(self._listeners.items()) - set(revision.listeners.items())
        self._listeners = dict(revision.listeners)
        if lost and self._publisher is not None:
            # A bound socket cannot let go of one connection alone; the others come back within RECONNECT_IVL_MAX.
            self._publisher.close()
            self._publisher, self._closed_s = None, time.monotonic()
        self._relink(revision.neighbours)
        names = sorted(name for name, _ in lost)
        log.warning("the directory has changed", intersection=self._own_id, dropped=names)

    def _relink(self, neighbours: Mapping[IntersectionId, PeerAddress]) -> None:
        for socket, link in list(self._links.items()):
            address = neighbours.get(link.peer)
            if address != link.address:
                if address is None or address.public_key != link.address.public_key:
                    self._dropped.add(link.peer)
                self._poller.unregister(socket)
                del self._links[socket]
                socket.close()
        linked = {link.peer for link in self._links.values()}
        for name, address in neighbours.items():
            if name not in linked:
                try:
                    self._join(name, address)
                except (EndpointError, SiteError) as error:
                    log.error("a neighbour cannot be joined", intersection=self._own_id, reason=str(error))

    def _tend(self) -> None:
        """Take up a revision, and publish again as soon as libzmq has let go of the endpoint."""
        if self._revision is not None:
            self._take_up()
        if self._publisher is None:
            try:
                self._publisher = self._bound()
            except EndpointError as error:
                # libzmq closes in a thread of its own; the next call tries again.
                if time.monotonic() - self._closed_s > REBIND_PATIENCE_S:
                    self._closed_s = time.monotonic()
                    log.error("nobody can hear this agent", intersection=self._own_id, reason=str(error))

    @property
    def refused(self) -> int:
        """Handshakes refused because of an unknown key so far (fault F7)."""
        return self._gate.refused

    def publish(self, frame: bytes) -> None:
        """Send `frame` to every listener; one that is gone or stuck misses it."""
        if self._is_closed:
            return
        self._tend()
        if self._publisher is not None:
            self._publisher.send(PEER_STATE.prefix + frame, zmq.NOBLOCK)

    def poll(self, timeout_s: float) -> Sequence[Arrival]:
        """The newest unread frame of each neighbour, waiting at most `timeout_s` (whole ms) for the first one."""
        if self._is_closed:
            return ()
        self._tend()
        ready = self._poller.poll(max(0, int(1000.0 * timeout_s)))
        now_s = time.monotonic()
        taken = [self._links[socket].take(now_s) for socket, _ in ready]
        for link in self._links.values():
            link.rejoin_if_silent(now_s, self._rejoin_after_s)
        return tuple(arrival for arrival in taken if arrival is not None)

    def dropped(self) -> frozenset[IntersectionId]:
        """As in `Transport`; told once."""
        dropped = frozenset(self._dropped)
        self._dropped.clear()
        return dropped

    def close(self) -> None:
        """Close the sockets, then the gate that guards them, then the context; calling it again does nothing."""
        self._is_closed = True
        for socket in (*self._links, *((self._publisher,) if self._publisher is not None else ())):
            socket.close()
        self._resources.close()


class Revision(NamedTuple):
    """A directory that is to be taken up: whom to hear, and whom to let in."""

    neighbours: dict[IntersectionId, PeerAddress]
    listeners: dict[IntersectionId, str]


class _Link:
    """The connected subscriber of one neighbour, and when it last brought a frame or was connected, in s."""

    def __init__(self, peer: IntersectionId, address: PeerAddress, socket: zmq.Socket[bytes]) -> None:
        self.peer = peer
        self.address = address
        self._socket = socket
        self._alive_s = time.monotonic()

    def take(self, now_s: float) -> Arrival | None:
        """The newest frame, or None if it is gone again; one read, since a conflating connection holds one frame."""
        try:
            frame = self._socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return None
        self._alive_s = now_s
        return Arrival(self.peer, frame.removeprefix(PEER_STATE.prefix))

    def rejoin_if_silent(self, now_s: float, rejoin_after_s: float) -> None:
        """Connect anew if nothing came for `rejoin_after_s`; a frame on its way at that moment is lost."""
        if now_s - self._alive_s > rejoin_after_s:
            self._socket.disconnect(self.address.endpoint)
            self._socket.connect(self.address.endpoint)
            self._alive_s = now_s
