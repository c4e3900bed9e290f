"""The routes of operators and preemption inputs: what they accept, refuse and answer."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send
from unit_factories import Unit

from factories import make_intersection
from phasemesh.contract.detection import ControlMode
from phasemesh.controller.cabinet.arbiter import MAX_TTL_S, OverrideKind
from phasemesh.controller.cabinet.service import ROUTES, CabinetBoard, cabinet_app

ODD = "north/south ü"
OPERATOR_KINDS = {"flash": None, "stop_time": None, "manual": 1}
PREEMPT_KINDS = {"rail": 1, "fire": 1, "transit": 1}


class Named:
    """The service as the access layer hands requests on: with the name of a principal."""

    def __init__(self, app: ASGIApp, principal: str) -> None:
        """Everything comes from `principal`."""
        self._app = app
        self._principal = principal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self._app({**scope, "principal": self._principal}, receive, send)


class Desk:
    """An operator in front of one cabinet with an odd name."""

    def __init__(self, principal: str = "ann") -> None:
        """The cabinet has just begun."""
        self.unit = Unit(make_intersection(ODD))
        self.cabinet = self.unit.cabinet
        app = cabinet_app(CabinetBoard({self.cabinet.intersection.id: self.cabinet}))
        self._app = Named(app, principal) if principal else app

    def ask(self, method: str, what: str, body: object = None) -> httpx.Response:
        """The answer to one request about the cabinet; `body` is a value, or bytes as they are."""
        content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)

        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://cabinets") as client:
                return await client.request(method, f"/v1/cabinets/{ODD}/{what}", content=content)

        return asyncio.run(main())


@pytest.fixture
def desk() -> Desk:
    """A desk of Ann."""
    return Desk()


def wish(kind: str, stage: int | None = None, **changes: Any) -> dict[str, Any]:
    """The body of a request for an override."""
    return {"kind": kind, "ttl_s": 60.0, "reason": "a test", **({} if stage is None else {"stage": stage}), **changes}


def reason(response: httpx.Response) -> str:
    """The one line of a refusal."""
    assert list(response.json()) == ["reason"]
    text = str(response.json()["reason"])
    assert text
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("route", "kind", "stage"),
    [
        *(("override", kind, stage) for kind, stage in OPERATOR_KINDS.items()),
        *(("preempt", kind, stage) for kind, stage in PREEMPT_KINDS.items()),
    ],
)
def test_an_override_is_put_in_force_and_ended(desk: Desk, route: str, kind: str, stage: int | None) -> None:
    """The answer is who chooses now; the name of the principal stays with the override."""
    begun = desk.ask("POST", route, wish(kind, stage))
    (override,) = desk.cabinet.overrides
    mode = desk.cabinet.mode
    ended = desk.ask("DELETE", f"{route}/{kind}")

    assert (begun.status_code, begun.json()["mode"]) == (200, mode)
    assert begun.json()["overrides"] == [
        {"kind": kind, "stage": stage, "asked_s": 0.0, "expires_s": 60.0, "reason": "a test", "who": "ann"}
    ]
    assert (override.kind, override.who) == (kind, "ann")
    assert (ended.status_code, ended.json()) == (200, {"mode": "own_plan", "overrides": []})


def test_without_an_access_layer_nobody_is_named() -> None:
    """The service works behind loopback as well."""
    desk = Desk(principal="")
    desk.ask("POST", "override", wish("stop_time"))

    assert desk.cabinet.overrides[0].who == ""


@pytest.mark.parametrize(
    ("route", "kind", "known"),
    [("override", "rail", "flash, stop_time, manual"), ("preempt", "flash", "rail, fire, transit")],
)
def test_each_route_has_its_own_kinds(desk: Desk, route: str, kind: str, known: str) -> None:
    """An operator's key is no preemption input."""
    response = desk.ask("POST", route, wish(kind, 1 if kind == "rail" else None))

    assert (response.status_code, reason(response)) == (422, f"kind: must be one of {known}")
    assert desk.cabinet.overrides == ()


