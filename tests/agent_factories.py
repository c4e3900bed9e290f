"""Policies, drivers and whole small towns of agents in one process; every part is the product's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from command_line import free_ports
from factories import make_intersection, make_reading, make_timings
from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.observation import HYPER_SIZE, SPEC_HASH
from phasemesh.contract.schedule import ScheduleRow
from phasemesh.contract.site import (
    SITE_FORMAT,
    AdapterKind,
    Pace,
    PeerAddress,
    PlanKind,
    SiteFile,
    SiteIntersection,
)
from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput
from phasemesh.contract.timing import SIMULATED_UNIT, StageTiming, UnitTiming
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import Driver, DriverFault
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.agent import Agent, AgentSettings
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.clock import Clock, SimulatedClock
from phasemesh.controller.decision import Decider
from phasemesh.controller.peers.keys import KeyPair, generate_keypair
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.memory_transport import MemoryExchange, MemoryTransport
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.site_folder import write_site
from phasemesh.controller.telemetry.records import TickRecord

EAST = IntersectionId("east")
WEST = IntersectionId("west")
PAIR: dict[IntersectionId, tuple[IntersectionId, ...]] = {WEST: (EAST,), EAST: (WEST,)}
TICK_S = 5.0
STEPS_PER_TICK = 5
STALE_AFTER_TICKS = 3


class FixedPolicy:
    """Always gives the same scores; counts the calls in its recurrent state and keeps what it was asked.

    While `fault` is set it has no answer.
    """

    def __init__(self, *scores: float) -> None:
        """Score the stages as in `scores`."""
        self.scores = scores
        self.inputs: list[PolicyInput] = []
        self.fault = ""

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """As in `Policy`."""
        self.inputs.append(inputs)
        if self.fault:
            return PolicyFault(self.fault)
        count = len(inputs.mask_noise)
        return PolicyOutput(
            stage_logits=np.array(self.scores, dtype=np.float32),
            hidden_next=inputs.hidden + np.float32(1.0),
            mask_probability=np.full(count, 0.5, dtype=np.float32),
            mask=inputs.neighbour_valid.copy(),
            hyper_action=np.zeros(HYPER_SIZE, dtype=np.float32),
        )


class BrokenPolicy:
    """Never has an answer."""

    def infer(self, _inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """As in `Policy`."""
        return PolicyFault("this policy is broken")


class FaultyDriver:
    """A driver that passes everything on until `fault` is set."""

    def __init__(self, driver: Driver) -> None:
        """Pass everything on to `driver`."""
        self.driver = driver
        self.fault = ""

    def attach(self, boot_id: int) -> DriverFault | None:
        """As in `Driver`."""
        return DriverFault(self.fault) if self.fault else self.driver.attach(boot_id)

    def observe(self, after_step: int, timeout_s: float) -> Snapshot | DriverFault | None:
        """As in `Driver`."""
        return DriverFault(self.fault) if self.fault else self.driver.observe(after_step, timeout_s)

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`."""
        return DriverFault(self.fault) if self.fault else self.driver.apply(command)

    def close(self) -> None:
        """As in `Driver`."""
        self.driver.close()


class Resident(NamedTuple):
    """One agent of a town with everything that a test may look at."""

    agent: Agent
    cabinet: Cabinet
    driver: FaultyDriver
    transport: MemoryTransport
    policy: Policy | PolicyFault


def make_cabinet(intersection: Intersection, *, now_s: float = 0.0, step: int = 0) -> Cabinet:
    """A cabinet under the benchmark profile whose agent commands every five seconds."""
    timings = make_timings(intersection)
    return Cabinet(
        intersection, timings, PLANS[PlanKind.ACTUATED](intersection, timings), tick_s=TICK_S, now_s=now_s, step=step
    )


def make_decider(
    intersection: Intersection,
    policy: Policy | PolicyFault,
    *,
    plan: PlanKind = PlanKind.ACTUATED,
    schedule: tuple[ScheduleRow, ...] = (),
    unit: UnitTiming = SIMULATED_UNIT,
) -> Decider:
    """A decider under the benchmark profile with five steps a tick."""
    timings = make_timings(intersection)
    return Decider(
        intersection,
        timings,
        policy=policy,
        plan=PLANS[plan](intersection, timings, schedule),
        tick_s=TICK_S,
        steps_per_tick=STEPS_PER_TICK,
        unit=unit,
    )


