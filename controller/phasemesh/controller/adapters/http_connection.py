"""One kept-alive HTTP/1.1 connection for requests inside the tick, and nothing more than they need.

General clients spend most of their time on headers that a cabinet never sends; in an agent's process, whose caches
are cold at every tick, that was a fifth of the whole tick (docs/adr/0006).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    import ssl

MAX_LINE_BYTES = 8192
MAX_HEADERS = 64
MAX_BODY_BYTES = 4_000_000
MAX_LENGTH_DIGITS = 20
NO_CONTENT = 204


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
        self._address = (host, port)
        self._tls = tls
        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        proof = f"Authorization: Bearer {token}\r\n" if token else ""
        self._headers = f"HTTP/1.1\r\nHost: {name}\r\n{proof}"
        self._socket: socket.socket | None = None
        self._reader: BinaryIO | None = None

    def exchange(self, method: str, path: str, body: bytes | None, timeout_s: float) -> Answer:
        """Send one request and read its answer; raises OSError or HttpError, after which the connection is closed."""
        try:
            connection, reader = self._opened(timeout_s)
            connection.settimeout(timeout_s)
            connection.sendall(self._request(method, path, body))
            return _read_answer(reader)
        except (OSError, HttpError):
            self.close()
            raise

    def close(self) -> None:
        """Close; the next request opens a new connection."""
        if self._reader is not None:
            self._reader.close()
        if self._socket is not None:
            self._socket.close()
        self._reader = self._socket = None

    def _opened(self, timeout_s: float) -> tuple[socket.socket, BinaryIO]:
        if self._socket is None or self._reader is None:
            self._socket = socket.create_connection(self._address, timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(self._socket, server_hostname=self._address[0])
            self._reader = self._socket.makefile("rb")
        return self._socket, self._reader

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        head = f"{method} {path} {self._headers}"
        if body is None:
            return f"{head}\r\n".encode("ascii")
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body


def _read_answer(reader: BinaryIO) -> Answer:
    status = _status(_line(reader))
    length = 0 if status == NO_CONTENT else None
    for _ in range(MAX_HEADERS):
        line = _line(reader)
        if not line:
            break
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = _length(value)
    else:
        raise HttpError(f"more than {MAX_HEADERS} headers")
    if length is None:
        raise HttpError("an answer without Content-Length")
    body = reader.read(length)
    if len(body) < length:
        raise HttpError(f"the answer ends after {len(body)} of {length} bytes")
    return Answer(status, body)


def _line(reader: BinaryIO) -> bytes:
    line = reader.readline(MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        raise HttpError("the connection was closed" if not line else "a line without an end")
    return line.rstrip(b"\r\n")


def _status(line: bytes) -> int:
    version, _, rest = line.partition(b" ")
    if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
        raise HttpError(f"no HTTP answer: {line[:40]!r}")
    return int(rest[:3])


def _length(value: bytes) -> int:
    text = value.strip()
    # Python refuses to read numbers of thousands of digits, with an error of its own.
    if not text.isdigit() or len(text) > MAX_LENGTH_DIGITS or int(text) > MAX_BODY_BYTES:
        raise HttpError(f"a Content-Length of {text[:20]!r}")
    return int(text)
