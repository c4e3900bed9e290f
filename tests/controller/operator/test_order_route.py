"""Orders over HTTP: for operators alone, written down before they count, and followed by the next tick."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from agent_factories import WEST, make_cabinet, make_site
from agent_runs import Alone
from cabinet_server import CabinetServer
from command_line import eventually, free_ports
from factories import make_intersection, make_reading
from phasemesh.contract.units import MonoNs
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.tokens import add_token, new_token, tokens_path
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.operator.order_route import ORDER_PATH, add_order_route
from phasemesh.controller.operator.orders import MAX_ORDER_S, OrderBook
from phasemesh.controller.process import AgentLaunch

QUEUES = tuple(make_reading(queue_veh) for queue_veh in (1.0, 4.0, 0.0, 2.0))


class Desk:
    """An agent whose endpoints take orders, and who may give them."""

    def __init__(self, folder: Path) -> None:
        """Let the agent work at a live cabinet."""
        cabinet = make_cabinet(make_intersection(WEST))
        cabinet.read(QUEUES)
        self.server = CabinetServer(cabinet)
        (port,) = free_ports(1)
        self.folder = folder / "site"
        make_site(self.folder, {WEST: ()}, cabinet=self.server.url, operator=f"127.0.0.1:{port}")
        self.tokens = {role: new_token() for role in (Role.VIEWER, Role.OPERATOR, Role.MAINTAINER)}
        for role, token in self.tokens.items():
            add_token(tokens_path(self.folder, 0), token, f"a {role}", role)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        self.agent = Alone(AgentLaunch(self.folder, WEST, 5, folder / "west.rec"))

    def order(self, role: Role | None, **body: Any) -> httpx.Response:
        """The answer to an order of somebody with `role`."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}
        return self.client.post(ORDER_PATH, json={"reason": "works on the road", **body}, headers=headers)

    def step(self, step: int) -> None:
        """Let the cabinet go on for five steps, up to `step`."""
        for each in range(step - 4, step + 1):
            self.server.step(each, float(each), QUEUES)

    def close(self) -> None:
        """Stop agent and cabinet."""
        self.client.close()
        self.agent.close()
        self.server.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One agent for all tests of this file."""
    with closing(Desk(tmp_path_factory.mktemp("orders"))) as made:
        assert eventually(lambda: len(made.agent.ticks()) == 1)
        yield made


def test_an_order_is_followed_by_the_next_tick_and_written_down(desk: Desk) -> None:
    """The audit log holds who ordered what and why; the record holds what came of it."""
    answer = desk.order(Role.OPERATOR, kind="release", ttl_s=600.0)
    desk.step(5)
    assert eventually(lambda: len(desk.agent.ticks()) == 2)
    desk.order(Role.MAINTAINER, kind="resume")
    desk.step(10)
    assert eventually(lambda: len(desk.agent.ticks()) == 3)
    _, ordered, resumed = desk.agent.ticks()
    audit = (desk.folder / "audit" / "agent-0.jsonl").read_text()

    assert (answer.status_code, answer.json()) == (200, {"is_taken": True, "reason": ""})
    assert ordered.in_force == (LadderEvent.ORDER_RELEASE,)
    assert ordered.circumstances.orders == (LadderEvent.ORDER_RELEASE,)
    assert resumed.in_force == ()
    assert "works on the road" in audit
    assert "a operator" in audit
    assert '"rung":"RELEASED"' in audit


@pytest.mark.parametrize(("role", "status"), [(None, 401), (Role.VIEWER, 403)])
def test_nobody_else_may_order(desk: Desk, role: Role | None, status: int) -> None:
    """Strangers are not known, viewers only look."""
    assert desk.order(role, kind="release", ttl_s=60.0).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "flash", "ttl_s": 60.0},
        {"kind": "release"},
        {"kind": "local", "ttl_s": MAX_ORDER_S + 1.0},
        {"kind": "local", "ttl_s": "long"},
        {"kind": "local", "ttl_s": 60.0, "stage": 1},
        {},
    ],
)
def test_what_is_no_order_is_refused(desk: Desk, body: dict[str, Any]) -> None:
    """Flash is the cabinet's; a time must be told and be short; nothing unknown is ignored."""
    answer = desk.order(Role.OPERATOR, **body)

    assert answer.status_code == 422
    assert answer.json()["is_taken"] is False
    assert answer.json()["reason"]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"kind": "manual", "stage": 1, "ttl_s": 60.0}, "override"),
        ({"kind": "flash", "ttl_s": 60.0}, "override"),
        ({"kind": "rail", "stage": 1, "ttl_s": 60.0}, "preempt"),
        ({"kind": "local", "ttl_s": 60.0, "stage": 1}, "override"),
    ],
)
def test_who_wants_a_stage_is_sent_to_the_cabinet(desk: Desk, body: dict[str, Any], what: str) -> None:
    """The refusal names the endpoint that takes it, and nothing is passed on in anybody's name."""
    answer = desk.order(Role.OPERATOR, **body)
    shown = desk.server.board.cabinets[WEST].overrides

    assert answer.status_code == 422
    assert answer.json()["reason"].endswith(f"POST {desk.server.url}/v1/cabinets/{WEST}/{what}")
    assert shown == ()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"kind": "reset"}'])
def test_garbage_is_refused(desk: Desk, content: bytes) -> None:
    """Whatever comes, the agent answers and goes on."""
    headers = {"Authorization": f"Bearer {desk.tokens[Role.OPERATOR]}"}

    assert desk.client.post(ORDER_PATH, content=content, headers=headers).status_code == 422


def test_the_route_is_documented() -> None:
    """With what a body must hold."""
    app = FastAPI()
    add_order_route(app, OrderBook(), lambda: MonoNs(time.monotonic_ns()))
    described = app.openapi()["paths"][ORDER_PATH]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]

    assert schema["required"] == ["kind", "reason"]
    assert schema["properties"]["kind"]["enum"] == ["local", "release", "resume", "reset"]
    assert msgspec.json.encode(described)
