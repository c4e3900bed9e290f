"""Faults F11 and F12 at the service of the cabinets: one cabinet answers 500, hangs, answers half, is slow or lies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

import msgspec

from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.bodies import CabinetFault
from phasemesh.controller.cabinet.service import CabinetBoard

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "/v1/cabinets/"
SLOW_S = 0.3
"""Wall time by which a slow cabinet answers late."""
HANG_POLL_S = 0.05


class ServiceFaults:
    """An ASGI application before `app` that spoils the answers of those cabinets that are in trouble."""

    def __init__(self, app: App, board: CabinetBoard) -> None:
        """Stand before `app`, which serves `board`."""
        self._app = app
        self._board = board
        self._troubles: dict[IntersectionId, str] = {}

    def begin(self, name: IntersectionId, trouble: str) -> None:
        """From now on the cabinet `name` is in `trouble`, one of `SERVICE_TROUBLES`."""
        self._troubles[name] = trouble

    def end(self, name: IntersectionId) -> None:
        """The cabinet `name` answers as it should again."""
        self._troubles.pop(name, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        name, action = _target(scope)
        trouble = self._troubles.get(name)
        if trouble is None:
            await self._app(scope, receive, send)
        else:
            await SERVICE_TROUBLES[trouble](self, name, action, (scope, receive, send))

    async def fail(self, _name: IntersectionId, _action: str, request: _Request) -> None:
        """Answer 500."""
        await _answer(request[2], 500, msgspec.json.encode(CabinetFault("injected")))

    async def hang(self, name: IntersectionId, _action: str, request: _Request) -> None:
        """Answer nothing until the trouble is over, by when nobody waits any longer."""
        while name in self._troubles:
            await asyncio.sleep(HANG_POLL_S)
        await _answer(request[2], 503, msgspec.json.encode(CabinetFault("injected")))

    async def tear(self, _name: IntersectionId, _action: str, request: _Request) -> None:
        """Answer success with half a body."""
        await _answer(request[2], 200, b'{"step": 1, "requested_st')

    async def delay(self, _name: IntersectionId, _action: str, request: _Request) -> None:
        """Answer late."""
        await asyncio.sleep(SLOW_S)
        await self._app(*request)

    async def lie(self, name: IntersectionId, action: str, request: _Request) -> None:
        """Accept every command for a stage and do nothing; all else is answered truly."""
        if action != "command":
            await self._app(*request)
            return
        command = msgspec.json.decode(await _body(request[1]), type=Command)
        snapshot = self._board.cabinets[name].snapshot()
        pretended = AppliedCommand(
            step=command.step,
            requested_stage=command.stage,
            stage=command.stage if command.kind is CommandKind.STAGE else snapshot.signal.stage,
            is_accepted=True,
            rule="",
            signal=snapshot.signal,
            lease_until_s=snapshot.now_s + snapshot.lease_s,
        )
        self._board.on_command(command)
        await _answer(request[2], 200, msgspec.json.encode(pretended))


_Request = tuple[Scope, Receive, Send]
SERVICE_TROUBLES: dict[str, Callable[[ServiceFaults, IntersectionId, str, _Request], Awaitable[None]]] = {
    "cabinet-error": ServiceFaults.fail,
    "cabinet-hang": ServiceFaults.hang,
    "cabinet-torn": ServiceFaults.tear,
    "cabinet-slow": ServiceFaults.delay,
    "cabinet-lie": ServiceFaults.lie,
}


def _target(scope: Scope) -> tuple[IntersectionId, str]:
    """Cabinet and action of a request; empty for what concerns no cabinet."""
    path = str(scope.get("path", ""))
    if not path.startswith(PREFIX):
        return IntersectionId(""), ""
    name, _, action = path.removeprefix(PREFIX).rpartition("/")
    return IntersectionId(unquote(name)), action


async def _body(receive: Receive) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        parts += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(parts)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
