"""The gate before an app: roles by route, a limit of size, and an audit of whatever changes something.

It wraps any ASGI app and denies by default: a path that is not in its table does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from re import Pattern
from typing import Any, NamedTuple

import msgspec

from phasemesh.controller.access.access import OPEN, Access, Asked, Refusal
from phasemesh.controller.access.audit import AuditEntry, AuditFault, AuditKind, AuditLog
from phasemesh.controller.access.roles import AUDITED, Principal, Role

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Sight = Callable[[str | None], object]

MAX_BODY_BYTES = 1_000_000
MAX_LENGTH_DIGITS = 20
"""Python refuses to read numbers of thousands of digits, with an error of its own."""
MAX_AUDITED_BODY_BYTES = 65_536
MAX_KNOWN_PATHS = 4096
_ID = "cabinet_id"
"""Name of the parameter of a path that holds the intersection."""


class RouteRole(msgspec.Struct, frozen=True):
    """Which role a route demands: a `Role`, or `open`; the path is written as in the app's own table."""

    method: str
    path: str
    role: str


class _Found(NamedTuple):
    role: str
    intersection: str | None


def protected(
    app: App, table: Sequence[RouteRole], access: Access, log: AuditLog | None = None, sight: Sight | None = None
) -> App:
    """`app` behind a gate; the principal of a request is put into `scope["principal"]`, empty for an open one.

    Args:
        app: Any ASGI app.
        table: Every route of `app`, in its order; what is missing cannot be reached.
        access: Who may ask.
        log: Where overrides and resets are written before they are acted on; without it there are none.
        sight: What is shown at an intersection, for `before` and `after` in the log.

    Raises:
        ValueError: A row demands a role that does not exist.
    """
    return _Gate(app, table, access, log, sight)


class _Gate:
    def __init__(
        self, app: App, table: Sequence[RouteRole], access: Access, log: AuditLog | None, sight: Sight | None
    ) -> None:
        from starlette.routing import compile_path  # noqa: PLC0415 (agents without endpoints must not pay for it)

        for row in table:
            if row.role != OPEN:
                Role(row.role)
        self._app = app
        self._access = access
        self._log = log
        self._sight = sight or (lambda _intersection: None)
        self._rows: list[tuple[str, Pattern[str], str]] = [
            (row.method, compile_path(row.path)[0], row.role) for row in table
        ]
        self._paths: dict[tuple[str, str], _Found | Refusal] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            # No endpoint has another protocol; a websocket that is closed before it is accepted is answered 403.
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._look_up(scope["method"], scope["path"])
        judged = self._judged(found, scope)
        if isinstance(judged, Refusal):
            await self._note_refusal(found, judged, scope)
            await _refuse(send, judged)
        elif isinstance(found, Refusal):
            await _refuse(send, found)
        else:
            self._remember(found, scope)
            scope["principal"] = judged.name if judged is not None else ""
            if judged is not None and found.role in AUDITED:
                await self._serve_audited(found, judged, scope, receive, send)
            else:
                await self._app(scope, receive, send)

    def _judged(self, found: _Found | Refusal, scope: Scope) -> Principal | Refusal | None:
        """Who asks, or why not: what does not exist is denied to strangers like what does."""
        demand, intersection = (Role.VIEWER, None) if isinstance(found, Refusal) else found
        headers = _headers(scope["headers"])
        judged = self._access.judge(Asked(demand, intersection, headers.authorization, _address(scope)))
        return judged if isinstance(judged, Refusal) else headers.refusal or judged

    def _look_up(self, method: str, path: str) -> _Found | Refusal:
        """The row of a request, by the patterns of the app's own router so that both read a path alike."""
        method = "GET" if method == "HEAD" else method
        if (known := self._paths.get((method, path))) is not None:
            return known
        matches = [(row[0], match, row[2]) for row in self._rows if (match := row[1].match(path))]
        for wanted, match, role in matches:
            if wanted == method:
                return _Found(role, match.groupdict().get(_ID))
        return Refusal(405, f"{method} is not for {path}") if matches else Refusal(404, f"there is no {path}")

    def _remember(self, found: _Found, scope: Scope) -> None:
        if len(self._paths) < MAX_KNOWN_PATHS:
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            self._paths[method, scope["path"]] = found

    async def _note_refusal(self, found: _Found | Refusal, refusal: Refusal, scope: Scope) -> None:
        """Write down who tried to change something without being allowed to."""
        if self._log is not None and refusal.who and not isinstance(found, Refusal) and found.role in AUDITED:
            entry = _entry(AuditKind.REFUSED, refusal.who, "", scope)
            await asyncio.to_thread(
                self._log.append, msgspec.structs.replace(entry, reason=refusal.reason, status=refusal.status)
            )

    async def _serve_audited(
        self, found: _Found, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Act only on what is written down; the outcome is written after it, for which the street does not wait."""
        body = await _body(receive)
        if self._log is None or body is None:
            why = "there is no audit log" if self._log is None else "the body is too long"
            await _refuse(send, Refusal(503 if self._log is None else 413, why))
            return
        request = _decoded(body)
        entry = msgspec.structs.replace(
            _entry(AuditKind.ASKED, principal.name, principal.role_at(found.intersection), scope),
            reason=_reason(request),
            request=request,
            before=self._sight(found.intersection),
        )
        fault = await asyncio.to_thread(self._log.append, entry)
        if isinstance(fault, AuditFault):
            await _refuse(send, Refusal(503, f"refused, since it cannot be audited: {fault.reason}"))
            return
        answer = _Answer(send)
        try:
            await self._app(scope, _again(body, receive), answer)
        finally:
            after = self._sight(found.intersection)
            done = msgspec.structs.replace(entry, kind=AuditKind.DONE, after=after, status=answer.status)
            await asyncio.to_thread(self._log.append, done)


class _Headers(NamedTuple):
    authorization: bytes
    refusal: Refusal | None


def _headers(headers: Sequence[tuple[bytes, bytes]]) -> _Headers:
    """The first proof of who asks, and why the body is not taken: too long, or of a length that is not told."""
    authorization, refusal = b"", None
    for name, value in headers:
        if name == b"authorization":
            authorization = authorization or value
        elif name == b"content-length" and (
            not value.isdigit() or len(value) > MAX_LENGTH_DIGITS or int(value) > MAX_BODY_BYTES
        ):
            refusal = Refusal(413, f"a body may have {MAX_BODY_BYTES} bytes")
        elif name == b"transfer-encoding":
            refusal = Refusal(411, "send a Content-Length")
    return _Headers(authorization, refusal)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _entry(kind: AuditKind, who: str, role: str, scope: Scope) -> AuditEntry:
    return AuditEntry(kind=kind, who=who, role=role, source=_address(scope), what=f"{scope['method']} {scope['path']}")


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None when it is longer than what can be audited."""
    parts: list[bytes] = []
    while sum(map(len, parts)) <= MAX_AUDITED_BODY_BYTES:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            body = b"".join(parts)
            return body if len(body) <= MAX_AUDITED_BODY_BYTES else None
    return None


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` once, then what else comes, such as the end of the connection."""
    pending = [body]

    async def next_message() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return next_message


def _decoded(body: bytes) -> object:
    """`body` as it is written down: its JSON, else its text."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode(errors="replace")


def _reason(request: object) -> str:
    reason = request.get("reason", "") if isinstance(request, dict) else ""
    return reason if isinstance(reason, str) else ""


class _Answer:
    """Passes the messages of an app on and keeps the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = msgspec.json.encode({"reason": refusal.reason})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode("ascii"))]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode("ascii")))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
