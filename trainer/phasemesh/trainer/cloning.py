"""Cloning: the actor learns to want what a teacher wants, first where the teacher plays, then where it plays itself.

Rounds in which the actor plays and the teacher only says what it would do keep the actor from drifting into situations
that it has never been taught (Ross, Gordon and Bagnell, AISTATS 2011).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

from phasemesh.trainer.actor import Actor
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Batch, Lesson, batches, masked_mean, replay
from phasemesh.trainer.recipe import Recipe

_MAX_GRAD_NORM = 1.0


class Cloned(msgspec.Struct, frozen=True):
    """What cloning was like in its last pass: loss in nats and the share of decisions that agree with the teacher."""

    loss: float
    agreement: float


def clone(
    actor: Actor,
    episodes: Sequence[Episode],
    recipe: Recipe,
    random: np.random.Generator,
    device: torch.device,
) -> Cloned:
    """Fit `actor` to what the teacher wanted wherever there was a choice.

    A rule wants one stage; a planner wants each stage by how little it costs. Neither says anything about edges: the
    layers of the edge posterior stay as they are.
    """
    start, lessons = recipe.warm_start, [_lesson(episode) for episode in episodes]
    optimiser = torch.optim.Adam(actor.parameters(), lr=start.learning_rate, eps=1e-5)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, start.epochs)
    found: list[Cloned] = []
    for _ in range(start.epochs):
        found = [
            _fit(actor, batch.to(device), optimiser, recipe)
            for lesson in lessons
            for batch in batches(lesson, random, segment_ticks=start.segment_ticks, rows=start.rows_per_batch)
        ]
        schedule.step()
    return Cloned(float(np.mean([each.loss for each in found])), float(np.mean([each.agreement for each in found])))


def sharpen(actor: Actor, factor: float) -> None:
    """Multiply all scores by `factor`: the same best stage, drawn more surely."""
    with torch.no_grad():
        for parameter in actor.score_parameters():
            parameter.mul_(factor)


def renew_edges(actor: Actor, seed: int) -> None:
    """Draw the layers of the edge posterior anew, for an actor whose other layers have moved on under them.

    Embeddings that have grown leave the units of an old posterior without gradient, and every edge at one probability.
    Weights are as even as those of a new layer; the last bias is 0.
    """
    random, parameters = torch.Generator().manual_seed(seed), actor.edge_parameters()
    with torch.no_grad():
        for weight, bias in zip(parameters[::2], parameters[1::2], strict=True):
            bound = weight.shape[-1] ** -0.5
            for parameter in (weight, bias):
                drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=random)
                parameter.copy_(drawn)
        if parameters:
            parameters[-1].zero_()


def wanted(costs: Tensor, temperature_veh_s: float) -> Tensor:
    """With which probability a teacher wants each stage, [..., S], by its costs; 0 for what it did not try."""
    shares = torch.softmax(-costs / temperature_veh_s, dim=-1)
    return torch.nan_to_num(shares, nan=0.0)


def _fit(actor: Actor, batch: Batch, optimiser: torch.optim.Optimizer, recipe: Recipe) -> Cloned:
    # A teacher hears nobody: through the mask, an actor would only learn to close it.
    replayed = replay(actor, batch, temperature=None)
    target = wanted(batch.costs, recipe.planner.temperature_veh_s)
    is_taught = batch.has_choice & (target > 0.0).any(dim=-1)
    loss = masked_mean(-(target * replayed.log_policy).sum(dim=-1), is_taught)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(actor.parameters(), _MAX_GRAD_NORM)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    agrees = (replayed.log_policy.argmax(dim=-1) == batch.taught).to(loss.dtype)
    return Cloned(loss.item(), masked_mean(agrees, is_taught).item())


def _lesson(episode: Episode) -> Lesson:
    """An episode without anything for a critic to learn."""
    nothing = np.zeros((episode.ticks - 1, len(episode.layout.names)), dtype=np.float32)
    return Lesson(episode, nothing, nothing)
