"""An app behind a gate, asked as a server would ask it, with a judge whose clocks a test sets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.access import Access
from phasemesh.controller.access.audit import AuditLog
from phasemesh.controller.access.middleware import App, RouteRole, Sight, protected
from phasemesh.controller.access.rate import Rate
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.tokens import add_token, new_token

WEST = IntersectionId("west")
EAST = IntersectionId("a/b east")
"""Ids may hold any character, slashes too."""
FAR = "192.0.2.7"
"""An address that is not of this machine."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        """Why a request was refused."""
        return str(msgspec.json.decode(self.body)["reason"])


class EchoApp:
    """Answers every request with 200, and keeps what reached it."""

    def __init__(self, status: int = 200) -> None:
        """Answer with `status`."""
        self.status = status
        self.seen: list[tuple[str, str, str]] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        if scope["type"] == "lifespan":
            self.seen.append(("lifespan", "", ""))
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.seen.append((scope["method"], scope["path"], scope["principal"]))
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": b"reached"})


class Clocks:
    """A monotonic and a wall clock that stand where a test puts them."""

    def __init__(self) -> None:
        """Begin at 100 s, on the first of January 2026."""
        self.mono_s = 100.0
        self.wall_s = 1_767_225_600.0


class Town:
    """Tokens of two intersections, and the judge who knows them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        """Keep the files in `folder`; every role has a token at the west, `far` is one of the east."""
        self.clocks = Clocks()
        self.paths = {WEST: folder / "0.tokens.json", EAST: folder / "1.tokens.json"}
        self.tokens = {str(role): self.give(WEST, str(role), role) for role in Role}
        self.tokens["far"] = self.give(EAST, "far", Role.MAINTAINER)
        self.tokens["expired"] = self.give(WEST, "expired", Role.MAINTAINER, expires_s=self.clocks.wall_s - 1.0)
        self.tokens["wrong"] = new_token()
        rate = options.pop("principal_rate", Rate(1e6, 1e6))
        self.access = Access(
            self.paths,
            principal_rate=rate,
            clock=lambda: self.clocks.mono_s,
            wall_clock=lambda: self.clocks.wall_s,
            **options,
        )

    def give(self, at: IntersectionId, name: str, role: Role, expires_s: float | None = None) -> str:
        """A new token of `name`."""
        token = new_token()
        add_token(self.paths[at], token, name, role, expires_s)
        return token

    def header(self, holder: str | None) -> bytes:
        """The header of `holder`, empty for None."""
        return b"" if holder is None else f"Bearer {self.tokens[holder]}".encode()


class Gate:
    """An app behind `protected`."""

    def __init__(
        self,
        town: Town,
        table: Iterable[RouteRole],
        app: App | None = None,
        log: AuditLog | None = None,
        sight: Sight | None = None,
    ) -> None:
        """Stand before `app`, by default one that echoes."""
        self.town = town
        self.echo = EchoApp()
        self.app = protected(app or self.echo, tuple(table), town.access, log, sight)

    def ask(
        self,
        method: str,
        path: str,
        holder: str | None = None,
        *,
        body: bytes = b"",
        address: str = "127.0.0.1",
        headers: Mapping[str, str] | None = None,
        parts: tuple[bytes, ...] = (),
    ) -> Answer:
        """The answer to one request; `parts` sends the body in several messages."""
        found = {"content-length": str(len(body)), **(headers or {})}
        raw = [(name.encode(), value.encode()) for name, value in found.items()]
        if holder is not None:
            raw.append((b"authorization", self.town.header(holder)))
        scope = {"type": "http", "method": method, "path": path, "headers": raw, "client": (address, 4711)}
        return asyncio.run(_exchange(self.app, scope, parts or (body,)))


async def _exchange(app: App, scope: Any, parts: tuple[bytes, ...]) -> Answer:
    pending = [
        {"type": "http.request", "body": part, "more_body": number + 1 < len(parts)}
        for number, part in enumerate(parts)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return pending.pop(0) if pending else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
