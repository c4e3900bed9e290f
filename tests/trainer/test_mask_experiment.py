"""The experiment with the printed loss: what it trains, and what it makes of the curves."""

from __future__ import annotations

import pytest

from phasemesh.trainer.learners.learner import Stats
from phasemesh.trainer.mask_experiment import PRIOR, SETTINGS, picture, recipe_of, table
from phasemesh.trainer.recipe import MaskLoss, faults_of_recipe
from phasemesh.trainer.run_folder import CurveRow

pytestmark = [pytest.mark.train, pytest.mark.sumo]


def make_row(iteration: int, probability: float) -> CurveRow:
    """One iteration whose edges have that probability."""
    return CurveRow(
        iteration=iteration,
        elapsed_s=1.0,
        play_s=1.0,
        update_s=1.0,
        steps_per_s=1.0,
        learning_rate=1e-3,
        delay_s={"grid3x3": 120.4},
        reward={"grid3x3": -1.0},
        stats=Stats(**{**dict.fromkeys(Stats.__struct_fields__, 0.0), "mask_mean": probability}),
        monitor_trips=0,
    )


CURVES = {
    (setting, loss): [make_row(number, 0.5 / (number + 1)) for number in range(3)]
    for setting in SETTINGS
    for loss in MaskLoss
}


@pytest.mark.parametrize("loss", list(MaskLoss))
def test_the_trainings_differ_in_loss_and_weights_alone(loss: MaskLoss) -> None:
    """All are sound recipes at one prior; one of them learns from the regulariser alone."""
    recipes = [recipe_of(setting, loss) for setting in SETTINGS]

    assert [faults_of_recipe(recipe) for recipe in recipes] == [[]] * len(SETTINGS)
    assert {(recipe.mask.prior, recipe.mask.loss) for recipe in recipes} == {(PRIOR, loss)}
    assert [(recipe.mask.weight, recipe.learner.policy_weight) for recipe in recipes] == [
        (1.0, 0.0),
        (1.0, 1.0),
        (0.01, 1.0),
    ]
    assert recipes[0].learner.entropy_weight == 0.0


def test_the_table_tells_the_last_iteration_of_every_training() -> None:
    """One row each, below a head."""
    lines = table(CURVES).splitlines()

    assert len(lines) == 2 + len(CURVES)
    assert lines[2] == "| regulariser alone | `kl` | 0.167 | 0.000 | 0.00 | 120 |"


def test_the_picture_is_one() -> None:
    """A PNG with a panel a setting."""
    assert picture(CURVES).startswith(b"\x89PNG")
