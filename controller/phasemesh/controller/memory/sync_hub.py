"""The memory hub: one ROUTER that takes the offers of all agents of a site and answers with the union.

Every agent proves its CURVE key; what it offers counts as that of the intersection that owns the key, whatever the
frame says. A hub that dies costs nothing but what agents would have learned from each other.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress

import structlog
import zmq

from phasemesh.contract.errors import EndpointError, SiteError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.memory.aggregate import Aggregate
from phasemesh.controller.memory.sync_wire import MOST_FRAME_BYTES, WireFault, decode_offer, encode
from phasemesh.controller.peers.keys import KeyPair, decode_key
from phasemesh.controller.peers.zap import KeyGate
from phasemesh.controller.peers.zmq_transport import CURVE_OVERHEAD_BYTES, ZAP_DOMAIN

USER_ID = "User-Id"
"""The property of a frame that the gate gives it: whose key was proven."""
HUB_OPTIONS: dict[int, int] = {
    zmq.MAXMSGSIZE: MOST_FRAME_BYTES + CURVE_OVERHEAD_BYTES,
    zmq.LINGER: 0,
    zmq.SNDHWM: 4,
    zmq.RCVHWM: 4,
    zmq.HEARTBEAT_IVL: 2000,
    zmq.HEARTBEAT_TIMEOUT: 10_000,
    zmq.HANDSHAKE_IVL: 3000,
    zmq.TCP_KEEPALIVE: 1,
}
"""Options of the sockets of hub and agents, times in ms; nobody is in a hurry."""

log = structlog.get_logger("phasemesh.memory")


class MemoryHub:
    """Serves until told to stop; belongs to the thread that made it.

    Raises:
        EndpointError: `endpoint` cannot be bound.
        SiteError: a key is malformed, or belongs to two intersections.
    """

    def __init__(
        self, endpoint: str, keypair: KeyPair, agents: Mapping[IntersectionId, str], aggregate: Aggregate
    ) -> None:
        """Serve `agents`, given by their public keys, at `endpoint`."""
        self.aggregate = aggregate
        self.dropped = 0
        self._endpoint, self._keypair = endpoint, keypair
        self._agents = dict(agents)
        self._revision: dict[IntersectionId, str] | None = None
        self._resources = ExitStack()
        with ExitStack() as undo:
            undo.callback(self.close)
            self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
            self._resources.callback(self._context.term)
            self._gate = KeyGate(self._context, agents)
            self._resources.callback(self._gate.close)
            self._socket: zmq.Socket[bytes] | None = self._bound()
            self._resources.callback(self._unbind)
            undo.pop_all()

    def _unbind(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _bound(self) -> zmq.Socket[bytes]:
        endpoint, keypair = self._endpoint, self._keypair
        socket = self._context.socket(zmq.ROUTER)
        for option, value in HUB_OPTIONS.items():
            socket.setsockopt(option, value)
        socket.curve_server = True
        socket.curve_secretkey = decode_key(keypair.secret, "the secret key of the memory hub")
        socket.curve_publickey = decode_key(keypair.public, "the public key of the memory hub")
        socket.zap_domain = ZAP_DOMAIN
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
        # An agent that comes back before its old connection is noticed takes its place.
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            socket.close()
            remedy = "stop the other process that holds it" if error.errno == errno.EADDRINUSE else "correct the site"
            raise EndpointError(f"the memory hub cannot serve at {endpoint}: {error.strerror}; {remedy}") from error
        return socket

    def serve(self, is_stopping: Callable[[], bool], wait_s: float = 0.5) -> None:
        """Answer offers until `is_stopping`, which is asked at least every `wait_s`."""
        while not is_stopping():
            self.serve_once(wait_s)

    def serve_once(self, wait_s: float) -> bool:
        """Answer one offer, if one comes within `wait_s`; whether one was answered."""
        socket = self._tended()
        if socket is None:
            time.sleep(wait_s)
            return False
        if not socket.poll(round(1000.0 * wait_s)):
            return False
        frames = socket.recv_multipart(copy=False)
        answer = self._answer(frames)
        if answer is None:
            self.dropped += 1
            return False
        try:
            socket.send_multipart([frames[0].bytes, answer], zmq.NOBLOCK)
        except zmq.Again:
            self.dropped += 1
            return False
        return True

    def _answer(self, frames: list[zmq.Frame]) -> bytes | None:
        """The union for whoever proved a key of the site; None for what is no offer."""
        offer = decode_offer(frames[-1].bytes) if len(frames) == 2 else WireFault("has other frames than one")
        name = IntersectionId(str(frames[-1].get(USER_ID)))
        if isinstance(offer, WireFault):
            log.warning("offer dropped", intersection=name, reason=offer.reason)
            return None
        return encode(self.aggregate.take(name, offer))

    def admit(self, agents: Mapping[IntersectionId, str]) -> None:
        """Let in `agents` and nobody else with the next turn, and forget the others; any thread may say so."""
        self._revision = dict(agents)

    def _tended(self) -> zmq.Socket[bytes] | None:
        """The socket, after a change of the directory was taken up; None until libzmq has let go of the endpoint."""
        revision, self._revision = self._revision, None
        if revision is not None:
            self._take_up(revision)
        if self._socket is None:
            with suppress(EndpointError):
                self._socket = self._bound()
        return self._socket

    def _take_up(self, agents: dict[IntersectionId, str]) -> None:
        try:
            self._gate.admit(agents)
        except SiteError as error:
            log.error("a changed directory is not taken up", reason=str(error))
            return
        gone = [name for name, key in self._agents.items() if key and agents.get(name) != key]
        self._agents = agents
        if gone:
            # A bound socket cannot let go of one connection alone; the others come back by themselves.
            self._unbind()
        for name in gone:
            self.aggregate.forget(name)
        log.warning("the directory has changed", dropped=sorted(gone))

    @property
    def refused(self) -> int:
        """Handshakes with unknown keys so far."""
        return self._gate.refused

    def close(self) -> None:
        """Let go of socket, gate and context; calling it again does nothing."""
        self._resources.close()
