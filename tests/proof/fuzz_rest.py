"""Targets behind HTTP: bodies and queries of both services, the gate before them, and what an agent reads back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from fuzz_bench import Answer, Bench, Target, ask
from mutations import Form

from agent_factories import FixedPolicy, Resident, Town, make_cabinet
from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.command import AppliedCommand, Command, CommandKind, start
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.units import MonoNs
from phasemesh.controller.access.access import Access
from phasemesh.controller.access.audit import AuditLog
from phasemesh.controller.access.middleware import RouteRole, protected
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.tokens import add_token, new_token
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.http import HttpDriver
from phasemesh.controller.adapters.http_connection import HttpConnection
from phasemesh.controller.cabinet.arbiter import OverrideKind
from phasemesh.controller.cabinet.bodies import LeaseRequest, OverrideRequest, ResetRequest
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.cabinet.service import ROUTES, CabinetBoard, cabinet_app
from phasemesh.controller.operator.order_route import add_order_route
from phasemesh.controller.operator.orders import Order, OrderBook, OrderKind
from phasemesh.controller.telemetry.records import TickRecord
from phasemesh.controller.unit_watch import snapshot_fault

CROSSING = make_intersection(has_left_lanes=True, has_crossings=True)
NAME = CROSSING.id
_PLAIN = make_intersection(NAME)
"""The same without left turns and people, whose ticks are quicker."""
PATH = f"/v1/cabinets/{NAME}"
_JUDGED_BY_A_CABINET = 500
"""After so many requests the cabinet is replaced, lest all later ones only meet an old lease."""


class Street:
    """A cabinet behind its service, which goes on by a second with every request."""

    def __init__(self) -> None:
        """Power comes at second 0."""
        self._asked = 0
        self._start()

    def _start(self) -> None:
        self.cabinet: Cabinet = make_cabinet(CROSSING)
        self.cabinet.latch("I1", "a trip of the monitor")
        self.app = cabinet_app(CabinetBoard({NAME: self.cabinet}))

    def ask(self, method: str, path: str, body: bytes) -> Answer:
        """Ask, then look: whatever came, the state must still be told, now and a second later."""
        self._asked += 1
        if self._asked % _JUDGED_BY_A_CABINET == 0:
            self._start()
        answer = ask(self.app, method, PATH + path, body)
        second = self._asked % _JUDGED_BY_A_CABINET + 1
        self.cabinet.step(second, float(second))
        state = ask(self.app, "GET", f"{PATH}/state")
        assert state.status == 200, state
        msgspec.json.decode(state.body, type=Snapshot)
        return answer


def _body(method: str, path: str, *seeds: object, statuses: tuple[int, ...] = ()) -> Callable[[Path], Bench]:
    """A target that sends bytes as the body of a request; whatever is refused says why."""

    def set_up(_folder: Path) -> Bench:
        street = Street()

        def judge(data: bytes) -> None:
            answer = street.ask(method, path, data)
            assert answer.status in {200, 422, *statuses}, answer
            assert answer.status == 200 or answer.json["reason"], answer

        return Bench(tuple(msgspec.json.encode(seed) for seed in seeds), judge)

    return set_up


def _command(**changes: Any) -> Command:
    values = {"boot_id": 1, "seq": 1, "step": 1, "decided_s": 1.0, "stage": 1, "approved_s": 1.0, **changes}
    return Command(intersection_id=NAME, kind=values.pop("kind", CommandKind.STAGE), **values)


def _state_query(_folder: Path) -> Bench:
    """The query of a long poll, at a board that has been closed, so that nobody really waits."""
    board = CabinetBoard({NAME: make_cabinet(CROSSING)})
    board.close()
    app = cabinet_app(board)

    def judge(data: bytes) -> None:
        answer = ask(app, "GET", f"{PATH}/state", query=data)
        assert answer.status in {204, 422}, answer

    return Bench((b"after_step=-1&timeout_s=0.5", b"after_step=7", b"timeout_s=30"), judge)


def _order(_folder: Path) -> Bench:
    from fastapi import FastAPI

    app, book = FastAPI(), OrderBook()
    add_order_route(app, book, lambda: MonoNs(0))

    def judge(data: bytes) -> None:
        answer = ask(app, "POST", "/v1/orders", data)
        assert answer.status in {200, 422}, answer
        book.take(MonoNs(0))

    seeds = (Order(OrderKind.LOCAL, "works", 60.0), Order(OrderKind.RESET, "looked at it"))
    return Bench(tuple(msgspec.json.encode(seed) for seed in seeds), judge)


def _gate(folder: Path) -> Bench:
    """Method, path, proof and body, one a line, before the gate of a cabinet with every role's token."""
    tokens = folder / "0.tokens.json"
    known = {role: new_token() for role in Role}
    for role, token in known.items():
        add_token(tokens, token, str(role), role)
    street = Street()
    table = tuple(RouteRole(route.method, route.path, route.role) for route in ROUTES)
    access = Access({NAME: tokens}, principal_rate=None)
    gated = protected(street.app, table, access, AuditLog(folder / "audit.jsonl"))

    def judge(data: bytes) -> None:
        method, path, proof, body = (*data.split(b"\n", 3), b"", b"", b"", b"")[:4]
        texts = method.decode("latin-1"), path.decode("utf-8", "replace")
        if b"/state" in path:
            return
        answer = ask(gated, *texts, body, authorization=proof)
        is_known = proof[:7].lower() == b"bearer " and proof[7:] in {token.encode() for token in known.values()}
        assert is_known or answer.status in {401, 429}, answer
        assert answer.status < 500, answer

    proofs = [f"Bearer {token}".encode() for token in known.values()]
    commands = [
        b"POST\n%s/command\n%s\n%s" % (PATH.encode(), proof, msgspec.json.encode(_command())) for proof in proofs
    ]
    override = msgspec.json.encode(OverrideRequest(OverrideKind.MANUAL, 60.0, 1, "works"))
    overrides = [b"POST\n%s/override\n%s\n%s" % (PATH.encode(), proof, override) for proof in proofs]
    return Bench((*commands, *overrides, b"GET\n/v1/cabinets\n%s\n" % proofs[0]), judge)


