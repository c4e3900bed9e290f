"""The hyper-action: weights over the heads of a critic, which say whose value an intersection's own is like.

Source: HAMH-PPO (arXiv 2503.07678), V = w . z. The weights learn through the loss of the value; the public code gives
them no gradient of any reward. They never reach a stage.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phasemesh.contract.observation import HYPER_SIZE
from phasemesh.trainer.actor_spec import Mixing


def weights_of(scores: Tensor, mixing: Mixing) -> Tensor:
    """The weights [..., k], none negative and 1 in all, that `scores` [..., k] mean.

    The strongest head alone passes the gradient of the soft weights (straight-through), so that it can change.
    """
    if mixing is Mixing.UNIFORM:
        # A constant alone as an output is a graph that the exporter complains about.
        return 0.0 * scores + 1.0 / scores.shape[-1]
    soft = torch.softmax(scores, dim=scores.dim() - 1)
    if mixing is Mixing.LEARNED:
        return soft
    strongest = (torch.arange(scores.shape[-1], device=scores.device) == scores.argmax(dim=-1, keepdim=True)).to(
        scores.dtype
    )
    return strongest + soft - soft.detach()


def mixed_value(heads: Tensor, weights: Tensor) -> Tensor:
    """The value [...] of `heads` [..., k] under `weights` [..., k]."""
    return (heads * weights).sum(dim=-1)


def weights_entropy(weights: Tensor) -> Tensor:
    """The entropy of `weights` [..., k] in nats, [...]; 0 for one head."""
    return -(weights * weights.clamp(min=1e-12).log()).sum(dim=-1)


def evenness(weights: Tensor) -> float:
    """The mean entropy of `weights` [..., k] as a share of the greatest there is; 0 for one head."""
    count = weights.shape[-1]
    return weights_entropy(weights).mean().item() / math.log(count) if count > 1 else 0.0


def likeness(heads: Tensor) -> float:
    """The mean correlation of two different heads over all rows of `heads` [..., k]; 0 for one head."""
    rows = heads.flatten(0, -2).double()
    count = rows.shape[-1]
    if count < 2 or len(rows) < 2:
        return 0.0
    centred = rows - rows.mean(dim=0)
    spread = centred.norm(dim=0).clamp(min=1e-9)
    correlation = (centred.T @ centred) / (spread[:, None] * spread[None, :])
    return float(correlation.sum() - correlation.diagonal().sum()) / (count * (count - 1))


def told_weights(weights: Tensor) -> Tensor:
    """`weights` [..., k] in the `HYPER_SIZE` places of the contract.

    Of more heads neighbouring ones are added up, fewer are filled up with zeros. What such a sum of two profiles
    differs by is never more than what they differ by themselves (data processing inequality).
    """
    count = weights.shape[-1]
    if count == HYPER_SIZE:
        return weights
    if count < HYPER_SIZE:
        return nn.functional.pad(weights, (0, HYPER_SIZE - count))
    places = torch.arange(count) * HYPER_SIZE // count
    return weights @ nn.functional.one_hot(places, HYPER_SIZE).to(weights)
