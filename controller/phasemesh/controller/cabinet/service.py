"""The FastAPI signal-controller adapter service: one process, any number of cabinets, versioned `/v1`.

Handlers and cabinets share one event loop, so that no lock is needed; bodies are msgspec structs of the contract.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response

from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.arbiter import CLAIMS
from phasemesh.controller.cabinet.bodies import (
    CabinetControl,
    CabinetFault,
    FaultReport,
    LeaseRequest,
    OverrideRequest,
    ResetRequest,
)
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.cabinet.document import Route, components, paths

MAX_WAIT_S = 30.0
"""Longest wait of one long poll, in seconds."""
KEEP_ALIVE_S = 120
"""How long an idle connection is kept, in seconds: longer than any control interval, since it idles between ticks."""


class CabinetBoard:
    """The cabinets of one process, and who waits for their next step."""

    def __init__(
        self,
        cabinets: Mapping[IntersectionId, Cabinet],
        *,
        on_command: Callable[[Command], None] = lambda _command: None,
        on_lease: Callable[[IntersectionId, int], None] = lambda _name, _boot_id: None,
    ) -> None:
        """Serve `cabinets`; `on_command` and `on_lease` hear of what agents did, after it was done."""
        self.cabinets = dict(cabinets)
        self.on_command = on_command
        self.on_lease = on_lease
        self._is_closed = False
        self._waiting: dict[IntersectionId, list[tuple[int, asyncio.Future[None]]]] = {}

    def publish(self) -> None:
        """Wake everyone who waits for a step that has been reached."""
        for name, waiting in self._waiting.items():
            step = self.cabinets[name].present_step if waiting else 0
            for after_step, future in waiting:
                if step > after_step and not future.done():
                    future.set_result(None)

    def close(self) -> None:
        """Show nobody the present step or a later one: the city has come to its end."""
        self._is_closed = True

    async def newer(self, name: IntersectionId, after_step: int, timeout_s: float) -> Snapshot | None:
        """The snapshot of cabinet `name` once its step is above `after_step`; None when that takes too long."""
        if self._is_closed:
            return None
        if self.cabinets[name].present_step > after_step:
            return self.cabinets[name].snapshot()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(name, [])
        waiting.append((after_step, future))
        try:
            async with asyncio.timeout(min(timeout_s, MAX_WAIT_S)):
                await future
        except TimeoutError:
            return None
        finally:
            waiting.remove((after_step, future))
        return self.cabinets[name].snapshot()


class CabinetService:
    """The handlers of the service; every answer that is not a success carries a `CabinetFault`."""

    def __init__(self, board: CabinetBoard) -> None:
        """Serve the cabinets of `board`."""
        self._board = board
        self._commands = msgspec.json.Decoder(Command)
        self._leases = msgspec.json.Decoder(LeaseRequest)
        self._readings = msgspec.json.Decoder(tuple[LaneReading, ...])
        self._overrides = msgspec.json.Decoder(OverrideRequest)
        self._resets = msgspec.json.Decoder(ResetRequest)

    async def list_cabinets(self, _request: Request) -> Response:
        """Ids of the cabinets in this process."""
        return _json(200, sorted(self._board.cabinets))

    async def read_state(self, request: Request) -> Response:
        """Signal, lease and detectors; waits at most `timeout_s` for a step above `after_step`, else answers 204."""
        cabinet = self._cabinet_of(request)
        try:
            after_step = int(request.query_params.get("after_step", "-1"))
            timeout_s = float(request.query_params.get("timeout_s", "0"))
        except ValueError:
            return _json(422, CabinetFault("after_step must be a whole number and timeout_s a number"))
        if not math.isfinite(timeout_s):
            return _json(422, CabinetFault("timeout_s must be finite"))
        if cabinet is None:
            return _unknown(request)
        snapshot = await self._board.newer(cabinet.intersection.id, after_step, timeout_s)
        return Response(status_code=204) if snapshot is None else _json(200, snapshot)

    async def obey(self, request: Request) -> Response:
        """Ask for a stage; the answer says what became of it."""
        cabinet = self._cabinet_of(request)
        command = _decoded(self._commands, await request.body())
        if cabinet is None or isinstance(command, CabinetFault):
            return _unknown(request) if cabinet is None else _json(422, command)
        applied = cabinet.command(command)
        self._board.on_command(command)
        return _json(200, applied)

    async def lease(self, request: Request) -> Response:
        """Announce the life of an agent that is ready to command; 409 when a newer one is known."""
        cabinet = self._cabinet_of(request)
        asked = _decoded(self._leases, await request.body())
        if cabinet is None or isinstance(asked, CabinetFault):
            return _unknown(request) if cabinet is None else _json(422, asked)
        name = cabinet.intersection.id
        if not cabinet.attach(asked.boot_id):
            return _json(409, CabinetFault(f"a newer agent than boot {asked.boot_id} holds {name}"))
        self._board.on_lease(name, asked.boot_id)
        return _json(200, cabinet.snapshot())

    async def detect(self, request: Request) -> Response:
        """Feed detectors from outside: one reading a lane, in the order of the lanes."""
        cabinet = self._cabinet_of(request)
        readings = _decoded(self._readings, await request.body())
        if cabinet is None or isinstance(readings, CabinetFault):
            return _unknown(request) if cabinet is None else _json(422, readings)
        lanes = len(cabinet.intersection.lanes)
        if len(readings) != lanes:
            return _json(422, CabinetFault(f"{len(readings)} readings for {lanes} lanes"))
        cabinet.read(readings)
        return _json(200, cabinet.snapshot())

    async def override(self, request: Request) -> Response:
        """Take the signal in hand as an operator: flash, stop time or a stage, until it ends by itself."""
        return await self._put_in_force(request, is_preemption=False)

    async def end_override(self, request: Request) -> Response:
        """End what an operator asked for."""
        return self._end(request, is_preemption=False)

    async def preempt(self, request: Request) -> Response:
        """Ask for a stage for a train, a fire engine or a bus, until it ends by itself; asking again renews it."""
        return await self._put_in_force(request, is_preemption=True)

    async def end_preempt(self, request: Request) -> Response:
        """End a preemption or transit priority."""
        return self._end(request, is_preemption=True)

    async def read_faults(self, request: Request) -> Response:
        """What is latched, what was reset, and whether it is kept on disk."""
        cabinet = self._cabinet_of(request)
        return _unknown(request) if cabinet is None else _json(200, cabinet.faults)

    async def reset_fault(self, request: Request) -> Response:
        """Clear a latched fault; 409 while its cause still holds."""
        cabinet, rule = self._cabinet_of(request), request.path_params["rule"]
        asked = _decoded(self._resets, await request.body())
        if cabinet is None or isinstance(asked, CabinetFault):
            return _unknown(request) if cabinet is None else _json(422, asked)
        if rule not in {fault.rule for fault in cabinet.faults.latched}:
            return _json(404, CabinetFault(f"{rule!r} is not latched"))
        refusal = cabinet.reset(rule, _principal(request), asked.reason)
        return _json(409, CabinetFault(refusal)) if refusal else _json(200, cabinet.faults)

    async def _put_in_force(self, request: Request, *, is_preemption: bool) -> Response:
        cabinet = self._cabinet_of(request)
        asked = _decoded(self._overrides, await request.body())
        if cabinet is None or isinstance(asked, CabinetFault):
            return _unknown(request) if cabinet is None else _json(422, asked)
        if CLAIMS[asked.kind].is_preemption is not is_preemption:
            return _json(422, CabinetFault(f"kind: must be one of {_kinds(is_preemption=is_preemption)}"))
        answer = cabinet.override(asked.kind, asked.stage, asked.ttl_s, reason=asked.reason, who=_principal(request))
        return _json(422, answer) if isinstance(answer, CabinetFault) else _control(cabinet)

    def _end(self, request: Request, *, is_preemption: bool) -> Response:
        cabinet, kind = self._cabinet_of(request), request.path_params["kind"]
        if cabinet is None:
            return _unknown(request)
        known = {each.value: each for each, claim in CLAIMS.items() if claim.is_preemption is is_preemption}
        if kind not in known or not cabinet.cancel(known[kind]):
            return _json(404, CabinetFault(f"there is no {kind!r} in force"))
        return _control(cabinet)

    def _cabinet_of(self, request: Request) -> Cabinet | None:
        return self._board.cabinets.get(IntersectionId(request.path_params["cabinet_id"]))


Body = TypeVar("Body")


_CABINET = "/v1/cabinets/{cabinet_id:path}"

ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/cabinets", "list_cabinets", "viewer", list[str]),
    Route(
        "GET",
        f"{_CABINET}/state",
        "read_state",
        "viewer",
        Snapshot,
        parameters=(("after_step", "integer"), ("timeout_s", "number")),
        answers=((204, "There is no newer step yet"),),
    ),
    Route("POST", f"{_CABINET}/command", "obey", "agent", AppliedCommand, Command),
    Route(
        "POST",
        f"{_CABINET}/lease",
        "lease",
        "agent",
        Snapshot,
        LeaseRequest,
        answers=((409, "A newer agent holds the cabinet"),),
    ),
    Route("PUT", f"{_CABINET}/detectors", "detect", "agent", Snapshot, tuple[LaneReading, ...]),
    Route("POST", f"{_CABINET}/override", "override", "operator", CabinetControl, OverrideRequest),
    Route("DELETE", f"{_CABINET}/override/{{kind}}", "end_override", "operator", CabinetControl),
    Route("POST", f"{_CABINET}/preempt", "preempt", "preemptor", CabinetControl, OverrideRequest),
    Route("DELETE", f"{_CABINET}/preempt/{{kind}}", "end_preempt", "preemptor", CabinetControl),
    Route("GET", f"{_CABINET}/faults", "read_faults", "viewer", FaultReport),
    Route(
        "POST",
        f"{_CABINET}/faults/{{rule}}/reset",
        "reset_fault",
        "operator",
        FaultReport,
        ResetRequest,
        answers=((409, "The cause still holds"),),
    ),
)
"""Those of every tick first, as the routes are tried in this order."""


def cabinet_app(board: CabinetBoard) -> FastAPI:
    """The service for the cabinets of `board`, with its OpenAPI document.

    The handlers are plain routes of Starlette below FastAPI, since FastAPI's own resolving of arguments cost as much
    as all the rest of a request; the document is made from `ROUTES` when somebody asks for it.
    """
    service = CabinetService(board)
    app = _Documented(title="phasemesh cabinet", version="1", description=__doc__ or "")
    for route in ROUTES:
        app.add_route(route.path, getattr(service, route.handler), methods=[route.method], include_in_schema=False)
    return app


class _Documented(FastAPI):
    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["paths"] = paths(ROUTES, CabinetService)
        document["components"] = components(ROUTES)
        return document


def _json(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")


def _control(cabinet: Cabinet) -> Response:
    return _json(200, CabinetControl(cabinet.mode, cabinet.overrides))


def _kinds(*, is_preemption: bool) -> str:
    return ", ".join(kind for kind, claim in CLAIMS.items() if claim.is_preemption is is_preemption)


def _principal(request: Request) -> str:
    """The name under which the access layer let the request in, empty without such a layer."""
    return str(request.scope.get("principal", ""))


def _unknown(request: Request) -> Response:
    name = request.path_params["cabinet_id"]
    return _json(404, CabinetFault(f"there is no cabinet {name!r} here; see /v1/cabinets"))


def _decoded(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body | CabinetFault:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return CabinetFault(str(error))
