"""The tensors of the policy graph, the same in training, export, simulation and on the street."""

from __future__ import annotations

import msgspec
import numpy as np

from phasemesh.contract.observation import (
    HIDDEN_SIZE,
    HYPER_SIZE,
    LANE_FEATURES,
    MESSAGE_SIZE,
    SITE_SIZE,
    STAGE_FEATURES,
    FloatArray,
)


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name and shape of one float32 tensor; letters stand for sizes that differ between intersections."""

    name: str
    shape: tuple[int | str, ...]


INPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("lanes", ("L", len(LANE_FEATURES))),
    TensorSpec("stage_lanes", ("S", "L", 2)),
    TensorSpec("stage_state", ("S", len(STAGE_FEATURES))),
    TensorSpec("neighbour_messages", ("K", MESSAGE_SIZE)),
    TensorSpec("neighbour_valid", ("K",)),
    TensorSpec("mask_noise", ("K",)),
    TensorSpec("hidden", (HIDDEN_SIZE,)),
    TensorSpec("site", (SITE_SIZE,)),
)
OUTPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("stage_logits", ("S",)),
    TensorSpec("hidden_next", (HIDDEN_SIZE,)),
    TensorSpec("mask_probability", ("K",)),
    TensorSpec("mask", ("K",)),
    TensorSpec("hyper_action", (HYPER_SIZE,)),
)


SIZE_LETTERS = ("L", "S", "K")
"""Lanes, stages and neighbours: the sizes that differ between intersections."""


class PolicyInput(msgspec.Struct, frozen=True):
    """The inputs of the policy graph, in the order of `INPUTS`; K is at least 1, absent neighbours are not valid."""

    lanes: FloatArray
    stage_lanes: FloatArray
    stage_state: FloatArray
    neighbour_messages: FloatArray
    neighbour_valid: FloatArray
    mask_noise: FloatArray
    hidden: FloatArray
    site: FloatArray


class PolicyOutput(msgspec.Struct, frozen=True):
    """The outputs of the policy graph, in the order of `OUTPUTS`."""

    stage_logits: FloatArray
    hidden_next: FloatArray
    mask_probability: FloatArray
    mask: FloatArray
    hyper_action: FloatArray


class PolicyFault(msgspec.Struct, frozen=True):
    """Why a policy gave no usable answer; a value, since control goes on without it."""

    reason: str


def is_finite(output: PolicyOutput) -> bool:
    """Whether every number that a policy answered is finite (invariant I20)."""
    return bool(np.isfinite(np.concatenate([getattr(output, spec.name) for spec in OUTPUTS])).all())
