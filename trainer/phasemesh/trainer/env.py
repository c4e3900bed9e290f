"""A city as a multi-agent environment: PettingZoo's parallel interface over the harness's own simulation.

What agents see and what becomes of their wishes is computed by the code that runs on the street: cabinets, detectors,
`encode()`, ladder and guard. A test holds both against each other, tick by tick.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from pettingzoo import ParallelEnv  # type: ignore[import-untyped]

from phasemesh.contract.command import AppliedCommand
from phasemesh.contract.errors import InputError
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.observation import (
    FEATURE_CAP,
    LANE_FEATURES,
    STAGE_FEATURES,
    SUMMARY_SIZE,
    FloatArray,
    stage_lanes,
)
from phasemesh.contract.timing import stage_timings
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.decision import Observed
from phasemesh.controller.plans.table import DEFAULT_PLAN, PLANS
from phasemesh.sim_harness.bridge import Bridge
from phasemesh.sim_harness.monitor.city_monitor import CityMonitor
from phasemesh.sim_harness.monitor.demands import LEAST_YELLOW_S
from phasemesh.sim_harness.options import SEED_LIMIT
from phasemesh.sim_harness.provision import find_profile
from phasemesh.sim_harness.report_folder import edge_output
from phasemesh.sim_harness.scenarios.scenario import Scenario
from phasemesh.sim_harness.sumo.connection import Simulation, SumoOptions, start
from phasemesh.sim_harness.sumo.delay_meter import DelayMeter
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.trainer.layout import layout_of
from phasemesh.trainer.rewards import RewardKind, halting_reward
from phasemesh.trainer.street_agent import StreetAgent
from phasemesh.trainer.street_faults import StreetFaults
from phasemesh.trainer.worn_detectors import WornDetectors


class CityOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is played: `length_s` None is the whole window; `demand` scales SUMO's demand.

    `ignore_junction_blocker_s` is SUMO's option of that name. `halting_norm_veh` divides the reward of that kind. What
    `faults` make of the detectors reaches cabinets and agents; rewards are of the truth. SUMO measures each edge into
    `EDGES_NAME` of `edges_folder` if there is one.
    """

    scenario: Scenario
    tick_s: float = 2.0
    length_s: float | None = None
    profile: str = "benchmark"
    demand: float = 1.0
    ignore_junction_blocker_s: float = 20.0
    reward: RewardKind = RewardKind.DELAY
    halting_norm_veh: float = 10.0
    faults: StreetFaults = StreetFaults()
    edges_folder: Path | None = None


class AgentView(TypedDict):
    """What one agent sees: the tensors of the contract, its summary, and 1 in `action_mask` for legal stages."""

    lanes: FloatArray
    stage_lanes: FloatArray
    stage_state: FloatArray
    summary: FloatArray
    action_mask: npt.NDArray[np.int8]


Views = dict[IntersectionId, AgentView]
Infos = dict[IntersectionId, dict[str, Any]]


