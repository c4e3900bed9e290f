"""The one endpoint of an agent that changes something: `POST /v1/orders`, for operators, written to the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from phasemesh.contract.units import MonoNs
from phasemesh.controller.access.document import SECURITY
from phasemesh.controller.access.middleware import RouteRole
from phasemesh.controller.access.roles import Role
from phasemesh.controller.operator.orders import MAX_ORDER_S, Order, OrderBook, OrderKind, override_refusal
from phasemesh.controller.operator.service import refused_responses

if TYPE_CHECKING:
    from fastapi import FastAPI, Request

ORDER_PATH = "/v1/orders"
ORDER_ROLES: tuple[RouteRole, ...] = (RouteRole("POST", ORDER_PATH, Role.OPERATOR),)
"""What the path demands; without an audit log the gate lets nobody through."""


class OrderAnswer(msgspec.Struct, frozen=True):
    """What became of an order; `reason` says why it was refused."""

    is_taken: bool
    reason: str = ""


_TAKEN = OrderAnswer(is_taken=True)
_ANSWER = {"application/json": {"schema": msgspec.json.schema(OrderAnswer)["$defs"]["OrderAnswer"]}}


def add_order_route(app: FastAPI, book: OrderBook, clock: Callable[[], MonoNs], cabinet_url: str = "") -> None:
    """Let `app` take orders for `book`, stamped by the monotonic `clock`.

    Whoever asks for an override of the cabinet instead is sent to `cabinet_url`, empty where it has none.
    """
    from fastapi import Request, Response  # noqa: PLC0415 -- agents without endpoints must not pay for the import

    decoder = msgspec.json.Decoder(Order)

    async def take(request: Request) -> Response:
        body = await request.body()
        order = _order(decoder, body, cabinet_url)
        refusal = order if isinstance(order, str) else book.place(order, clock())
        status, answer = (422, OrderAnswer(is_taken=False, reason=refusal)) if refusal else (200, _TAKEN)
        return Response(msgspec.json.encode(answer), status, media_type="application/json")

    # The type is known to this function alone, so that FastAPI is imported only where there is an app.
    take.__annotations__["request"] = Request
    app.add_api_route(
        ORDER_PATH,
        take,
        methods=["POST"],
        summary="Keep to the local plan, let go, resume, or reset what is latched",
        response_model=None,
        response_class=Response,
        openapi_extra={
            "security": SECURITY,
            "requestBody": {"required": True, "content": {"application/json": {"schema": _schema()}}},
        },
        responses={
            **refused_responses(Role.OPERATOR),
            200: {"description": "taken", "content": _ANSWER},
            422: {"description": "refused, with the reason", "content": _ANSWER},
        },
    )


def _order(decoder: msgspec.json.Decoder[Order], body: bytes, cabinet_url: str) -> Order | str:
    """The order in `body`, or why there is none."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return override_refusal(body, cabinet_url) or str(error)


def _schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["kind", "reason"],
        "additionalProperties": False,
        "properties": {
            "kind": {"enum": [kind.value for kind in OrderKind]},
            "reason": {"type": "string"},
            "ttl_s": {"type": "number", "minimum": 0, "maximum": MAX_ORDER_S},
        },
    }
