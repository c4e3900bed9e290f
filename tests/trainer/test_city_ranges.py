"""Ranges of cities: another city an episode, drawn by the seed of the training, and others to be judged on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from phasemesh.contract.errors import InputError, ScenarioError
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.trainer.city_ranges import CityRange, city_range, evaluated, looked_at, scenario_for
from phasemesh.trainer.recipe import find_recipe
from phasemesh.trainer.run_folder import read_curves
from phasemesh.trainer.session import Order, train_in

pytestmark = pytest.mark.train
OWN = (1, 1000)
TINY = """
[learner]
epochs = 1
segment_ticks = 8
critic_iterations = 0
[warm_start]
teacher = "approach-lost-time"
teacher_shares = [1.0]
cities = 2
epochs = 1
length_s = 60.0
[episodes]
per_iteration = 2
length_s = 40.0
"""


def test_a_range_is_named_by_its_ends_or_by_the_recipe() -> None:
    """A single city and every other scenario are no range."""
    assert city_range("city:5-20", OWN) == CityRange(5, 20)
    assert city_range("city:7-7", OWN) == CityRange(7, 7)
    assert city_range("city:*", OWN) == CityRange(1, 1000)
    assert [city_range(name, OWN) for name in ("city:5", "grid2x2", "cologne1", "city:-", "city:5-")] == [None] * 5


@pytest.mark.parametrize(("name", "cities"), [("city:9-5", OWN), ("city:1-9999999999", OWN), ("city:*", (5, 4))])
def test_a_range_without_a_city_is_refused(name: str, cities: tuple[int, int]) -> None:
    """In one line that names it."""
    with pytest.raises(InputError) as caught:
        city_range(name, cities)
    assert name in str(caught.value)


def test_episodes_of_a_range_play_all_of_its_cities() -> None:
    """Drawn evenly, the same for the same seed."""
    drawn = [scenario_for("city:3-7", OWN, random) for random in [np.random.default_rng(1)] for _ in range(500)]
    again = np.random.default_rng(1)

    assert set(drawn) == {f"city:{seed}" for seed in range(3, 8)}
    assert min(drawn.count(name) for name in set(drawn)) > 60
    assert [scenario_for("city:3-7", OWN, again) for _ in range(500)] == drawn


def test_other_scenarios_draw_nothing() -> None:
    """So that a training without a range draws what it always drew."""
    random, untouched = np.random.default_rng(1), np.random.default_rng(1)

    assert scenario_for("cologne3", OWN, random) == "cologne3"
    assert random.random() == untouched.random()


def test_a_range_is_judged_on_cities_that_it_does_not_hold() -> None:
    """Those behind its end; before the training its first city is read."""
    assert list(evaluated(("cologne3", "city:5-20"), OWN)) == ["cologne3", "city:21", "city:22", "city:23"]
    assert [looked_at(name, OWN) for name in ("cologne3", "city:5-20", "city:*")] == ["cologne3", "city:5", "city:1"]


def test_a_range_is_no_scenario_of_the_harness() -> None:
    """A run plays one city; the refusal names what can be run."""
    with pytest.raises(ScenarioError, match="city:SEED"):
        find_scenario("city:5-20")


@pytest.mark.sumo
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_one_training_learns_from_cities_of_different_shapes(tmp_path: Path) -> None:
    """A grid and a random network in one run: curves stand under the name of the range, no light is unsafe."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY)
    assert find_recipe(str(recipe)).warm_start.cities == 2
    order = Order(recipe=str(recipe), scenarios=("city:19-21",), iterations=1)

    train_in(tmp_path / "run", order, Console(quiet=True))

    rows = read_curves(tmp_path / "run")
    assert [set(row.delay_s) for row in rows] == [{"city:19-21"}]
    assert sum(row.monitor_trips for row in rows) == 0
