"""The one actor of every recipe: it scores stages from the lanes that they serve, whatever the intersection's shape."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from phasemesh.contract.observation import (
    HIDDEN_SIZE,
    LANE_FEATURES,
    MESSAGE_SIZE,
    POLICY_SIZE,
    SITE_SIZE,
    STAGE_FEATURES,
    SUMMARY_SIZE,
)
from phasemesh.trainer import batched
from phasemesh.trainer.actor import EDGE_LAYERS, ActorOutput, Decided, Network
from phasemesh.trainer.actor_spec import UNIVERSAL, ActorSpec, MaskSpec, SharingKind, SiteSpec
from phasemesh.trainer.heads import told_weights, weights_of
from phasemesh.trainer.written_cells import WrittenGru

WIDTH = 48
"""Units of every layer; the width that learned well in few episodes on two cores."""
PROTECTED = slice(0, WIDTH)
"""Columns of the stage layer's input: pooled embeddings of the lanes that the stage serves protected."""
PERMISSIVE = slice(WIDTH, 2 * WIDTH)
"""Likewise for the lanes that it serves permissively."""
STAGE_STATE = slice(2 * WIDTH, 2 * WIDTH + len(STAGE_FEATURES))
"""Likewise for the state of the stage itself."""

_SEPARATE = (SharingKind.NONE, SharingKind.CONSENSUS)
"""Ways of sharing whose networks are computed from stacks of weights, which torch's own cell cannot."""


