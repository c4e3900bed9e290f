"""BayesG's own network: three graph convolutions over the ego star, a recurrent cell, one score a numbered stage.

What the public code gets wrong is put right: one hard mask everywhere, logistic noise, one step of the recurrent state
a tick, projections that learn, and a state that tells the stage in force and its time. The recurrent state of the
contract holds output and cell of 32 units each; neighbours read the output.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from phasemesh.contract.observation import (
    HIDDEN_SIZE,
    HYPER_SIZE,
    LANE_FEATURES,
    POLICY_SIZE,
    SITE_SIZE,
    STAGE_FEATURES,
    SUMMARY_SIZE,
    stage_feature,
)
from phasemesh.trainer.actor import ActorOutput, Decided, Network
from phasemesh.trainer.actor_spec import ActorSpec
from phasemesh.trainer.batched import ILLEGAL
from phasemesh.trainer.ego_mask import hard_mask
from phasemesh.trainer.written_cells import WrittenLstm

WIDTH = 64
"""Units of every layer, as in the paper."""
CELL_SIZE = HIDDEN_SIZE // 2
"""Units of the recurrent cell: output and cell state share the contract's recurrent state."""
_IS_LEGAL = stage_feature("is_legal")
_PARTS_OF_MESSAGE = [SUMMARY_SIZE, POLICY_SIZE, CELL_SIZE, CELL_SIZE]


class GcnEncoded(NamedTuple):
    """Lanes in their order as one row [..., L * F], and messages [..., K, D]."""

    lanes: Tensor
    messages: Tensor

    def at(self, tick: int) -> GcnEncoded:
        """One tick of a segment whose first dimension is time."""
        return GcnEncoded(self.lanes[tick], self.messages[tick])


class _Ego(NamedTuple):
    """What the star's centre knows [..., *] and what its neighbours say [..., K, *]: state, policy, output."""

    centre: tuple[Tensor, Tensor, Tensor]
    around: tuple[Tensor, Tensor, Tensor]


