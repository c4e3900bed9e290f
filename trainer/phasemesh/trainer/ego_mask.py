"""The ego-graph mask of BayesG with its errata put right: posterior, sample, and divergence from the prior.

One hard sample everywhere: in rollouts, in updates and at the edge the mask is where logit + logistic noise > 0.
Updates differ in nothing but the gradient, which is that of the relaxed sample (straight-through).
"""

from __future__ import annotations

import torch
from torch import Tensor

_EPSILON = 1e-6
"""Keeps probabilities away from 0 and 1, where the divergence has no gradient."""


def logistic(noise: Tensor) -> Tensor:
    """Standard logistic noise from uniform `noise` in (0, 1): the difference of two Gumbels, not one."""
    return torch.log(noise) - torch.log(1.0 - noise)


def relaxed_mask(logits: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """The binary-concrete sample at `temperature`. Source: Maddison, Mnih and Teh, ICLR 2017, appendix B."""
    return torch.sigmoid((logits + logistic(noise)) / temperature)


def hard_mask(logits: Tensor, noise: Tensor, temperature: float | None) -> Tensor:
    """The Bernoulli(sigmoid(logits)) sample that `noise` selects, 0 or 1.

    Its gradient is that of the relaxed sample at `temperature`; None gives no gradient.
    """
    hard = (logits + logistic(noise) > 0).to(logits.dtype)
    if temperature is None:
        return hard
    soft = relaxed_mask(logits, noise, temperature)
    # Summed in this order the forward value is exactly 0 or 1.
    return hard + (soft - soft.detach())


def kl_to_prior(probability: Tensor, prior: float, valid: Tensor) -> Tensor:
    """KL(Bernoulli(probability) || Bernoulli(prior)) in nats, summed over the valid edges of the last axis.

    Zero, with zero gradient, exactly where the posterior is the prior. Source: BayesG, the ELBO of its equations 29 to
    31; equation 32 swaps prior and posterior and has the entropy's sign wrong, see `printed_penalty`.
    """
    p = probability.clamp(_EPSILON, 1.0 - _EPSILON)
    divergence = p * torch.log(p / prior) + (1.0 - p) * torch.log((1.0 - p) / (1.0 - prior))
    return (divergence * valid).sum(dim=-1)


def printed_penalty(probability: Tensor, prior: float, valid: Tensor) -> Tensor:
    """What BayesG's equations 9 and 32 print and its public code minimises, for experiments with the erratum.

    Cross-entropy with swapped arguments plus entropy: with prior 0.2 its only minimum is 0.054, so that every mask of
    the public code's threshold 0.08 closes whatever the task says.
    """
    p = probability.clamp(_EPSILON, 1.0 - _EPSILON)
    cross = -(prior * torch.log(p) + (1.0 - prior) * torch.log(1.0 - p))
    return ((cross + bernoulli_entropy(p)) * valid).sum(dim=-1)


def bernoulli_entropy(probability: Tensor) -> Tensor:
    """Entropy of Bernoulli(probability) in nats, element by element."""
    p = probability.clamp(_EPSILON, 1.0 - _EPSILON)
    return -(p * torch.log(p) + (1.0 - p) * torch.log(1.0 - p))
