"""A run as plain values: what the command line asks for, and what a fresh process is told to do."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.site import MemoryMode, Pace
from phasemesh.sim_harness.controllers import ControllerKind, bundle_controller, find_controller
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.options import AgentsMode, RunOptions
from phasemesh.sim_harness.scenarios.registry import find_scenario


class RunRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run by names; see `RunOptions` for the meaning of the fields."""

    scenario: str
    controller: str
    report: str
    profile: str = "benchmark"
    agents: str = AgentsMode.INPROCESS.value
    pace: str = Pace.LOCKSTEP.value
    tick_s: float | None = None
    seconds: float | None = None
    seed: int = 1
    noise_seed: int | None = None
    speed: float = 1.0
    comm_deadline_ms: float = 200.0
    signals: tuple[str, ...] | None = None
    ignore_junction_blocker_s: float = 20.0
    sumo_args: tuple[str, ...] = ()
    is_gui: bool = False
    keeps_records: bool = False
    kills: tuple[tuple[str, float, float | None], ...] = ()
    faults: tuple[PlannedFault, ...] = ()
    sample_every_s: float | None = None
    has_namespaces: bool = False
    memory: str = MemoryMode.OFF.value
    memory_folder: str | None = None


def resolve(request: RunRequest, *, is_bundle: bool = False) -> RunOptions:
    """The options that `request` names; raises PhasemeshError subclasses with one line each."""
    controller = bundle_controller(request.controller) if is_bundle else find_controller(request.controller)
    agents = _choice(AgentsMode, request.agents, "--agents")
    return RunOptions(
        scenario=find_scenario(request.scenario),
        controller=controller,
        report=Path(request.report),
        profile=request.profile,
        agents=agents if controller.kind is ControllerKind.BUNDLE else AgentsMode.INPROCESS,
        pace=_choice(Pace, request.pace, "--pace"),
        tick_s=request.tick_s,
        seconds=request.seconds,
        seed=request.seed,
        noise_seed=request.noise_seed if request.noise_seed is not None else request.seed,
        speed=request.speed,
        comm_deadline_ms=request.comm_deadline_ms,
        signals=request.signals,
        ignore_junction_blocker_s=request.ignore_junction_blocker_s,
        sumo_args=request.sumo_args,
        is_gui=request.is_gui,
        keeps_records=request.keeps_records,
        kills=request.kills,
        faults=request.faults,
        sample_every_s=request.sample_every_s,
        has_namespaces=request.has_namespaces,
        memory=_choice(MemoryMode, request.memory, "--memory"),
        memory_folder=Path(request.memory_folder) if request.memory_folder else None,
    )


Kind = TypeVar("Kind", AgentsMode, Pace, MemoryMode)


def _choice(kind: type[Kind], text: str, flag: str) -> Kind:
    try:
        return kind(text)
    except ValueError:
        raise InputError(f"{flag} {text!r}: choose one of {', '.join(kind)}") from None
