"""H15 and the table of sharing: what is measured of an update, and what a city's size may cost."""

from __future__ import annotations

import pytest
from trainer_towns import LINE

from phasemesh.trainer.actor_spec import SharingKind
from phasemesh.trainer.bench_sharing import RECIPES, SLOPE, figure_of, make_learner, slope_of, update_s
from phasemesh.trainer.recipe import find_recipe

pytestmark = pytest.mark.train


def test_every_way_of_sharing_has_a_recipe_in_the_table() -> None:
    """None is left out, and none stands twice."""
    kinds = [find_recipe(name).sharing.kind for name in RECIPES]

    assert sorted(kinds) == sorted(SharingKind)


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_update_of_every_way_of_sharing_is_measured(recipe: str) -> None:
    """On random traffic, without a simulation."""
    assert update_s(make_learner(recipe, LINE), LINE, rounds=1) > 0.0


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_slope_is_the_power_by_which_time_grows(power: float) -> None:
    """Whatever an update of one signal takes."""
    assert slope_of({signals: 0.3 * signals**power for signals in (4, 16, 64, 256)}) == pytest.approx(power)


@pytest.mark.parametrize(("power", "holds"), [(SLOPE - 0.01, True), (SLOPE + 0.01, False)])
def test_h15_growth_with_the_square_breaks_the_promise(power: float, *, holds: bool) -> None:
    """A slope above 1.2 does not hold."""
    figure = figure_of({signals: float(signals) ** power for signals in (4, 16, 64, 256)})

    assert figure.holds == holds
    assert figure.measured.endswith(f"; {power:.2f}")
