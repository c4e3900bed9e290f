"""The OpenAPI document of the cabinet service, made from its table of routes."""

from __future__ import annotations

from collections.abc import Sequence
from types import GenericAlias
from typing import Any

import msgspec

from phasemesh.controller.access.document import SECURITY, SECURITY_SCHEMES, refusals
from phasemesh.controller.cabinet.bodies import CabinetFault

BodyType = type[Any] | GenericAlias
"""What msgspec decodes: a struct, or a container of structs."""


class Route(msgspec.Struct, frozen=True):
    """One endpoint: its method, path, handler of `CabinetService`, least role, and the structs of its bodies.

    Ids of cabinets may hold any character, slashes included. `role` is for the layer that lets principals in.
    """

    method: str
    path: str
    handler: str
    role: str
    answer: BodyType
    body: BodyType | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    """Names and JSON types of the query."""
    answers: tuple[tuple[int, str], ...] = ()
    """Statuses beside 200, 404 and 422, each with its meaning."""


def paths(routes: Sequence[Route], service: type[Any]) -> dict[str, dict[str, Any]]:
    """The part `paths` of the document; the summaries are the docstrings of the handlers in `service`."""
    described: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = described.setdefault(route.path.replace(":path", ""), {})
        path[route.method.lower()] = {
            "summary": (getattr(service, route.handler).__doc__ or "").strip(),
            "operationId": route.handler,
            "x-role": route.role,
            "security": SECURITY,
            "parameters": _parameters(route),
            "responses": {str(status): answer for status, answer in _answers(route).items()},
            **(_body(route.body) if route.body is not None else {}),
        }
    return described


def components(routes: Sequence[Route]) -> dict[str, Any]:
    """The part `components` of the document: the schema of every body."""
    bodies = [body for route in routes for body in (route.answer, route.body) if body is not None]
    return {"schemas": _schemas([*bodies, CabinetFault])[1], "securitySchemes": SECURITY_SCHEMES}


def _parameters(route: Route) -> list[dict[str, Any]]:
    places = [part.strip("{}").partition(":")[0] for part in route.path.split("/") if part.startswith("{")]
    named = [(name, "path", "string") for name in places]
    asked = [(name, "query", kind) for name, kind in route.parameters]
    return [
        {"name": name, "in": place, "required": place == "path", "schema": {"type": kind}}
        for name, place, kind in (*named, *asked)
    ]


def _answers(route: Route) -> dict[int, dict[str, Any]]:
    fault = {"content": {"application/json": {"schema": _schema(CabinetFault)}}}
    return {
        200: {"description": "Done", "content": {"application/json": {"schema": _schema(route.answer)}}},
        404: {"description": "There is no such cabinet, or nothing of that name in it", **fault},
        422: {"description": "The request cannot be understood", **fault},
        **{status: {"description": text, **fault} for status, text in refusals(route.role).items()},
        **{status: {"description": text, **(fault if status >= 400 else {})} for status, text in route.answers},
    }


def _body(body: BodyType) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(body)}}}}


def _schema(body: BodyType) -> dict[str, Any]:
    return _schemas([body])[0][0]


def _schemas(bodies: list[BodyType]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
