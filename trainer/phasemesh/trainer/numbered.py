"""What the papers' networks have in common: lanes and stages that have numbers, a recurrent cell, one score a stage.

They differ in what they make of their neighbours. The recurrent state of the contract holds output and cell of 32 units
each; neighbours are told both and read the output.
"""

from __future__ import annotations

from abc import abstractmethod
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
from phasemesh.trainer.actor_spec import ActorSpec, SiteSpec
from phasemesh.trainer.batched import ILLEGAL
from phasemesh.trainer.ego_mask import hard_mask
from phasemesh.trainer.written_cells import WrittenLstm

WIDTH = 64
"""Units of every layer, as in the papers."""
CELL_SIZE = HIDDEN_SIZE // 2
"""Units of the recurrent cell: output and cell state share the contract's recurrent state."""
_IS_LEGAL = stage_feature("is_legal")
_PARTS_OF_MESSAGE = [SUMMARY_SIZE, POLICY_SIZE, CELL_SIZE, CELL_SIZE]


class NumberedEncoded(NamedTuple):
    """Lanes in their order as one row [..., L * F], and messages [..., K, D]."""

    lanes: Tensor
    messages: Tensor


class Ego(NamedTuple):
    """State, last policy and recurrent output: of the agent itself [..., *], and as its neighbours say [..., K, *]."""

    centre: tuple[Tensor, Tensor, Tensor]
    around: tuple[Tensor, Tensor, Tensor]


class NumberedNetwork(Network):
    """The network of one intersection, or of several of one shape."""

    score_names: ClassVar[tuple[str, ...]] = ("head.weight", "head.bias")

    def __init__(self, spec: ActorSpec, units: int) -> None:
        """Make room for the largest of the sites; the cell reads `units` numbers."""
        super().__init__()
        self.spec = spec
        self.lanes = max(site.lanes for site in spec.sites)
        self.stages = max(site.stages for site in spec.sites)
        self.state_size = self.lanes * len(LANE_FEATURES) + self.stages * len(STAGE_FEATURES)
        self.memory = WrittenLstm(units, CELL_SIZE)
        self.head = nn.Linear(CELL_SIZE, self.stages)

    @abstractmethod
    def edge_logits(self, ego: Ego) -> Tensor:
        """How strongly each neighbour belongs to the ego graph, [..., K]."""

    @abstractmethod
    def heard(self, ego: Ego, mask: Tensor, site: Tensor) -> Tensor:
        """What the cell reads, [..., units], from those neighbours that `mask` [..., K] lets through."""

    def fixed_sizes(self, site: SiteSpec) -> dict[str, int]:
        """Lanes and stages: one more would be another one's number."""
        return {"L": site.lanes, "S": site.stages}

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
        # A constant alone as an output is a graph that the exporter complains about.
        return scores, following, probability, mask, 0.0 * hidden[:HYPER_SIZE] + 1.0 / HYPER_SIZE

    def encode(
        self,
        lanes: Tensor,
        has_lane: Tensor,
        stage_lanes: Tensor,  # noqa: ARG002 (others need it)
        messages: Tensor,
    ) -> NumberedEncoded:
        """As in `Network`; which stage serves which lane is what each such network learns for itself."""
        return NumberedEncoded(flat(lanes * has_lane.unsqueeze(-1), self.lanes), messages)

    def decide(
        self,
        encoded: NumberedEncoded,
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
        encoded: NumberedEncoded,
        stage_state: Tensor,
        valid: Tensor,
        noise: Tensor,
        hidden: Tensor,
        site: Tensor,
        temperature: float | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores of all stages, next recurrent state, edge posterior and mask."""
        output, cell = hidden.chunk(2, dim=-1)
        state = torch.cat((encoded.lanes, flat(stage_state, self.stages)), dim=-1)
        summary, policy, outputs, _ = torch.split(encoded.messages, _PARTS_OF_MESSAGE, dim=-1)
        ego = Ego((state, self.last_policy(output, stage_state[..., _IS_LEGAL]), output), (summary, policy, outputs))
        edges = self.edge_logits(ego)
        mask = hard_mask(edges, noise, temperature) * valid
        output, cell = self.memory(self.heard(ego, mask, site), (output, cell))
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


def flat(rows: Tensor, count: int) -> Tensor:
    """`rows` [..., R, F] one after the other, filled up with zeros to `count` rows: [..., count * F]."""
    return nn.functional.pad(rows, (0, 0, 0, count - rows.shape[-2])).flatten(-2)
