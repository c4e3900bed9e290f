"""Parity over recorded ticks: episodes in which torch decided, decided again by the exported graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import torch

from phasemesh.contract.observation import SITE_SIZE, FloatArray
from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.selection import choose_stage
from phasemesh.export.usual_hyper import EPISODES
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.city_ranges import evaluated
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.experience import Lesson, Replayed, heard_messages, in_order, replay
from phasemesh.trainer.run_folder import RunDescription

if TYPE_CHECKING:
    # A crew needs the simulator, which whoever exports a rule may not have.
    from phasemesh.trainer.crews import EpisodeCrew

SEGMENT_TICKS = 50
ANY_TEMPERATURE = 0.5
"""That of gradients, of which there are none here."""
LEAST_EPISODE_S = 60.0
NO_SITE = np.zeros(SITE_SIZE, dtype=np.float32)
NO_SITES: Mapping[IntersectionId, Sequence[float]] = MappingProxyType({})


class SitedPolicy(NamedTuple):
    """A policy with the embedding of the intersection that it decides for."""

    policy: Policy
    site: FloatArray


class RecordedParity(msgspec.Struct, frozen=True):
    """The largest difference of any log probability or edge posterior, and changed decisions, over `ticks` ticks.

    A tick is that of one agent.
    """

    ticks: int = 0
    max_abs: float = 0.0
    changed_decisions: int = 0

    def and_also(self, other: RecordedParity) -> RecordedParity:
        """Both together."""
        return RecordedParity(
            self.ticks + other.ticks,
            max(self.max_abs, other.max_abs),
            self.changed_decisions + other.changed_decisions,
        )


def recorded_episodes(crew: EpisodeCrew, actor: Actor, run: RunDescription, ticks: int) -> Iterator[Episode]:
    """Greedy episodes on all scenarios of `run`, again and again until `ticks` ticks of agents are recorded.

    Demand and the loss of messages are from the ranges of its recipe; seeds are none that it was trained on.
    """
    names = tuple(evaluated(run.scenarios, run.recipe.episodes.cities))
    agents = {name: len(read_network(find_scenario(name).net_file).controlled) for name in names}
    left, seeds = ticks, itertools.count()
    while left > 0:
        share = left / len(names)
        plans = [_plan(run, name, next(seeds), share / agents[name]) for name in names]
        for episode in crew.play(actor, plans):
            left -= episode.stage.size
            yield episode


def profiled_ticks(run: RunDescription) -> int:
    """The ticks of agents of so many whole episodes as a profile of the hyper-action takes."""
    recipe = run.recipe.episodes
    names = tuple(evaluated(run.scenarios, recipe.cities))
    agents = [len(read_network(find_scenario(name).net_file).controlled) for name in names]
    return math.ceil(EPISODES * recipe.length_s / recipe.tick_s * max(agents) * len(names))


def _plan(run: RunDescription, name: str, seed: int, ticks: float) -> EpisodePlan:
    """So many ticks of every agent, within an episode's usual length."""
    recipe = run.recipe.episodes
    return EpisodePlan(
        scenario=name,
        seed=seed,
        tick_s=recipe.tick_s,
        length_s=min(recipe.length_s, max(LEAST_EPISODE_S, math.ceil(ticks) * recipe.tick_s)),
        profile=recipe.profile,
        demand=recipe.demand[seed % 2],
        message_loss=recipe.message_losses[seed % len(recipe.message_losses)],
        is_greedy=True,
    )


def measure_recorded(
    actor: Actor,
    policy_for: Callable[[IntersectionId], Policy],
    episodes: Iterable[Episode],
    sites: Mapping[IntersectionId, Sequence[float]] = NO_SITES,
) -> RecordedParity:
    """How far the policies of all agents are from `actor`, and from what it decided when `episodes` were played.

    `sites` are the rows of those intersections that have one of their own.
    """
    found = RecordedParity()
    for episode in episodes:
        policies = {name: SitedPolicy(policy_for(name), _row_of(sites.get(name))) for name in episode.layout.names}
        found = found.and_also(_measured(actor, policies, episode))
    return found


def _row_of(site: Sequence[float] | None) -> FloatArray:
    return NO_SITE if site is None else np.array(site, dtype=np.float32)


def _measured(actor: Actor, policies: Mapping[IntersectionId, SitedPolicy], episode: Episode) -> RecordedParity:
    nothing = np.zeros(episode.stage.shape, dtype=np.float32)
    lesson, begun, found = Lesson(episode, nothing, nothing), 0, RecordedParity()
    with torch.no_grad():
        for batch in in_order(lesson, SEGMENT_TICKS):
            expected = replay(actor, batch, ANY_TEMPERATURE)
            ticks = range(begun, begun + len(batch.lanes))
            parts = [
                _compared(policy, episode, tick, agent, _row(expected, tick - begun, agent))
                for tick in ticks
                for agent, policy in enumerate(policies.values())
            ]
            found = _together([found, *parts])
            begun += len(batch.lanes)
    return found


def _row(expected: Replayed, tick: int, agent: int) -> tuple[FloatArray, FloatArray]:
    """Log policy [S] and edge posterior [K] of one agent at one tick."""
    return expected.log_policy[tick, agent].numpy(), expected.probability[tick, agent].numpy()


def _compared(
    sited: SitedPolicy, episode: Episode, tick: int, agent: int, expected: tuple[FloatArray, FloatArray]
) -> RecordedParity:
    found = sited.policy.infer(recorded_input(episode, tick, agent, sited.site))
    if isinstance(found, PolicyFault):
        return RecordedParity(1, float("inf"), 1)
    legal = episode.legal[tick, agent, : len(found.stage_logits)]
    current = int(episode.current[tick, agent])
    stage = choose_stage(found.stage_logits, tuple(legal.tolist()), current)
    log_policy, probability = expected
    differences = (
        np.abs(_log_policy(found, legal) - log_policy[: len(legal)][legal]),
        np.abs(found.mask_probability - probability[: len(found.mask_probability)]),
    )
    max_abs = max(float(each.max()) for each in differences if each.size)
    return RecordedParity(1, max_abs, int(stage != episode.stage[tick, agent]))


def _log_policy(output: PolicyOutput, legal: np.ndarray) -> FloatArray:
    """Log probabilities of the legal stages."""
    scores = output.stage_logits[legal].astype(np.float64)
    best = scores.max()
    log_policy: FloatArray = (scores - best - np.log(np.exp(scores - best).sum())).astype(np.float32)
    return log_policy


def recorded_input(episode: Episode, tick: int, agent: int, site: FloatArray = NO_SITE) -> PolicyInput:
    """What the agent at position `agent` gave its policy at `tick`, without padding."""
    layout = episode.layout
    lanes, stages = layout.has_lane[agent], layout.has_stage[agent]
    # An intersection without neighbours has one row that is not valid.
    neighbours = max(1, int(layout.has_neighbour[agent].sum()))
    heard = heard_messages(episode, np.array([[tick]]))[0, 0, agent]
    return PolicyInput(
        lanes=episode.lanes[tick, agent, lanes],
        stage_lanes=layout.stage_lanes[agent][stages][:, lanes],
        stage_state=episode.stage_state[tick, agent, stages],
        neighbour_messages=heard[:neighbours],
        neighbour_valid=episode.valid[tick, agent, :neighbours].astype(np.float32),
        mask_noise=episode.noise[tick, agent, :neighbours],
        hidden=episode.hidden[tick, agent],
        site=site,
    )


def _together(parts: Sequence[RecordedParity]) -> RecordedParity:
    found = RecordedParity()
    for part in parts:
        found = found.and_also(part)
    return found
