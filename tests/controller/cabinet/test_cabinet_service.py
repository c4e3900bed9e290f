"""The REST service of the cabinets: its answers, its refusals, its long poll and its document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import httpx
import msgspec
import pytest

from agent_factories import EAST, PAIR, WEST, make_cabinet
from factories import make_intersection, make_reading
from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.cabinet.service import MAX_WAIT_S, ROUTES, CabinetBoard, cabinet_app

Answer = TypeVar("Answer")
Request = Callable[[httpx.AsyncClient], Awaitable[Answer]]


class Service:
    """The service for two cabinets, asked without a socket."""

    def __init__(self) -> None:
        """Nothing has been stepped or commanded yet."""
        self.commands: list[Command] = []
        self.leases: list[tuple[IntersectionId, int]] = []
        self.cabinets = {name: make_cabinet(make_intersection(name, others)) for name, others in PAIR.items()}
        self.board = CabinetBoard(
            self.cabinets,
            on_command=self.commands.append,
            on_lease=lambda name, boot_id: self.leases.append((name, boot_id)),
        )
        self.app = cabinet_app(self.board)

    @property
    def west(self) -> Cabinet:
        """The cabinet that most tests ask."""
        return self.cabinets[WEST]

    def step(self, step: int) -> None:
        """Let all cabinets reach `step` and wake who waits."""
        for cabinet in self.cabinets.values():
            cabinet.step(step, float(step))
        self.board.publish()

    def run(self, request: Request[Answer]) -> Answer:
        """What `request` gets, in an event loop of its own."""

        async def main() -> Answer:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://cabinets") as client:
                return await request(client)

        return asyncio.run(main())

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        """The answer to one request; `body` is a struct, or bytes as they are."""
        content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
        return self.run(lambda client: client.request(method, path, content=content))


@pytest.fixture
def service() -> Iterator[Service]:
    """Two cabinets that have just begun."""
    return Service()


def make_command(stage: int = 0, *, seq: int = 1, boot_id: int = 1) -> Command:
    """A fresh command for the west."""
    return Command(WEST, boot_id, seq, 0, 0.0, CommandKind.STAGE, stage, approved_s=0.0)


def reason(response: httpx.Response) -> str:
    """The one sentence of a refusal."""
    body = response.json()
    assert list(body) == ["reason"]
    return str(body["reason"])


def test_the_cabinets_are_listed(service: Service) -> None:
    """Who does not know what is served here can ask."""
    response = service.ask("GET", "/v1/cabinets")

    assert (response.status_code, response.json()) == (200, [EAST, WEST])


def test_the_state_is_the_snapshot(service: Service) -> None:
    """A state is a snapshot of the contract, value for value."""
    response = service.ask("GET", "/v1/cabinets/west/state")

    assert response.headers["content-type"] == "application/json"
    assert msgspec.json.decode(response.content, type=Snapshot) == service.west.snapshot()


def test_a_command_is_obeyed_and_told(service: Service) -> None:
    """The answer says what became of it, and the owner of the service hears of it afterwards."""
    response = service.ask("POST", "/v1/cabinets/west/command", make_command())
    applied = msgspec.json.decode(response.content, type=AppliedCommand)

    assert (applied.is_accepted, applied.stage, applied.signal) == (True, 0, service.west.snapshot().signal)
    assert service.commands == [make_command()]


def test_a_refused_command_is_a_success(service: Service) -> None:
    """What the guard refuses was still understood: the answer is 200 and names the rule."""
    response = service.ask("POST", "/v1/cabinets/west/command", make_command(stage=9))
    applied = msgspec.json.decode(response.content, type=AppliedCommand)

    assert response.status_code == 200
    assert (applied.is_accepted, applied.rule) == (False, "I17")


def test_a_lease_is_taken_and_told(service: Service) -> None:
    """The answer is the state with the new life in it."""
    response = service.ask("POST", "/v1/cabinets/west/lease", {"boot_id": 5})

    assert (response.status_code, response.json()["lease_boot_id"]) == (200, 5)
    assert service.leases == [(WEST, 5)]


def test_an_older_life_is_a_conflict(service: Service) -> None:
    """409 with the reason; the newer life keeps the lease and nobody is told anything."""
    service.west.attach(5)
    response = service.ask("POST", "/v1/cabinets/west/lease", {"boot_id": 4})

    assert (response.status_code, reason(response)) == (409, "a newer agent than boot 4 holds west")
    assert service.west.snapshot().lease_boot_id == 5
    assert service.leases == []


def test_detectors_are_fed(service: Service) -> None:
    """Readings from outside are what the next state shows."""
    readings = tuple(make_reading(float(count)) for count in range(4))
    response = service.ask("PUT", "/v1/cabinets/west/detectors", readings)

    assert response.status_code == 200
    assert msgspec.json.decode(response.content, type=Snapshot).readings == readings


def test_too_few_readings_are_refused(service: Service) -> None:
    """There must be one reading a lane, and none is taken otherwise."""
    before = service.west.snapshot()
    response = service.ask("PUT", "/v1/cabinets/west/detectors", (make_reading(),))

    assert (response.status_code, reason(response)) == (422, "1 readings for 4 lanes")
    assert service.west.snapshot() == before


UNKNOWN = [
    ("GET", "state", None),
    ("POST", "command", make_command()),
    ("POST", "lease", {"boot_id": 1}),
    ("PUT", "detectors", (make_reading(),) * 4),
    ("POST", "override", {"kind": "flash", "ttl_s": 1.0}),
    ("DELETE", "override/flash", None),
    ("POST", "preempt", {"kind": "rail", "ttl_s": 1.0, "stage": 0}),
    ("DELETE", "preempt/rail", None),
    ("GET", "faults", None),
    ("POST", "faults/I1/reset", {"reason": "none"}),
]


@pytest.mark.parametrize(("method", "what", "body"), UNKNOWN)
def test_an_unknown_cabinet_is_not_found(service: Service, method: str, what: str, body: object) -> None:
    """Every endpoint answers 404 and says where the list is."""
    response = service.ask(method, f"/v1/cabinets/nowhere/{what}", body)

    assert (response.status_code, reason(response)) == (404, "there is no cabinet 'nowhere' here; see /v1/cabinets")


BROKEN = [
    pytest.param("POST", "command", b"", id="nothing"),
    pytest.param("POST", "command", b"{", id="torn"),
    pytest.param("POST", "command", b"[]", id="another type"),
    pytest.param("POST", "command", b'{"intersection_id": "\xff"}', id="no text"),
    pytest.param("POST", "command", msgspec.json.encode({"stage": 1}), id="a field is missing"),
    pytest.param("POST", "command", msgspec.json.encode(make_command()).replace(b"stage", b"jump", 1), id="a kind"),
    pytest.param("POST", "lease", b'{"boot_id": "one"}', id="a word for a number"),
    pytest.param("POST", "lease", b'{"boot_id": 1, "extra": 2}', id="an unknown field"),
    pytest.param("PUT", "detectors", b"[{}]", id="an empty reading"),
    pytest.param("GET", "state?after_step=soon", None, id="a step that is none"),
    pytest.param("GET", "state?timeout_s=long", None, id="a time that is none"),
]


@pytest.mark.parametrize(("method", "what", "body"), BROKEN)
def test_a_request_that_cannot_be_understood_is_refused(
    service: Service, method: str, what: str, body: bytes | None
) -> None:
    """422 with a sentence, whatever is wrong; the cabinet is as it was."""
    before = service.west.snapshot()
    response = service.ask(method, f"/v1/cabinets/west/{what}", body)

    assert response.status_code == 422
    assert reason(response)
    assert service.west.snapshot() == before
    assert service.commands == []


def test_a_long_poll_returns_with_the_step(service: Service) -> None:
    """It waits until the step is published and answers with it at once."""

    async def request(client: httpx.AsyncClient) -> tuple[bool, httpx.Response]:
        polling = asyncio.create_task(client.get("/v1/cabinets/west/state?after_step=0&timeout_s=20"))
        await asyncio.sleep(0.05)
        was_waiting = not polling.done()
        service.step(1)
        return was_waiting, await asyncio.wait_for(polling, 5.0)

    was_waiting, response = service.run(request)

    assert was_waiting
    assert (response.status_code, response.json()["step"]) == (200, 1)


def test_a_long_poll_sleeps_through_steps_that_it_knows(service: Service) -> None:
    """Who waits for step 6 is not woken by step 3."""

    async def request(client: httpx.AsyncClient) -> list[bool]:
        polling = asyncio.create_task(client.get("/v1/cabinets/west/state?after_step=5&timeout_s=20"))
        done = []
        for step in (3, 5, 6):
            await asyncio.sleep(0.02)
            service.step(step)
            await asyncio.sleep(0.02)
            done.append(polling.done())
        await polling
        return done

    assert service.run(request) == [False, False, True]


def test_a_long_poll_ends_with_its_timeout(service: Service) -> None:
    """204 and no body when nothing newer came in time."""
    response = service.ask("GET", "/v1/cabinets/west/state?after_step=0&timeout_s=0.05")

    assert (response.status_code, response.content) == (204, b"")


def test_a_poll_without_time_does_not_wait(service: Service) -> None:
    """What is there is answered, what is not there is 204 at once."""
    service.step(3)
    known = service.ask("GET", "/v1/cabinets/west/state?after_step=2")
    unknown = service.ask("GET", "/v1/cabinets/west/state?after_step=3")

    assert (known.status_code, unknown.status_code) == (200, 204)


def test_many_may_wait_for_one_step(service: Service) -> None:
    """Everyone who waits for a cabinet is woken by the same step."""

    async def request(client: httpx.AsyncClient) -> list[httpx.Response]:
        paths = ["/v1/cabinets/west/state", "/v1/cabinets/east/state"] * 3
        polls = [asyncio.create_task(client.get(f"{path}?after_step=0&timeout_s=20")) for path in paths]
        await asyncio.sleep(0.05)
        service.step(1)
        return await asyncio.wait_for(asyncio.gather(*polls), 5.0)

    responses = service.run(request)

    assert [response.json()["intersection_id"] for response in responses] == [WEST, EAST] * 3
    assert {response.json()["step"] for response in responses} == {1}


def test_who_gives_up_waiting_leaves_nothing_behind(service: Service) -> None:
    """A client that hangs up does not stay among those who wait."""

    async def request(_client: httpx.AsyncClient) -> None:
        waiting = asyncio.create_task(service.board.newer(WEST, 0, 20.0))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        service.step(1)
        assert await service.board.newer(WEST, 1, 0.0) is None

    service.run(request)


def test_a_closed_board_shows_nothing_more(service: Service) -> None:
    """After the end of a city nobody is given another step to decide on."""
    service.step(1)
    service.board.close()
    response = service.ask("GET", "/v1/cabinets/west/state")

    assert response.status_code == 204


def test_the_longest_wait_is_bounded() -> None:
    """No client can hold a connection for hours; half a minute is the most."""
    assert MAX_WAIT_S <= 60.0


def test_names_may_hold_any_character() -> None:
    """A slash, a space or an umlaut in the id of an intersection is quoted in the path and understood."""
    service = Service()
    odd = IntersectionId("a/b c/ü?state")
    service.board.cabinets[odd] = make_cabinet(make_intersection(odd))
    response = service.ask("GET", f"/v1/cabinets/{httpx.QueryParams({'n': odd})['n'].replace('?', '%3F')}/state")

    assert (response.status_code, response.json()["intersection_id"]) == (200, odd)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document as a client gets it."""
    answer: dict[str, Any] = Service().ask("GET", "/openapi.json").json()
    return answer


