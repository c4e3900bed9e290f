"""The exported graph: one for all shapes, equal to torch, and silent about the machine that made it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from phasemesh.contract.errors import BundleError
from phasemesh.contract.tensors import INPUTS, OUTPUTS, PolicyFault, PolicyInput, PolicyOutput
from phasemesh.controller.policy.session import OnnxPolicy
from phasemesh.export.onnx import OPSET, export_onnx, refuse_paths
from phasemesh.export.parity import measure_parity, parity_inputs
from phasemesh.export.rule_weights import random_actor

pytestmark = pytest.mark.train
SEED = 7


@pytest.fixture(scope="module")
def graph() -> bytes:
    """The ONNX graph of random weights."""
    return export_onnx(random_actor(SEED))


def test_the_graph_has_the_tensors_of_the_contract(graph: bytes) -> None:
    """Names, order and sizes; letters are named dimensions."""
    model = onnx.load_from_string(graph)

    for specs, values in ((INPUTS, model.graph.input), (OUTPUTS, model.graph.output)):
        found = [
            (value.name, [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]) for value in values
        ]
        assert found == [(spec.name, list(spec.shape)) for spec in specs]
    assert [entry.version for entry in model.opset_import if not entry.domain] == [OPSET]


def test_the_graph_says_nothing_of_the_machine_that_made_it(graph: bytes) -> None:
    """No paths, no documentation, no metadata."""
    model = onnx.load_from_string(graph)

    assert str(Path.cwd()).encode() not in graph
    assert b"site-packages" not in graph
    assert not model.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_a_graph_that_holds_a_path_is_refused() -> None:
    """The last look before a bundle is made."""
    with pytest.raises(BundleError, match="/home/"):
        refuse_paths(b"\x00/home/someone/networks.py\x00")


def test_the_same_weights_give_the_same_bytes(graph: bytes) -> None:
    """An export can be reproduced."""
    assert export_onnx(random_actor(SEED)) == graph


def test_onnxruntime_answers_as_torch_does(graph: bytes) -> None:
    """On every shape, one lane and one neighbour included, without a changed decision."""
    found = measure_parity(random_actor(SEED), OnnxPolicy(graph))

    assert found.inputs == 1200
    assert found.max_abs < 1e-4
    assert found.changed_decisions == 0


def test_parity_covers_the_smallest_intersections() -> None:
    """Sizes of one are where exporters fail."""
    shapes = {(len(item.lanes), len(item.stage_state), len(item.mask_noise)) for item in parity_inputs(seed=0)}

    assert (1, 2, 1) in shapes
    assert len(shapes) == 60


def test_parity_sees_a_difference(graph: bytes) -> None:
    """Other weights are told apart by numbers and decisions."""
    found = measure_parity(random_actor(SEED + 1), OnnxPolicy(graph))

    assert found.max_abs > 0.1
    assert found.changed_decisions > 0


class SlightlyOff:
    """A policy whose last mask probability is off by a little."""

    def __init__(self, policy: OnnxPolicy) -> None:
        self.policy = policy

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """The answer of the policy inside, slightly wrong."""
        output = self.policy.infer(inputs)
        assert isinstance(output, PolicyOutput)
        return msgspec.structs.replace(output, mask_probability=output.mask_probability + np.float32(0.01))


class NeverAnswers:
    """A policy that has nothing to say."""

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """A fault."""
        return PolicyFault(f"no answer for {len(inputs.lanes)} lanes")


def test_parity_looks_at_every_output(graph: bytes) -> None:
    """Not only at the scores."""
    found = measure_parity(random_actor(SEED), SlightlyOff(OnnxPolicy(graph)))

    assert found.max_abs == pytest.approx(0.01, abs=1e-4)
    assert found.changed_decisions == 0


def test_a_missing_answer_is_infinitely_far() -> None:
    """A policy that fails has no parity."""
    found = measure_parity(random_actor(SEED), NeverAnswers())

    assert found.max_abs == float("inf")
    assert found.changed_decisions == found.inputs
