"""Sharing: which intersections have which weights. One table; each row is one way from a spec to an actor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from phasemesh.contract.bundle import MAX_POLICIES
from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import SITE_SIZE, FloatArray
from phasemesh.contract.units import IntersectionId
from phasemesh.trainer.actor import Acting, Actor, Exported, Network, SharedActing
from phasemesh.trainer.actor_spec import ActorSpec, NetworkKind, SharingKind, SiteSpec
from phasemesh.trainer.attention_critic import AttentionCritic
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.ego_gcn import EgoGcn
from phasemesh.trainer.layout import Layout
from phasemesh.trainer.listening import ListeningNetwork
from phasemesh.trainer.networks import WIDTH, UniversalActor
from phasemesh.trainer.stacked import Stacked, StackedActing

_FIRST_SPREAD = 0.5
"""Standard deviation of an embedding before training."""

_FIRST_HYPER_SPREAD = 8.0
"""By how much the scores of the hyper-action are spread before training."""


class IndexedActor(Actor):
    """One set of weights and an embedding of each site, learned with them; an unknown site has zeros."""

    def __init__(self, spec: ActorSpec) -> None:
        """Begin with embeddings that hang on the sites' names alone."""
        super().__init__()
        self.spec = spec
        self.network = NETWORKS[spec.network](spec)
        self.table = nn.Parameter(torch.from_numpy(np.stack([_first_row(site.name) for site in spec.sites])))

    def acting(self, names: Sequence[IntersectionId]) -> Acting:
        """Every row with the embedding of its site."""
        unknown = len(self.spec.sites)
        places = {site.name: place for place, site in enumerate(self.spec.sites)}
        rows = torch.cat((self.table, self.table.new_zeros(1, SITE_SIZE)))
        return SharedActing(self.network, rows[[places.get(name, unknown) for name in names]])

    def exported(self) -> tuple[Exported, ...]:
        """Those of the one network."""
        return self.network.exported()

    def site_rows(self) -> dict[IntersectionId, tuple[float, ...]]:
        """The embeddings as they are now."""
        rows = self.table.detach().cpu().tolist()
        return {site.name: tuple(row) for site, row in zip(self.spec.sites, rows, strict=True)}

    def score_parameters(self) -> tuple[Tensor, ...]:
        """Those of the one network."""
        return self.network.score_parameters()

    def edge_parameters(self) -> tuple[Tensor, ...]:
        """Those of the one network."""
        return self.network.edge_parameters()


class SeparateActors(Actor):
    """A network of its own for every site; all of them are computed at once."""

    def __init__(self, spec: ActorSpec) -> None:
        """Draw the weights of one network after the other."""
        super().__init__()
        self.spec = spec
        self.networks: Stacked[Network] = Stacked([NETWORKS[spec.network](spec) for _ in spec.sites])

    def acting(self, names: Sequence[IntersectionId]) -> Acting:
        """Every row with the weights of its site."""
        return StackedActing(self.networks.rows(places_of(names, self.spec.sites)))

    def exported(self) -> tuple[Exported, ...]:
        """One policy a site."""
        return tuple(self._exported(place, site) for place, site in enumerate(self.spec.sites))

    def _exported(self, place: int, site: SiteSpec) -> Exported:
        network = NETWORKS[self.spec.network](self.spec)
        network.load_state_dict(self.networks.state_of(place))
        return Exported((site.name,), network, network.fixed_sizes(site))

    def score_parameters(self) -> tuple[Tensor, ...]:
        """Those of all networks, each as one tensor."""
        return tuple(self.networks.parameter(name) for name in self.networks.template.score_names)

    def edge_parameters(self) -> tuple[Tensor, ...]:
        """Those of all networks, each as one tensor."""
        return tuple(self.networks.parameter(name) for name in self.networks.template.edge_names)


def places_of(names: Sequence[IntersectionId], sites: Sequence[SiteSpec]) -> list[int]:
    """Where each of `names` stands among `sites`; raises InputError for one that is not there."""
    places = {site.name: place for place, site in enumerate(sites)}
    unknown = [name for name in names if name not in places]
    if unknown:
        raise InputError(
            f"there is no network for intersection {unknown[0]!r}: this actor has one for each of {len(sites)} others;"
            " train with sharing full or index"
        )
    return [places[name] for name in names]


def _first_row(name: IntersectionId) -> np.ndarray:
    """The embedding of a site before training: random, but always the same for a name."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little"))
    return (_FIRST_SPREAD * random.standard_normal(SITE_SIZE)).astype(np.float32)


class ConsensusActors(SeparateActors):
    """Networks whose recurrent cells neighbours agree on: after every update each takes the mean of its neighbourhood.

    All means are of the cells as they were (ConseNet: Zhang et al., ICML 2018), so that no order of agents matters.
    """

    def settle(self, layout: Layout) -> None:
        """Average the recurrent cells of neighbours in `layout`; nobody else's changes."""
        places = places_of(layout.names, self.spec.sites)
        weights = torch.from_numpy(neighbourhood_means(layout))
        with torch.no_grad():
            for name, parameter in self.networks.named_parameters():
                if name.startswith(_CELL):
                    cells = parameter[places]
                    parameter[places] = torch.einsum("ij,j...->i...", weights.to(cells), cells)


