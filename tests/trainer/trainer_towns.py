"""A town of three signals in a line, played on random traffic: real episodes without a simulator."""

from __future__ import annotations

from typing import Any

import numpy as np

from factories import make_intersection
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.observation import LANE_FEATURES, STAGE_FEATURES, stage_lanes
from phasemesh.trainer.env import AgentView, Views
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.layout import layout_of
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.rollout import Rollout

LINE: tuple[Intersection, ...] = (
    make_intersection("a", ("b",)),
    make_intersection("b", ("a", "c"), has_left_lanes=True),
    make_intersection("c", ("b",)),
)
"""Two stages and four lanes at both ends, four stages and eight lanes in the middle."""
LAYOUT = layout_of(LINE)


def random_view(intersection: Intersection, random: np.random.Generator) -> AgentView:
    """What an agent might see; one stage is in force, and at least one is legal."""
    stages = len(intersection.stages)
    lanes = random.random((len(intersection.lanes), len(LANE_FEATURES)), dtype=np.float32)
    state = random.random((stages, len(STAGE_FEATURES)), dtype=np.float32)
    current = int(random.integers(stages))
    state[:, 0] = np.arange(stages) == current
    legal = random.random(stages) < 0.7
    legal[current] = True
    return AgentView(
        lanes=lanes,
        stage_lanes=stage_lanes(intersection),
        stage_state=state,
        summary=np.concatenate((lanes.mean(axis=0), lanes.max(axis=0))),
        action_mask=legal.astype(np.int8),
    )


def random_views(random: np.random.Generator) -> Views:
    """What the three agents might see."""
    return {each.id: random_view(each, random) for each in LINE}


def make_episode(actor: UniversalActor, *, ticks: int = 24, seed: int = 1, **plan: Any) -> Episode:
    """An episode of random traffic and random rewards in which `actor` decided."""
    random = np.random.default_rng(seed)
    rollout = Rollout(actor, LAYOUT, EpisodePlan(scenario="line", seed=seed, **plan))
    for tick in range(ticks):
        rollout.decide(random_views(random), step=2 * tick)
        rollout.reward(-random.random(len(LINE), dtype=np.float32))
    return Episode(
        plan=EpisodePlan(scenario="line", seed=seed, **plan),
        layout=LAYOUT,
        **rollout.recorded(),
        mean_delay_s=20.0,
        monitor_trips=0,
        wall_s=1.0,
        cpu_s=1.0,
        simulation_cpu_s=0.25,
    )
