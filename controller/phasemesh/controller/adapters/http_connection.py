"""One kept-alive HTTP/1.1 connection for requests inside the tick, and nothing more than they need.

General clients spend most of their time on headers that a cabinet never sends; in an agent's process, whose caches
are cold at every tick, that was a fifth of the whole tick (docs/adr/0006). An answer usually comes in one piece and is
read by one call; its head is searched for the two things that matter.

Every exchange has one deadline, from opening the connection to the last byte of the answer, however slowly that
trickles. Only the system's resolver of names keeps its own time, so that a cabinet is best named by its address.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl

MAX_HEAD_BYTES = 16_384
MAX_BODY_BYTES = 4_000_000
READ_BYTES = 65_536
"""Asked for at once; the snapshot of a large intersection has about 10 000 bytes."""
SENT_AT_ONCE_S = 0.001
"""A request that took longer to send leaves noticeably less time for its answer."""
NO_CONTENT = 204

_HEAD_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})(?= |\r\n)")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r\n]*)", re.IGNORECASE)
_NUMBER = re.compile(rb"\d{1,20}")
"""Python refuses to read numbers of thousands of digits, with an error of its own."""


class HttpError(Exception):
    """An answer that is no HTTP/1.1 with a known length; the connection is of no use any longer."""


class Answer(NamedTuple):
    """Status code and body."""

    status: int
    body: bytes


class HttpConnection:
    """A connection to `host:port` that is opened with the first request, and again after every fault.

    `token` is sent with every request as a bearer token unless it is empty; `tls` encrypts the connection.
    """

    def __init__(self, host: str, port: int, *, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        """Prepare; nothing is opened yet."""
        self._host, self._port = host, port
        self._tls = tls
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        proof = f"Authorization: Bearer {token}\r\n" if token else ""
        self._headers = f"HTTP/1.1\r\nHost: {name}\r\n{proof}"
        self._socket: socket.socket | None = None

    def exchange(self, method: str, path: str, body: bytes | None, deadline_s: float) -> Answer:
        """Send one request and read its answer until `deadline_s` of the monotonic clock.

        Raises OSError or HttpError, after which the connection is closed, so that an answer that comes too late is
        never taken for that of the next request.
        """
        try:
            connection = self._socket or self._open(deadline_s)
            left_s = _left_s(deadline_s)
            connection.settimeout(left_s)
            connection.sendall(self._request(method, path, body))
            if left_s - _left_s(deadline_s) > SENT_AT_ONCE_S:
                connection.settimeout(_left_s(deadline_s))
            return _read_answer(connection, deadline_s)
        except (OSError, HttpError):
            self.close()
            raise

    def close(self) -> None:
        """Close; the next request opens a new connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _open(self, deadline_s: float) -> socket.socket:
        connection = self._connected(deadline_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What is kept here is closed with the connection, a handshake that fails or takes too long included.
        self._socket = connection
        if self._tls is not None:
            connection.settimeout(_left_s(deadline_s))
            self._socket = connection = self._tls.wrap_socket(connection, server_hostname=self._host)
        return connection

    def _connected(self, deadline_s: float) -> socket.socket:
        """A connection to the first address of the host that answers; each has an equal share of the time left."""
        places = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        trouble = OSError(f"{self._host} has no address")
        for index, (family, kind, protocol, _, address) in enumerate(places):
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(_left_s(deadline_s) / (len(places) - index))
                connection.connect(address)
            except OSError as error:
                connection.close()
                trouble = error
            else:
                return connection
        raise trouble

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        head = f"{method} {path} {self._headers}"
        if body is None:
            return f"{head}\r\n".encode("ascii")
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body


def _left_s(deadline_s: float) -> float:
    """Seconds until `deadline_s`; raises TimeoutError when there are none."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0.0:
        raise TimeoutError("timed out")
    return left_s


def _read_answer(connection: socket.socket, deadline_s: float) -> Answer:
    data = _some(connection, "the connection was closed")
    while (head_end := data.find(_HEAD_END, 0, MAX_HEAD_BYTES)) < 0:
        if len(data) >= MAX_HEAD_BYTES:
            raise HttpError(f"no end of the headers within {MAX_HEAD_BYTES} bytes")
        connection.settimeout(_left_s(deadline_s))
        data += _some(connection, f"the answer ends within its headers: {data[:40]!r}")
    status, length = _read_head(data[: head_end + 2])
    body_start = head_end + len(_HEAD_END)
    if len(data) == body_start + length:
        return Answer(status, data[body_start:])
    return Answer(status, _read_body(connection, data[body_start:], length, deadline_s))


def _read_body(connection: socket.socket, begun: bytes, length: int, deadline_s: float) -> bytes:
    """The body of `length` bytes that begins with `begun`; more than that answers nothing that was asked."""
    body = bytearray(begun)
    while len(body) < length:
        connection.settimeout(_left_s(deadline_s))
        body += _some(connection, f"the answer ends after {len(body)} of {length} bytes")
    if len(body) > length:
        raise HttpError(f"{len(body) - length} bytes after the answer")
    return bytes(body)


def _some(connection: socket.socket, fault: str) -> bytes:
    """The next bytes; an end of the connection is `fault`."""
    data = connection.recv(READ_BYTES)
    if not data:
        raise HttpError(fault)
    return data


def _read_head(head: bytes) -> tuple[int, int]:
    """Status and length of the body, of a head that ends with the end of its last line."""
    found = _STATUS.match(head)
    if found is None:
        raise HttpError(f"no HTTP answer: {head[:40]!r}")
    status, lengths = int(found[1]), _LENGTH.findall(head)
    if not lengths and status == NO_CONTENT:
        return status, 0
    if len(lengths) != 1:
        raise HttpError(f"an answer with {len(lengths)} times Content-Length")
    return status, _length(lengths[0])


def _length(value: bytes) -> int:
    text = value.strip(b" \t")
    if not _NUMBER.fullmatch(text) or int(text) > MAX_BODY_BYTES:
        raise HttpError(f"a Content-Length of {text[:20]!r}")
    return int(text)
