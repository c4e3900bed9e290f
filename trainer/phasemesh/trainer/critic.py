"""The critic: the value of a situation given what the neighbours do; used in training only, never exported."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from phasemesh.contract.observation import LANE_FEATURES, MESSAGE_SIZE, STAGE_FEATURES
from phasemesh.contract.units import IntersectionId
from phasemesh.trainer.networks import WIDTH

ACTION_SIZE = 2 * len(LANE_FEATURES)
"""A neighbour's stage as the critic sees it: the features of the lanes that it serves, protected and permissive."""
NEIGHBOUR_SIZE = MESSAGE_SIZE + ACTION_SIZE
LANES_OF_A_CROSSROADS = 4.0
"""Divides sums over lanes, so that a junction of usual size gives units near one."""


class Critic(nn.Module):
    """Values intersections of any shape from their lanes, the stage in force, and what each neighbour says and does.

    A stage has no meaning of its own from one intersection to the next, so that a neighbour's choice is told by the
    lanes that it serves.
    """

    def __init__(self, width: int = 2 * WIDTH) -> None:
        super().__init__()
        self.lane_layer = nn.Linear(len(LANE_FEATURES) + 2, width)
        self.neighbour_layer = nn.Linear(NEIGHBOUR_SIZE, width)
        self.hidden_layer = nn.Linear(3 * width + len(STAGE_FEATURES), width)
        self.value = nn.Linear(width, 1)

    def judging(self, names: Sequence[IntersectionId]) -> Callable[..., Tensor]:  # noqa: ARG002 (others need them)
        """This critic for rows that are the intersections `names`."""
        return self

    def mixed(self, judged: Tensor, weights: Tensor) -> Tensor:  # noqa: ARG002 (others need it)
        """The values [...] of what was `judged`, under the hyper-actions `weights` [..., k] where there are heads."""
        return judged

    def forward(
        self,
        lanes: Tensor,
        has_lane: Tensor,
        current_shares: Tensor,
        current_state: Tensor,
        neighbours: Tensor,
        has_neighbour: Tensor,
        offsets: Tensor,  # noqa: ARG002 (others need it)
    ) -> Tensor:
        """Normalised values [...], for any leading dimensions; of a critic with several heads, theirs [..., k].

        Reads lanes [..., L, F], the shares of them that the stage in force serves [..., L, 2], the state of that stage
        [..., G], and for each neighbour its message and its action [..., K, `NEIGHBOUR_SIZE`], and how many rows
        further that neighbour stands [..., K].
        """
        embedded = torch.relu(self.lane_layer(torch.cat((lanes, current_shares), dim=-1))) * has_lane.unsqueeze(-1)
        around = torch.relu(self.neighbour_layer(neighbours)) * has_neighbour.unsqueeze(-1)
        own = (embedded.sum(dim=-2) / LANES_OF_A_CROSSROADS, embedded.amax(dim=-2))
        units = torch.relu(self.hidden_layer(torch.cat((*own, around.sum(dim=-2), current_state), dim=-1)))
        value: Tensor = self.value(units)
        return value.squeeze(-1)


class ValueScale(nn.Module):
    """Running mean and spread of the returns: the critic answers numbers near one, whatever the city's size."""

    mean: Tensor
    spread: Tensor
    seen: Tensor

    def __init__(self, slowest: float = 0.05) -> None:
        """The first `1 / slowest` looks weigh alike; older ones are forgotten from then on."""
        super().__init__()
        self._slowest = slowest
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("seen", torch.zeros(()))

    def note(self, returns: Tensor) -> None:
        """Take `returns` into account."""
        self.seen += 1.0
        rate = torch.clamp(1.0 / self.seen, min=self._slowest)
        self.mean += rate * (returns.mean() - self.mean)
        self.spread += rate * (returns.std().clamp(min=1e-3) - self.spread)

    def normalised(self, returns: Tensor) -> Tensor:
        """`returns` as the critic should answer them."""
        return (returns - self.mean) / self.spread

    def returns(self, values: Tensor) -> Tensor:
        """The critic's `values` as returns."""
        return values * self.spread + self.mean
