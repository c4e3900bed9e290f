"""What makes one actor's network another's: small enough to lie in a checkpoint and to travel to workers."""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

from phasemesh.contract.units import IntersectionId

_CERTAIN_LOGIT = 64.0
"""Edge logit above every logistic noise; its sigmoid is 1 in single precision."""


class MaskKind(StrEnum):
    """What draws the ego-graph mask: the learned posterior, nothing (every neighbour is heard), or the prior alone."""

    BAYES = "bayes"
    OPEN = "open"
    RANDOM = "random"


class NetworkKind(StrEnum):
    """Which network scores the stages: one for every shape of intersection, BayesG's own, or that of its baselines."""

    UNIVERSAL = "universal"
    EGO_GCN = "ego-gcn"
    NUMBERED = "numbered"


class CommunicationKind(StrEnum):
    """What an agent hears: whom the ego-graph mask lets through, or with network `numbered` as in a baseline."""

    MASK = "mask"
    IA2C = "ia2c"
    FPRINT = "fprint"
    COMMNET = "commnet"
    NEURCOMM = "neurcomm"


class SharingKind(StrEnum):
    """Who has which weights: all the same, all the same beside an embedding of the site, or each its own."""

    FULL = "full"
    INDEX = "index"
    NONE = "none"


class SiteSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An intersection that an actor is made for, by its numbers of lanes, stages and neighbours (at least one row)."""

    name: IntersectionId
    lanes: int
    stages: int
    neighbours: int = 1


class MaskSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """How edges are masked. `prior` is the probability of a random mask, and told only for one.

    The posterior reads three things, each of which can be switched off: the state (own lanes and the neighbour's
    summary), the trajectory (recurrent states of both) and the policy (the neighbour's last one).
    """

    kind: MaskKind = MaskKind.BAYES
    prior: float = 0.5
    sees_state: bool = True
    sees_trajectory: bool = True
    sees_policy: bool = True

    @property
    def sees_everything(self) -> bool:
        """Whether no input of the posterior is switched off."""
        return self.sees_state and self.sees_trajectory and self.sees_policy

    @property
    def constant_logit(self) -> float | None:
        """The logit of every edge where nothing is learned, else None."""
        if self.kind is MaskKind.BAYES:
            return None
        return _CERTAIN_LOGIT if self.kind is MaskKind.OPEN else math.log(self.prior / (1.0 - self.prior))


class ActorSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Everything but its weights that an actor is made from.

    `sites` are those that it is made for, none for the universal network that all share.
    """

    network: NetworkKind = NetworkKind.UNIVERSAL
    sharing: SharingKind = SharingKind.FULL
    communication: CommunicationKind = CommunicationKind.MASK
    sites: tuple[SiteSpec, ...] = ()
    mask: MaskSpec = MaskSpec()


UNIVERSAL = ActorSpec()
"""The actor of every recipe that says nothing else."""
