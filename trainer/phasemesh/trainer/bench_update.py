"""The part `update` of `phasemesh bench`: how long a learner takes over 25 agents and 120 steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING

from phasemesh.sim_harness.bench import Figure
from phasemesh.trainer.extras import what_training_needs

if TYPE_CHECKING:
    from phasemesh.trainer.episode import Episode

MAP = "grid5x5"
STEPS = 120
ROUNDS = 5
SEED = 100_001
UPDATE_S = 0.5
"""Most seconds of one update of the papers' own learner, one pass over all steps."""
RECIPES = ("bayesg-a2c", "bayesg")
"""The papers' learner, which is bounded, and the usual one, which passes several times over the same steps."""


def update_figures(_maps: Sequence[str]) -> Iterator[Figure]:
    """One episode of an actor that has learned nothing, and the median of several updates by each of `RECIPES`.

    Raises MissingExtraError without torch.
    """
    with what_training_needs():
        import torch  # noqa: PLC0415 (torch is optional and slow)

        from phasemesh.trainer.crew import Crew  # noqa: PLC0415 (likewise)
        from phasemesh.trainer.episode import EpisodePlan  # noqa: PLC0415 (likewise)
        from phasemesh.trainer.networks import UniversalActor  # noqa: PLC0415 (likewise)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    # The last tick has no tick after it to be judged by.
    plan = EpisodePlan(scenario=MAP, seed=SEED, length_s=2.0 * (STEPS + 1))
    (episode,) = Crew(workers=1).play(UniversalActor(), [plan])
    for name in RECIPES:
        yield figure_of(name, episode, update_s(name, episode))


def update_s(recipe_name: str, episode: Episode, rounds: int = ROUNDS) -> float:
    """The median processor time of an update by the learner of that recipe, in one thread, in seconds."""
    import numpy as np  # noqa: PLC0415 (as above)
    import torch  # noqa: PLC0415 (as above)

    from phasemesh.trainer.critic import Critic  # noqa: PLC0415 (as above)
    from phasemesh.trainer.networks import UniversalActor  # noqa: PLC0415 (as above)
    from phasemesh.trainer.recipe import find_recipe  # noqa: PLC0415 (as above)
    from phasemesh.trainer.training import LEARNERS  # noqa: PLC0415 (as above)

    recipe = find_recipe(recipe_name)
    learner = LEARNERS[recipe.learner.kind](UniversalActor(), Critic(), recipe, torch.device("cpu"))
    random, taken_s = np.random.default_rng(0), []
    for _ in range(rounds):
        began_s = time.process_time()
        learner.update([episode], random, learns_policy=True)
        taken_s.append(time.process_time() - began_s)
    return median(taken_s)


def figure_of(recipe_name: str, episode: Episode, taken_s: float) -> Figure:
    """The figure of one recipe; only the papers' own learner has a bound."""
    is_bounded = recipe_name == RECIPES[0]
    agents, steps = len(episode.layout.names), episode.ticks - 1
    return Figure(
        f"update of {agents} agents x {steps} steps by {recipe_name}, CPU s; us a sample",
        f"{taken_s:.2f}; {1e6 * taken_s / (agents * steps):.0f}",
        f"<= {UPDATE_S:g}" if is_bounded else "reported",
        not is_bounded or taken_s <= UPDATE_S,
    )