class EgoGcn(Network):
    """The network of one intersection, or of several of one shape, whose lanes and stages have numbers."""

    score_names: ClassVar[tuple[str, ...]] = ("head.weight", "head.bias")

    def __init__(self, spec: ActorSpec) -> None:
        """Make room for the lanes and stages of the largest of the sites."""
        super().__init__()
        self.spec = spec
        self.lanes = max(site.lanes for site in spec.sites)
        self.stages = max(site.stages for site in spec.sites)
        state_size = self.lanes * len(LANE_FEATURES) + self.stages * len(STAGE_FEATURES)
        self.own_layer = nn.Linear(state_size, WIDTH)
        self.site_layer = nn.Linear(SITE_SIZE, WIDTH, bias=False)
        self.neighbour_layer = nn.Linear(SUMMARY_SIZE, WIDTH)
        self.edge_layer = nn.Linear(state_size + SUMMARY_SIZE + POLICY_SIZE + 2 * CELL_SIZE, WIDTH)
        self.edge_score = nn.Linear(WIDTH, 1)
        self.state_graph = _glorot(WIDTH)
        self.policy_graph = _glorot(POLICY_SIZE)
        self.memory_graph = _glorot(CELL_SIZE)
        self.memory = WrittenLstm(3 * WIDTH, CELL_SIZE)
        self.head = nn.Linear(CELL_SIZE, self.stages)

    def fixed_sizes(self, lanes: int, stages: int) -> dict[str, int]:
        """Both: a lane or stage more would be another one's number."""
        return {"L": lanes, "S": stages}

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
        """The outputs of the contract, unbatched; there is no hyper-action, so that it is even."""
        encoded = self.encode(lanes, lanes.new_ones(len(lanes)), stage_lanes, neighbour_messages)
        scores, following, probability, mask = self._step(
            encoded, stage_state, neighbour_valid, mask_noise, hidden, site, None
        )
        return scores, following, probability, mask, lanes.new_full((HYPER_SIZE,), 1.0 / HYPER_SIZE)

    def encode(
        self,
        lanes: Tensor,
        has_lane: Tensor,
        stage_lanes: Tensor,  # noqa: ARG002 (others need it)
        messages: Tensor,
    ) -> GcnEncoded:
        """As in `Network`; which stage serves which lane is what each such network learns for itself."""
        return GcnEncoded(_flat(lanes * has_lane.unsqueeze(-1), self.lanes), messages)

    def decide(
        self,
        encoded: GcnEncoded,
        stage_state: Tensor,
        legal: Tensor,
        valid: Tensor,
        noise: Tensor,
        hidden: Tensor,
        site: Tensor | None = None,
        *,
        temperature: float | None = None,
    ) -> Decided:
        """As in `Network`; the state of a stage that is padding must be zeros."""
        if site is None:
            site = hidden.new_zeros(*hidden.shape[:-1], SITE_SIZE)
        scores, following, probability, mask = self._step(encoded, stage_state, valid, noise, hidden, site, temperature)
        return Decided(scores.masked_fill(~legal, ILLEGAL), following, probability, mask)

    def _step(
        self,
        encoded: GcnEncoded,
        stage_state: Tensor,
        valid: Tensor,
        noise: Tensor,
        hidden: Tensor,
        site: Tensor,
        temperature: float | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores of all stages, next recurrent state, edge posterior and mask."""
        output, cell = hidden.chunk(2, dim=-1)
        state = torch.cat((encoded.lanes, _flat(stage_state, self.stages)), dim=-1)
        summary, policy, outputs, _ = torch.split(encoded.messages, _PARTS_OF_MESSAGE, dim=-1)
        own_policy = self.last_policy(output, stage_state[..., _IS_LEGAL])
        edges = self.edge_logits(_Ego((state, own_policy, output), (summary, policy, outputs)))
        mask = hard_mask(edges, noise, temperature) * valid
        projected = self.own_layer(state) + self.site_layer(site), self.neighbour_layer(summary)
        units = (
            graph_convolution(self.state_graph, *projected, mask),
            graph_convolution(self.policy_graph, own_policy, policy, mask),
            graph_convolution(self.memory_graph, output, outputs, mask),
        )
        output, cell = self.memory(torch.cat(units, dim=-1), (output, cell))
        scores = self.head(output)[..., : stage_state.shape[-2]]
        return scores, torch.cat((output, cell), dim=-1), torch.sigmoid(edges) * valid, mask

    def last_policy(self, output: Tensor, is_legal: Tensor) -> Tensor:
        """The policy of the tick before, [..., POLICY_SIZE], from the output that it came from.

        The contract has no input for it; stages that are not legal by now have lost their share.
        """
        scores = self.head(output)[..., : is_legal.shape[-1]]
        weights = torch.exp(scores - scores.amax(dim=-1, keepdim=True)) * is_legal
        policy = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)
        kept = min(POLICY_SIZE, policy.shape[-1])
        return nn.functional.pad(policy[..., :kept], (0, POLICY_SIZE - kept))

    def edge_logits(self, ego: _Ego) -> Tensor:
        """How strongly each neighbour belongs to the ego graph, [..., K]: one small network for all of them."""
        mask, (summary, policy, outputs) = self.spec.mask, ego.around
        if mask.constant_logit is not None:
            return summary.new_full(summary.shape[:-1], mask.constant_logit)
        state, _, output = (part.unsqueeze(-2).expand(*summary.shape[:-1], -1) for part in ego.centre)
        parts = (
            (state, mask.sees_state),
            (summary, mask.sees_state),
            (policy, mask.sees_policy),
            (output, mask.sees_trajectory),
            (outputs, mask.sees_trajectory),
        )
        seen = torch.cat([part if is_seen else torch.zeros_like(part) for part, is_seen in parts], dim=-1)
        scores: Tensor = self.edge_score(torch.relu(self.edge_layer(seen)))
        return scores.squeeze(-1)


def graph_convolution(layer: nn.Linear, centre: Tensor, around: Tensor, mask: Tensor) -> Tensor:
    """One layer over the ego star whose edges weigh `mask` [..., K] both ways; the centre's row alone, [..., W].

    The adjacency is I + star, normalised by the roots of the degrees. Source: Kipf and Welling, ICLR 2017; a mask of
    ones is the plain convolution, a mask of zeros leaves the centre's own features.
    """
    degree = 1.0 + mask.sum(dim=-1, keepdim=True)
    shares = mask / torch.sqrt(degree * (1.0 + mask))
    heard = (shares.unsqueeze(-2) @ layer(around)).squeeze(-2)
    return torch.relu(layer(centre) / degree + heard)


def _glorot(size: int) -> nn.Linear:
    """A layer of a graph convolution. Source of its first weights: Glorot and Bengio, AISTATS 2010."""
    layer = nn.Linear(size, WIDTH)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _flat(rows: Tensor, count: int) -> Tensor:
    """`rows` [..., R, F] one after the other, filled up with zeros to `count` rows: [..., count * F]."""
    return nn.functional.pad(rows, (0, 0, 0, count - rows.shape[-2])).flatten(-2)
