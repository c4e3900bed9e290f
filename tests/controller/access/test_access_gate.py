"""The gate before an app: every route with every role, and with no, wrong and expired tokens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from gate_client import EAST, FAR, WEST, Gate, Town

from phasemesh.controller.access.access import LOOK_AGAIN_S, OPEN, Asked, Refusal, is_loopback
from phasemesh.controller.access.audit import AuditLog
from phasemesh.controller.access.cabinets import cabinet_table
from phasemesh.controller.access.middleware import MAX_BODY_BYTES, RouteRole
from phasemesh.controller.access.rate import Rate
from phasemesh.controller.access.roles import AUDITED, GRANTS, Role
from phasemesh.controller.cabinet.service import ROUTES as CABINET_ROUTES
from phasemesh.controller.operator.order_route import ORDER_ROLES
from phasemesh.controller.operator.service import ROLES as OPERATOR_ROLES

CABINET_ROLES = cabinet_table(CABINET_ROUTES)
READS = tuple(row for row in (*OPERATOR_ROLES, *CABINET_ROLES) if row.role in (OPEN, Role.VIEWER, Role.AGENT))
"""Rows whose requests need no audit log."""
CHANGES = tuple(row for row in CABINET_ROLES if row.role in AUDITED)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """Tokens of every role at the west, and one of the east."""
    return Town(tmp_path)


def path_of(row: RouteRole, intersection: str = WEST) -> str:
    """A path that `row` serves."""
    path = row.path.replace("{cabinet_id:path}", intersection)
    return path.replace("{kind}", "hold").replace("{rule}", "I1")


def label(row: RouteRole) -> str:
    """How a row is named in the list of tests."""
    return f"{row.method} {row.path}"


def test_the_tables_hold_what_must_be_protected() -> None:
    """Health is open, commands are the agent's, overrides and resets are people's, and everything else is seen."""
    roles = {label(row): row.role for row in (*OPERATOR_ROLES, *CABINET_ROLES)}

    assert {name for name, role in roles.items() if role == OPEN} == {
        "GET /livez", "GET /readyz", "GET /healthz", "GET /metrics",
    }  # fmt: skip
    assert {name.rpartition("/")[2] for name, role in roles.items() if role == Role.AGENT} == {
        "command", "lease", "detectors",
    }  # fmt: skip
    assert {row.role for row in CABINET_ROLES if "override" in row.path} == {Role.OPERATOR}
    assert {row.role for row in CABINET_ROLES if "preempt" in row.path} == {Role.PREEMPTOR}
    assert CHANGES


def test_an_input_of_the_street_may_preempt_and_nothing_else(tmp_path: Path, town: Town) -> None:
    """A token that is stolen from beside the tracks neither flashes a signal nor resets a latch, nor even looks."""
    gate = Gate(town, CABINET_ROLES, log=AuditLog(tmp_path / "audit.jsonl"))
    statuses = {label(row): gate.ask(row.method, path_of(row), "preemptor").status for row in CABINET_ROLES}

    assert {name for name, status in statuses.items() if status == 200} == {
        "POST /v1/cabinets/{cabinet_id:path}/preempt", "DELETE /v1/cabinets/{cabinet_id:path}/preempt/{kind}",
    }  # fmt: skip
    assert set(statuses.values()) == {200, 403}


def test_what_is_latched_is_reset_by_operators() -> None:
    """In the cabinet and in the agent alike: neither a viewer nor an agent may, and nobody needs a maintainer."""
    resets = [row for row in CABINET_ROLES if row.path.endswith("reset")]

    assert {row.role for row in (*resets, *ORDER_ROLES)} == {Role.OPERATOR}
    assert len(resets) == len(ORDER_ROLES) == 1
    assert {role for role in Role if Role.OPERATOR in GRANTS[role]} == {Role.OPERATOR, Role.MAINTAINER}


@pytest.mark.parametrize("row", READS, ids=label)
@pytest.mark.parametrize("role", list(Role))
def test_each_route_asks_for_its_role(town: Town, row: RouteRole, role: Role) -> None:
    """The table decides, whoever asks and from wherever; who is let in is named to the app."""
    gate = Gate(town, (row,))
    demand = Role.VIEWER if row.role == OPEN else Role(row.role)
    answer = gate.ask(row.method, path_of(row), str(role), address=FAR)

    is_allowed = demand in GRANTS[role]
    assert answer.status == (200 if is_allowed else 403)
    assert [who for _, _, who in gate.echo.seen] == ([str(role)] if is_allowed else [])


@pytest.mark.parametrize("row", CHANGES, ids=label)
@pytest.mark.parametrize("role", list(Role))
def test_each_change_asks_for_its_role(town: Town, row: RouteRole, role: Role) -> None:
    """Whoever may not is refused with 403; whoever may is refused with 503 while there is no audit log."""
    gate = Gate(town, (row,))
    answer = gate.ask(row.method, path_of(row), str(role))

    assert answer.status == (503 if Role(row.role) in GRANTS[role] else 403)
    assert gate.echo.seen == []


@pytest.mark.parametrize("row", [*READS, *CHANGES], ids=label)
@pytest.mark.parametrize("holder", [None, "wrong", "expired"])
def test_no_route_is_reached_without_a_valid_token(town: Town, row: RouteRole, holder: str | None) -> None:
    """From elsewhere nothing is open; the answer says which proof is missing and nothing about the route."""
    gate = Gate(town, (row,))
    answer = gate.ask(row.method, path_of(row), holder, address=FAR)

    assert (answer.status, gate.echo.seen) == (401, [])
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("row", [row for row in (*READS, *CHANGES) if "{cabinet_id" in row.path], ids=label)
def test_a_token_counts_only_for_its_own_intersection(town: Town, row: RouteRole) -> None:
    """The strongest token of the east is nothing at the west, and the other way round."""
    gate = Gate(town, (row,))
    answers = [gate.ask(row.method, path_of(row, at), holder) for at, holder in ((WEST, "far"), (EAST, "maintainer"))]

    assert [answer.status for answer in answers] == [403, 403]
    assert gate.echo.seen == []


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/metrics"])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_health_is_open_on_loopback(town: Town, path: str, address: str) -> None:
    """A supervisor on the box needs no token, and is named to nobody."""
    gate = Gate(town, OPERATOR_ROLES)

    assert gate.ask("GET", path, address=address).status == 200
    assert gate.echo.seen == [("GET", path, "")]


@pytest.mark.parametrize("address", [FAR, "10.0.0.1", "::ffff:10.0.0.1", "fe80::1", "", "localhost", "unix"])
def test_health_is_not_open_elsewhere(town: Town, address: str) -> None:
    """Whatever is not surely of this machine is not."""
    assert Gate(town, OPERATOR_ROLES).ask("GET", "/livez", address=address).status == 401
    assert not is_loopback(address)


def test_a_client_without_an_address_is_a_stranger(town: Town) -> None:
    """A server behind a socket file tells none."""
    asked = Asked(OPEN, None, b"", "")

    assert isinstance(town.access.judge(asked), Refusal)


def test_health_asked_with_a_wrong_token_is_refused(town: Town) -> None:
    """Whoever shows a token is judged by it."""
    assert Gate(town, OPERATOR_ROLES).ask("GET", "/livez", "wrong").status == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer  x", "bearer\tx", "Bearer " + "x" * 5000, "Bearer \x00"]
)
def test_a_header_that_is_no_token_is_none(town: Town, header: str) -> None:
    """Nothing that is sent in place of a token crashes the gate or passes it."""
    answer = Gate(town, OPERATOR_ROLES).ask("GET", "/v1/phase", headers={"authorization": header})

    assert answer.status == 401


def test_the_scheme_may_be_written_in_any_case(town: Town) -> None:
    """RFC 9110 says so."""
    header = f"bEARER {town.tokens['viewer']}"

    assert Gate(town, OPERATOR_ROLES).ask("GET", "/v1/phase", headers={"authorization": header}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/phase/", 404),
        ("GET", "//v1/phase", 404),
        ("GET", "/docs", 404),
        ("POST", "/v1/phase", 405),
        ("DELETE", "/livez", 405),
        ("TRACE", "/v1/phase", 405),
    ],
)
def test_what_is_not_in_the_table_cannot_be_reached(town: Town, method: str, path: str, status: int) -> None:
    """Strangers learn nothing of it, others that it is not there; the app never sees it."""
    gate = Gate(town, OPERATOR_ROLES)

    assert gate.ask(method, path).status == 401
    assert gate.ask(method, path, "maintainer").status == status
    assert gate.echo.seen == []


def test_a_head_is_judged_like_a_get(town: Town) -> None:
    """Routers serve it by the same row."""
    gate = Gate(town, OPERATOR_ROLES)

    assert [gate.ask("HEAD", "/v1/phase", holder).status for holder in (None, "viewer")] == [401, 200]


def test_paths_are_read_as_the_router_reads_them(town: Town) -> None:
    """The intersection of a path with slashes is the one that the app will serve."""
    gate = Gate(town, CABINET_ROLES)
    state = "/v1/cabinets/{}/state"

    assert gate.ask("GET", state.format(EAST), "far").status == 200
    assert gate.ask("GET", state.format(f"{WEST}/state/../{EAST}"), "viewer").status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": str(MAX_BODY_BYTES + 1)}, 413),
        ({"content-length": "many"}, 413),
        ({"content-length": "-1"}, 413),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
def test_a_body_of_no_known_size_is_not_taken(town: Town, headers: dict[str, str], status: int) -> None:
    """Nobody fills the memory of a box, with a token or without."""
    gate = Gate(town, CABINET_ROLES)
    path = f"/v1/cabinets/{WEST}/command"

    assert gate.ask("POST", path, "agent", headers=headers).status == status
    assert gate.ask("POST", path, None, headers=headers).status == 401
    assert gate.echo.seen == []


def test_one_principal_cannot_crowd_out_another(tmp_path: Path) -> None:
    """The one that asks too often gets 429 with the time to wait, the other goes on, and time heals."""
    town = Town(tmp_path, principal_rate=Rate(per_s=2.0, burst=3.0))
    gate = Gate(town, OPERATOR_ROLES)
    statuses = [gate.ask("GET", "/v1/phase", "viewer").status for _ in range(4)]
    limited = gate.ask("GET", "/v1/phase", "viewer")

    assert statuses == [200, 200, 200, 429]
    assert (limited.status, limited.headers["retry-after"]) == (429, "1")
    assert gate.ask("GET", "/v1/phase", "operator").status == 200
    town.clocks.mono_s += 0.5
    assert gate.ask("GET", "/v1/phase", "viewer").status == 200


def test_one_address_cannot_guess_for_ever(town: Town) -> None:
    """Attempts without a valid token are limited by address; who holds one is let in from the same address."""
    gate = Gate(town, OPERATOR_ROLES)
    statuses = [gate.ask("GET", "/v1/phase", "wrong", address=FAR).status for _ in range(25)]

    assert statuses == [401] * 20 + [429] * 5
    assert gate.ask("GET", "/v1/phase", "viewer", address=FAR).status == 200
    assert gate.ask("GET", "/v1/phase", "wrong", address="192.0.2.8").status == 401
    assert town.access.refused == {"unauthenticated": 21, "limited": 5}


def test_open_requests_are_limited_too(town: Town) -> None:
    """A supervisor that goes mad does not take the box with it."""
    gate = Gate(town, OPERATOR_ROLES)
    statuses = {gate.ask("GET", "/livez").status for _ in range(200)}

    assert statuses == {200}
    assert gate.ask("GET", "/livez").status == 429


def test_a_token_ends_at_its_time(town: Town) -> None:
    """Also when it was let in before."""
    town.tokens["guest"] = town.give(WEST, "guest", Role.VIEWER, expires_s=town.clocks.wall_s + 60.0)
    town.clocks.mono_s += LOOK_AGAIN_S
    gate = Gate(town, OPERATOR_ROLES)
    before = gate.ask("GET", "/v1/phase", "guest").status
    town.clocks.wall_s += 60.0

    assert (before, gate.ask("GET", "/v1/phase", "guest").status) == (200, 401)


def test_changed_tokens_count_without_a_restart(town: Town) -> None:
    """Who was ended is refused and who was added let in, as soon as the files are looked at again."""
    gate = Gate(town, OPERATOR_ROLES)
    assert gate.ask("GET", "/v1/phase", "viewer").status == 200
    old = town.tokens["viewer"]
    town.tokens["viewer"] = town.give(WEST, "viewer", Role.VIEWER)
    town.tokens["old"] = old
    town.clocks.mono_s += LOOK_AGAIN_S

    assert [gate.ask("GET", "/v1/phase", holder).status for holder in ("old", "viewer")] == [401, 200]


@pytest.mark.parametrize("harm", ["garbage", "mode"])
def test_broken_tokens_leave_those_before_in_force(town: Town, harm: str) -> None:
    """A slip of the pen does not cut the agents off; it is refused at the start alone."""
    gate = Gate(town, OPERATOR_ROLES)
    if harm == "garbage":
        town.paths[WEST].write_bytes(b"{")
    else:
        town.paths[WEST].chmod(0o644)
    town.clocks.mono_s += LOOK_AGAIN_S

    assert [gate.ask("GET", "/v1/phase", holder).status for holder in ("viewer", "wrong")] == [200, 401]


def test_a_removed_file_ends_its_tokens(town: Town) -> None:
    """Nobody is let in by what is gone."""
    gate = Gate(town, OPERATOR_ROLES)
    town.paths[WEST].unlink()
    town.clocks.mono_s += LOOK_AGAIN_S

    assert gate.ask("GET", "/v1/phase", "viewer").status == 401


def test_other_protocols_are_closed(town: Town) -> None:
    """A websocket never reaches the app; the start and end of the server do."""
    gate = Gate(town, OPERATOR_ROLES)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    for kind in ("websocket", "lifespan"):
        asyncio.run(gate.app({"type": kind, "path": "/v1/phase", "headers": []}, receive, send))

    assert [message["type"] for message in sent] == ["websocket.close"]
    assert gate.echo.seen == [("lifespan", "", "")]


def test_a_role_that_does_not_exist_is_a_mistake_of_the_programmer(town: Town) -> None:
    """It is found when the gate is built and not when somebody asks."""
    with pytest.raises(ValueError, match="king"):
        Gate(town, (RouteRole("GET", "/", "king"),))
