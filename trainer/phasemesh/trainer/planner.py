"""A clairvoyant planner: at every tick it tries each stage of each signal in a copy of the run, and knows what came.

The base, a rule or the actor itself, decides everything but that one choice, in the copy as in the real run.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import FloatArray, lane_feature
from phasemesh.sim_harness.branch import check_branches, in_branch
from phasemesh.trainer.city_ranges import city_range
from phasemesh.trainer.env import AgentView, CityEnv, Views
from phasemesh.trainer.layout import BoolArray, IntArray
from phasemesh.trainer.recipe import PlannerRecipe

MAX_SIGNALS = 8
"""On larger maps a look ahead costs too much for what it finds."""
_VEHICLES = lane_feature("vehicles_150m")
_SPREAD = 0.03
"""By how much drivers want other speeds in another future (engineering choice)."""


class Base(Protocol):
    """Who decides unless the planner knows better: a `Rollout`."""

    def follow(self, views: Views, step: int) -> IntArray:
        """The stages [A] that are wanted at `step`, where nobody learns from it."""

    def correct(self, stage: IntArray, taught: IntArray, costs: FloatArray) -> None:
        """Note what a planner found about the newest tick; see `Episode`."""


class Planner:
    """Looks ahead from the real run of `env`, for whose agents `base` decides."""

    def __init__(self, env: CityEnv, base: Base, recipe: PlannerRecipe, *, share: float, seed: int) -> None:
        """Play the planner's choices in a `share` of the decisions, those of the base in the others."""
        hops = env.layout.hops
        self._env, self._base, self._recipe, self._share = env, base, recipe, share
        self._ticks = max(1, round(recipe.horizon_s / env.options.tick_s))
        self._near = ((hops >= 0) & (hops <= recipe.reach)).astype(np.float32)
        self._random = np.random.default_rng((seed, 4))
        self._seed = seed
        self._decisions = self._deviations = 0

    @property
    def deviations(self) -> float:
        """In which share of the decisions that it knows about and that left a choice it wanted something else."""
        return self._deviations / max(1, self._decisions)

    def improve(self, wanted: IntArray, views: Views, step: int) -> IntArray:
        """The stages [A] to play where the base has `wanted` others; it takes note of what was found."""
        names = self._env.layout.names
        options = [alternatives(views[name], stage) for name, stage in zip(names, wanted.tolist(), strict=True)]
        is_known = np.array([not each for each in options]) | (self._random.random(len(wanted)) < self._recipe.looks)
        costs = self._costs(wanted, is_known, options, step)
        taught = choices(costs, wanted, self._recipe.margin_veh_s)
        played: IntArray = np.where(self._random.random(len(wanted)) < self._share, taught, wanted)
        least = np.where(is_known, costs.min(axis=1), 0.0)
        self._base.correct(played, taught, (costs - least[:, None]).astype(np.float32))
        has_choice = np.array([views[name]["action_mask"].sum() > 1 for name in names])
        self._decisions += int((has_choice & is_known).sum())
        self._deviations += int((taught != wanted).sum())
        return played

    def _costs(
        self, wanted: IntArray, is_known: BoolArray, options: Sequence[tuple[int, ...]], step: int
    ) -> FloatArray:
        """Vehicle-seconds of delay that each stage leads to, [A, S]; infinite for what is not tried.

        Of the agents that are known the wanted stage is tried, and the `options` of each beside it.
        """
        agents = np.flatnonzero(is_known)
        costs: FloatArray = np.full(self._env.layout.has_stage.shape, np.inf, dtype=np.float32)
        costs[agents, wanted[agents]] = 0.0
        trials = [(agent, stage) for agent in agents.tolist() for stage in options[agent]]
        if trials:
            costs[agents, wanted[agents]] = (self._near @ self.delay_ahead(wanted, step))[agents]
        for agent, stage in trials:
            changed = wanted.copy()
            changed[agent] = stage
            costs[agent, stage] = self._near[agent] @ self.delay_ahead(changed, step)
        return costs

    def delay_ahead(self, stages: IntArray, step: int) -> FloatArray:
        """Vehicle-seconds before each signal over the horizon, [A], if agents want `stages` now: mean of all futures.

        The first future is the true one.
        """
        futures = [in_branch(partial(self._play_ahead, stages, step, future)) for future in range(self._recipe.futures)]
        mean: FloatArray = np.mean(futures, axis=0).astype(np.float32)
        return mean

    def _play_ahead(self, stages: IntArray, step: int, future: int) -> Sequence[float]:
        """The run goes on from here, `stages` first and then the base."""
        env, names, views = self._env, self._env.layout.names, Views()
        if future:
            env.vary(np.random.default_rng((self._seed, step, future)), _SPREAD)
        delays = np.zeros(len(names))
        for tick in range(self._ticks):
            if tick:
                stages = self._base.follow(views, step)
            views, rewards, _, _, _ = env.step(dict(zip(names, stages.tolist(), strict=True)))
            delays -= [rewards[name] for name in names]
            step += env.steps_per_tick
            if not env.agents:
                break
        found: list[float] = (delays * env.options.tick_s).tolist()
        return found


def choices(costs: FloatArray, wanted: IntArray, margin_veh_s: float) -> IntArray:
    """The cheapest stages [A] of `costs` [A, S], where they save more than the margin over the `wanted` ones."""
    agents = np.arange(len(wanted))
    best = costs.argmin(axis=1)
    chosen: IntArray = np.where(costs[agents, wanted] > costs[agents, best] + margin_veh_s, best, wanted)
    return chosen


def alternatives(view: AgentView, wanted: int) -> tuple[int, ...]:
    """The legal stages that might be better than the `wanted` one: they serve somebody, or stay as it is.

    None where the wanted one serves everybody who comes, protected.
    """
    calls = view["lanes"][:, _VEHICLES] > 0.0
    served = view["stage_lanes"]
    if not (calls & (served[wanted, :, 0] < 1.0)).any():
        return ()
    serves = (calls & (served.max(axis=2) > 0.0)).any(axis=1)
    current = int(np.argmax(view["stage_state"][:, 0]))
    legal = np.flatnonzero(view["action_mask"])
    return tuple(int(stage) for stage in legal if stage != wanted and (serves[stage] or stage == current))


def check_planned(name: str, cities: tuple[int, int], signals: int) -> None:
    """Refuse what cannot be looked ahead on; raises InputError."""
    check_branches()
    if city_range(name, cities):
        raise InputError(f"{name}: the planner needs to know the maps; name single cities, as city:7")
    if signals > MAX_SIGNALS:
        raise InputError(f"{name}: has {signals} signals, the planner takes up to {MAX_SIGNALS}; choose a smaller map")
