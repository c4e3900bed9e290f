"""The tensor tables of the policy graph, and the check of what a policy answered."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from factories import make_intersection, make_snapshot
from phasemesh.contract.history import empty_history
from phasemesh.contract.observation import HIDDEN_SIZE, HYPER_SIZE, MESSAGE_SIZE, SITE_SIZE, Encoder
from phasemesh.contract.tensors import INPUTS, OUTPUTS, PolicyInput, PolicyOutput, TensorSpec, is_finite

SHAPES = {spec.name: spec.shape for spec in (*INPUTS, *OUTPUTS)}


def _output(**changes: float) -> PolicyOutput:
    sizes = {"S": 2, "K": 1}
    tensors = {
        spec.name: np.zeros([size if isinstance(size, int) else sizes[size] for size in spec.shape], dtype=np.float32)
        for spec in OUTPUTS
    }
    for name, value in changes.items():
        tensors[name].flat[-1] = value
    return PolicyOutput(**tensors)


def test_inputs_and_struct_have_the_same_order() -> None:
    """The fields of the input struct are the table of inputs, in its order."""
    assert PolicyInput.__struct_fields__ == tuple(spec.name for spec in INPUTS)


def test_outputs_and_struct_have_the_same_order() -> None:
    """The fields of the output struct are the table of outputs, in its order."""
    assert PolicyOutput.__struct_fields__ == tuple(spec.name for spec in OUTPUTS)


def test_names_are_unique() -> None:
    """No tensor has the name of another."""
    assert len(SHAPES) == len(INPUTS) + len(OUTPUTS)


def test_free_sizes_are_lanes_stages_and_neighbours() -> None:
    """Only L, S and K differ between intersections."""
    free = {size for shape in SHAPES.values() for size in shape if isinstance(size, str)}

    assert free == {"L", "S", "K"}


def test_fixed_sizes_are_those_of_the_observation_spec() -> None:
    """Messages, hidden state, site and hyper-action have the sizes that the spec hash covers."""
    assert SHAPES["neighbour_messages"] == ("K", MESSAGE_SIZE)
    assert SHAPES["hidden"] == SHAPES["hidden_next"] == (HIDDEN_SIZE,)
    assert SHAPES["site"] == (SITE_SIZE,)
    assert SHAPES["hyper_action"] == (HYPER_SIZE,)


def test_an_observation_fits_the_table() -> None:
    """What `encode()` gives has the shapes that the graph takes."""
    crossing = make_intersection(has_left_lanes=True)
    encoder = Encoder(crossing)
    observation = encoder.encode(make_snapshot(crossing), empty_history(crossing, 0.0), (True,) * 4)
    sizes = {"L": 8, "S": 4}

    for name, tensor in (
        ("lanes", observation.lanes),
        ("stage_state", observation.stage_state),
        ("stage_lanes", encoder.stage_lanes),
    ):
        assert tensor.shape == tuple(sizes[size] if isinstance(size, str) else size for size in SHAPES[name])


def test_a_finite_answer_is_finite() -> None:
    """Zeros are a usable answer."""
    assert is_finite(_output())


@pytest.mark.parametrize("name", [spec.name for spec in OUTPUTS])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_number_that_is_not_finite_spoils_the_answer(name: str, value: float) -> None:
    """NaN or infinity in any output is found (I20)."""
    assert not is_finite(_output(**{name: value}))


def test_tensor_specs_survive_json() -> None:
    """The tables decode from their JSON to themselves, letters and numbers alike."""
    text = msgspec.json.encode((INPUTS, OUTPUTS))
    specs = tuple[TensorSpec, ...]

    assert msgspec.json.decode(text, type=tuple[specs, specs]) == (INPUTS, OUTPUTS)
