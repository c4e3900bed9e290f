"""Recipes: those that ship can be read, and a mistake in one is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasemesh.contract.errors import InputError
from phasemesh.trainer.recipe import Recipe, faults_of_recipe, find_recipe, known_recipes

pytestmark = pytest.mark.train


def test_the_papers_recipe_ships() -> None:
    """BayesG by both learners."""
    assert {"bayesg", "bayesg-a2c", "bayesg-cities"} <= set(known_recipes())


@pytest.mark.parametrize("name", known_recipes())
def test_recipes_that_ship_have_no_fault(name: str) -> None:
    """Every number is within its range."""
    assert faults_of_recipe(find_recipe(name)) == []


def test_a_recipe_of_ones_own_is_read(tmp_path: Path) -> None:
    """What it does not say is the default."""
    path = tmp_path / "mine.toml"
    path.write_text('[learner]\nlambda = 0.5\n[mask]\nloss = "printed"\n')
    recipe = find_recipe(str(path))

    assert (recipe.learner.lambda_, recipe.mask.loss) == (0.5, "printed")
    assert recipe.episodes == Recipe().episodes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[learner]\ngamma = 1.5", "learner.gamma is 1.5, must be from 0 to 1"),
        ("[learner]\ngama = 0.9", "gama"),
        ("[learner]\nkind = 'sarsa'", "sarsa"),
        ("[episodes]\ndemand = [0.5, 99.0]", "episodes.demand"),
        ("[warm_start]\nteacher = 'nobody'", "nobody"),
        ("[randomisation]\noutage_kinds = ['detector-dreams']", "detector-dreams"),
        ("[randomisation]\noutage_kinds = []", "outage_kinds"),
        ("[randomisation]\nticks_s = [0.0, 2.0]", "randomisation.ticks_s is (0.0, 2.0)"),
        ("[randomisation]\nticks_s = [2.5]", "whole seconds"),
        ("[randomisation]\ndetector_noise = [0.0, 0.6]", "randomisation.detector_noise"),
        ("[mask]\nkind = 'shut'", "shut"),
        ("[mask]\nsees_state = 1", "sees_state"),
        ("[network]\nkind = 'numbered'", "communication.kind is mask, with network.kind numbered"),
        ("[communication]\nkind = 'ia2c'", "with network.kind universal it must be mask"),
        ("[network]\nkind = 'numbered'\n[communication]\nkind = 'ia2c'", "mask.kind is bayes"),
        ("[learner", "recipe"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, text: str, reason: str) -> None:
    """With the recipe and what is wrong."""
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(InputError) as caught:
        find_recipe(str(path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["bayes-g", "", "nowhere.toml", "bayesg.TOML"])
def test_an_unknown_recipe_is_refused(name: str) -> None:
    """A name that does not ship and a file that is not there."""
    with pytest.raises(InputError):
        find_recipe(name)
