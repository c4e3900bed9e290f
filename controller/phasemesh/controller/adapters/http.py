"""The adapter for a cabinet service over HTTP or HTTPS: one kept-alive connection, JSON bodies of the contract."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.errors import SiteError
from phasemesh.contract.site import Pace, SiteFile
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.http_connection import HttpConnection, HttpError
from phasemesh.controller.cabinet.bodies import CabinetFault, LeaseRequest

if TYPE_CHECKING:
    import ssl

DEFAULT_PORTS = {"http": 80, "https": 443}
BAD_REQUEST = 400
LOCKSTEP_ANSWER_S = 5.0
"""Patience in lockstep, where the wall clock measures nothing but the load; a harness waits as long for an agent."""
LOADED_ANSWER_S = 1.0
"""Patience in a city that runs faster than the wall: its machine needs no less time for an answer."""

_TROUBLE = (OSError, HttpError)
"""What a connection to a cabinet may run into while control goes on."""

Answer = TypeVar("Answer")


class Patience(NamedTuple):
    """How long a cabinet may take to answer, in seconds of the wall clock, opening the connection included.

    A command is waited for until `tick_s` after the snapshot came on which it was decided, so that a cabinet that hangs
    holds an agent no longer than its tick; `answer_s` is for every other request, beyond the wait that was asked for,
    and the least that a command gets, so that one which is decided late, or says farewell, is heard as well.
    """

    tick_s: float
    answer_s: float


LOCKSTEP_PATIENCE = Patience(LOCKSTEP_ANSWER_S, LOCKSTEP_ANSWER_S)


def patience_of(site: SiteFile) -> Patience:
    """The patience that follows from the tick of `site`: half of it for an answer."""
    if site.pace is Pace.LOCKSTEP:
        return LOCKSTEP_PATIENCE
    half_s = site.tick_s / 2.0
    return Patience(site.tick_s / site.speed, max(half_s / site.speed, min(half_s, LOADED_ANSWER_S)))


class HttpDriver:
    """Drives the cabinet `intersection_id` of the service at `url` (`http://host:port` or `https://host:port`)."""

    def __init__(
        self,
        url: str,
        intersection_id: IntersectionId,
        token: str = "",
        tls: Callable[[], ssl.SSLContext] | None = None,
        patience: Patience = LOCKSTEP_PATIENCE,
    ) -> None:
        """Prepare the connection.

        Args:
            url: Where the service listens.
            intersection_id: Its cabinet.
            token: What proves the agent's right to it, empty for a service that asks for none.
            tls: Makes the context for an `https` address, and is called for no other.
            patience: How long an answer may take.

        Raises:
            SiteError: `url` is not an address, or is an `https` one without `tls`.
        """
        address = _parse(url, intersection_id)
        context = _context(url, tls) if address.is_encrypted else None
        self._connection = HttpConnection(address.host, address.port, token=token, tls=context)
        self._patience = patience
        self._tick_end_s = 0.0
        self._path = f"{address.path}/v1/cabinets/{quote(intersection_id, safe='')}"
        self._snapshots = msgspec.json.Decoder(Snapshot)
        self._applied = msgspec.json.Decoder(AppliedCommand)
        self._encoder = msgspec.json.Encoder()

    def attach(self, boot_id: int) -> DriverFault | None:
        """As in `Driver`."""
        answer = self._request("POST", "/lease", self._encoder.encode(LeaseRequest(boot_id)), self._answer_by_s())
        return answer if isinstance(answer, DriverFault) else None

    def observe(self, after_step: int, timeout_s: float) -> Snapshot | DriverFault | None:
        """As in `Driver`."""
        query = f"/state?after_step={after_step}&timeout_s={timeout_s:.3f}"
        answer = self._request("GET", query, None, self._answer_by_s() + timeout_s)
        if isinstance(answer, DriverFault):
            return answer
        if not answer:
            return None
        self._tick_end_s = time.monotonic() + self._patience.tick_s
        return _decoded(self._snapshots.decode, answer)

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`; never repeated by itself, since a late command must not be obeyed."""
        deadline_s = max(self._tick_end_s, self._answer_by_s())
        answer = self._request("POST", "/command", self._encoder.encode(command), deadline_s)
        if isinstance(answer, DriverFault):
            return answer
        return _decoded(self._applied.decode, answer)

    def close(self) -> None:
        """As in `Driver`."""
        self._connection.close()

    def _answer_by_s(self) -> float:
        """When an answer to a request that is sent now must be there, on the monotonic clock."""
        return time.monotonic() + self._patience.answer_s

    def _request(self, method: str, path: str, body: bytes | None, deadline_s: float) -> bytes | DriverFault:
        try:
            answer = self._connection.exchange(method, self._path + path, body, deadline_s)
        except _TROUBLE as error:
            return DriverFault(f"{method} {self._path}{path}: {type(error).__name__}: {error}")
        if answer.status >= BAD_REQUEST:
            return DriverFault(f"{method} {path}: {answer.status}: {_reason(answer.body)}")
        return answer.body


class _Address(NamedTuple):
    host: str
    port: int
    path: str
    is_encrypted: bool


def _context(url: str, tls: Callable[[], ssl.SSLContext] | None) -> ssl.SSLContext:
    if tls is None:
        raise SiteError(f"cabinet address {url!r}: https needs the certificates of the site")
    return tls()


def _parse(url: str, intersection_id: IntersectionId) -> _Address:
    address = urlsplit(url)
    try:
        port = address.port or DEFAULT_PORTS.get(address.scheme, 0)
    except ValueError:
        port = 0
    if address.scheme not in DEFAULT_PORTS or not address.hostname or not port:
        raise SiteError(f"cabinet address {url!r} of {intersection_id}: must look like http://host:port")
    return _Address(address.hostname, port, address.path.rstrip("/"), address.scheme == "https")


def _decoded(decode: Callable[[bytes], Answer], answer: bytes) -> Answer | DriverFault:
    try:
        return decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return DriverFault(f"the cabinet's answer cannot be read: {error}")


def _reason(answer: bytes) -> str:
    try:
        return msgspec.json.decode(answer, type=CabinetFault).reason
    except (msgspec.DecodeError, UnicodeDecodeError):
        return answer[:200].decode(errors="replace")