_CELL = "memory/"
"""How the names of a recurrent cell's parameters begin in a stack."""


def neighbourhood_means(layout: Layout) -> FloatArray:
    """Weights [A, A] under which each row is the mean of an agent and its neighbours."""
    is_near = (layout.hops >= 0) & (layout.hops <= 1)
    means: FloatArray = (is_near / is_near.sum(axis=1, keepdims=True)).astype(np.float32)
    return means


def _shared(spec: ActorSpec) -> Actor:
    return NETWORKS[spec.network](spec)


def _one_critic(spec: ActorSpec) -> Critic:
    return Critic(4 * WIDTH if spec.sharing is SharingKind.WIDE else 2 * WIDTH)


def _several_heads(spec: ActorSpec) -> Critic:
    return AttentionCritic(spec.heads)


def _critic_each(spec: ActorSpec) -> Critic:
    return SeparateCritics(spec.sites)


def _weighing(spec: ActorSpec) -> Actor:
    """An embedding of each site, and a hyper-action that tells sites apart from the beginning.

    As it is drawn it is so even that all heads learn the same thing and nothing is left to weigh.
    """
    actor = IndexedActor(spec)
    with torch.no_grad():
        actor.network.get_parameter("hyper_score.weight").mul_(_FIRST_HYPER_SPREAD)
    return actor


class Sharing(NamedTuple):
    """One way of sharing: what makes actor and critic of a spec, and what they have to know of sites.

    Those that tell sites apart are made for certain ones; those that keep them apart have a policy for each.
    """

    make_actor: Callable[[ActorSpec], Actor]
    make_critic: Callable[[ActorSpec], Critic]
    tells_sites_apart: bool = False
    keeps_sites_apart: bool = False


NETWORKS: dict[NetworkKind, Callable[[ActorSpec], Network]] = {
    NetworkKind.UNIVERSAL: UniversalActor,
    NetworkKind.EGO_GCN: EgoGcn,
    NetworkKind.NUMBERED: ListeningNetwork,
}
"""The networks, each by what makes it."""


def make_actor(spec: ActorSpec) -> Actor:
    """An untrained actor of `spec`; draws from torch's generator."""
    return SHARINGS[spec.sharing].make_actor(spec)


def make_critic(spec: ActorSpec) -> Critic:
    """An untrained critic for an actor of `spec`; draws from torch's generator."""
    return SHARINGS[spec.sharing].make_critic(spec)


class SeparateCritics(Critic):
    """A critic of its own for every site, as a network of its own has."""

    def __init__(self, sites: Sequence[SiteSpec]) -> None:
        """Draw the weights of one critic after the other."""
        nn.Module.__init__(self)
        self.sites = tuple(sites)
        self.critics: Stacked[Critic] = Stacked([Critic() for _ in sites])

    def judging(self, names: Sequence[IntersectionId]) -> Callable[..., Tensor]:
        """Every row with the critic of its site; inputs are [T, rows, ...]."""
        rows = self.critics.rows(places_of(names, self.sites))

        def judge(*reads: Tensor) -> Tensor:
            values: Tensor = vmap(
                lambda weights, *row: functional_call(rows.template, weights, row),
                in_dims=(0, *(1 for _ in reads)),
                out_dims=1,
            )(rows.weights, *reads)
            return values

        return judge


SHARINGS: dict[SharingKind, Sharing] = {
    SharingKind.FULL: Sharing(_shared, _one_critic),
    SharingKind.INDEX: Sharing(IndexedActor, _one_critic, tells_sites_apart=True),
    SharingKind.HYPER: Sharing(_weighing, _several_heads, tells_sites_apart=True),
    SharingKind.WIDE: Sharing(_shared, _one_critic),
    SharingKind.CONSENSUS: Sharing(ConsensusActors, _critic_each, tells_sites_apart=True, keeps_sites_apart=True),
    SharingKind.NONE: Sharing(SeparateActors, _critic_each, tells_sites_apart=True, keeps_sites_apart=True),
}
"""The ways of sharing, each by what makes actor and critic."""


def needs_sites(network: NetworkKind, sharing: SharingKind) -> bool:
    """Whether an actor is made for certain intersections, and not for any."""
    return network is not NetworkKind.UNIVERSAL or SHARINGS[sharing].tells_sites_apart


def check_sites(sharing: SharingKind, sites: Sequence[SiteSpec]) -> None:
    """Refuse sites that no actor can tell apart or no bundle has room for; raises InputError."""
    names = [site.name for site in sites]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"--scenarios: intersection {twice[0]!r} is in two of them, so that its weights or embedding would be one"
            " for both; train on one of them, or with sharing full"
        )
    if SHARINGS[sharing].keeps_sites_apart and len(sites) > MAX_POLICIES:
        raise InputError(
            f"--scenarios: {len(sites)} intersections with a network each are more than the {MAX_POLICIES} that a"
            " bundle holds; use sharing full or index"
        )