def test_the_document_lists_every_route(document: dict[str, Any]) -> None:
    """Nothing is served that is not described, and the other way round."""
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}

    assert described == {(route.method, route.path.replace(":path", "")) for route in ROUTES}


def references(node: object) -> Iterator[str]:
    """All references below `node`."""
    if isinstance(node, dict):
        if isinstance(found := node.get("$ref"), str):
            yield found
        for value in node.values():
            yield from references(value)
    if isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_of_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    """A generator of clients finds the schema of every body."""
    found = set(references(document))
    dangling = [name for name in found if name.rpartition("/")[2] not in document["components"]["schemas"]]

    assert {name.rpartition("/")[0] for name in found} == {"#/components/schemas"}
    assert dangling == []


@pytest.mark.parametrize("struct", [Snapshot, Command, AppliedCommand, LaneReading])
def test_the_document_describes_every_field(document: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """The schema of a struct has exactly its fields."""
    schema = document["components"]["schemas"][struct.__name__]

    assert set(schema["properties"]) == set(struct.__struct_fields__)


def test_the_document_describes_bodies_and_refusals(document: dict[str, Any]) -> None:
    """A route with a body has a schema for it, and every route one for its answer and its refusals."""
    for route in ROUTES:
        described = document["paths"][route.path.replace(":path", "")][route.method.lower()]

        assert ("requestBody" in described) == (route.body is not None)
        assert described["responses"]["200"]["content"]["application/json"]["schema"]
        assert described["responses"]["422"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/CabinetFault"
        }