class Town:
    """Agents with their cabinets that share one exchange; time passes only in `tick`."""

    def __init__(
        self,
        streets: Mapping[IntersectionId, tuple[IntersectionId, ...]],
        policy: Callable[[], Policy | PolicyFault],
        *,
        clock: Clock | None = None,
        is_deterministic: bool = True,
        plan: PlanKind = PlanKind.ACTUATED,
        schedule: tuple[ScheduleRow, ...] = (),
        exchange: MemoryExchange | None = None,
    ) -> None:
        """Settle one agent an intersection of `streets`, which names the neighbours of each."""
        self.exchange = exchange or MemoryExchange()
        self.clock = clock or SimulatedClock()
        self.step = 0
        self._plan, self._schedule = plan, schedule
        self.residents = {
            name: self._settle(make_intersection(name, others), policy(), is_deterministic=is_deterministic)
            for name, others in streets.items()
        }

    def _settle(self, intersection: Intersection, policy: Policy | PolicyFault, *, is_deterministic: bool) -> Resident:
        cabinet = make_cabinet(intersection)
        cabinet.attach(1)
        driver = FaultyDriver(MemoryDriver(cabinet))
        settings = AgentSettings(
            intersection_id=intersection.id,
            boot_id=1,
            seed=7,
            is_deterministic=is_deterministic,
            waits_for_step=True,
            is_timed=False,
            comm_deadline_ms=200.0,
        )
        transport = self.exchange.transport(intersection.id, intersection.neighbours)
        mailbox = Mailbox(intersection.neighbours, STALE_AFTER_TICKS)
        decider = make_decider(intersection, policy, plan=self._plan, schedule=self._schedule)
        agent = Agent(settings, decider, driver, transport, mailbox, decision_clock=self.clock)
        return Resident(agent, cabinet, driver, transport, policy)

    def tick(
        self, queues_veh: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0), *, absent: tuple[str, ...] = ()
    ) -> dict[IntersectionId, TickRecord]:
        """Five steps with `queues_veh` (north, east, south, west) everywhere, then a tick of all but `absent`."""
        self.advance(tuple(make_reading(queue_veh) for queue_veh in queues_veh))
        present = {name: resident for name, resident in self.residents.items() if name not in absent}
        sensed = {name: resident.agent.sense(resident.cabinet.snapshot()) for name, resident in present.items()}
        return {name: resident.agent.act(sensed[name]) for name, resident in present.items()}

    def begin(self, readings: tuple[LaneReading, ...]) -> None:
        """Let all detectors report before the first step."""
        for resident in self.residents.values():
            resident.cabinet.step(0, 0.0, readings)

    def advance(self, readings: tuple[LaneReading, ...], steps: int = STEPS_PER_TICK) -> None:
        """Let `steps` seconds pass in all cabinets."""
        for _ in range(steps):
            self.step += 1
            for resident in self.residents.values():
                resident.cabinet.step(self.step, float(self.step), readings)


class Site(NamedTuple):
    """A site on disk with the keys that it was written with."""

    folder: Path
    file: SiteFile
    entries: tuple[SiteIntersection, ...]
    keypairs: dict[IntersectionId, KeyPair]


def make_site(
    folder: Path,
    streets: Mapping[IntersectionId, tuple[IntersectionId, ...]] = PAIR,
    *,
    cabinet: str = "http://127.0.0.1:1",
    ports: tuple[int, ...] = (),
    pace: Pace = Pace.LOCKSTEP,
    speed: float = 1.0,
    bundle: str = "max-pressure",
    operator: str = "",
    timings: tuple[StageTiming, ...] | None = None,
) -> Site:
    """Write a site of crossings under the benchmark profile to `folder`.

    Agents publish at `ports` of loopback, by default at some that nobody holds.
    """
    keypairs = {name: generate_keypair() for name in streets}
    directory = {
        name: PeerAddress(f"tcp://127.0.0.1:{port}", keypairs[name].public, number)
        for number, (name, port) in enumerate(zip(streets, ports or free_ports(len(streets)), strict=False))
    }
    site = SiteFile(
        format=SITE_FORMAT,
        name="two crossings",
        spec_hash=SPEC_HASH,
        profile="benchmark",
        is_simulated=True,
        pace=pace,
        speed=speed,
        tick_s=TICK_S,
        comm_deadline_ms=200.0,
        bundle=bundle,
        seed=7,
        directory=directory,
    )
    entries = tuple(
        _entry(make_intersection(name, others), cabinet, operator, timings) for name, others in streets.items()
    )
    write_site(folder, site, entries, keypairs)
    return Site(folder, site, entries, keypairs)


def _entry(
    intersection: Intersection, cabinet: str, operator: str, timings: tuple[StageTiming, ...] | None
) -> SiteIntersection:
    return SiteIntersection(
        intersection=intersection,
        timings=timings or make_timings(intersection),
        plan=PlanKind.ACTUATED,
        adapter=AdapterKind.HTTP,
        cabinet=cabinet,
        operator=operator,
        unit=SIMULATED_UNIT,
    )
