"""Whose turn it is: every scenario in turn, small ones several times, ranges of cities once."""

from __future__ import annotations

import pytest

from phasemesh.contract.errors import InputError
from phasemesh.trainer.recipe import EpisodesRecipe, Recipe, WarmStart
from phasemesh.trainer.turns import Turns

pytestmark = [pytest.mark.train, pytest.mark.sumo]


def turns(*scenarios: str, agents: int = 1, per_iteration: int = 2) -> Turns:
    """Turns of a recipe that plays `per_iteration` of `scenarios` an iteration."""
    recipe = Recipe(episodes=EpisodesRecipe(per_iteration=per_iteration, agents=agents), warm_start=WarmStart(cities=3))
    return Turns(scenarios, recipe)


def test_scenarios_take_turns_over_iterations() -> None:
    """Two of three each time, going on where the iteration before ended."""
    found = turns("grid1x2", "grid2x2", "grid2x3")

    assert [found.names(iteration) for iteration in range(3)] == [
        ["grid1x2", "grid2x2"],
        ["grid2x3", "grid1x2"],
        ["grid2x2", "grid2x3"],
    ]


def test_a_small_scenario_is_played_until_it_has_had_as_many_agents() -> None:
    """Two agents three times make the five that are asked for; six are enough at once."""
    assert turns("grid1x2", "grid2x3", agents=5).names(0) == ["grid1x2"] * 3 + ["grid2x3"]


def test_a_range_of_cities_is_played_once() -> None:
    """Its cities differ in size."""
    assert turns("city:1-9", per_iteration=1, agents=50).names(0) == ["city:1-9"]


def test_a_warm_start_plays_every_scenario_and_several_cities() -> None:
    """However small a scenario is."""
    assert turns("grid1x2", "city:1-9", agents=5).taught_names() == ["grid1x2", *["city:1-9"] * 3]


def test_an_unknown_scenario_is_refused() -> None:
    """Before anything is played."""
    with pytest.raises(InputError, match="nowhere"):
        turns("nowhere", agents=2)
