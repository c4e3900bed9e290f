"""The part of the benchmarks about updates: what it measures, and what it promises of it."""

from __future__ import annotations

import pytest
import torch
from trainer_towns import make_episode

from phasemesh.trainer.bench_update import RECIPES, UPDATE_S, figure_of, update_s
from phasemesh.trainer.networks import UniversalActor

pytestmark = pytest.mark.train


def test_an_update_by_every_recipe_is_measured() -> None:
    """By the learner that the recipe names."""
    torch.manual_seed(0)
    episode = make_episode(UniversalActor(), ticks=21)

    assert all(update_s(name, episode, rounds=1) > 0.0 for name in RECIPES)


@pytest.mark.parametrize(
    ("recipe", "taken_s", "bound", "holds"),
    [
        ("bayesg-a2c", UPDATE_S, f"<= {UPDATE_S:g}", True),
        ("bayesg-a2c", UPDATE_S + 0.01, f"<= {UPDATE_S:g}", False),
        ("bayesg", 9.0, "reported", True),
    ],
)
def test_the_papers_learner_has_a_bound(recipe: str, taken_s: float, bound: str, *, holds: bool) -> None:
    """The row says how many samples were learned from."""
    torch.manual_seed(0)
    figure = figure_of(recipe, make_episode(UniversalActor(), ticks=21), taken_s)

    assert figure.what == f"update of 3 agents x 20 steps by {recipe}, CPU s; us a sample"
    assert (figure.bound, figure.holds) == (bound, holds)
