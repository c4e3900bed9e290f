"""Both services behind their gates: to whatever their OpenAPI documents allow, they answer as the documents say."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from agent_factories import make_cabinet
from factories import make_intersection
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.units import NS_PER_S, IntersectionId, MonoNs
from phasemesh.controller.access.access import Access
from phasemesh.controller.access.audit import AuditLog
from phasemesh.controller.access.middleware import RouteRole, protected
from phasemesh.controller.access.roles import Role
from phasemesh.controller.access.tokens import add_token, new_token
from phasemesh.controller.cabinet.service import ROUTES, CabinetBoard, cabinet_app
from phasemesh.controller.operator.order_route import ORDER_ROLES, add_order_route
from phasemesh.controller.operator.orders import OrderBook
from phasemesh.controller.operator.service import ROLES, operator_app
from phasemesh.controller.operator.snapshot import OperatorBoard
from phasemesh.controller.telemetry.tick_metrics import TickMetrics
from record_factories import make_header, make_state

CROSSING = make_intersection("a/b east")
NOW = MonoNs(100 * NS_PER_S)
DOCUMENT = RouteRole("GET", "/openapi.json", Role.VIEWER)
CABINET_TABLE = (*(RouteRole(route.method, route.path, route.role) for route in ROUTES), DOCUMENT)
GATE_STATUSES = {"401", "403", "429"}
"""What every route behind a gate may answer besides its own."""
BRIEF = settings(
    max_examples=12, deadline=None, phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck)
)
CONFIG = SchemathesisConfig.from_dict(
    {
        # A schema cannot say that an override of one kind needs a stage, nor how many lanes there are.
        "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "422", "429"]}}
    }
)


class Gated(NamedTuple):
    """An app behind a gate, and the tokens that open it."""

    app: Any
    tokens: dict[Role, str]

    def header(self, role: Role) -> dict[str, str]:
        """What proves that the caller is of `role`."""
        return {"Authorization": f"Bearer {self.tokens[role]}"}


class Impatient(CabinetBoard):
    """Lets nobody wait for a step, since none will come."""

    async def newer(self, name: IntersectionId, after_step: int, _timeout_s: float) -> Snapshot | None:
        """As in `CabinetBoard`, at once."""
        return await super().newer(name, after_step, 0.0)


def cabinet_service() -> Any:
    """The service of one cabinet, in which a fault is latched."""
    cabinet = make_cabinet(CROSSING)
    cabinet.latch("I1", "a trip of the monitor")
    return cabinet_app(Impatient({CROSSING.id: cabinet}))


def agent_service() -> Any:
    """The endpoints of an agent that has decided, orders included."""
    board, metrics = OperatorBoard(), TickMetrics(make_header())
    board.publish(make_state())
    app = operator_app(board.latest, metrics.registry, lambda: NOW)
    add_order_route(app, OrderBook(), lambda: NOW)
    return app


def gated(app: Any, table: tuple[RouteRole, ...], folder: Path) -> Gated:
    """`app` behind a gate with a token of every role; time passes quickly, so that nobody asks too often."""
    tokens, path = {role: new_token() for role in Role}, folder / "0.tokens.json"
    for role, token in tokens.items():
        add_token(path, token, str(role), role)
    access = Access({CROSSING.id: path}, principal_rate=None, clock=count(0.0, 10.0).__next__)
    return Gated(protected(app, table, access, AuditLog(folder / "audit.jsonl")), tokens)


class Side(NamedTuple):
    """One service: how it is made, and what its gate lets through."""

    make: Callable[[], Any]
    table: tuple[RouteRole, ...]


CABINETS = Side(cabinet_service, CABINET_TABLE)
AGENT = Side(agent_service, (*ROLES, *ORDER_ROLES))
SIDES = pytest.mark.parametrize("side", [CABINETS, AGENT], ids=["cabinets", "agent"])
MODES = pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])


def ask_everything(gate: Gated, mode: GenerationMode, ask: Callable[[Any], None]) -> int:
    """Give `ask` random cases of every operation in the document behind `gate`; how many operations there are."""
    headers = gate.header(Role.VIEWER)
    schema = schemathesis.openapi.from_asgi("/openapi.json", gate.app, headers=headers, config=CONFIG)
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        if mode is GenerationMode.POSITIVE or operation.body or operation.query:
            BRIEF(given(operation.as_strategy(generation_mode=mode).map(at_the_crossing))(ask))()
    return len(operations)


def at_the_crossing(case: Any) -> Any:
    """`case` asked of the cabinet that is there, mostly."""
    if "cabinet_id" in case.path_parameters and len(case.path_parameters["cabinet_id"]) != 1:
        case.path_parameters["cabinet_id"] = CROSSING.id
    return case


@SIDES
@MODES
def test_answers_are_as_documented(side: Side, mode: GenerationMode, tmp_path: Path) -> None:
    """Statuses, types and schemas are those of the document, no proof of no right is taken, and nothing is a 5xx."""
    gate = gated(side.make(), side.table, tmp_path)

    def ask(case: Any) -> None:
        is_for_agents = case.operation.definition.raw.get("x-role") == Role.AGENT
        # Parameters that nobody knows are passed over in an address, as everywhere on the web; a body has none.
        passed_over = [negative_data_rejection] if case.method == "GET" else []
        headers = gate.header(Role.AGENT if is_for_agents else Role.MAINTAINER)
        case.call_and_validate(headers=headers, excluded_checks=passed_over)

    assert ask_everything(gate, mode, ask) > 10


@SIDES
def test_those_who_look_change_nothing(side: Side, tmp_path: Path) -> None:
    """A viewer gets 403 from whatever changes something, and the document says so."""
    gate = gated(side.make(), side.table, tmp_path)

    def ask(case: Any) -> None:
        response = case.call_and_validate(headers=gate.header(Role.VIEWER))
        assert case.method == "GET" or response.status_code == 403

    assert ask_everything(gate, GenerationMode.POSITIVE, ask) > 10


@SIDES
def test_strangers_are_told_nothing(side: Side, tmp_path: Path) -> None:
    """From elsewhere and without a token everything answers 401, health too, and the document says so."""
    gate = gated(side.make(), side.table, tmp_path)

    def ask(case: Any) -> None:
        assert case.call_and_validate(headers={"Authorization": ""}).status_code == 401

    assert ask_everything(gate, GenerationMode.POSITIVE, ask) > 10


@pytest.mark.parametrize("service", [cabinet_service, agent_service])
def test_documents_name_what_the_gate_answers(service: Any) -> None:
    """Every operation says that it may want a token, refuse it, or be asked too often."""
    operations = [operation for path in service().openapi()["paths"].values() for operation in path.values()]

    assert operations
    assert [each["operationId"] for each in operations if not set(each["responses"]) >= GATE_STATUSES] == []
