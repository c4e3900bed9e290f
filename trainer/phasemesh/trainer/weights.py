"""Weights of the actor as plain arrays, as they travel to workers and lie in checkpoints."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from phasemesh.trainer.networks import UniversalActor

Weights = dict[str, npt.NDArray[np.float32]]


def weights_of(actor: UniversalActor) -> Weights:
    """A copy of the weights of `actor`, wherever it lives, by parameter."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in actor.state_dict().items()}


def actor_with(weights: Weights) -> UniversalActor:
    """An actor that has `weights`; raises RuntimeError when they are those of another network."""
    actor = UniversalActor()
    actor.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return actor
