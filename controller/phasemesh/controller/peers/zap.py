"""Who may listen: a ZAP handler (ZeroMQ RFC 27) that binds every CURVE key to the intersection that owns it.

A CURVE server without such a handler lets in any key. pyzmq's own authenticators run on an asyncio loop that one
exception ends; this one is a plain thread whose socket stays open if it ever ended, so that handshakes then fail.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import zmq

from phasemesh.contract.errors import SiteError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import decode_key

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
_STOP_ENDPOINT = "inproc://phasemesh.zap.stop"
_VERSION = b"1.0"
_ACCEPTED = (b"200", b"OK")
_REFUSED = (b"300", b"unknown key")
"""A client that is refused with 400 never tries again; after 300 it does, and so heals once its key is rolled out."""


class KeyGate:
    """Answers the handshakes of one context until closed; must be open before any server socket is bound."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], listeners: Mapping[IntersectionId, str]) -> None:
        self._names = _names_by_key(listeners)
        self._refused = 0
        self._socket = context.socket(zmq.REP)
        self._stop = context.socket(zmq.PAIR)
        self._stopped = context.socket(zmq.PAIR)
        for socket in (self._socket, self._stop, self._stopped):
            socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(ZAP_ENDPOINT)
        self._stopped.bind(_STOP_ENDPOINT)
        self._stop.connect(_STOP_ENDPOINT)
        self._thread = threading.Thread(target=self._serve, name="phasemesh-zap", daemon=True)
        self._thread.start()

    def admit(self, listeners: Mapping[IntersectionId, str]) -> None:
        """Let in `listeners` and nobody else from the next handshake on; connections that stand are left alone.

        Raises:
            SiteError: A key is malformed or belongs to two intersections; the listeners of before stay.
        """
        self._names = _names_by_key(listeners)

    @property
    def refused(self) -> int:
        """Handshakes that were refused so far; a refused listener that retries counts each time."""
        return self._refused

    def _serve(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._stopped, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._stopped in ready:
                return
            self._socket.send_multipart(self._answer(self._socket.recv_multipart()))

    def _answer(self, request: list[bytes]) -> list[bytes]:
        name = self._name_of(request)
        if name is None:
            self._refused += 1
        status, text = _REFUSED if name is None else _ACCEPTED
        request_id = request[1] if len(request) > 1 else b""
        return [_VERSION, request_id, status, text, (name or "").encode(), b""]

    def _name_of(self, request: list[bytes]) -> IntersectionId | None:
        """The owner of the key in a request: version, id, domain, address, identity, mechanism, credentials."""
        if len(request) != 7 or request[0] != _VERSION or request[5] != b"CURVE":
            return None
        return self._names.get(request[6])

    def close(self) -> None:
        """End the thread; handshakes of servers that are still open fail from now on."""
        self._stop.send(b"")
        self._thread.join()
        for socket in (self._socket, self._stop, self._stopped):
            socket.close()


def _names_by_key(listeners: Mapping[IntersectionId, str]) -> dict[bytes, IntersectionId]:
    names: dict[bytes, IntersectionId] = {}
    for name, key in listeners.items():
        if not key:
            continue  # Revoked: whoever still holds its secret is a stranger.
        other = names.setdefault(decode_key(key, f"the public key of {name!r}"), name)
        if other != name:
            raise SiteError(f"{name!r} and {other!r} have the same public key; give every intersection its own")
    return names
