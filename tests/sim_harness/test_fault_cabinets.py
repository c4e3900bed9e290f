"""Faults F11, F12 and F25 between an agent and its cabinet: no answer, lies, and others who take the signal."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import pytest
from fault_cabinets import NAME, Corner, at_once, make_cabinet

from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.contract.detection import COMMANDABLE_MODES, ControlMode, Snapshot
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.http import HttpDriver
from phasemesh.controller.cabinet.service import CabinetBoard, cabinet_app
from phasemesh.sim_harness.faults.cabinet_faults import OVERRIDES
from phasemesh.sim_harness.faults.service import SERVICE_TROUBLES, ServiceFaults

OTHER = IntersectionId("another")


@pytest.mark.parametrize("means", ["driver-timeout", "driver-error"])
def test_f11_a_cabinet_without_answers_is_a_fault_and_lets_the_lease_end(means: str) -> None:
    """Neither look nor command gets through; the cabinet takes the signal back when the lease is over."""
    corner = Corner(at_once(means, length_s=60.0))
    corner.schedule.tell(-1.0)
    corner.ask(1)
    corner.schedule.tell(1.0)
    answers = [corner.look(), corner.ask(0), corner.driver.attach(1)]
    corner.step(15)

    assert all(isinstance(answer, DriverFault) for answer in answers)
    assert corner.cabinet.mode is ControlMode.OWN_PLAN


def test_f12_a_cabinet_that_lies_answers_as_if_it_obeyed() -> None:
    """What it accepts is not what it shows, which is all by which an agent can tell."""
    corner = Corner(at_once("driver-lie"))
    corner.schedule.tell(-1.0)
    corner.ask(0)
    corner.look()
    corner.step(10)

    lie = corner.ask(1)

    assert isinstance(lie, AppliedCommand)
    assert (lie.is_accepted, lie.stage) == (True, 1)
    assert corner.cabinet.snapshot().signal.stage == 0


class Service:
    """A service of two cabinets, one of which may be in trouble."""

    def __init__(self) -> None:
        """Begin without trouble."""
        cabinets = {NAME: make_cabinet(), OTHER: make_cabinet()}
        self.board = CabinetBoard(cabinets)
        self.heard: list[Command] = []
        self.board.on_command = self.heard.append
        self.app = ServiceFaults(cabinet_app(self.board), self.board)

    def ask(self, method: str, path: str, body: bytes = b"", timeout_s: float = 2.0) -> httpx.Response:
        """One request."""

        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://cabinets") as client,
                asyncio.timeout(timeout_s),
            ):
                return await client.request(method, f"/v1/cabinets/{path}", content=body)

        return asyncio.run(request())

    def command(self, stage: int) -> bytes:
        """A command of an agent for `stage`."""
        return msgspec.json.encode(Command(NAME, 1, 1, 0, 0.0, CommandKind.STAGE, stage, 0.0))


@pytest.mark.parametrize(("trouble", "status"), [("cabinet-error", 500), ("cabinet-torn", 200)])
def test_f11_one_cabinet_fails_and_the_others_of_the_service_go_on(trouble: str, status: int) -> None:
    """The cabinet in trouble answers what cannot be used, its neighbour in the same process as ever."""
    service = Service()
    service.app.begin(NAME, trouble)
    failed, healthy = service.ask("GET", f"{NAME}/state"), service.ask("GET", f"{OTHER}/state")
    service.app.end(NAME)
    mended = service.ask("GET", f"{NAME}/state")

    assert failed.status_code == status
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(failed.content, type=Snapshot)
    for answer in (healthy, mended):
        assert msgspec.json.decode(answer.content, type=Snapshot).step == 0


def test_f11_a_cabinet_that_hangs_answers_nothing() -> None:
    """Whoever asks gives up by itself."""
    service = Service()
    service.app.begin(NAME, "cabinet-hang")

    with pytest.raises(TimeoutError):
        service.ask("GET", f"{NAME}/state", timeout_s=0.3)
    assert service.ask("GET", f"{OTHER}/state").status_code == 200


def test_f11_a_slow_cabinet_answers_truly() -> None:
    """Late is not wrong."""
    service = Service()
    service.app.begin(NAME, "cabinet-slow")

    assert service.ask("GET", f"{NAME}/state").status_code == 200


def test_f12_a_service_that_lies_accepts_and_does_nothing() -> None:
    """Its answer is one that a driver believes; the harness still hears that the agent has spoken."""
    service = Service()
    service.app.begin(NAME, "cabinet-lie")

    applied = msgspec.json.decode(
        service.ask("POST", f"{NAME}/command", service.command(1)).content, type=AppliedCommand
    )

    assert (applied.is_accepted, applied.stage) == (True, 1)
    assert service.board.cabinets[NAME].snapshot().signal.stage == 0
    assert [command.stage for command in service.heard] == [1]
    assert service.ask("GET", f"{NAME}/state").status_code == 200


def test_every_trouble_of_a_service_can_begin_and_end() -> None:
    """After any of them the cabinet answers as before."""
    for trouble in SERVICE_TROUBLES:
        service = Service()
        service.app.begin(NAME, trouble)
        service.app.end(NAME)
        assert service.ask("GET", f"{NAME}/state").status_code == 200


def test_f11_nobody_listens() -> None:
    """A closed port is a fault like any other."""
    driver = HttpDriver("http://127.0.0.1:9", NAME)

    assert isinstance(driver.observe(-1, 0.0), DriverFault)
    assert isinstance(driver.attach(1), DriverFault)


@pytest.mark.parametrize("means", sorted(set(OVERRIDES) - {"override-transit"}))
def test_f25_whoever_outranks_the_agent_ends_its_control_in_the_middle_of_a_change(means: str) -> None:
    """The running change is finished, the agent's commands are refused, and afterwards they are obeyed again."""
    corner = Corner()
    corner.step(10)
    corner.ask(1)
    kind = OVERRIDES[means]
    stage = 0 if means in ("override-fire", "override-rail", "override-manual") else None
    corner.cabinet.override(kind, stage, 30.0, reason="test", who="test")

    refused = corner.ask(0)
    during = corner.cabinet.mode
    corner.step(60)
    corner.ask(0)

    assert isinstance(refused, AppliedCommand)
    assert not refused.is_accepted
    assert during not in COMMANDABLE_MODES or means == "override-flash"
    assert corner.cabinet.mode is ControlMode.AGENT
    assert corner.cabinet.snapshot().latched == ()
