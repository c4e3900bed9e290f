"""Plays episodes: all agents of a city decide together, each from what it alone sees and hears."""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from phasemesh.contract.observation import (
    HIDDEN_SIZE,
    LANE_FEATURES,
    STAGE_FEATURES,
    SUMMARY_SIZE,
    FloatArray,
    stage_feature,
)
from phasemesh.controller.policy.noise import mask_noise
from phasemesh.controller.policy.selection import choose_stage
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.trainer.actor import Actor, Decided
from phasemesh.trainer.env import CityEnv, CityOptions, Views
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.layout import BoolArray, IntArray, Layout
from phasemesh.trainer.messages import Inbox, told_by
from phasemesh.trainer.planner import Planner
from phasemesh.trainer.street_faults import LateMessages
from phasemesh.trainer.teacher import taught_stage

_IS_CURRENT = stage_feature("is_current")


class Sight(msgspec.Struct, frozen=True):
    """What all agents see at one tick, padded as in `Layout`.

    `lanes` [A, L, F], `stage_state` [A, S, G], `summary` [A, 2F], `legal` [A, S], `current` [A].
    """

    lanes: FloatArray
    stage_state: FloatArray
    summary: FloatArray
    legal: BoolArray
    current: IntArray


class _Heard(NamedTuple):
    """What all agents tell and hear at one tick; see `Episode`."""

    told: FloatArray
    messages: FloatArray
    valid: BoolArray
    noise: FloatArray


def sight_of(layout: Layout, views: Views) -> Sight:
    """The views of all agents as padded arrays."""
    count, lanes = layout.has_lane.shape
    stages = layout.has_stage.shape[1]
    sight = Sight(
        lanes=np.zeros((count, lanes, len(LANE_FEATURES)), dtype=np.float32),
        stage_state=np.zeros((count, stages, len(STAGE_FEATURES)), dtype=np.float32),
        summary=np.zeros((count, SUMMARY_SIZE), dtype=np.float32),
        legal=np.zeros((count, stages), dtype=bool),
        current=np.zeros(count, dtype=np.int64),
    )
    for index, name in enumerate(layout.names):
        view = views[name]
        sight.lanes[index, : len(view["lanes"])] = view["lanes"]
        sight.stage_state[index, : len(view["stage_state"])] = view["stage_state"]
        sight.summary[index] = view["summary"]
        sight.legal[index, : len(view["action_mask"])] = view["action_mask"]
        sight.current[index] = view["stage_state"][:, _IS_CURRENT].argmax()
    return sight