class UniversalActor(Network):
    """The policy graph of the contract, unbatched; L, S and K may differ from call to call.

    A lane becomes an embedding; a stage sees the embeddings of its lanes weighted by the shares that it serves, its
    own state, the recurrent state and the neighbours that the ego-graph mask lets through.
    """

    score_names: ClassVar[tuple[str, ...]] = ("stage_score.weight", "stage_score.bias")
    edge_names: ClassVar[tuple[str, ...]] = EDGE_LAYERS
    seen_of_message: Tensor
    """1 for every number of a message that the edge posterior reads, else 0; there only when something is off."""

    def __init__(self, spec: ActorSpec = UNIVERSAL) -> None:
        super().__init__()
        self.spec = spec
        # What every graph holds that needs none would change the bytes of graphs that ship.
        if not spec.mask.sees_everything:
            self.register_buffer("seen_of_message", seen_of_message(spec.mask), persistent=False)
        width = 2 * WIDTH if spec.sharing is SharingKind.WIDE else WIDTH
        self.lane_layer = nn.Linear(len(LANE_FEATURES), width)
        self.message_layer = nn.Linear(MESSAGE_SIZE, width)
        self.edge_layer = nn.Linear(3 * width + HIDDEN_SIZE, width)
        self.edge_score = nn.Linear(width, 1)
        cell = WrittenGru if spec.sharing in _SEPARATE else nn.GRUCell
        self.memory = cell(3 * width + SITE_SIZE, HIDDEN_SIZE)
        self.hyper_score = nn.Linear(HIDDEN_SIZE, spec.heads.count)
        self.stage_layer = nn.Linear(3 * width + len(STAGE_FEATURES) + HIDDEN_SIZE, width)
        self.stage_score = nn.Linear(width, 1)

    def forward(
        self,
        lanes: Tensor,
        stage_lanes: Tensor,
        stage_state: Tensor,
        neighbour_messages: Tensor,
        neighbour_valid: Tensor,
        mask_noise: Tensor,
        hidden: Tensor,
        site: Tensor,
    ) -> ActorOutput:
        """The outputs of the contract in its order: stage logits, next hidden state, mask probability, mask, hyper.

        Shapes are those of `phasemesh.contract.tensors`; all float32.
        """
        embedded = torch.relu(self.lane_layer(lanes))
        own = torch.cat((embedded.mean(dim=0), embedded.amax(dim=0)))
        messages = self.message_layer(neighbour_messages)
        edge_logits = self.edge_logits(own, hidden, self.asked(neighbour_messages, messages))
        probability = torch.sigmoid(edge_logits) * neighbour_valid
        mask = sample_mask(edge_logits, mask_noise) * neighbour_valid
        heard = masked_mean(messages, mask)
        hidden_next = self.memory(torch.cat((own, heard, site)), hidden)
        logits = self.stage_logits(embedded, stage_lanes, stage_state, torch.cat((hidden_next, heard)))
        return logits, hidden_next, probability, mask, told_weights(self.hyper(hidden_next))

    def hyper(self, hidden: Tensor) -> Tensor:
        """As in `Acting`."""
        return weights_of(self.hyper_score(hidden), self.spec.heads.mixing)

    def encode(self, lanes: Tensor, has_lane: Tensor, stage_lanes: Tensor, messages: Tensor) -> batched.Encoded:
        """As in `Network`."""
        return batched.encode(self, lanes, has_lane, stage_lanes, messages)

    def decide(
        self,
        encoded: batched.Encoded,
        stage_state: Tensor,
        legal: Tensor,
        valid: Tensor,
        noise: Tensor,
        hidden: Tensor,
        site: Tensor | None = None,
        *,
        temperature: float | None = None,
    ) -> Decided:
        """As in `Network`."""
        return batched.decide(self, encoded, stage_state, legal, valid, noise, hidden, site, temperature=temperature)

    def fixed_sizes(self, site: SiteSpec) -> dict[str, int]:  # noqa: ARG002 (others need it)
        """None: the graph is for every shape."""
        return {}

    def asked(self, messages: Tensor, encoded: Tensor) -> Tensor:
        """The `messages` [..., K, D] as the edge posterior sees them, encoded; `encoded` where it sees everything."""
        return encoded if self.spec.mask.sees_everything else self.message_layer(messages * self.seen_of_message)

    def edge_context(self, own: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What the edge posterior sees of its own intersection: zeros in place of what is switched off."""
        mask = self.spec.mask
        state = own if mask.sees_state else torch.zeros_like(own)
        return state, hidden if mask.sees_trajectory else torch.zeros_like(hidden)

    def edge_logits(self, own: Tensor, hidden: Tensor, messages: Tensor) -> Tensor:
        """How strongly each neighbour belongs to the ego graph, [K], from encoded `messages` [K, WIDTH]."""
        constant = self.spec.mask.constant_logit
        if constant is not None:
            return messages.new_full((messages.shape[0],), constant)
        context = torch.cat(self.edge_context(own, hidden)).expand(messages.shape[0], -1)
        units = torch.relu(self.edge_layer(torch.cat((context, messages), dim=1)))
        return torch.squeeze(self.edge_score(units), dim=1)

    def stage_logits(self, embedded: Tensor, stage_lanes: Tensor, stage_state: Tensor, context: Tensor) -> Tensor:
        """The score of every stage, [S], from embedded lanes [L, WIDTH] and a `context` that all stages share."""
        protected = stage_lanes[:, :, 0] @ embedded
        permissive = stage_lanes[:, :, 1] @ embedded
        shared = context.expand(stage_state.shape[0], -1)
        units = torch.relu(self.stage_layer(torch.cat((protected, permissive, stage_state, shared), dim=1)))
        return torch.squeeze(self.stage_score(units), dim=1)


def seen_of_message(mask: MaskSpec) -> Tensor:
    """1 for every number of a message that the edge posterior of `mask` reads, else 0, [MESSAGE_SIZE]."""
    parts = (
        (SUMMARY_SIZE, mask.sees_state),
        (POLICY_SIZE, mask.sees_policy),
        (HIDDEN_SIZE, mask.sees_trajectory),
    )
    return torch.cat([torch.full((size,), float(is_seen)) for size, is_seen in parts])


def sample_mask(edge_logits: Tensor, noise: Tensor) -> Tensor:
    """The hard binary-concrete sample [K] of Bernoulli(sigmoid(edge_logits)) that `noise` in (0, 1) selects.

    With noise 0.5 it is 1 exactly where the logit is positive. Source: Maddison, Mnih and Teh, ICLR 2017, appendix B.
    """
    logistic = torch.log(noise) - torch.log(1.0 - noise)
    return (edge_logits + logistic > 0).to(edge_logits.dtype)


def masked_mean(rows: Tensor, mask: Tensor) -> Tensor:
    """Mean of the `rows` [K, W] that `mask` [K] lets through, [W]; zeros when it lets none through."""
    return mask @ rows / torch.clamp(mask.sum(), min=1.0)
