"""Weights of the actor as plain arrays, as they travel to workers and lie in checkpoints."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from phasemesh.trainer.actor import Actor
from phasemesh.trainer.actor_spec import ActorSpec
from phasemesh.trainer.sharing import make_actor


class Weights(NamedTuple):
    """The weights of an actor by parameter, and the spec of the actor that they are for."""

    spec: ActorSpec
    arrays: dict[str, npt.NDArray[np.float32]]


def weights_of(actor: Actor) -> Weights:
    """A copy of the weights of `actor`, wherever it lives, by parameter."""
    arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in actor.state_dict().items()}
    return Weights(actor.spec, arrays)


def actor_with(weights: Weights) -> Actor:
    """An actor that has `weights`; raises RuntimeError when they are those of another network."""
    actor = make_actor(weights.spec)
    actor.load_state_dict({name: torch.from_numpy(array) for name, array in weights.arrays.items()})
    return actor
