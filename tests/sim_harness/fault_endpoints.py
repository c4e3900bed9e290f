"""The endpoints of one agent with a stage around them, on which faults from outside can be played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from agent_factories import make_site
from phasemesh.controller.access.access import access_of_site
from phasemesh.controller.access.middleware import protected
from phasemesh.controller.access.tokens import read_agent_token
from phasemesh.controller.clock import MonotonicClock
from phasemesh.controller.operator.order_route import ORDER_ROLES, add_order_route
from phasemesh.controller.operator.orders import OrderBook
from phasemesh.controller.operator.server import serve_in_thread
from phasemesh.controller.operator.service import ROLES, operator_app
from phasemesh.controller.operator.snapshot import OperatorBoard
from phasemesh.controller.telemetry.refusals import RefusalCounts
from phasemesh.sim_harness.agent_processes import AgentProcesses
from phasemesh.sim_harness.faults.injection import Injection, Outcome
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.stage import Stage


class Endpoints:
    """The endpoints of an agent as they ship, behind their gate or open to everybody, and a stage around them."""

    def __init__(self, folder: Path, *, has_gate: bool = True, agents: object = None) -> None:
        """Serve; `agents` stand for the processes of the city."""
        site = make_site(folder)
        self.name = next(iter(site.file.directory))
        self.orders, self.metrics = OrderBook(), CollectorRegistry()
        clock = MonotonicClock().mono_ns
        app = operator_app(OperatorBoard().latest, self.metrics, clock)
        add_order_route(app, self.orders, clock)
        access = access_of_site(folder, site.file, (self.name,))
        refusals = RefusalCounts()
        refusals.watch(access.refused, lambda: 0)
        self.metrics.register(refusals)
        gate = protected(app, (*ROLES, *ORDER_ROLES), access) if has_gate else app
        self.server = serve_in_thread(gate, "127.0.0.1", 0)
        self.address = f"{self.server.host}:{self.server.port}"
        self.stage = Stage(
            cast("AgentProcesses", agents), {}, {self.name: self.address}, start=pytest.fail, leave=pytest.fail
        )
        self.stage.proofs = {self.name: {"Authorization": f"Bearer {read_agent_token(folder, 0)}"}}
        self.stage.cabinet_url = f"http://{self.address}"

    def suffer(self, injection: Injection, *, meanwhile: Callable[[], None] = lambda: None) -> list[Outcome]:
        """What the fault finds out from its beginning to its end."""

        async def all_of_it() -> None:
            await injection.begin()
            await injection.turn()
            meanwhile()
            await injection.end()

        asyncio.run(all_of_it())
        return injection.outcomes

    def planned(self, means: str) -> PlannedFault:
        """A fault of this agent."""
        return PlannedFault("F0", means, (self.name,), 0.0, 1.0)
