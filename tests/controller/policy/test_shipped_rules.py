"""The rules that ship as bundles score stages exactly as their formulas say."""

from __future__ import annotations

import numpy as np
import pytest
from policy_factories import make_input

from phasemesh.contract.observation import lane_feature
from phasemesh.contract.tensors import PolicyInput
from phasemesh.controller.policy.bundle import find_bundle, load_bundle
from phasemesh.controller.policy.selection import TIE_TOLERANCE, choose_stage
from phasemesh.controller.policy.session import OnnxPolicy
from phasemesh.controller.policy.trust import SHIPPED_KEYS, read_keys

SHAPES = [(1, 2, 1), (2, 2, 3), (12, 4, 4), (24, 8, 2)]


def counts_veh(inputs: PolicyInput, name: str) -> np.ndarray:
    """A lane feature as whole vehicles, [L] in double precision."""
    return inputs.lanes[:, lane_feature(name)].astype(float) * 16


def max_pressure(inputs: PolicyInput) -> np.ndarray:
    """Queue minus downstream queue over the served shares, [S]."""
    shares = inputs.stage_lanes.astype(float).sum(axis=2)
    return shares @ (counts_veh(inputs, "queue") - counts_veh(inputs, "downstream_queue"))


def approach_lost_time(inputs: PolicyInput) -> np.ndarray:
    """Vehicles on the last 100 m, capped at 8 for the current stage and at 5 for the others, [S]."""
    shares = inputs.stage_lanes.astype(float) @ np.array([1.0, 0.5])
    vehicles = counts_veh(inputs, "vehicles_100m")
    caps = np.where(inputs.stage_state[:, 0] == 1, 8.0, 5.0)
    return (shares * np.minimum(vehicles, caps[:, None])).sum(axis=1)


FORMULAS = {"max-pressure": max_pressure, "approach-lost-time": approach_lost_time}


@pytest.fixture(params=sorted(FORMULAS))
def rule(request: pytest.FixtureRequest) -> tuple[OnnxPolicy, str]:
    """Each shipped rule as a policy, with its name."""
    bundle = load_bundle(find_bundle(request.param), read_keys(SHIPPED_KEYS))
    return bundle.policy_for("anywhere"), request.param


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_are_those_of_the_formula(rule: tuple[OnnxPolicy, str], shape: tuple[int, int, int]) -> None:
    """In vehicles, closer than half of what counts as a tie, with the same decisions."""
    policy, name = rule
    for seed in range(100):
        inputs = make_input(*shape, seed=seed)
        expected = FORMULAS[name](inputs)
        current = int(np.argmax(inputs.stage_state[:, 0]))
        legal = (True,) * len(expected)

        logits = policy.infer(inputs).stage_logits

        np.testing.assert_allclose(logits, expected, rtol=1e-6, atol=0.5 * TIE_TOLERANCE)
        assert choose_stage(logits, legal, current) == choose_stage(expected, legal, current)


@pytest.mark.parametrize("denominator", [1, 2, 4])
def test_scores_are_exact_where_float32_is(rule: tuple[OnnxPolicy, str], denominator: int) -> None:
    """Whole counts and shares of halves and quarters leave no rounding at all."""
    policy, name = rule
    for seed in range(100):
        inputs = make_input(seed=seed)
        inputs.stage_lanes[:] = np.random.default_rng(seed).integers(0, denominator + 1, (4, 12, 2)) / denominator

        np.testing.assert_array_equal(policy.infer(inputs).stage_logits, FORMULAS[name](inputs))


def test_rules_hear_no_neighbour(rule: tuple[OnnxPolicy, str]) -> None:
    """Their mask stays empty under any noise, and their recurrent state at rest."""
    policy, _ = rule
    inputs = make_input()
    inputs.hidden[:] = 0

    output = policy.infer(inputs)

    assert output.mask.sum() == 0
    assert output.mask_probability.max() < 1e-6
    assert np.abs(output.hidden_next).max() == 0


def test_bundles_name_the_tick_that_their_rule_was_found_for() -> None:
    """Two seconds for the rule with lost time, five for max pressure."""
    ticks_s = {
        name: load_bundle(find_bundle(name), read_keys(SHIPPED_KEYS)).manifest.tick_s for name in sorted(FORMULAS)
    }

    assert ticks_s == {"approach-lost-time": 2.0, "max-pressure": 5.0}
