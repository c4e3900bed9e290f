"""Parity: the exported graph must answer as torch did, and lead to the same decisions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import msgspec
import numpy as np
import torch

from phasemesh.contract.observation import FEATURE_CAP, LANE_FEATURES
from phasemesh.contract.tensors import INPUTS, OUTPUTS, SIZE_LETTERS, PolicyFault, PolicyInput, PolicyOutput
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.selection import choose_stage
from phasemesh.trainer.actor import Network

LANES = (1, 2, 8, 12, 24)
STAGES = (2, 3, 4, 8)
NEIGHBOURS = (1, 2, 4)
ROUNDS = 10
"""Inputs of each shape and kind."""


class Parity(msgspec.Struct, frozen=True):
    """The largest difference of any number, over how many inputs, and how many decisions it changed."""

    max_abs: float
    inputs: int
    changed_decisions: int


def measure_parity(
    actor: Network, policy: Policy, seed: int = 0, sizes: Mapping[str, int] = MappingProxyType({})
) -> Parity:
    """How far `policy` is from `actor` on seeded inputs of many shapes, a missing answer being infinitely far.

    `sizes` are those that both are bound to.
    """
    # Tensors of this size gain nothing from threads, which on a busy machine wait for each other.
    torch.set_num_threads(1)
    differences, changed = [], 0
    for inputs in parity_inputs(seed, sizes):
        expected = torch_output(actor, inputs)
        found = policy.infer(inputs)
        if isinstance(found, PolicyFault):
            differences.append(float("inf"))
            changed += 1
        else:
            differences.append(_max_abs(expected, found))
            changed += _decision(expected, inputs) != _decision(found, inputs)
    return Parity(max(differences), len(differences), changed)


def torch_output(actor: Network, inputs: PolicyInput) -> PolicyOutput:
    """What `actor` answers to `inputs`, as the runtime would."""
    with torch.no_grad():
        tensors = actor(*(torch.from_numpy(getattr(inputs, spec.name)) for spec in INPUTS))
    return PolicyOutput(*(tensor.numpy() for tensor in tensors))


def parity_inputs(seed: int, sizes: Mapping[str, int] = MappingProxyType({})) -> Iterator[PolicyInput]:
    """Inputs of every shape, half of them random numbers, half whole counts and thirds as on a street.

    However many of the sizes are fixed by `sizes`, there are as many inputs.
    """
    generator = np.random.default_rng(seed)
    ranges = [
        (sizes[letter],) if letter in sizes else some
        for letter, some in zip(SIZE_LETTERS, (LANES, STAGES, NEIGHBOURS), strict=True)
    ]
    rounds = ROUNDS * len(LANES) * len(STAGES) * len(NEIGHBOURS) // math.prod(map(len, ranges))
    for lanes, stages, neighbours in itertools.product(*ranges):
        for is_street in (False, True):
            for _ in range(rounds):
                yield _input(generator, lanes, stages, neighbours, is_street=is_street)


def _input(generator: np.random.Generator, lanes: int, stages: int, neighbours: int, *, is_street: bool) -> PolicyInput:
    sizes = {"L": lanes, "S": stages, "K": neighbours}
    arrays = {
        spec.name: generator.random([size if isinstance(size, int) else sizes[size] for size in spec.shape])
        for spec in INPUTS
    }
    arrays["hidden"] = 2.0 * arrays["hidden"] - 1.0
    arrays["neighbour_valid"] = np.round(arrays["neighbour_valid"])
    arrays["mask_noise"] = np.clip(arrays["mask_noise"], 1e-6, 1.0 - 1e-6)
    if is_street:
        scales = np.array([feature.scale for feature in LANE_FEATURES])
        arrays["lanes"] = np.minimum(generator.integers(0, 41, (lanes, len(scales))) * scales, FEATURE_CAP)
        arrays["stage_lanes"] = generator.integers(0, 4, (stages, lanes, 2)) / 3.0
        arrays["stage_state"][:, 0] = np.arange(stages) == generator.integers(stages)
    return PolicyInput(**{name: array.astype(np.float32) for name, array in arrays.items()})


def _decision(output: PolicyOutput, inputs: PolicyInput) -> int:
    current = int(np.argmax(inputs.stage_state[:, 0]))
    return choose_stage(output.stage_logits, (True,) * len(output.stage_logits), current)


def _max_abs(expected: PolicyOutput, found: PolicyOutput) -> float:
    return max(float(np.abs(getattr(expected, spec.name) - getattr(found, spec.name)).max()) for spec in OUTPUTS)
