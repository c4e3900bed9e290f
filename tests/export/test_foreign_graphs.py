"""Graphs that onnxruntime runs happily but that are not policies of this spec are refused at start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from phasemesh.contract.errors import BundleError
from phasemesh.contract.tensors import INPUTS, OUTPUTS, PolicyFault, PolicyInput
from phasemesh.controller.policy.session import OnnxPolicy

pytestmark = pytest.mark.train
SHAPES: dict[str, Sequence[int | str]] = {spec.name: spec.shape for spec in INPUTS + OUTPUTS}
SOURCES = {
    "stage_logits": ("stage_state", 1),
    "hidden_next": ("hidden", None),
    "mask_probability": ("mask_noise", None),
    "mask": ("neighbour_valid", None),
    "hyper_action": ("site", None),
}
"""Which input a stand-in passes through as each output; one of two dimensions is summed along the given axis."""


def make_graph(
    shapes: dict[str, Sequence[int | str]] | None = None,
    types: dict[str, int] | None = None,
    sources: dict[str, tuple[str, int | None]] | None = None,
) -> bytes:
    """A graph with the tensors of the contract that passes inputs through, with changes."""
    shapes = {**SHAPES, **(shapes or {})}
    values = {
        name: helper.make_tensor_value_info(name, (types or {}).get(name, TensorProto.FLOAT), shape)
        for name, shape in shapes.items()
    }
    nodes = [_node(name, *source) for name, source in {**SOURCES, **(sources or {})}.items()]
    axes = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [values[spec.name] for spec in INPUTS],
        [values[spec.name] for spec in OUTPUTS],
        initializer=[axes],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def _node(output: str, source: str, axis: int | None) -> onnx.NodeProto:
    if axis is None:
        return helper.make_node("Identity", [source], [output])
    return helper.make_node("ReduceSum", [source, "axis"], [output], keepdims=0)


def test_the_stand_in_itself_is_accepted() -> None:
    """What follows fails for its change only."""
    OnnxPolicy(make_graph())


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (make_graph(shapes={"lanes": ("L", 17)}), r"input 'lanes' is tensor\(float\) \['L', 17\]"),
        (make_graph(shapes={"neighbour_valid": (4,), "mask": (4,)}), "input 'neighbour_valid' is .* must be .*'K'"),
        (make_graph(shapes={"site": (8, 1), "hyper_action": (8, 1)}), "input 'site'"),
        (make_graph(shapes={"stage_logits": (4,)}), "output 'stage_logits'"),
        (make_graph(types={"site": TensorProto.DOUBLE, "hyper_action": TensorProto.DOUBLE}), r"tensor\(double\)"),
        (make_graph(sources={"mask": ("site", None)}), "output 'mask' is"),
        (make_graph(sources={"mask": ("stage_state", 1)}), r"output 'mask' has shape \(2,\)"),
    ],
)
def test_a_graph_of_other_tensors_is_refused(graph: bytes, reason: str) -> None:
    """Fixed instead of dynamic sizes, wrong sizes, ranks and types, and outputs that do not follow their inputs."""
    with pytest.raises(BundleError, match=reason):
        OnnxPolicy(graph)


def make_input(sizes: dict[str, int]) -> PolicyInput:
    """Halves in tensors of those sizes."""
    shapes = [[size if isinstance(size, int) else sizes[size] for size in spec.shape] for spec in INPUTS]
    return PolicyInput(*(np.full(shape, 0.5, dtype=np.float32) for shape in shapes))


def test_a_graph_is_bound_to_the_sizes_that_its_manifest_says() -> None:
    """To all of them and to no others; an intersection of another size gets a fault, not an answer."""
    graph = make_graph(shapes={"lanes": (5, 18), "stage_lanes": (3, 5, 2), "stage_state": (3, 4), "stage_logits": (3,)})
    policy = OnnxPolicy(graph, fixed_sizes={"L": 5, "S": 3})

    for neighbours in (1, 4):
        assert not isinstance(policy.infer(make_input({"L": 5, "S": 3, "K": neighbours})), PolicyFault)
    for sizes in ({"L": 6, "S": 3, "K": 1}, {"L": 5, "S": 2, "K": 1}):
        assert isinstance(policy.infer(make_input(sizes)), PolicyFault)
    for wrong in ({}, {"L": 5}, {"L": 4, "S": 3}, {"L": 5, "S": 3, "K": 2}):
        with pytest.raises(BundleError, match="must be"):
            OnnxPolicy(graph, fixed_sizes=wrong)


def test_a_policy_looks_from_its_site() -> None:
    """The embedding takes the place of the input; without one the input counts."""
    inputs = make_input({"L": 4, "S": 2, "K": 1})
    row = tuple(number / 8.0 for number in range(8))
    found = [OnnxPolicy(make_graph(), site=site).infer(inputs) for site in (row, None)]

    assert not any(isinstance(each, PolicyFault) for each in found)
    assert [each.hyper_action.tolist() for each in found] == [list(row), [0.5] * 8]
