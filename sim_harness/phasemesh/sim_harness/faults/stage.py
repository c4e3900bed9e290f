"""What an injected fault may lay its hands on: processes, cabinets, links, folders and the barrier of one city."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.sim_harness.agent_processes import AgentProcesses
from phasemesh.sim_harness.faults.relay import RelayBoard
from phasemesh.sim_harness.faults.service import ServiceFaults
from phasemesh.sim_harness.faults.sites import AgentSites


class Stage:
    """One running city, as far as faults reach; `elapsed_s` is simulated time since its beginning."""

    def __init__(
        self,
        agents: AgentProcesses,
        cabinets: Mapping[IntersectionId, Cabinet],
        operators: Mapping[IntersectionId, str],
        *,
        start: Callable[[IntersectionId], None],
        leave: Callable[[IntersectionId], None],
    ) -> None:
        """Reach `agents` and `cabinets`; `start` begins a new life of an agent, `leave` ends the wait for one.

        `operators` are the addresses of the agents' own endpoints.
        """
        self.agents = agents
        self.cabinets = cabinets
        self.operators = operators
        self.start = start
        self.leave = leave
        self.elapsed_s = 0.0
        self.leased: set[tuple[IntersectionId, int]] = set()
        self.relays: RelayBoard
        self.service: ServiceFaults
        self.sites: AgentSites
        self.folder: Path

    def is_up(self, name: IntersectionId) -> bool:
        """Whether the present life of `name` lives and has taken its lease."""
        return self.agents.is_alive(name) and (name, self.agents.boot_id_of(name)) in self.leased

    def is_starting(self, name: IntersectionId) -> bool:
        """Whether the present life of `name` lives but has not taken its lease."""
        return self.agents.is_alive(name) and not self.is_up(name)
