"""BayesG's own network: three graph convolutions over the ego star, whose edges the mask weighs.

What the public code gets wrong is put right: one hard mask everywhere, logistic noise, one step of the recurrent state
a tick, projections that learn, and a state that tells the stage in force and its time.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from phasemesh.contract.observation import POLICY_SIZE, SITE_SIZE, SUMMARY_SIZE
from phasemesh.trainer.actor import EDGE_LAYERS
from phasemesh.trainer.actor_spec import ActorSpec
from phasemesh.trainer.numbered import CELL_SIZE, WIDTH, Ego, NumberedNetwork


class EgoGcn(NumberedNetwork):
    """States, policies and recurrent outputs of agent and neighbours, each through a convolution of its own."""

    edge_names: ClassVar[tuple[str, ...]] = EDGE_LAYERS

    def __init__(self, spec: ActorSpec) -> None:
        """Make room for the largest of the sites."""
        super().__init__(spec, 3 * WIDTH)
        self.own_layer = nn.Linear(self.state_size, WIDTH)
        self.site_layer = nn.Linear(SITE_SIZE, WIDTH, bias=False)
        self.neighbour_layer = nn.Linear(SUMMARY_SIZE, WIDTH)
        self.edge_layer = nn.Linear(self.state_size + SUMMARY_SIZE + POLICY_SIZE + 2 * CELL_SIZE, WIDTH)
        self.edge_score = nn.Linear(WIDTH, 1)
        self.state_graph = _glorot(WIDTH)
        self.policy_graph = _glorot(POLICY_SIZE)
        self.output_graph = _glorot(CELL_SIZE)

    def heard(self, ego: Ego, mask: Tensor, site: Tensor) -> Tensor:
        """As in `NumberedNetwork`."""
        (state, own_policy, output), (summary, policy, outputs) = ego
        own = self.own_layer(state) + self.site_layer(site)
        return torch.cat(
            (
                graph_convolution(self.state_graph, own, self.neighbour_layer(summary), mask),
                graph_convolution(self.policy_graph, own_policy, policy, mask),
                graph_convolution(self.output_graph, output, outputs, mask),
            ),
            dim=-1,
        )

    def edge_logits(self, ego: Ego) -> Tensor:
        """As in `NumberedNetwork`: one small network for all neighbours."""
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
