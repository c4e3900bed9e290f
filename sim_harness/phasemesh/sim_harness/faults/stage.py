"""What an injected fault may lay its hands on: processes, cabinets, links, folders and the barrier of one city."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.sim_harness.agent_processes import AgentProcesses
from phasemesh.sim_harness.faults.relay import LinkBoard
from phasemesh.sim_harness.faults.service import ServiceFaults
from phasemesh.sim_harness.faults.sites import AgentSites
from phasemesh.sim_harness.namespace_network import NamespaceNetwork


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
        network: NamespaceNetwork | None = None,
    ) -> None:
        """Reach `agents` and `cabinets`; `start` begins a new life of an agent, `leave` ends the wait for one.

        `operators` are the addresses of the agents' own endpoints; `network` is that of agents in namespaces.
        What has no value yet is there once the attack is prepared; `cabinet_url` is where all cabinets are served.
        """
        self.agents = agents
        self.cabinets = cabinets
        self.operators = operators
        self.start = start
        self.leave = leave
        self.network = network
        self.elapsed_s = 0.0
        self.leased: set[tuple[IntersectionId, int]] = set()
        self.cabinet_url: str
        self.links: LinkBoard
        self.service: ServiceFaults
        self.sites: AgentSites
        self.folder: Path
        self.proofs: Mapping[IntersectionId, dict[str, str]]

    def is_up(self, name: IntersectionId) -> bool:
        """Whether the present life of `name` lives and its cabinet has heard of it: a lease or a command."""
        return self.agents.is_alive(name) and (name, self.agents.boot_id_of(name)) in self.leased

    def network_of_namespaces(self) -> NamespaceNetwork:
        """The network of agents in namespaces; raises LookupError without, which `check_options` keeps from faults."""
        if self.network is None:
            raise LookupError("these agents share the network of the harness")
        return self.network

    def forget(self, name: IntersectionId) -> None:
        """Regard the present life of `name` as one that is not up, until its cabinet hears of it again."""
        self.leased.discard((name, self.agents.boot_id_of(name)))

    def is_starting(self, name: IntersectionId) -> bool:
        """Whether the present life of `name` lives but has not taken its lease."""
        return self.agents.is_alive(name) and not self.is_up(name)
