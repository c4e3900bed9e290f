"""The networks of BayesG's baselines: what each makes of its neighbours, in front of the same cell and scores.

All of them hear every neighbour whose message is fresh. What stands in numbered order hangs on that order; a mean does
not. Each is as its own paper says, not as public code has it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

import torch
from torch import Tensor, nn

from phasemesh.contract.observation import POLICY_SIZE, SITE_SIZE, SUMMARY_SIZE
from phasemesh.trainer.actor_spec import ActorSpec, CommunicationKind, SiteSpec
from phasemesh.trainer.numbered import CELL_SIZE, WIDTH, Ego, NumberedNetwork, flat


class Outputs(Enum):
    """What becomes of the neighbours' recurrent outputs."""

    UNHEARD = auto()
    MEAN = auto()
    NUMBERED = auto()


class Hearing(NamedTuple):
    """What an agent hears of its neighbours' states and policies, each in numbered order, and of their outputs."""

    hears_states: bool
    hears_policies: bool
    outputs: Outputs


HEARINGS: dict[CommunicationKind, Hearing] = {
    CommunicationKind.OWN: Hearing(hears_states=False, hears_policies=False, outputs=Outputs.UNHEARD),
    CommunicationKind.IA2C: Hearing(hears_states=True, hears_policies=False, outputs=Outputs.UNHEARD),
    CommunicationKind.FPRINT: Hearing(hears_states=True, hears_policies=True, outputs=Outputs.UNHEARD),
    CommunicationKind.COMMNET: Hearing(hears_states=False, hears_policies=False, outputs=Outputs.MEAN),
    CommunicationKind.NEURCOMM: Hearing(hears_states=True, hears_policies=True, outputs=Outputs.NUMBERED),
}
"""Nobody (ConseNet), independent actor-critic (Chu et al., T-ITS 2020), the same with fingerprints of policies
(Foerster et al., ICML 2017), CommNet (Sukhbaatar et al., NeurIPS 2016), NeurComm (Chu et al., ICLR 2020)."""


class ListeningNetwork(NumberedNetwork):
    """One layer for what each kind of message says, side by side before the cell; a mean is added to the own state."""

    def __init__(self, spec: ActorSpec) -> None:
        """Make room for the largest of the sites."""
        hearing = HEARINGS[spec.communication]
        is_numbered = hearing.outputs is Outputs.NUMBERED
        super().__init__(spec, WIDTH * (1 + hearing.hears_policies + is_numbered))
        self.hearing = hearing
        self.neighbours = max(site.neighbours for site in spec.sites)
        states = self.neighbours * SUMMARY_SIZE if hearing.hears_states else 0
        self.state_layer = nn.Linear(self.state_size + states, WIDTH)
        self.site_layer = nn.Linear(SITE_SIZE, WIDTH, bias=False)
        if hearing.hears_policies:
            self.policy_layer = nn.Linear(self.neighbours * POLICY_SIZE, WIDTH)
        if hearing.outputs is not Outputs.UNHEARD:
            self.output_layer = nn.Linear(CELL_SIZE * (self.neighbours if is_numbered else 1), WIDTH)

    def fixed_sizes(self, site: SiteSpec) -> dict[str, int]:
        """Neighbours too, where they have numbers."""
        has_numbers = self.hearing.hears_states or self.hearing.outputs is Outputs.NUMBERED
        return super().fixed_sizes(site) | ({"K": site.neighbours} if has_numbers else {})

    def edge_logits(self, ego: Ego) -> Tensor:
        """As in `NumberedNetwork`: nothing is learned of edges."""
        constant = self.spec.mask.constant_logit
        if constant is None:
            raise RuntimeError("the networks of the baselines have no mask to learn")
        return ego.around[0].new_full(ego.around[0].shape[:-1], constant)

    def heard(self, ego: Ego, mask: Tensor, site: Tensor) -> Tensor:
        """As in `NumberedNetwork`."""
        summary, policy, outputs = (part * mask.unsqueeze(-1) for part in ego.around)
        state = ego.centre[0]
        if self.hearing.hears_states:
            state = torch.cat((state, flat(summary, self.neighbours)), dim=-1)
        units = [torch.relu(self.state_layer(state) + self.site_layer(site))]
        if self.hearing.hears_policies:
            units.append(torch.relu(self.policy_layer(flat(policy, self.neighbours))))
        if self.hearing.outputs is Outputs.NUMBERED:
            units.append(torch.relu(self.output_layer(flat(outputs, self.neighbours))))
        if self.hearing.outputs is Outputs.MEAN:
            mean = outputs.sum(dim=-2) / mask.sum(dim=-1, keepdim=True).clamp(min=1.0)
            units = [units[0] + self.output_layer(mean)]
        return torch.cat(units, dim=-1)
