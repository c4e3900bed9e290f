"""What makes one actor's network another's: small enough to lie in a checkpoint and to travel to workers."""

from __future__ import annotations

import math
from enum import StrEnum

import msgspec

from phasemesh.contract.observation import HYPER_SIZE
from phasemesh.contract.units import IntersectionId

_CERTAIN_LOGIT = 64.0
"""Edge logit above every logistic noise; its sigmoid is 1 in single precision, and that of its opposite 0."""


class MaskKind(StrEnum):
    """What draws the ego-graph mask: the learned posterior, or the prior alone; or all are heard, or nobody."""

    BAYES = "bayes"
    OPEN = "open"
    CLOSED = "closed"
    RANDOM = "random"


class NetworkKind(StrEnum):
    """Which network scores the stages: one for every shape of intersection, BayesG's own, or that of its baselines."""

    UNIVERSAL = "universal"
    EGO_GCN = "ego-gcn"
    NUMBERED = "numbered"


class CommunicationKind(StrEnum):
    """What an agent hears: whom the ego-graph mask lets through, or with network `numbered` as in a baseline.

    With `own` it hears nobody.
    """

    MASK = "mask"
    OWN = "own"
    IA2C = "ia2c"
    FPRINT = "fprint"
    COMMNET = "commnet"
    NEURCOMM = "neurcomm"


class SharingKind(StrEnum):
    """Who has which weights: all the same, all the same beside an embedding of the site, or each its own.

    `hyper-action` is `index`, and values are weighed site by site from several heads of one critic; `wide` is `full`
    with twice as many units; with `consensus` each has its own, and neighbours' recurrent cells are averaged.
    """

    FULL = "full"
    INDEX = "index"
    HYPER = "hyper-action"
    WIDE = "wide"
    CONSENSUS = "consensus"
    NONE = "none"


UNIVERSAL_ONLY = frozenset({SharingKind.HYPER, SharingKind.WIDE})
"""Ways of sharing that only the universal network knows."""


class Mixing(StrEnum):
    """How the heads of the critic are weighed: as learned, by the strongest head alone, or all alike."""

    LEARNED = "learned"
    ARGMAX = "argmax"
    UNIFORM = "uniform"


class HeadsSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """The `count` heads that a hyper-action weighs, how it does so, and whether the critic looks at neighbours."""

    count: int = HYPER_SIZE
    mixing: Mixing = Mixing.LEARNED
    attends: bool = True


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
        if self.kind is MaskKind.RANDOM:
            return math.log(self.prior / (1.0 - self.prior))
        return {MaskKind.OPEN: _CERTAIN_LOGIT, MaskKind.CLOSED: -_CERTAIN_LOGIT}.get(self.kind)


class ActorSpec(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """Everything but its weights that an actor is made from.

    `sites` are those that it is made for, none for the universal network that all share. `heads` hang on the sharing
    `hyper-action`; all others leave them as they are.
    """

    network: NetworkKind = NetworkKind.UNIVERSAL
    sharing: SharingKind = SharingKind.FULL
    communication: CommunicationKind = CommunicationKind.MASK
    sites: tuple[SiteSpec, ...] = ()
    mask: MaskSpec = MaskSpec()
    heads: HeadsSpec = HeadsSpec()


UNIVERSAL = ActorSpec()
"""The actor of every recipe that says nothing else."""
