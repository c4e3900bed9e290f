"""What every target of the fuzzers is made of: seeds, a judge of arbitrary bytes, and a loop that asks an app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mutations import Form

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""Signs what a fuzzer has altered, so that it is the content that is judged and not the signature."""
PUBLIC = KEY.public_key().public_bytes_raw()
FAR = "192.0.2.7"


class Bench(NamedTuple):
    """Valid inputs, made by code from valid objects, and the judge of any input.

    `judge` lets through every exception that the decoder may not raise, and AssertionError for a wrong answer.
    """

    seeds: tuple[bytes, ...]
    judge: Callable[[bytes], None]


class Target(NamedTuple):
    """One decoder: its name, how its seeds can be read, what may come out, and how to set it up in a folder."""

    name: str
    form: Form
    expected: str
    set_up: Callable[[Path], Bench]


class Answer(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; raises DecodeError."""
        return msgspec.json.decode(self.body)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def ask(
    app: Any, method: str, path: str, body: bytes = b"", *, query: bytes = b"", authorization: bytes = b""
) -> Answer:
    """The answer of an ASGI `app`; an exception of the app comes out as it is."""
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    if authorization:
        headers.append((b"authorization", authorization))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": query,
        "headers": headers,
        "client": (FAR, 4711),
        "server": ("127.0.0.1", 80),
    }
    return _loop().run_until_complete(_exchange(app, scope, body))


async def _exchange(app: Any, scope: dict[str, Any], body: bytes) -> Answer:
    sent: list[Any] = []
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
