"""An agent's line to the memory hub: a thread of its own, for which nobody ever waits.

Every so often it offers what changed and takes what others know. Without a hub an agent lives as before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import structlog
import zmq

from phasemesh.contract.errors import EndpointError, SiteError
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.site import HubAddress
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.rows import StoreIdentity
from phasemesh.controller.memory.sync_hub import HUB_OPTIONS
from phasemesh.controller.memory.sync_wire import (
    SYNC_VERSION,
    Offer,
    Union,
    WireFault,
    believed,
    decode_union,
    encode,
    kin_of,
    shared,
)
from phasemesh.controller.peers.keys import KeyPair, decode_key

SYNC_EVERY_S = 300.0
"""The paper's T, which it does not give."""
LOOK_EVERY_S = 0.2
"""How often the thread looks whether it is to end, or an answer has come."""

log = structlog.get_logger("phasemesh.memory")


class SyncClient:
    """Offers and takes; only `put`, `take` and `close` are for other threads, and none of them waits for the hub.

    `answers` counts unions that came, `faults` those that were not believed.

    Raises:
        EndpointError: `endpoint` is malformed.
        SiteError: a key is malformed.
    """

    def __init__(
        self,
        endpoint: str,
        hub_key: str,
        keypair: KeyPair,
        kin: bytes,
        *,
        key_bytes: int,
        stages: int,
        every_s: float = SYNC_EVERY_S,
    ) -> None:
        """Share entries of `kin`, whose keys have `key_bytes` bytes, of an intersection with so many `stages`."""
        self.answers = 0
        self.faults = 0
        self._kin, self._key_bytes, self._stages, self._every_s = kin, key_bytes, stages, every_s
        self._own: dict[bytes, LtmEntry] = {}
        self._unsent: dict[bytes, LtmEntry] = {}
        self._underway: dict[bytes, LtmEntry] = {}
        self._heard: dict[bytes, LtmEntry] = {}
        self._seq = self._hub = self._since = 0
        self._guard = threading.Lock()
        self._is_closing = threading.Event()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._socket = _connected(self._context, endpoint, hub_key, keypair)
        except (EndpointError, SiteError):
            self._context.term()
            raise
        self._thread = threading.Thread(target=self._run, name="memory-sync", daemon=True)
        self._thread.start()

    def put(self, entries: Mapping[bytes, LtmEntry]) -> None:
        """Offer `entries` with the next exchange."""
        with self._guard:
            self._own.update(entries)
            self._unsent.update(entries)

    def take(self) -> dict[bytes, LtmEntry]:
        """What others were found to know since the last call."""
        if not self._heard:
            return {}
        with self._guard:
            heard, self._heard = self._heard, {}
        return heard

    def close(self) -> None:
        """End the thread and let go of the socket; calling it again does nothing."""
        self._is_closing.set()
        self._thread.join()

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._is_closing.is_set():
            if time.monotonic() >= due_s:
                self._offer()
                due_s = time.monotonic() + self._every_s
            if self._socket.poll(round(1000.0 * min(LOOK_EVERY_S, self._every_s))):
                self._hear(self._socket.recv())
        self._socket.close()
        self._context.term()

    def _offer(self) -> None:
        """Send what was not answered yet; a hub that is not there gets it next time."""
        with self._guard:
            self._underway = {**self._underway, **self._unsent}
            self._unsent = {}
        self._seq += 1
        offer = Offer(SYNC_VERSION, self._kin, self._seq, self._hub, self._since, shared(self._underway))
        try:
            self._socket.send(encode(offer), zmq.NOBLOCK)
        except zmq.Again:
            log.debug("no memory hub")

    def _hear(self, frame: bytes) -> None:
        union = decode_union(frame)
        if isinstance(union, WireFault):
            self.faults += 1
            log.warning("union dropped", reason=union.reason)
            return
        found = believed(union.entries, self._key_bytes, self._stages)
        self.faults += len(found) < len(union.entries)
        with self._guard:
            self._heard.update(found)
            if union.seq == self._seq:
                self._underway = {}
            if union.wants_all:
                self._unsent = {**self._own, **self._unsent}
        self._note(union)

    def _note(self, union: Union) -> None:
        self.answers += 1
        self._hub, self._since = union.hub, union.revision


def open_line(hub: HubAddress, keypair: KeyPair, identity: StoreIdentity, intersection: Intersection) -> SyncClient:
    """The line of the agent of `intersection`, which proves `keypair`, to the hub of its site; raises as the client."""
    return SyncClient(
        hub.endpoint,
        hub.public_key,
        keypair,
        kin_of(identity),
        key_bytes=len(intersection.movements),
        stages=len(intersection.stages),
        every_s=hub.every_s,
    )


def _connected(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, hub_key: str, keypair: KeyPair
) -> zmq.Socket[bytes]:
    server_key = decode_key(hub_key, "the public key of the memory hub")
    own_key = decode_key(keypair.secret, "the secret key of this agent")
    socket = context.socket(zmq.DEALER)
    for option, value in HUB_OPTIONS.items():
        socket.setsockopt(option, value)
    # Nothing is queued for a hub that is not there: it would be old when the hub comes.
    socket.setsockopt(zmq.IMMEDIATE, 1)
    socket.curve_secretkey = own_key
    socket.curve_publickey = decode_key(keypair.public, "the public key of this agent")
    socket.curve_serverkey = server_key
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise EndpointError(
            f"the endpoint {endpoint} of the memory hub is unusable: {error.strerror}; correct it in the site"
        ) from error
    return socket
