"""All agents of a city in this process: the same agents, guard and cabinets, without wire and processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import MemoryMode
from phasemesh.contract.tensors import PolicyFault
from phasemesh.contract.timing import StageTiming
from phasemesh.contract.topics import PEER_STATE
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.agent import Agent, AgentSettings
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.clock import SimulatedClock
from phasemesh.controller.decision import Decider
from phasemesh.controller.memory.keeper import MemoryKeeper, identity_of, open_memory
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.memory_transport import MemoryExchange
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.telemetry.records import RecordHeader, RecordWriter, TickRecord
from phasemesh.sim_harness.collect import TickTotals
from phasemesh.sim_harness.options import RunOptions
from phasemesh.sim_harness.provision import find_profile

BOOT_ID = 1
NO_POLICY = PolicyFault("there is no policy: the local plan decides")
"""What the agents of a city in LOCAL have in place of a policy."""


class InProcessAgents:
    """The agents of all `cabinets`; they speak before any of them listens, so nobody ever waits."""

    def __init__(
        self,
        cabinets: Mapping[IntersectionId, Cabinet],
        timings: Mapping[IntersectionId, tuple[StageTiming, ...]],
        policies: Mapping[IntersectionId, Policy],
        options: RunOptions,
    ) -> None:
        """Make one agent a cabinet, each with its policy of `policies`; one without stays on LOCAL."""
        self.totals = TickTotals()
        self._cabinets = cabinets
        exchange = MemoryExchange()
        self.memories = {} if options.memory is MemoryMode.OFF else _memories(cabinets, timings, options)
        self._agents = {
            name: _agent(
                cabinet, timings[name], policies.get(name, NO_POLICY), exchange, options, self.memories.get(name)
            )
            for name, cabinet in cabinets.items()
        }
        self._writers = _writers(cabinets, timings, options) if options.keeps_records else {}
        for cabinet in cabinets.values():
            cabinet.attach(BOOT_ID)

    def tick(self) -> list[TickRecord]:
        """One control interval of every agent, in the order of the network."""
        sensed = {name: agent.sense(self._cabinets[name].snapshot()) for name, agent in self._agents.items()}
        records = [agent.act(sensed[name]) for name, agent in self._agents.items()]
        for memory in self.memories.values():
            memory.note_tick()
        for record in records:
            self.totals.note(record)
            if (writer := self._writers.get(record.snapshot.intersection_id)) is not None:
                writer.write(record)
        return records

    def close(self) -> None:
        """Complete the record files and the stores of memory."""
        for memory in self.memories.values():
            memory.close()
        for writer in self._writers.values():
            writer.close()


def _agent(
    cabinet: Cabinet,
    timings: tuple[StageTiming, ...],
    policy: Policy | PolicyFault,
    exchange: MemoryExchange,
    options: RunOptions,
    memory: MemoryKeeper | None,
) -> Agent:
    intersection = cabinet.intersection
    decider = Decider(
        intersection,
        timings,
        policy=policy,
        plan=PLANS[options.controller.plan](intersection, timings),
        tick_s=options.effective_tick_s,
        steps_per_tick=options.steps_per_tick,
        unit=find_profile(options.profile).unit,
    )
    settings = AgentSettings(
        intersection_id=intersection.id,
        boot_id=BOOT_ID,
        seed=options.noise_seed,
        is_deterministic=options.controller.is_deterministic,
        waits_for_step=True,
        is_timed=False,
        comm_deadline_ms=options.comm_deadline_ms,
    )
    transport = exchange.transport(intersection.id, intersection.neighbours)
    mailbox = Mailbox(intersection.neighbours, PEER_STATE.stale_after_ticks, options.steps_per_tick)
    return Agent(
        settings,
        decider,
        MemoryDriver(cabinet),
        transport,
        mailbox,
        decision_clock=SimulatedClock(),
        memory=None if memory is None else memory.memory,
    )


def _memories(
    cabinets: Mapping[IntersectionId, Cabinet],
    timings: Mapping[IntersectionId, tuple[StageTiming, ...]],
    options: RunOptions,
) -> dict[IntersectionId, MemoryKeeper]:
    """A memory for each agent, numbered in its folder as the agents of a site are."""
    reward, folder, tick_s = options.controller.reward, options.memory_folder, options.effective_tick_s
    return {
        name: open_memory(
            cabinet.intersection,
            options.memory,
            reward,
            identity=identity_of(cabinet.intersection, timings[name], reward, tick_s),
            path=None if folder is None else folder / f"{number}.memory.sqlite",
        )
        for number, (name, cabinet) in enumerate(cabinets.items())
    }


def _writers(
    cabinets: Mapping[IntersectionId, Cabinet],
    timings: Mapping[IntersectionId, tuple[StageTiming, ...]],
    options: RunOptions,
) -> dict[IntersectionId, RecordWriter]:
    return {
        name: RecordWriter(
            records_path(options.report, number),
            RecordHeader(
                format=1,
                spec_hash=SPEC_HASH,
                intersection=cabinet.intersection,
                timings=timings[name],
                tick_s=options.effective_tick_s,
                steps_per_tick=options.steps_per_tick,
                seed=options.noise_seed,
                stale_after_ticks=PEER_STATE.stale_after_ticks,
                comm_deadline_ms=options.comm_deadline_ms,
                bundle=str(options.controller.bundle or options.controller.name),
                bundle_digest=options.controller.bundle_digest,
                plan=options.controller.plan,
                boot_id=BOOT_ID,
                unit=find_profile(options.profile).unit,
            ),
        )
        for number, (name, cabinet) in enumerate(cabinets.items())
    }


def records_path(report: Path, number: int, boot_id: int = BOOT_ID) -> Path:
    """Where the flight recorder of one life of agent `number` writes."""
    return report / "records" / f"{number}-{boot_id}.rec"
