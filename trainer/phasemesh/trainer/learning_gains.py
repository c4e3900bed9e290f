"""What an agent learns from a reward is worth to all: a gradient through one step of the policy gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from phasemesh.contract.observation import SUMMARY_SIZE, FloatArray
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Batch, Lesson, in_order, replay
from phasemesh.trainer.returns import advantages, traces

_STIFFNESS = 1e-2
"""Of the fit of a baseline, as a share of a feature's own variation."""


class Discounts(NamedTuple):
    """Discounts per tick as it was played."""

    gamma: float
    lambda_: float


def learning_gains(actor: Actor, episode: Episode, objective: FloatArray, discounts: Discounts) -> FloatArray:
    """How much the objective rises per unit of reward that each agent is paid at each tick, [T - 1, A].

    A step of the policy gradient moves agent j by sum_t' grad log pi_j(t') A_j(t'); a reward at t is part of all
    advantages before it, discounted. To first order the objective rises by c_j(t') = <grad log pi_j(t'), G> for each
    unit of advantage, where G is the gradient of `objective` [T, A], what each agent's stages are worth to all. The
    gain is the sum of c_j up to t, discounted likewise. A reward that says nothing of the objective has none.

    G and c come from alternate halves of the episode, so that no decision is its own proof. An episode of fewer than
    three ticks has gains of 0.
    """
    lesson = Lesson(episode, _advantage(episode, objective, discounts), np.zeros_like(objective[:-1]))
    segments = list(in_order(lesson, max(1, (episode.ticks - 1) // _PARTS)))
    if len(segments) < 2:
        return np.zeros_like(objective[:-1])
    directions = [_gradient(actor, segments[half::2]) for half in (0, 1)]
    found = [_along(actor, segment, directions[1 - place % 2]) for place, segment in enumerate(segments)]
    return traces(torch.cat(found).cpu().numpy(), discounts.gamma * discounts.lambda_)


_PARTS = 6
"""An episode is cut into at least so many segments, of which every other one is of the same half."""


def _advantage(episode: Episode, objective: FloatArray, discounts: Discounts) -> FloatArray:
    """Advantages of `objective` over a baseline that is linear in what each agent sees; the critic judges shares."""
    seen = episode.told[..., :SUMMARY_SIZE]
    returns = advantages(objective[:-1], np.zeros_like(objective), discounts.gamma, 1.0)
    values = np.stack([_fitted(seen[:, agent], returns[:, agent]) for agent in range(objective.shape[1])], axis=1)
    return advantages(objective[:-1], values, discounts.gamma, discounts.lambda_)


def _fitted(seen: FloatArray, returns: FloatArray) -> FloatArray:
    """The `returns` [T - 1] as a ridge regression on what was `seen` [T, D] has them, [T]."""
    centred = seen.astype(np.float64) - seen[:-1].mean(axis=0)
    known = centred[:-1]
    stiff = _STIFFNESS * len(known) * np.eye(seen.shape[1])
    slope = np.linalg.solve(known.T @ known + stiff, known.T @ (returns - returns.mean()))
    fitted: FloatArray = (centred @ slope + returns.mean()).astype(np.float32)
    return fitted


def _gradient(actor: Actor, segments: Sequence[Batch]) -> list[Tensor]:
    """The policy gradient of the advantages in `segments`, one tensor a parameter."""
    parameters = list(actor.parameters())
    total = [torch.zeros_like(each) for each in parameters]
    for segment in segments:
        gain = (_chosen(actor, segment) * segment.advantage.to(parameters[0].device)).sum()
        found = torch.autograd.grad(gain, parameters, allow_unused=True)
        total = [before if each is None else before + each for before, each in zip(total, found, strict=True)]
    return total


def _along(actor: Actor, segment: Batch, direction: Sequence[Tensor]) -> Tensor:
    """The derivative of every log probability in `segment` along `direction`, [N, A].

    The gradient of a weighted sum is linear in the weights: its derivative by them is what is asked for.
    """
    parameters = list(actor.parameters())
    chosen = _chosen(actor, segment)
    weights = torch.ones_like(chosen, requires_grad=True)
    found = torch.autograd.grad((weights * chosen).sum(), parameters, create_graph=True, allow_unused=True)
    parts = [(each * way).sum() for each, way in zip(found, direction, strict=True) if each is not None]
    (along,) = torch.autograd.grad(torch.stack(parts).sum(), weights)
    return along


def _chosen(actor: Actor, segment: Batch) -> Tensor:
    """Log probabilities now of what was chosen, [N, A]; 0 where there was no choice."""
    batch = segment.to(next(actor.parameters()).device)
    taken = replay(actor, batch, None).taken(batch.stage)
    return torch.where(batch.has_choice, taken, torch.zeros_like(taken))
