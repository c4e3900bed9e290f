"""The operator's endpoints: read-only, each a pure function of the newest published state and the time.

`ROLES` says who may read which; the gate that asks for it is `controller/access/middleware.py`.

FastAPI is imported only when an app is made, because an agent decides long before anybody asks it anything, and may
run without any endpoint.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from phasemesh.contract.units import MonoNs
from phasemesh.controller.access.access import OPEN
from phasemesh.controller.access.document import SECURITY, SECURITY_SCHEMES, refusals
from phasemesh.controller.access.middleware import RouteRole
from phasemesh.controller.access.roles import Role
from phasemesh.controller.operator import event_views, memory_views, views
from phasemesh.controller.operator.snapshot import OperatorState
from phasemesh.controller.telemetry.records import TickRecord

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

JSON = "application/json"
HEALTH_JSON = "application/health+json"
VERSION = importlib.metadata.version("phasemesh")


class RefusalView(msgspec.Struct, frozen=True):
    """Why the gate did not let a request in."""

    reason: str


class Reply(msgspec.Struct, frozen=True):
    """One answer: HTTP status and body; the media type is that of its route."""

    status: int
    body: bytes


class Route(msgspec.Struct, frozen=True):
    """One row of the table of endpoints: `schema` is the type of a body of `media_type`.

    `refusal` is the type of a body with status 503, or None for an endpoint that always answers. `role` is what a
    caller must have: `open` is for anybody on this machine, and for viewers from elsewhere.
    """

    path: str
    summary: str
    answer: Callable[[OperatorState | None, MonoNs], Reply]
    schema: Any
    refusal: Any = views.NoStateView
    media_type: str = JSON
    role: str = Role.VIEWER


def _json(view: object, *, is_good: bool = True) -> Reply:
    return Reply(200 if is_good else 503, msgspec.json.encode(view))


def _livez(state: OperatorState | None, now: MonoNs) -> Reply:
    view = views.liveness(state, now)
    return _json(view, is_good=view.is_alive)


def _readyz(state: OperatorState | None, now: MonoNs) -> Reply:
    view = views.readiness(state, now)
    return _json(view, is_good=view.is_ready)


def _healthz(state: OperatorState | None, now: MonoNs) -> Reply:
    view = views.health(state, now, VERSION)
    return _json(view, is_good=view.status is not views.Status.FAILED)


def _version(state: OperatorState | None, now: MonoNs) -> Reply:
    if state is None:
        return _nothing_yet()
    return _json(views.version_of(state, now, VERSION))


def _nothing_yet() -> Reply:
    return _json(views.NoStateView("there has been no tick yet"), is_good=False)


def _of_tick(
    view: Callable[[OperatorState, TickRecord, MonoNs], object],
) -> Callable[[OperatorState | None, MonoNs], Reply]:
    """An answer that needs a tick, and says so while there has been none."""

    def answer(state: OperatorState | None, now: MonoNs) -> Reply:
        if state is None or state.record is None:
            return _nothing_yet()
        return _json(view(state, state.record, now))

    return answer


ROUTES: tuple[Route, ...] = (
    Route(
        "/livez",
        "Whether the decision loop turns; only this may trigger a restart",
        _livez,
        views.LivenessView,
        views.LivenessView,
        role=OPEN,
    ),
    Route("/readyz", "Whether the policy is in control", _readyz, views.ReadinessView, views.ReadinessView, role=OPEN),
    Route(
        "/healthz", "Health of every component", _healthz, views.HealthView, views.HealthView, HEALTH_JSON, role=OPEN
    ),
    Route("/v1/phase", "What the signal shows, and the rung of the ladder", _of_tick(views.phase), views.PhaseView),
    Route(
        "/v1/neighbours",
        "Every neighbour's newest message",
        _of_tick(lambda state, record, _: views.neighbours(state, record)),
        list[views.NeighbourView],
    ),
    Route(
        "/v1/decision",
        "The newest decision with its inputs",
        _of_tick(lambda _state, record, _now: views.decision(record)),
        views.DecisionView,
    ),
    Route(
        "/v1/detectors",
        "Every lane's detectors, and whether they are believed",
        _of_tick(lambda state, record, _: event_views.detectors(state, record)),
        list[event_views.DetectorView],
    ),
    Route(
        "/v1/events",
        "The newest entries of the event log, oldest first",
        _of_tick(lambda state, _record, _now: event_views.events(state)),
        list[event_views.EventView],
    ),
    Route(
        "/v1/memory",
        "What is remembered, who decided, and what memory would have done",
        _of_tick(lambda state, record, _: memory_views.memory(state, record)),
        memory_views.MemoryView,
    ),
    Route("/v1/version", "What this agent is and runs", _version, views.VersionView),
)
METRICS_PATH = "/metrics"
ROLES: tuple[RouteRole, ...] = (
    *(RouteRole("GET", route.path, route.role) for route in ROUTES),
    RouteRole("GET", METRICS_PATH, OPEN),
    RouteRole("GET", "/openapi.json", Role.VIEWER),
)
"""What every path of the app demands."""


def operator_app(
    source: Callable[[], OperatorState | None], registry: CollectorRegistry, clock: Callable[[], MonoNs]
) -> FastAPI:
    """The app of one agent.

    Args:
        source: the newest published state, such as `OperatorBoard.latest`; must not block.
        registry: what `/metrics` shows.
        clock: the monotonic clock by which the states are stamped.
    """
    from fastapi import FastAPI, Response  # noqa: PLC0415 -- agents without endpoints must not pay for the import

    def endpoint(route: Route) -> Callable[[], Awaitable[Response]]:
        async def respond() -> Response:
            reply = route.answer(source(), clock())
            return Response(reply.body, reply.status, {"Cache-Control": "no-store"}, route.media_type)

        return respond

    routes = (*ROUTES, _metrics_route(registry))

    class Documented(FastAPI):
        """Makes its document when somebody asks for it, since an agent must start quickly and stay small."""

        def openapi(self) -> dict[str, Any]:
            document = super().openapi()
            schemas = _schemas([*_types(routes), RefusalView])[1]
            document["components"] = {"schemas": schemas, "securitySchemes": SECURITY_SCHEMES}
            for route in routes:
                operation = document["paths"][route.path]["get"]
                operation["security"] = SECURITY
                operation["responses"] = {str(status): response for status, response in _responses(route).items()}
            return document

    app = Documented(title="phasemesh agent", version=VERSION, docs_url=None, redoc_url=None)
    for route in routes:
        app.add_api_route(
            route.path,
            endpoint(route),
            summary=route.summary,
            response_model=None,
            response_class=Response,
        )
    return app


def _metrics_route(registry: CollectorRegistry) -> Route:
    return Route(
        METRICS_PATH,
        "Metrics for Prometheus",
        lambda _state, _now: Reply(200, generate_latest(registry)),
        str,
        None,
        CONTENT_TYPE_LATEST,
    )


def _types(routes: tuple[Route, ...]) -> Iterator[Any]:
    for route in routes:
        yield route.schema
        if route.refusal is not None:
            yield route.refusal


def _schemas(types: list[Any]) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")


@cache
def refused_responses(role: str) -> dict[int | str, dict[str, Any]]:
    """The part `responses` for what the gate may answer to a request that demands `role`."""
    body = {"content": {JSON: {"schema": _schemas([RefusalView])[0][0]}}}
    return {status: {"description": text, **body} for status, text in refusals(role).items()}


def _responses(route: Route) -> dict[int | str, dict[str, Any]]:
    answers = ((200, "yes", route.schema), (503, "no, or not yet", route.refusal))
    return refused_responses(route.role) | {
        status: {"description": description, "content": {route.media_type: {"schema": _schemas([schema])[0][0]}}}
        for status, description, schema in answers
        if schema is not None
    }
