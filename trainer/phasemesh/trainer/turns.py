"""Whose turn it is: which scenarios an iteration and a round of the warm start play, and how often."""

from __future__ import annotations

from collections.abc import Sequence

from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.trainer.city_ranges import city_range
from phasemesh.trainer.recipe import Recipe


class Turns:
    """The scenarios of a training in turn; small ones are played several times a turn."""

    def __init__(self, scenarios: Sequence[str], recipe: Recipe) -> None:
        """Read how many agents each scenario has; raises InputError for one that there is not."""
        self._scenarios = tuple(scenarios)
        self._recipe = recipe
        self._times = {name: self._times_of(name) for name in scenarios}

    def names(self, iteration: int) -> list[str]:
        """What the episodes of `iteration` are for."""
        count = self._recipe.episodes.per_iteration
        turns = range(iteration * count, (iteration + 1) * count)
        in_turn = [self._scenarios[turn % len(self._scenarios)] for turn in turns]
        return [name for name in in_turn for _ in range(self._times[name])]

    def taught_names(self) -> list[str]:
        """What the episodes of a round of the warm start are for: every scenario, a range of cities several times."""
        times = self._recipe.warm_start.cities
        return [name for name in self._scenarios for _ in range(times if self._is_range(name) else 1)]

    def _times_of(self, name: str) -> int:
        if self._recipe.episodes.agents == 1 or self._is_range(name):
            return 1
        agents = len(read_network(find_scenario(name).net_file).intersections)
        return -(-self._recipe.episodes.agents // agents)

    def _is_range(self, name: str) -> bool:
        return city_range(name, self._recipe.episodes.cities) is not None
