"""Carries out a plan on a running city, step by step, and writes down what happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import uvicorn

from phasemesh.contract.command import Command
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.service import CabinetBoard
from phasemesh.sim_harness.agent_processes import EndedLife, Outfit
from phasemesh.sim_harness.faults.injection import Injection, Outcome
from phasemesh.sim_harness.faults.means import MEANS, START_STEPS_PER_S, Place
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.relay import Link, LinkBoard, RelayBoard
from phasemesh.sim_harness.faults.routes import RouteBoard
from phasemesh.sim_harness.faults.service import ServiceFaults
from phasemesh.sim_harness.faults.sites import AgentSites
from phasemesh.sim_harness.faults.stage import Stage
from phasemesh.sim_harness.faults.table import ROWS
from phasemesh.sim_harness.provision import agent_proofs

EVIDENCE_NAME = "faults.json"
GIVE_UP_S = 120.0
"""Simulated time after which nobody waits any longer for what a fault took; the fault is then given up."""


class Happened(msgspec.Struct, frozen=True):
    """One fault as it was: when it began and was over, in seconds since the beginning, and what it told.

    It `is_given_up` where something that it took was not there again by then.
    """

    planned: PlannedFault
    began_s: float
    over_s: float
    outcomes: tuple[Outcome, ...] = ()
    is_given_up: bool = False


class ModeChange(msgspec.Struct, frozen=True, array_like=True):
    """From `since_s` on, in seconds since the beginning, a cabinet was in `mode`."""

    since_s: float
    mode: ControlMode


class Life(msgspec.Struct, frozen=True):
    """One life of an agent as cabinet and harness saw it, whatever it wrote about itself.

    `record` names the file below `records` that is its own. It `has_spoken` if it took its lease or commanded, and
    `steps` are those at which it commanded, rising. It `is_orderly` if its process ended with exit code 0.
    """

    agent: IntersectionId
    boot_id: int
    record: str
    has_spoken: bool
    is_orderly: bool
    steps: tuple[int, ...] = ()


class Evidence(msgspec.Struct, frozen=True):
    """What an attack leaves behind: `begin_s` is the cabinet time at which the run began.

    `lives` are all that were started, `never_begun` the faults whose time did not come before the run ended.
    """

    begin_s: float
    happened: tuple[Happened, ...]
    modes: dict[IntersectionId, tuple[ModeChange, ...]]
    lives: tuple[Life, ...] = ()
    never_begun: tuple[PlannedFault, ...] = ()


class Attack:
    """The faults of one run; `turn` must be called before every step of the simulation."""

    def __init__(self, stage: Stage, faults: Sequence[PlannedFault], *, begin_s: float, report: Path) -> None:
        """Prepare `faults` for a run that begins at the cabinet time `begin_s` and reports to `report`."""
        self.stage = stage
        self._waiting = sorted(faults, key=lambda fault: fault.start_s)
        self._begin_s = begin_s
        self._report = report
        self._active: list[Injection] = []
        self._ending: list[Injection] = []
        self._happened: list[Happened] = []
        self._modes: dict[IntersectionId, list[ModeChange]] = {name: [] for name in stage.cabinets}
        self._spoken: set[tuple[IntersectionId, int]] = set()
        self._steps: dict[tuple[IntersectionId, int], set[int]] = defaultdict(set)
        self._slow_until_s: dict[float, float] = {}

    async def prepare(self, server: uvicorn.Server, board: CabinetBoard) -> None:
        """Stand between agents, neighbours and cabinets before any of them speaks."""
        stage = self.stage
        common = stage.agents.site_folder
        stage.sites = AgentSites(common, common / "agents", stage.agents.site_keys)
        stage.service = ServiceFaults(server.config.app, board)  # type: ignore[arg-type]
        server.config.app = stage.service
        stage.cabinet_url = f"http://{server.config.host}:{server.config.port}"
        stage.proofs = agent_proofs(common, stage.agents.site_keys)
        stage.links = self._link_board()
        await stage.links.start(self._disturbed_links())
        stage.sites.write_all(stage.links.endpoint)
        for name in stage.agents.names:
            self._equip(name)

    def _link_board(self) -> LinkBoard:
        network, publishes_at = self.stage.network, self.stage.sites.publishes_at
        return RelayBoard(publishes_at) if network is None else RouteBoard(network, publishes_at)

    def _disturbed_links(self) -> list[Link]:
        """All links of a city in which links fail at all."""
        if not any(MEANS[fault.means].place is Place.LINK for fault in self._waiting):
            return []
        return [
            Link(name, peer)
            for name, cabinet in self.stage.cabinets.items()
            for peer in cabinet.intersection.neighbours
            if peer in self.stage.cabinets
        ]

    def _inside(self, name: IntersectionId) -> tuple[PlannedFault, ...]:
        """The faults that the agent `name` carries inside, in cabinet time; those that are past are left out."""
        return tuple(
            msgspec.structs.replace(fault, start_s=self._begin_s + fault.start_s)
            for fault in self._waiting
            if MEANS[fault.means].place is Place.AGENT and name in fault.targets
        )

    def _equip(self, name: IntersectionId) -> None:
        sites = self.stage.sites
        self.stage.agents.outfits[name] = Outfit(sites.folder_of(name), (sites.site_key,), self._inside(name))

    async def turn(self, elapsed_s: float) -> None:
        """Begin, carry on and end what is due at `elapsed_s`."""
        self.stage.elapsed_s = elapsed_s
        self._note_modes(elapsed_s)
        while self._waiting and self._waiting[0].start_s <= elapsed_s:
            await self._begin(self._waiting.pop(0))
        for injection in tuple(self._active):
            if elapsed_s >= injection.planned.end_s:
                await self._end(injection)
            else:
                await injection.turn()
        for injection in tuple(self._ending):
            if injection.is_over or elapsed_s > injection.planned.end_s + GIVE_UP_S:
                self._note_over(injection, elapsed_s)

    async def _begin(self, planned: PlannedFault) -> None:
        means = MEANS[planned.means]
        for name in planned.targets:
            self._equip(name)  # A life that is started from now on has met this fault already.
        injection = means.make(self.stage, planned)
        if means.steps_per_s is not None:
            until_s = planned.end_s + ROWS[planned.fault].clean_s if planned.fault in ROWS else planned.end_s
            self._slow_until_s[means.steps_per_s] = max(until_s, self._slow_until_s.get(means.steps_per_s, 0.0))
        self._active.append(injection)
        await injection.begin()

    async def _end(self, injection: Injection) -> None:
        self._active.remove(injection)
        await injection.end()
        self._ending.append(injection)

    def _note_over(self, injection: Injection, elapsed_s: float) -> None:
        self._ending.remove(injection)
        planned, is_given_up = injection.planned, not injection.is_over
        self._happened.append(Happened(planned, planned.start_s, elapsed_s, tuple(injection.outcomes), is_given_up))

    def _note_modes(self, elapsed_s: float) -> None:
        for name, cabinet in self.stage.cabinets.items():
            changes = self._modes[name]
            if not changes or changes[-1].mode is not cabinet.mode:
                changes.append(ModeChange(elapsed_s, cabinet.mode))

    def step_wall_s(self, step_s: float) -> float:
        """The least wall time that a step of `step_s` simulated seconds may take now; 0 for as fast as possible."""
        now_s, agents = self.stage.elapsed_s, self.stage.agents
        paces = [pace for pace, until_s in self._slow_until_s.items() if now_s < until_s]
        if any(self.stage.is_starting(name) for name in agents.names):
            paces.append(START_STEPS_PER_S)
        return step_s / min(paces) if paces else 0.0

    def note_lease(self, name: IntersectionId, boot_id: int) -> None:
        """The life `boot_id` of `name` took its lease."""
        self.stage.leased.add((name, boot_id))
        self._spoken.add((name, boot_id))

    def note_command(self, command: Command) -> None:
        """The cabinet heard `command`, so that the life which sent it is there."""
        life = command.intersection_id, command.boot_id
        self.stage.leased.add(life)
        self._spoken.add(life)
        self._steps[life].add(command.step)

    async def close(self) -> None:
        """End what is at work, while there are agents."""
        for injection in tuple(self._active):
            await self._end(injection)
        for injection in tuple(self._ending):
            self._note_over(injection, self.stage.elapsed_s)
        await self.stage.links.close()

    def write(self) -> None:
        """Write down what happened, once all agents have ended."""
        evidence = Evidence(
            begin_s=self._begin_s,
            happened=tuple(self._happened),
            modes=_frozen(self._modes),
            lives=tuple(self._life(each) for each in self.stage.agents.lives()),
            never_begun=tuple(self._waiting),
        )
        (self._report / EVIDENCE_NAME).write_bytes(msgspec.json.encode(evidence))

    def _life(self, ended: EndedLife) -> Life:
        life = ended.agent, ended.boot_id
        return Life(
            agent=ended.agent,
            boot_id=ended.boot_id,
            record=ended.record,
            has_spoken=life in self._spoken,
            is_orderly=ended.exit_code == 0,
            steps=tuple(sorted(self._steps[life])),
        )


def _frozen(modes: Mapping[IntersectionId, list[ModeChange]]) -> dict[IntersectionId, tuple[ModeChange, ...]]:
    return {name: tuple(changes) for name, changes in modes.items()}
