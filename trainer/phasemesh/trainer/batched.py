"""The universal actor over many intersections at once: padded tensors, the same weights, the same answers row by row.

Shapes: any leading dimensions, then L lanes, S stages, K neighbours. Padding is told by `has_lane` [..., L], `legal`
[..., S] and `valid` [..., K].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from phasemesh.contract.observation import SITE_SIZE
from phasemesh.trainer.actor import Decided
from phasemesh.trainer.ego_mask import hard_mask

if TYPE_CHECKING:
    from phasemesh.trainer.networks import UniversalActor

ILLEGAL = -1e9
"""Score of a stage that may not be asked for: its probability is exactly zero."""


class Encoded(NamedTuple):
    """What does not depend on the recurrent state, so that it is computed for a whole segment at once.

    `own` [..., 2W], `protected` and `permissive` [..., S, W], `messages` [..., K, W], and `asked` [..., K, W], the
    messages as the edge posterior sees them.
    """

    own: Tensor
    protected: Tensor
    permissive: Tensor
    messages: Tensor
    asked: Tensor


def encode(actor: UniversalActor, lanes: Tensor, has_lane: Tensor, stage_lanes: Tensor, messages: Tensor) -> Encoded:
    """Embed lanes and messages; every row must have at least one lane."""
    embedded = torch.relu(actor.lane_layer(lanes)) * has_lane.unsqueeze(-1)
    mean = embedded.sum(dim=-2) / has_lane.sum(dim=-1, keepdim=True)
    # Embeddings are at least zero, so that zeros in place of padding never are a maximum that matters.
    own = torch.cat((mean, embedded.amax(dim=-2)), dim=-1)
    told = actor.message_layer(messages)
    return Encoded(
        own=own,
        protected=stage_lanes[..., 0] @ embedded,
        permissive=stage_lanes[..., 1] @ embedded,
        messages=told,
        asked=actor.asked(messages, told),
    )


def decide(
    actor: UniversalActor,
    encoded: Encoded,
    stage_state: Tensor,
    legal: Tensor,
    valid: Tensor,
    noise: Tensor,
    hidden: Tensor,
    site: Tensor | None = None,
    *,
    temperature: float | None = None,
) -> Decided:
    """One tick of the actor; with a `temperature` the hard mask passes the gradient of the relaxed one."""
    edges = edge_logits(actor, encoded, hidden)
    mask = hard_mask(edges, noise, temperature) * valid
    heard = (mask.unsqueeze(-2) @ encoded.messages).squeeze(-2) / mask.sum(dim=-1, keepdim=True).clamp(min=1.0)
    if site is None:
        site = hidden.new_zeros(*hidden.shape[:-1], SITE_SIZE)
    following = actor.memory(torch.cat((encoded.own, heard, site), dim=-1), hidden)
    context = torch.cat((following, heard), dim=-1).unsqueeze(-2).expand(*stage_state.shape[:-1], -1)
    seen = torch.cat((encoded.protected, encoded.permissive, stage_state, context), dim=-1)
    scores = actor.stage_score(torch.relu(actor.stage_layer(seen))).squeeze(-1)
    return Decided(scores.masked_fill(~legal, ILLEGAL), following, torch.sigmoid(edges) * valid, mask)


def edge_logits(actor: UniversalActor, encoded: Encoded, hidden: Tensor) -> Tensor:
    """How strongly each neighbour belongs to the ego graph, [..., K]."""
    constant = actor.spec.mask.constant_logit
    if constant is not None:
        return encoded.asked.new_full(encoded.asked.shape[:-1], constant)
    context = torch.cat(actor.edge_context(encoded.own, hidden), dim=-1).unsqueeze(-2)
    context = context.expand(*encoded.asked.shape[:-1], -1)
    units = torch.relu(actor.edge_layer(torch.cat((context, encoded.asked), dim=-1)))
    scores: Tensor = actor.edge_score(units)
    return scores.squeeze(-1)
