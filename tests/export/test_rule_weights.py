"""Rules as weights, and random weights, in torch."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from phasemesh.contract.observation import lane_feature
from phasemesh.contract.tensors import PolicyInput
from phasemesh.export.parity import parity_inputs, torch_output
from phasemesh.export.rule_weights import APPROACH_LOST_TIME, RULE_WEIGHTS, listening_actor, random_actor, rule_actor

pytestmark = pytest.mark.train


def counts_veh(inputs: PolicyInput, name: str) -> np.ndarray:
    """A lane feature in vehicles, [L]."""
    return inputs.lanes[:, lane_feature(name)].astype(float) * 16


def max_pressure(inputs: PolicyInput) -> np.ndarray:
    """Queue minus downstream queue over the served shares."""
    pressure = counts_veh(inputs, "queue") - counts_veh(inputs, "downstream_queue")
    return inputs.stage_lanes.astype(float).sum(axis=2) @ pressure


def approach(inputs: PolicyInput) -> np.ndarray:
    """Vehicles on the last 100 m over the served shares."""
    return inputs.stage_lanes.astype(float).sum(axis=2) @ counts_veh(inputs, "vehicles_100m")


def approach_lost_time(inputs: PolicyInput) -> np.ndarray:
    """Capped at 8 vehicles for the current stage and at 5 for the others, permissive shares counting half."""
    shares = inputs.stage_lanes.astype(float) @ np.array([1.0, 0.5])
    caps = np.where(inputs.stage_state[:, :1] == 1, 8.0, 5.0)
    return (shares * np.minimum(counts_veh(inputs, "vehicles_100m"), caps)).sum(axis=1)


FORMULAS = {"max-pressure": max_pressure, "approach": approach, "approach-lost-time": approach_lost_time}
STREET = [inputs for index, inputs in enumerate(parity_inputs(seed=3)) if index // 10 % 2]
"""The inputs with whole counts and one current stage."""


@pytest.mark.parametrize("name", sorted(RULE_WEIGHTS))
def test_a_rule_written_as_weights_scores_as_its_formula(name: str) -> None:
    """In vehicles, for every shape; the error is that of float32 sums of some hundred vehicles."""
    actor = rule_actor(RULE_WEIGHTS[name])
    for inputs in STREET:
        found = torch_output(actor, inputs).stage_logits

        np.testing.assert_allclose(found, FORMULAS[name](inputs), rtol=1e-6, atol=5e-5)


def test_random_weights_are_those_of_their_seed() -> None:
    """The same seed gives the same policy, another seed another one."""
    first, again, other = (torch_output(random_actor(seed), STREET[0]).stage_logits for seed in (7, 7, 8))

    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("seed", [1, 7])
def test_decisions_of_random_weights_depend_on_everything_that_travels(seed: int) -> None:
    """Messages, noise and recurrent state each turn at least one decision in forty, and every stage is chosen."""
    actor = random_actor(seed)
    inputs = [item for item in parity_inputs(seed=3) if item.stage_lanes.shape[0] == 4][:200]
    choices = np.array([torch_output(actor, item).stage_logits.argmax() for item in inputs])

    turned = {
        name: sum(
            torch_output(
                actor, msgspec.structs.replace(item, **{name: change(getattr(item, name))})
            ).stage_logits.argmax()
            != choice
            for item, choice in zip(inputs, choices, strict=True)
        )
        for name, change in {
            "neighbour_messages": np.zeros_like,
            "mask_noise": lambda noise: np.float32(1) - noise,
            "hidden": np.zeros_like,
        }.items()
    }

    assert set(choices) == {0, 1, 2, 3}
    assert min(turned.values()) >= len(inputs) / 40, turned


def test_a_listening_rule_decides_by_its_neighbours() -> None:
    """With and without what they tell, a good part of the decisions differ, while scores stay near the rule's."""
    actor, rule = listening_actor(APPROACH_LOST_TIME, 1), rule_actor(APPROACH_LOST_TIME)
    hears = [inputs for inputs in STREET if inputs.neighbour_valid.any() and len(inputs.stage_state) > 1]
    deaf = [msgspec.structs.replace(each, neighbour_valid=np.zeros_like(each.neighbour_valid)) for each in hears]
    choices = [torch_output(actor, each).stage_logits.argmax() for each in hears]
    alone = [torch_output(actor, each).stage_logits.argmax() for each in deaf]
    aside_veh = [torch_output(actor, each).stage_logits - torch_output(rule, each).stage_logits for each in hears]

    assert any(one != other for one, other in zip(choices, alone, strict=True))
    assert np.median([np.ptp(each) for each in aside_veh]) < 5.0


def test_a_listening_rule_is_that_of_its_seed() -> None:
    """The same seed gives the same policy, another seed another one."""
    first, again, other = (
        torch_output(listening_actor(APPROACH_LOST_TIME, seed), STREET[0]).stage_logits for seed in (7, 7, 8)
    )

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