BAD = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"{", id="torn"),
    pytest.param(b"[]", id="another type"),
    pytest.param(b"\xff", id="no text"),
    pytest.param({"kind": "flash"}, id="without an end"),
    pytest.param(wish("dance"), id="an unknown kind"),
    pytest.param(wish("flash", extra=1), id="an unknown field"),
    pytest.param(wish("flash", 1), id="a stage too many"),
    pytest.param(wish("manual"), id="a stage too few"),
    pytest.param(wish("manual", 9), id="an unknown stage"),
    pytest.param(wish("flash", ttl_s=MAX_TTL_S + 1.0), id="too long"),
    pytest.param(wish("flash", ttl_s=0.0), id="over at once"),
    pytest.param(wish("flash", ttl_s="long"), id="a word for a time"),
    pytest.param(b'{"kind": "flash", "ttl_s": NaN}', id="no number"),
    pytest.param(b'{"kind": "flash", "ttl_s": 1e999}', id="no finite number"),
    pytest.param(wish("flash", reason="x" * 201), id="a long story"),
]


@pytest.mark.parametrize("body", BAD)
def test_a_bad_body_is_refused(desk: Desk, body: object) -> None:
    """422 with one line, and the cabinet is as it was."""
    before = desk.cabinet.snapshot()
    response = desk.ask("POST", "override", body)

    assert response.status_code == 422
    assert reason(response)
    assert (desk.cabinet.snapshot(), desk.cabinet.overrides) == (before, ())


@pytest.mark.parametrize("what", ["override/flash", "preempt/rail", "override/rail", "override/dance"])
def test_what_is_not_in_force_cannot_be_ended(desk: Desk, what: str) -> None:
    """404, also for a kind of the other route."""
    desk.cabinet.override(OverrideKind.FIRE, 1, 60.0, reason="", who="")
    response = desk.ask("DELETE", what)

    assert response.status_code == 404
    assert "in force" in reason(response)
    assert len(desk.cabinet.overrides) == 1


def test_faults_are_shown_and_reset(desk: Desk) -> None:
    """Who reset what and why is kept; the signal starts again when nothing is latched any more."""
    desk.cabinet.latch("I1", "movements 0 and 1 conflict")
    shown = desk.ask("GET", "faults")
    desk.unit.run(10)
    answer = desk.ask("POST", "faults/I1/reset", {"reason": "lamp replaced"})

    assert shown.json() == {
        "latched": [{"rule": "I1", "detail": "movements 0 and 1 conflict", "day_s": 0.0}],
        "resets": [],
        "file_fault": "",
    }
    assert answer.status_code == 200
    assert answer.json()["latched"] == []
    assert answer.json()["resets"] == [{"rule": "I1", "who": "ann", "reason": "lamp replaced", "day_s": 10.0}]


def test_a_fault_whose_cause_holds_is_a_conflict(desk: Desk) -> None:
    """409 while a monitor still reports it."""
    desk.cabinet.latch("I1", "")
    response = desk.ask("POST", "faults/I1/reset", {"reason": "impatience"})

    assert response.status_code == 409
    assert "still holds" in reason(response)
    assert desk.cabinet.mode is ControlMode.FLASH


def test_a_reset_needs_a_reason_and_a_fault(desk: Desk) -> None:
    """422 without a reason, 404 for what is not latched."""
    desk.cabinet.latch("I1", "")
    without = desk.ask("POST", "faults/I1/reset", {})
    unknown = desk.ask("POST", "faults/I4/reset", {"reason": "none"})

    assert (without.status_code, unknown.status_code) == (422, 404)
    assert reason(without)
    assert reason(unknown) == "'I4' is not latched"
    assert desk.cabinet.snapshot().latched == ("I1",)


@pytest.mark.parametrize("timeout_s", ["nan", "inf", "-inf", "1e999"])
def test_a_wait_without_an_end_is_refused(desk: Desk, timeout_s: str) -> None:
    """No client gets a long poll that nothing would end."""
    response = desk.ask("GET", f"state?after_step=0&timeout_s={timeout_s}")

    assert (response.status_code, reason(response)) == (422, "timeout_s must be finite")


def test_every_route_demands_a_role() -> None:
    """Reading is for viewers, driving for agents, and everything that takes the signal in hand for operators."""
    roles = {f"{route.method} {route.path.partition('{cabinet_id:path}')[2]}": route.role for route in ROUTES}

    assert roles == {
        "GET ": "viewer",
        "GET /state": "viewer",
        "GET /faults": "viewer",
        "POST /command": "agent",
        "POST /lease": "agent",
        "PUT /detectors": "agent",
        "POST /override": "operator",
        "DELETE /override/{kind}": "operator",
        "POST /preempt": "preemptor",
        "DELETE /preempt/{kind}": "preemptor",
        "POST /faults/{rule}/reset": "operator",
    }


def test_the_routes_of_every_tick_are_tried_first() -> None:
    """The router looks through the table in its order."""
    assert [route.handler for route in ROUTES[1:3]] == ["read_state", "obey"]