class _Canned(HttpConnection):
    """A connection on which the same answer waits for every request."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 1)
        self.answer = b""

    def _open(self, _deadline_s: float) -> Any:
        return _Tape(self.answer)


class _Tape:
    """A socket that swallows what is sent and says the same to everybody, in two pieces."""

    def __init__(self, answer: bytes) -> None:
        half = len(answer) // 2
        self._pieces = [piece for piece in (answer[:half], answer[half:]) if piece]

    def settimeout(self, _timeout_s: float) -> None:
        """As in `socket`."""

    def sendall(self, _data: bytes) -> None:
        """As in `socket`."""

    def recv(self, _count: int) -> bytes:
        """As in `socket`."""
        return self._pieces.pop(0) if self._pieces else b""


def _http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-type: application/json\r\n\r\n%s" % (len(body), body)


class _Wire:
    """A driver on the far end of whose connection anything may be said."""

    def __init__(self) -> None:
        self.driver = HttpDriver("http://127.0.0.1:1", NAME)
        self._canned = _Canned()
        self.driver._connection = self._canned

    def say(self, answer: bytes) -> None:
        """Answer the next requests with `answer`."""
        self._canned.answer = answer


def _http_answer(_folder: Path) -> Bench:
    wire = _Wire()

    def judge(data: bytes) -> None:
        wire.say(data)
        assert isinstance(wire.driver.observe(0, 0.0), Snapshot | DriverFault | None)
        assert isinstance(wire.driver.apply(_command()), AppliedCommand | DriverFault)
        assert isinstance(wire.driver.attach(1), DriverFault | None)

    refusal = b'HTTP/1.1 422 No\r\nContent-Length: 15\r\n\r\n{"reason":"no"}'
    seeds = (_http(_snapshot()), _http(_applied()), refusal, b"HTTP/1.1 204 No Content\r\n\r\n")
    return Bench(seeds, judge)


def _seen() -> Snapshot:
    """A state in which the agent commands, as its lease is long enough."""
    return make_snapshot(_PLAIN, step=5, now_s=5.0, lease_s=60.0)


def _snapshot() -> bytes:
    return msgspec.json.encode(_seen())


def _applied() -> bytes:
    return msgspec.json.encode(AppliedCommand(1, 1, 1, True, "", start(1, 0.0), 11.0))


class _TalkingDriver:
    """Takes the answer to every command from the wire, which may say anything."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire

    def attach(self, _boot_id: int) -> None:
        """As in `Driver`."""

    def observe(self, after_step: int, timeout_s: float) -> Snapshot | DriverFault | None:
        """As in `Driver`."""
        return self._wire.driver.observe(after_step, timeout_s)

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`."""
        return self._wire.driver.apply(command)

    def close(self) -> None:
        """As in `Driver`."""


def _tick(*, is_answer: bool) -> Callable[[Path], Bench]:
    """A whole tick, and its record, of an agent whose cabinet says anything: as a snapshot, or as an answer."""

    def set_up(_folder: Path) -> Bench:
        wire = _Wire()
        sound = _seen()

        def judge(data: bytes) -> None:
            resident = _resident(wire)
            wire.say(_http(data))
            seen = sound if is_answer else resident.driver.observe(0, 0.0)
            if isinstance(seen, Snapshot) and not snapshot_fault(_PLAIN, seen):
                for _ in range(2):
                    record = msgspec.msgpack.encode(resident.agent.tick(seen))
                    msgspec.msgpack.decode(record, type=TickRecord)

        return Bench((_applied(),) if is_answer else (_snapshot(),), judge)

    return set_up


def _resident(wire: _Wire) -> Resident:
    town = Town({NAME: ()}, lambda: FixedPolicy(0.0, 1.0))
    resident = town.residents[NAME]
    resident.driver.driver = _TalkingDriver(wire)
    return resident


_OVERRIDE = OverrideRequest(OverrideKind.MANUAL, 60.0, 1, "works")
_FLASH = OverrideRequest(OverrideKind.FLASH, 60.0)
_FIRE = OverrideRequest(OverrideKind.FIRE, 60.0, 1, "engine 7")
_TRANSIT = OverrideRequest(OverrideKind.TRANSIT, 60.0, 2)
_READINGS = (make_reading(3.0),) * len(CROSSING.lanes)

TARGETS = (
    Target("command", Form.JSON, "200 or 422", _body("POST", "/command", _command(), _command(kind="release"))),
    Target("lease", Form.JSON, "200, 409 or 422", _body("POST", "/lease", LeaseRequest(7), statuses=(409,))),
    Target("override", Form.JSON, "200 or 422", _body("POST", "/override", _OVERRIDE, _FLASH)),
    Target("preempt", Form.JSON, "200 or 422", _body("POST", "/preempt", _FIRE, _TRANSIT)),
    Target("detectors", Form.JSON, "200 or 422", _body("PUT", "/detectors", _READINGS)),
    Target(
        "reset",
        Form.JSON,
        "200, 404, 409 or 422",
        _body("POST", "/faults/I1/reset", ResetRequest("seen"), statuses=(404, 409)),
    ),
    Target("state_query", Form.PLAIN, "204 or 422", _state_query),
    Target("order", Form.JSON, "200 or 422", _order),
    Target("gate", Form.PLAIN, "401 or 429 without a valid token, never 5xx", _gate),
    Target("http_answer", Form.PLAIN, "an answer or `DriverFault`", _http_answer),
    Target("snapshot_tick", Form.JSON, "a record or `DriverFault`", _tick(is_answer=False)),
    Target("applied_tick", Form.JSON, "a record", _tick(is_answer=True)),
)
