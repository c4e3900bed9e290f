"""What one run of a city is asked to do."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import MemoryMode, Pace
from phasemesh.sim_harness.controllers import Controller, ControllerKind
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.table import UNPLUGGED
from phasemesh.sim_harness.namespace_network import check_namespaces
from phasemesh.sim_harness.namespaces import FLAG
from phasemesh.sim_harness.provision import find_profile
from phasemesh.sim_harness.scenarios.scenario import Scenario

SEED_LIMIT = 1 << 31
"""SUMO's seeds are below this."""


class AgentsMode(StrEnum):
    """Where the agents live: each in a process of its own, or all in the harness."""

    PROCESSES = "processes"
    INPROCESS = "inprocess"


PAPER_TICK_S: dict[str, float] = {"newyork33": 20.0, "newyork51": 20.0, "newyork167": 20.0}
"""Control intervals of the papers' experiments on maps where they differ from the profile `paper`, in seconds."""


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `seconds` is None for the whole window of the scenario, `tick_s` None for the controller's default.

    `seed` is SUMO's, `noise_seed` that of the agents' noise. `comm_deadline_ms` is wall time in both paces. `kills`
    tells the harness to kill -9 the agent of an intersection at a simulated second and, unless the second number is
    None, to start it again at another: a rehearsal of the commonest fault. `faults` are injected as planned.
    With `sample_every_s`, what the agents' processes hold is noted so often, in seconds of wall time. With
    `has_namespaces`, each process lives in a network namespace of its own.
    `memory` is whether agents remember, `memory_folder` where that outlasts the run; None forgets it.
    """

    scenario: Scenario
    controller: Controller
    report: Path
    profile: str = "benchmark"
    agents: AgentsMode = AgentsMode.PROCESSES
    pace: Pace = Pace.LOCKSTEP
    tick_s: float | None = None
    seconds: float | None = None
    seed: int = 1
    noise_seed: int = 1
    speed: float = 1.0
    comm_deadline_ms: float = 200.0
    signals: tuple[str, ...] | None = None
    ignore_junction_blocker_s: float = 20.0
    sumo_args: tuple[str, ...] = ()
    is_gui: bool = False
    keeps_records: bool = True
    kills: tuple[tuple[str, float, float | None], ...] = ()
    faults: tuple[PlannedFault, ...] = ()
    sample_every_s: float | None = None
    has_namespaces: bool = False
    memory: MemoryMode = MemoryMode.OFF
    memory_folder: Path | None = None

    @property
    def is_apart(self) -> bool:
        """Whether each agent lives in a network namespace of its own; only processes can."""
        return self.has_namespaces and self.agents is AgentsMode.PROCESSES

    @property
    def effective_tick_s(self) -> float:
        """The control interval in seconds: asked for, else prescribed by the profile, else the controller's own."""
        if self.tick_s is not None:
            return self.tick_s
        prescribed_s = find_profile(self.profile).tick_s
        if prescribed_s is None:
            return self.controller.tick_s
        return PAPER_TICK_S.get(self.scenario.name, prescribed_s)

    @property
    def length_s(self) -> float:
        """Simulated seconds to run."""
        window_s = self.scenario.end_s - self.scenario.begin_s
        return window_s if self.seconds is None else min(self.seconds, window_s)

    @property
    def steps_per_tick(self) -> int:
        """Simulation steps of one second in a control interval."""
        return round(self.effective_tick_s)


def check_options(options: RunOptions) -> None:
    """Refuse what cannot be run; raises InputError with one line. Namespaces are tried out, and removed at once."""
    find_profile(options.profile)
    tick_s = options.effective_tick_s
    if not -1.0 <= options.ignore_junction_blocker_s <= 86_400.0:
        raise InputError(f"--ignore-junction-blocker-s {options.ignore_junction_blocker_s}: must be seconds, or -1")
    if not 1.0 <= tick_s <= 60.0 or tick_s != round(tick_s):
        raise InputError(f"--tick-s {tick_s}: must be a whole number of seconds from 1 to 60")
    if not options.length_s >= tick_s:  # also refuses what is not a number
        raise InputError(f"--seconds {options.seconds}: must be at least one tick of {tick_s} s")
    if not 0 <= options.seed < SEED_LIMIT:
        raise InputError(f"--seed {options.seed}: must be from 0 to {SEED_LIMIT - 1}")
    if not 0.1 <= options.speed <= 100.0:
        raise InputError(f"--speed {options.speed}: must be from 0.1 to 100")
    if not 1.0 <= options.comm_deadline_ms <= 1000.0 * tick_s:
        raise InputError(f"--comm-deadline-ms {options.comm_deadline_ms}: must be from 1 ms to one tick")
    _check_agents(options)


def _check_agents(options: RunOptions) -> None:
    if options.memory_folder is not None and options.memory is MemoryMode.OFF:
        raise InputError(f"--memory-folder {options.memory_folder}: says where, but --memory is off")
    if options.memory is not MemoryMode.OFF and options.controller.kind is ControllerKind.SUMO:
        raise InputError(f"--memory {options.memory}: {options.controller.name} is a program of SUMO, not an agent")
    is_here = options.agents is AgentsMode.INPROCESS
    if is_here and options.pace is Pace.REALTIME:
        raise InputError("--pace realtime: agents in one process can only run in lockstep; use --agents processes")
    if not is_here and options.controller.kind is ControllerKind.RULE:
        raise InputError(f"{options.controller.name} is a rule: rules run with --agents inprocess; give a --bundle")
    if is_here and (options.kills or options.faults):
        flag = "--kill" if options.kills else "--faults"
        raise InputError(f"{flag}: only a process can be killed or disturbed; use --agents processes")
    for name, at_s, back_s in options.kills:
        if not (0.0 <= at_s < math.inf and (back_s is None or at_s < back_s < math.inf)):
            raise InputError(f"--kill {name}@{at_s}: the seconds must rise from 0")
    if options.is_apart:
        check_namespaces()
    elif any(fault.means == UNPLUGGED for fault in options.faults):
        raise InputError(f"{UNPLUGGED}: only an agent in a namespace can lose its network; use {FLAG}")
