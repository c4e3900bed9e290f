"""The FastAPI signal-controller adapter service: one process, any number of cabinets, versioned `/v1`.

Handlers and cabinets share one event loop, so that no lock is needed; bodies are msgspec structs of the contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import GenericAlias
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response

from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.bodies import CabinetFault, LeaseRequest
from phasemesh.controller.cabinet.cabinet import Cabinet

MAX_WAIT_S = 30.0
"""Longest wait of one long poll, in seconds."""


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
            step = self.cabinets[name].snapshot().step if waiting else 0
            for after_step, future in waiting:
                if step > after_step and not future.done():
                    future.set_result(None)

    def close(self) -> None:
        """Show nobody the present step or a later one: the city has come to its end."""
        self._is_closed = True

    async def newer(self, name: IntersectionId, after_step: int, timeout_s: float) -> Snapshot | None:
        """The snapshot of cabinet `name` once its step is above `after_step`; None when that takes too long."""
        snapshot = self.cabinets[name].snapshot()
        if self._is_closed:
            return None
        if snapshot.step > after_step:
            return snapshot
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

    async def list_cabinets(self, _request: Request) -> Response:
        """Ids of the cabinets in this process."""
        return _json(200, sorted(self._board.cabinets))

    async def read_state(self, request: Request) -> Response:
        """Signal, lease and detectors; waits at most `timeout_s` for a step above `after_step`, else answers 204."""
        cabinet = self._cabinet_of(request)
        try:
            after_step = int(request.query_params.get("after_step", "-1"))
            timeout_s = float(request.query_params.get("timeout_s", "0"))
        except ValueError as error:
            return _json(422, CabinetFault(f"after_step and timeout_s must be numbers: {error}"))
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

    def _cabinet_of(self, request: Request) -> Cabinet | None:
        return self._board.cabinets.get(IntersectionId(request.path_params["cabinet_id"]))


BodyType = type[Any] | GenericAlias
"""What msgspec decodes: a struct, or a container of structs."""
Body = TypeVar("Body")


class Route(msgspec.Struct, frozen=True):
    """One endpoint: its method, path, handler of `CabinetService`, and the structs of its bodies.

    Ids of cabinets may hold any character, slashes included.
    """

    method: str
    path: str
    handler: str
    answer: BodyType
    body: BodyType | None = None


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/cabinets", "list_cabinets", list[str]),
    Route("GET", "/v1/cabinets/{cabinet_id:path}/state", "read_state", Snapshot),
    Route("POST", "/v1/cabinets/{cabinet_id:path}/command", "obey", AppliedCommand, Command),
    Route("POST", "/v1/cabinets/{cabinet_id:path}/lease", "lease", Snapshot, LeaseRequest),
    Route("PUT", "/v1/cabinets/{cabinet_id:path}/detectors", "detect", Snapshot, tuple[LaneReading, ...]),
)


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
        document["paths"] = _paths()
        bodies = [body for route in ROUTES for body in (route.answer, route.body) if body is not None]
        document["components"] = {"schemas": _schemas([*bodies, CabinetFault])[1]}
        return document


def _paths() -> dict[str, dict[str, Any]]:
    return {
        route.path.replace(":path", ""): {
            route.method.lower(): {
                "summary": (getattr(CabinetService, route.handler).__doc__ or "").strip(),
                "operationId": route.handler,
                "parameters": _parameters(route),
                "responses": {str(status): answer for status, answer in _answers(route).items()},
                **(_body(route.body) if route.body is not None else {}),
            }
        }
        for route in ROUTES
    }


def _parameters(route: Route) -> list[dict[str, Any]]:
    named = [("cabinet_id", "path", "string")] if "{cabinet_id" in route.path else []
    asked = [("after_step", "query", "integer"), ("timeout_s", "query", "number")]
    return [
        {"name": name, "in": place, "required": place == "path", "schema": {"type": kind}}
        for name, place, kind in (*named, *(asked if route.handler == "read_state" else ()))
    ]


def _answers(route: Route) -> dict[int | str, dict[str, Any]]:
    fault = {"content": {"application/json": {"schema": _schema(CabinetFault)}}}
    return {
        200: {"description": "Done", "content": {"application/json": {"schema": _schema(route.answer)}}},
        404: {"description": "There is no such cabinet", **fault},
        422: {"description": "The request cannot be understood", **fault},
        **_other_answers(route, fault),
    }


def _other_answers(route: Route, fault: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    if route.body is LeaseRequest:
        return {409: {"description": "A newer agent holds the cabinet", **fault}}
    return {204: {"description": "There is no newer step yet"}} if route.handler == "read_state" else {}


def _body(body: BodyType) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(body)}}}}


def _schema(body: BodyType) -> dict[str, Any]:
    return _schemas([body])[0][0]


def _schemas(bodies: list[BodyType]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")


def _json(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status_code=status, media_type="application/json")


def _unknown(request: Request) -> Response:
    name = request.path_params["cabinet_id"]
    return _json(404, CabinetFault(f"there is no cabinet {name!r} here; see /v1/cabinets"))


def _decoded(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body | CabinetFault:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return CabinetFault(str(error))
