"""The critic of HAMH-PPO: attention over the road graph, then several heads, of which each agent weighs its own value.

Batched and sparse: an agent looks at itself and its K neighbours, so that time and memory grow with the number of
agents and not with its square. Source: HAMH-PPO (arXiv 2503.07678); attention as in CoLight (Wei et al., CIKM 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phasemesh.contract.observation import LANE_FEATURES, STAGE_FEATURES
from phasemesh.trainer.actor_spec import HeadsSpec
from phasemesh.trainer.critic import LANES_OF_A_CROSSROADS, Critic
from phasemesh.trainer.heads import mixed_value

ATTENTION_HEADS = 5
ATTENTION_SIZE = 16
"""Attention heads and units of each, as in the paper."""
WIDTH = 128
"""Units of all other layers, as in the paper."""


class AttentionCritic(Critic):
    """Values of `spec.count` heads for intersections of any shape; with `attends` off each looks at itself alone."""

    def __init__(self, spec: HeadsSpec) -> None:
        """Draw its weights."""
        nn.Module.__init__(self)
        self.spec = spec
        size = ATTENTION_HEADS * ATTENTION_SIZE
        self.lane_layer = nn.Linear(len(LANE_FEATURES) + 2, WIDTH)
        self.own_layer = nn.Linear(2 * WIDTH + len(STAGE_FEATURES), WIDTH)
        self.query, self.key, self.told = (nn.Linear(WIDTH, size) for _ in range(3))
        self.context_layer = nn.Linear(ATTENTION_SIZE, WIDTH)
        self.value = nn.Linear(WIDTH, spec.count)

    def mixed(self, judged: Tensor, weights: Tensor) -> Tensor:
        """As in `Critic`."""
        return mixed_value(judged, weights)

    def forward(
        self,
        lanes: Tensor,
        has_lane: Tensor,
        current_shares: Tensor,
        current_state: Tensor,
        neighbours: Tensor,  # noqa: ARG002 (others need it: here neighbours are looked at, not listened to)
        has_neighbour: Tensor,
        offsets: Tensor,
    ) -> Tensor:
        """As in `Critic`; leading dimensions are [T, rows], and the rows of a city stand side by side."""
        units = self.units(lanes, has_lane, current_shares, current_state)
        # A city does not change while it is played, so that the first tick says who is whose neighbour.
        shares, told = self.attention(units, offsets[0], has_neighbour[0])
        context = (shares.unsqueeze(-1) * told).sum(dim=-3).mean(dim=-2)
        heads: Tensor = self.value(torch.relu(self.context_layer(context)))
        return heads

    def units(self, lanes: Tensor, has_lane: Tensor, current_shares: Tensor, current_state: Tensor) -> Tensor:
        """What an agent is like by itself, [T, rows, `WIDTH`]."""
        embedded = torch.relu(self.lane_layer(torch.cat((lanes, current_shares), dim=-1))) * has_lane.unsqueeze(-1)
        own = (embedded.sum(dim=-2) / LANES_OF_A_CROSSROADS, embedded.amax(dim=-2), current_state)
        return torch.relu(self.own_layer(torch.cat(own, dim=-1)))

    def attention(self, units: Tensor, offsets: Tensor, has_neighbour: Tensor) -> tuple[Tensor, Tensor]:
        """How much each row looks at itself and its neighbours, and what they tell.

        From `units` [T, rows, `WIDTH`], `offsets` and `has_neighbour` [rows, K] come shares [T, rows, 1 + K, heads],
        which are 1 in all, and what is told [T, rows, 1 + K, heads, size]; the row itself comes first.
        """
        rows = torch.arange(units.shape[1], device=units.device).unsqueeze(-1)
        seen = torch.cat((rows, rows + offsets), dim=-1)
        is_seen = torch.cat((torch.ones_like(rows, dtype=torch.bool), has_neighbour > 0), dim=-1)
        if not self.spec.attends:
            seen, is_seen = rows, is_seen[:, :1]
        query, key, told = (
            torch.relu(layer(units)).reshape(*units.shape[:-1], ATTENTION_HEADS, ATTENTION_SIZE)
            for layer in (self.query, self.key, self.told)
        )
        scores = (query.unsqueeze(2) * key[:, seen]).sum(dim=-1)
        shares = torch.softmax(scores.masked_fill(~is_seen.unsqueeze(-1), float("-inf")), dim=-2)
        return shares, told[:, seen]