class Rollout:
    """The agents of a city at play: what they carry from tick to tick, and the record of it."""

    def __init__(self, actor: Actor, layout: Layout, plan: EpisodePlan) -> None:
        """Begin with agents that have seen nothing."""
        with torch.no_grad():
            self._acting = actor.acting(layout.names)
        self._layout = layout
        self._plan = plan
        self._random = np.random.default_rng(plan.seed)
        self._inbox = Inbox(layout, plan.tick_s)
        self._late = LateMessages(plan.faults.message_delay, plan.seed)
        self._hidden = np.zeros((len(layout.names), HIDDEN_SIZE), dtype=np.float32)
        self._policy = np.zeros(layout.has_stage.shape, dtype=np.float32)
        self._has_lane = torch.from_numpy(layout.has_lane.astype(np.float32))
        self._stage_lanes = torch.from_numpy(layout.stage_lanes)
        self._rows: dict[str, list[np.ndarray]] = {}

    def decide(self, views: Views, step: int) -> IntArray:
        """The stages [A] that all agents want in the situation `views` at the cabinets' `step`."""
        sight = sight_of(self._layout, views)
        heard = self._hear(sight, step)
        decided = self._infer(sight, heard)
        log_policy = torch.log_softmax(decided.scores, dim=-1).numpy()
        rule = self._plan.teacher
        taught = sight.current if rule is None else self._teach(rule, views)
        stage = self._choose(sight, decided.scores.numpy(), log_policy, taught)
        agents = np.arange(len(stage))
        self._log_policy = log_policy
        self._note(
            lanes=sight.lanes,
            stage_state=sight.stage_state,
            legal=sight.legal,
            current=sight.current,
            told=heard.told,
            age=self._inbox.age.astype(np.int8),
            valid=heard.valid,
            noise=heard.noise,
            hidden=self._hidden,
            stage=stage,
            log_probability=log_policy[agents, stage],
            taught=taught,
            costs=np.where(np.arange(log_policy.shape[1]) == taught[:, None], 0.0, np.inf).astype(np.float32),
        )
        with torch.inference_mode():
            self._note(hyper=self._acting.hyper(decided.hidden).numpy())
        self._hidden = decided.hidden.numpy()
        self._policy = np.where(sight.legal, np.exp(log_policy), 0.0).astype(np.float32)
        return stage

    def follow(self, views: Views, step: int) -> IntArray:
        """As `decide`, where nobody learns from it: a rule that plays all alone is asked alone."""
        if self._plan.teacher is not None and self._plan.teacher_share >= 1.0:
            return self._teach(self._plan.teacher, views)
        return self.decide(views, step)

    def correct(self, stage: IntArray, taught: IntArray, costs: FloatArray) -> None:
        """Note that in the newest tick `stage` [A] is played, for what a planner found; see `Episode`."""
        log_probability = self._log_policy[np.arange(len(stage)), stage]
        for name, value in (
            ("stage", stage),
            ("log_probability", log_probability),
            ("taught", taught),
            ("costs", costs),
        ):
            self._rows[name][-1] = value

    def reward(self, rewards: FloatArray) -> None:
        """Note what the tick led to, [A]."""
        self._note(reward=rewards)

    def recorded(self) -> dict[str, np.ndarray]:
        """Everything noted so far, stacked over ticks, by the names of `Episode`."""
        return {name: np.stack(values) for name, values in self._rows.items()}

    def _hear(self, sight: Sight, step: int) -> _Heard:
        told = told_by(sight.summary, self._policy, self._hidden)
        is_lost = self._random.random(self._layout.neighbours.shape) < self._plan.message_loss
        late_ticks = self._late.drawn(is_lost.shape)
        messages, valid = self._inbox.take(told, is_lost, late_ticks)
        width = self._layout.neighbours.shape[1]
        noise = np.stack([mask_noise(self._plan.seed, name, step, width) for name in self._layout.names])
        return _Heard(told, messages, valid, noise)

    def _infer(self, sight: Sight, heard: _Heard) -> Decided:
        with torch.inference_mode():
            messages = torch.from_numpy(heard.messages)
            lanes = torch.from_numpy(sight.lanes)
            encoded = self._acting.encode(lanes, self._has_lane, self._stage_lanes, messages)
            return self._acting.decide(
                encoded,
                torch.from_numpy(sight.stage_state),
                torch.from_numpy(sight.legal),
                torch.from_numpy(heard.valid.astype(np.float32)),
                torch.from_numpy(heard.noise),
                torch.from_numpy(self._hidden),
            )

    def _teach(self, rule: str, views: Views) -> IntArray:
        return np.array([taught_stage(rule, views[name]) for name in self._layout.names], dtype=np.int64)

    def _choose(self, sight: Sight, scores: FloatArray, log_policy: FloatArray, taught: IntArray) -> IntArray:
        if self._plan.is_greedy:
            chosen = _best_stages(scores, sight)
        else:
            drawn = np.where(sight.legal, log_policy + self._random.gumbel(size=log_policy.shape), -np.inf)
            chosen = drawn.argmax(axis=1)
        is_taught = self._random.random(len(taught)) < self._plan.teacher_share
        stages: IntArray = np.where(is_taught, taught, chosen)
        return stages

    def _note(self, **values: np.ndarray) -> None:
        for name, value in values.items():
            self._rows.setdefault(name, []).append(value)


def _best_stages(scores: FloatArray, sight: Sight) -> IntArray:
    """What the runtime chooses, its rule for ties included."""
    rows = zip(scores, sight.legal.tolist(), sight.current.tolist(), strict=True)
    return np.array([choose_stage(row, tuple(legal), current) for row, legal, current in rows], dtype=np.int64)


def play(actor: Actor, plan: EpisodePlan) -> Episode:
    """Play `plan` with `actor`; call it in a fresh process, since SUMO restarted within one is not repeatable."""
    began_s = time.monotonic()
    env = CityEnv(
        CityOptions(
            scenario=find_scenario(plan.scenario),
            tick_s=plan.tick_s,
            length_s=plan.length_s,
            profile=plan.profile,
            demand=plan.demand,
            reward=plan.reward,
            ignore_junction_blocker_s=plan.ignore_junction_blocker_s,
            faults=plan.faults,
            edges_folder=plan.edges_folder,
        )
    )
    rollout = Rollout(actor, env.layout, plan)
    planner = Planner(env, rollout, plan.planner, share=plan.planner_share, seed=plan.seed) if plan.planner else None
    try:
        views, _ = env.reset(seed=plan.seed)
        step, playing_s = 0, time.thread_time()
        while env.agents:
            stages = rollout.decide(views, step)
            stages = planner.improve(stages, views, step) if planner else stages
            views, rewards, _, _, _ = env.step(dict(zip(env.layout.names, stages.tolist(), strict=True)))
            rollout.reward(np.array([rewards[name] for name in env.layout.names], dtype=np.float32))
            step += env.steps_per_tick
        return Episode(
            plan=plan,
            layout=env.layout,
            **rollout.recorded(),
            mean_delay_s=env.mean_delay_s,
            monitor_trips=env.monitor_trips,
            wall_s=time.monotonic() - began_s,
            deviations=planner.deviations if planner else 0.0,
            cpu_s=time.thread_time() - playing_s,
            simulation_cpu_s=env.simulation_cpu_s,
        )
    finally:
        env.close()
