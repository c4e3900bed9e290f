"""The actor inside a bundle: its weights stand in the graph as initialisers and can be learned on from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper

from phasemesh.contract.errors import InputError
from phasemesh.contract.tensors import INPUTS, PolicyFault, PolicyInput
from phasemesh.controller.policy.bundle import LoadedBundle, load_bundle
from phasemesh.controller.policy.session import OnnxPolicy
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.trainer.networks import UniversalActor

_STATE = "hidden_next"
_TURNED = "hyper_score.weight"
"""The exporter turns this matrix in advance and takes its name; the graph multiplies `_STATE` with it."""
_SIZES = ({"L": 8, "S": 4, "K": 3}, {"L": 3, "S": 2, "K": 1})
_LARGEST_DIFFERENCE = 1e-3
"""More than rounding between the graph and the actor that was read from it."""


def read_bundle(folder: Path) -> tuple[UniversalActor, LoadedBundle]:
    """The actor of the bundle in `folder`, verified as a runtime would; its weights are those of the graph, bit by bit.

    Raises:
        BundleError: The bundle is not in order.
        InputError: It holds no single actor that this version could train.
    """
    bundle = load_bundle(folder, trusted_keys())
    if len(bundle.manifest.policies) != 1:
        raise InputError(f"{folder}: holds {len(bundle.manifest.policies)} policies; only one can be learned on from")
    content = (folder / bundle.manifest.policies[0]).read_bytes()
    try:
        actor = actor_of(content)
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{folder}: its policy is not of the network that is trained here: {error}") from error
    if not _agree(actor, bundle.policy(0)):
        raise InputError(f"{folder}: its policy computes something else than the network that is trained here")
    return actor, bundle


def actor_of(graph: bytes) -> UniversalActor:
    """The actor whose export `graph` is; raises KeyError or RuntimeError for a graph of something else."""
    model = onnx.load_from_string(graph)
    found = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    found[_TURNED] = _turned(model, found)
    actor = UniversalActor()
    weights = {name: _weights(found, name, tensor) for name, tensor in actor.state_dict().items()}
    actor.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    return actor


def _turned(model: onnx.ModelProto, found: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[0] == _STATE and node.input[1] in found:
            return found[node.input[1]].T
    return found[_TURNED]


def _weights(found: dict[str, npt.NDArray[np.float32]], name: str, expected: torch.Tensor) -> npt.NDArray[np.float32]:
    """A parameter by name; the exporter leaves out biases that are zero."""
    if name not in found and name.rpartition(".")[2].startswith("bias"):
        return np.zeros(tuple(expected.shape), dtype=np.float32)
    return found[name]


def _agree(actor: UniversalActor, policy: OnnxPolicy) -> bool:
    """Whether both answer alike on inputs of two shapes."""
    random = np.random.default_rng(0)
    return all(_is_alike(actor, policy, _inputs(random, sizes)) for sizes in _SIZES)


def _is_alike(actor: UniversalActor, policy: OnnxPolicy, inputs: PolicyInput) -> bool:
    found = policy.infer(inputs)
    if isinstance(found, PolicyFault):
        return False
    with torch.no_grad():
        logits, hidden, *_ = actor(*(torch.from_numpy(getattr(inputs, spec.name)) for spec in INPUTS))
    pairs = ((logits, found.stage_logits), (hidden, found.hidden_next))
    return all(bool(np.abs(ours.numpy() - theirs).max() <= _LARGEST_DIFFERENCE) for ours, theirs in pairs)


def _inputs(random: np.random.Generator, sizes: dict[str, int]) -> PolicyInput:
    arrays = {
        spec.name: random.random([each if isinstance(each, int) else sizes[each] for each in spec.shape]).astype(
            np.float32
        )
        for spec in INPUTS
    }
    return PolicyInput(**arrays | {"neighbour_valid": np.ones(sizes["K"], dtype=np.float32)})
