"""The parts `sharing` and `scale` of `phasemesh bench`: what ways of sharing cost, and how updates grow with a city."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from phasemesh.sim_harness.bench import Figure
from phasemesh.trainer.extras import what_training_needs

if TYPE_CHECKING:
    import numpy as np

    from phasemesh.contract.intersection import Intersection
    from phasemesh.trainer.env import AgentView
    from phasemesh.trainer.episode import Episode
    from phasemesh.trainer.learners.learner import Learner

RECIPES = ("ppo-none", "ppo-full", "ppo-index", "hamh-ppo", "ppo-wide", "consenet")
"""One of each way of sharing."""
MAP = "grid4x4"
SCALED = "hamh-ppo"
SIDES = (2, 4, 8, 16)
"""Sides of the grids whose updates are compared: 4, 16, 64 and 256 signals."""
TICKS = 49
ROUNDS = 3
SLOPE = 1.2
"""Greatest slope of the logarithm of an update's time over that of the number of signals (H15)."""


def sharing_figures(_maps: Sequence[str]) -> Iterator[Figure]:
    """Parameters and the time of an update of every way of sharing, on random traffic; raises MissingExtraError."""
    with what_training_needs():
        import torch  # noqa: PLC0415 (torch is optional and slow)
    torch.set_num_threads(1)
    intersections = _intersections(MAP)
    for name in RECIPES:
        learner = make_learner(name, intersections)
        core, taken_s = learner.core, update_s(learner, intersections)
        actor, critic = (sum(each.numel() for each in part.parameters()) for part in (core.actor, core.critic))
        yield Figure(
            f"{core.recipe.sharing.kind} ({name}), {len(intersections)} signals: parameters, the critic's; update, s",
            f"{actor:,}, {critic:,}; {taken_s:.2f}",
            "reported",
            holds=True,
        )


def scale_figures(_maps: Sequence[str]) -> Iterator[Figure]:
    """The time of an update for cities of 4 to 256 signals and its slope, on random traffic.

    Raises MissingExtraError.
    """
    with what_training_needs():
        import torch  # noqa: PLC0415 (as above)
    torch.set_num_threads(1)
    found: dict[int, float] = {}
    for side in SIDES:
        intersections = _intersections(f"grid{side}x{side}")
        found[len(intersections)] = update_s(make_learner(SCALED, intersections), intersections)
    yield figure_of(found)


def figure_of(found: Mapping[int, float]) -> Figure:
    """The figure of update times in seconds by number of signals."""
    slope = slope_of(found)
    times = ", ".join(f"{taken_s:.2f}" for taken_s in found.values())
    return Figure(
        f"update by {SCALED} of {', '.join(map(str, found))} signals x {TICKS - 1} ticks, CPU s; log-log slope",
        f"{times}; {slope:.2f}",
        f"<= {SLOPE:g}",
        slope <= SLOPE,
    )


def slope_of(found: Mapping[int, float]) -> float:
    """The slope of log(time) over log(signals), by least squares."""
    points = [(math.log(signals), math.log(taken_s)) for signals, taken_s in found.items()]
    mean_x, mean_y = (sum(each) / len(points) for each in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return float(sum((x - mean_x) * (y - mean_y) for x, y in points) / spread)


def make_learner(recipe_name: str, intersections: Sequence[Intersection]) -> Learner:
    """An untrained learner of that recipe for `intersections`."""
    import torch  # noqa: PLC0415 (as above)

    from phasemesh.trainer.recipe import actor_spec, find_recipe  # noqa: PLC0415 (as above)
    from phasemesh.trainer.sharing import make_actor, make_critic, needs_sites  # noqa: PLC0415 (as above)
    from phasemesh.trainer.sites import site_of  # noqa: PLC0415 (as above)
    from phasemesh.trainer.training import LEARNERS  # noqa: PLC0415 (as above)

    torch.manual_seed(0)
    recipe = find_recipe(recipe_name)
    knows_sites = needs_sites(recipe.network.kind, recipe.sharing.kind)
    spec = actor_spec(recipe, tuple(site_of(each) for each in intersections) if knows_sites else ())
    return LEARNERS[recipe.learner.kind](make_actor(spec), make_critic(spec), recipe, torch.device("cpu"))


def update_s(learner: Learner, intersections: Sequence[Intersection], rounds: int = ROUNDS) -> float:
    """The median processor time of an update from an episode of random traffic, in one thread, in seconds."""
    import numpy as np  # noqa: PLC0415 (as above)

    episode = random_episode(learner, intersections)
    random, taken_s = np.random.default_rng(0), []
    for _ in range(rounds):
        began_s = time.process_time()
        learner.update([episode], random, learns_policy=True)
        taken_s.append(time.process_time() - began_s)
    return median(taken_s)


def random_episode(learner: Learner, intersections: Sequence[Intersection]) -> Episode:
    """Real decisions of the learner's actor in random traffic, so that no simulation is waited for."""
    import numpy as np  # noqa: PLC0415 (as above)

    from phasemesh.trainer.episode import Episode, EpisodePlan  # noqa: PLC0415 (as above)
    from phasemesh.trainer.layout import layout_of  # noqa: PLC0415 (as above)
    from phasemesh.trainer.rollout import Rollout  # noqa: PLC0415 (as above)

    layout, plan = layout_of(intersections), EpisodePlan(scenario="random", seed=0)
    rollout, random = Rollout(learner.core.actor, layout, plan), np.random.default_rng(0)
    for tick in range(TICKS):
        rollout.decide({each.id: _random_view(each, random) for each in intersections}, step=2 * tick)
        rollout.reward(-random.random(len(intersections), dtype=np.float32))
    recorded: dict[str, Any] = rollout.recorded()
    figures = dict.fromkeys(("mean_delay_s", "wall_s", "cpu_s", "simulation_cpu_s"), 1.0)
    return Episode(plan=plan, layout=layout, **recorded | figures, monitor_trips=0)


def _random_view(intersection: Intersection, random: np.random.Generator) -> AgentView:
    """What an agent might see; every stage is legal."""
    import numpy as np  # noqa: PLC0415 (as above)

    from phasemesh.contract.observation import LANE_FEATURES, STAGE_FEATURES, stage_lanes  # noqa: PLC0415 (as above)

    lanes = random.random((len(intersection.lanes), len(LANE_FEATURES)), dtype=np.float32)
    state = random.random((len(intersection.stages), len(STAGE_FEATURES)), dtype=np.float32)
    state[:, 0] = np.arange(len(state)) == random.integers(len(state))
    return {
        "lanes": lanes,
        "stage_lanes": stage_lanes(intersection),
        "stage_state": state,
        "summary": np.concatenate((lanes.mean(axis=0), lanes.max(axis=0))),
        "action_mask": np.ones(len(state), dtype=np.int8),
    }


def _intersections(scenario: str) -> tuple[Intersection, ...]:
    from phasemesh.sim_harness.scenarios.registry import find_scenario  # noqa: PLC0415 (as above)
    from phasemesh.sim_harness.sumo.network import read_network  # noqa: PLC0415 (as above)

    return tuple(read_network(find_scenario(scenario).net_file).intersections)