class CityEnv(ParallelEnv):  # type: ignore[misc]
    """Steps a city by control intervals; an action is the stage that an agent wants.

    The reward is a negative number: the delay that arises at the agent's own signal at the end of the interval
    (`DelayMeter`), or the vehicles that stand there. Episodes end by truncation, since traffic goes on. `info` holds
    what the cabinet made of the wish, under "applied", and the observation as the street knows it, under "observed".

    SUMO restarted within one process was seen to give other results for the same seed: whoever compares runs gives
    every episode a fresh process, as the trainer does.
    """

    metadata = {"name": "phasemesh_city_v0", "render_modes": []}  # noqa: RUF012 (PettingZoo declares it so)

    def __init__(self, options: CityOptions) -> None:
        """Read the network; raises InputError for a tick or profile that cannot be had."""
        _check(options)
        self.render_mode = None
        self.options = options
        self.network = read_network(options.scenario.net_file)
        self.layout = layout_of(self.network.intersections)
        self.possible_agents = list(self.layout.names)
        self.agents: list[IntersectionId] = []
        self._observation_spaces = {each.id: _view_space(each) for each in self.network.intersections}
        self._action_spaces = {each.id: spaces.Discrete(len(each.stages)) for each in self.network.intersections}
        self._shares = {each.id: stage_lanes(each) for each in self.network.intersections}
        self._stack = ExitStack()
        self._street: dict[IntersectionId, StreetAgent] = {}
        self._observed: dict[IntersectionId, Observed] = {}

    @property
    def steps_per_tick(self) -> int:
        """Simulated seconds of a control interval."""
        return round(self.options.tick_s)

    @property
    def mean_delay_s(self) -> float:
        """The delay of the episode so far, as the harness measures it."""
        return self._simulation.delay_so_far_s()

    @property
    def simulation_cpu_s(self) -> float:
        """Processor time that SUMO's own steps have taken in this episode."""
        return self._bridge.simulation_cpu_s

    @property
    def monitor_trips(self) -> int:
        """Breaches that the monitor of the lights has seen in this episode; there must be none."""
        return len(self._bridge.monitor.trips)

    def observation_space(self, agent: IntersectionId) -> spaces.Space[Any]:
        """As in PettingZoo."""
        return self._observation_spaces[agent]

    def action_space(self, agent: IntersectionId) -> spaces.Space[Any]:
        """As in PettingZoo."""
        return self._action_spaces[agent]

    def reset(self, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Views, Infos]:  # noqa: ARG002 (PettingZoo has it)
        """Start SUMO with `seed` (1 if None) and take the first look; raises ScenarioError when SUMO refuses."""
        self.close()
        seed = 1 if seed is None else seed % SEED_LIMIT
        self._simulation = self._start(seed)
        cabinets = self._cabinets(self._simulation.time_s)
        self._meter = DelayMeter(self._simulation, self.network)
        self._bridge = self._make_bridge(cabinets, seed)
        self._street = {name: self._street_agent(cabinet) for name, cabinet in cabinets.items()}
        self._bridge.begin()
        self.agents = list(self.possible_agents)
        return self._look(), self._infos({})

    def step(
        self, actions: Mapping[IntersectionId, int]
    ) -> tuple[Views, dict[IntersectionId, float], dict[IntersectionId, bool], dict[IntersectionId, bool], Infos]:
        """One control interval under the wishes of all agents."""
        applied = {name: agent.act(self._observed[name], int(actions[name])) for name, agent in self._street.items()}
        for _ in range(self.steps_per_tick):
            self._bridge.step()
        is_over = self._bridge.elapsed_s >= self._length_s
        names = self.possible_agents
        views, infos = self._look(), self._infos(applied)
        self.agents = [] if is_over else list(names)
        return views, self._rewards(), dict.fromkeys(names, False), dict.fromkeys(names, is_over), infos

    def vary(self, random: np.random.Generator, spread: float) -> None:
        """Let drivers want other speeds, off by `spread` (one standard deviation): another future from here on."""
        self._simulation.vary_drivers(lambda: 1.0 + spread * float(random.standard_normal()))

    def close(self) -> None:
        """End SUMO; a second call does nothing."""
        self._stack.close()

    def _start(self, seed: int) -> Simulation:
        options, scenario = self.options, self.options.scenario
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="phasemesh-episode-")))
        simulation = start(
            SumoOptions(
                output=folder,
                net=scenario.net_file,
                config=scenario.config,
                # SUMO takes those of the scenario from its configuration; given twice, many of them would be refused.
                additional=(edge_output(options.edges_folder),) if options.edges_folder else (),
                begin_s=scenario.begin_s,
                seed=seed,
                ignore_junction_blocker_s=options.ignore_junction_blocker_s,
                extra=("--scale", str(options.demand)) if options.demand != 1.0 else (),
            )
        )
        return self._stack.enter_context(simulation)

    def _cabinets(self, now_s: float) -> dict[IntersectionId, Cabinet]:
        profile = find_profile(self.options.profile)
        self._timings = {each.id: stage_timings(each, profile) for each in self.network.intersections}
        return {
            each.id: Cabinet(
                each,
                self._timings[each.id],
                PLANS[DEFAULT_PLAN](each, self._timings[each.id]),
                tick_s=self.options.tick_s,
                now_s=now_s,
                step=-1,
                unit=profile.unit,
            )
            for each in self.network.intersections
        }

    def _make_bridge(self, cabinets: dict[IntersectionId, Cabinet], seed: int) -> Bridge:
        faults = self.options.faults
        worn = WornDetectors(self.network.intersections, faults, seed) if faults.has_worn_detectors else None
        yellow_s = find_profile(self.options.profile).timing.yellow_s
        monitor = CityMonitor(self.network.intersections, self._timings, least_yellow_s=min(LEAST_YELLOW_S, yellow_s))
        return Bridge(
            self._simulation,
            self.network,
            cabinets,
            monitor,
            steps_per_tick=self.steps_per_tick,
            begin_s=self.options.scenario.begin_s,
            disturb=worn.disturb if worn else None,
        )

    def _street_agent(self, cabinet: Cabinet) -> StreetAgent:
        return StreetAgent(
            cabinet,
            self._timings[cabinet.intersection.id],
            tick_s=self.options.tick_s,
            steps_per_tick=self.steps_per_tick,
            unit=find_profile(self.options.profile).unit,
        )

    @property
    def _length_s(self) -> float:
        window_s = self.options.scenario.end_s - self.options.scenario.begin_s
        return window_s if self.options.length_s is None else min(self.options.length_s, window_s)

    def _look(self) -> Views:
        self._observed = {name: agent.observe() for name, agent in self._street.items()}
        return {
            name: AgentView(
                lanes=observed.observation.lanes,
                stage_lanes=self._shares[name],
                stage_state=observed.observation.stage_state,
                summary=observed.observation.summary,
                action_mask=np.array(observed.legal, dtype=np.int8),
            )
            for name, observed in self._observed.items()
        }

    def _rewards(self) -> dict[IntersectionId, float]:
        if self.options.reward is RewardKind.DELAY:
            return {name: -float(delay) for name, delay in zip(self._observed, self._meter.read(), strict=True)}
        is_worn = self.options.faults.has_worn_detectors
        return {
            name: halting_reward(
                self._bridge.readings[name] if is_worn else observed.snapshot.readings, self.options.halting_norm_veh
            )
            for name, observed in self._observed.items()
        }

    def _infos(self, applied: Mapping[IntersectionId, AppliedCommand]) -> Infos:
        return {name: {"observed": observed, "applied": applied.get(name)} for name, observed in self._observed.items()}


def _check(options: CityOptions) -> None:
    find_profile(options.profile)
    if not 1.0 <= options.tick_s <= 60.0 or options.tick_s != round(options.tick_s):
        raise InputError(f"tick_s {options.tick_s}: must be a whole number of seconds from 1 to 60")
    if not 0.0 < options.demand <= 10.0:
        raise InputError(f"demand {options.demand}: must be above 0 and at most 10")


def _view_space(intersection: Intersection) -> spaces.Dict:
    lanes, stages = len(intersection.lanes), len(intersection.stages)
    return spaces.Dict(
        {
            "lanes": _box(lanes, len(LANE_FEATURES)),
            "stage_lanes": spaces.Box(0.0, 1.0, (stages, lanes, 2), np.float32),
            "stage_state": _box(stages, len(STAGE_FEATURES)),
            "summary": _box(SUMMARY_SIZE),
            "action_mask": spaces.Box(0, 1, (stages,), np.int8),
        }
    )


def _box(*shape: int) -> spaces.Box:
    return spaces.Box(0.0, FEATURE_CAP, shape, np.float32)
