"""B8: the papers' reward on a state made by hand."""

from __future__ import annotations

import pytest

from factories import make_reading
from phasemesh.trainer.rewards import halting_reward

pytestmark = pytest.mark.train


def test_b8_the_reward_is_the_halting_vehicles_over_a_constant() -> None:
    """Vehicles that move do not count, and lanes add up."""
    readings = [make_reading(queue_veh=3.0, vehicles_veh=9.0), make_reading(queue_veh=0.0, vehicles_veh=4.0)]

    assert halting_reward([*readings, make_reading(queue_veh=2.0)], norm_veh=10.0) == -0.5
    assert halting_reward([], norm_veh=10.0) == 0.0
