"""What every actor is to those who play, teach, keep and export it, whatever its network and whoever shares it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from phasemesh.contract.observation import HYPER_SIZE
from phasemesh.contract.units import IntersectionId
from phasemesh.trainer.actor_spec import ActorSpec, SiteSpec
from phasemesh.trainer.layout import Layout

EDGE_LAYERS = ("edge_layer.weight", "edge_layer.bias", "edge_score.weight", "edge_score.bias")
"""The edge posterior of every network that has one."""

ActorOutput = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""The outputs of the contract in its order: stage logits, next hidden state, mask probability, mask, hyper-action."""


class Decided(NamedTuple):
    """One tick: scores [..., S], next recurrent state [..., H], edge posterior and its sample [..., K].

    Stages that are not legal have a score that leaves them no probability; neighbours that are not valid have mask 0.
    """

    scores: Tensor
    hidden: Tensor
    probability: Tensor
    mask: Tensor


class Acting(Protocol):
    """An actor that knows which intersection each row of its inputs is; padding is told as in `batched`."""

    def encode(self, lanes: Tensor, has_lane: Tensor, stage_lanes: Tensor, messages: Tensor) -> Any:  # noqa: ANN401
        """What does not hang on the recurrent state; a named tuple of tensors."""

    def decide(
        self,
        encoded: Any,  # noqa: ANN401 (what `encode` gave, which differs from network to network)
        stage_state: Tensor,
        legal: Tensor,
        valid: Tensor,
        noise: Tensor,
        hidden: Tensor,
        *,
        temperature: float | None = None,
    ) -> Decided:
        """One tick; with a `temperature` the hard mask passes the gradient of the relaxed one."""

    def hyper(self, hidden: Tensor) -> Tensor:
        """The weights over value heads [..., k] that go with the recurrent states after a tick, `hidden` [..., H]."""


class Exported(NamedTuple):
    """One policy of a bundle: whom it is for (nobody means everybody), and the sizes that its graph is bound to."""

    names: tuple[IntersectionId, ...]
    network: Network
    sizes: dict[str, int]


class Actor(nn.Module, ABC):
    """Weights and what they are for."""

    spec: ActorSpec

    @abstractmethod
    def acting(self, names: Sequence[IntersectionId]) -> Acting:
        """This actor for rows that are the intersections `names`.

        Raises:
            InputError: It has no weights for one of them.
        """

    @abstractmethod
    def exported(self) -> tuple[Exported, ...]:
        """The policies of a bundle that does what this actor does."""

    def site_rows(self) -> dict[IntersectionId, tuple[float, ...]]:
        """The input `site` of every intersection that has one of its own."""
        return {}

    @abstractmethod
    def score_parameters(self) -> tuple[Tensor, ...]:
        """The last layer before the scores."""

    @abstractmethod
    def edge_parameters(self) -> tuple[Tensor, ...]:
        """Weight and bias of each layer of the edge posterior, in turn; nothing where there is none."""

    def settle(self, layout: Layout) -> None:
        """After an update: what neighbours of `layout` have to agree on among each other."""


class Network(Actor):
    """One set of weights, which all intersections share as it stands; the forward pass is that of the contract."""

    score_names: ClassVar[tuple[str, ...]]
    """Names of the parameters of the last layer."""
    edge_names: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters of the edge posterior, in the order of `edge_parameters`."""

    @abstractmethod
    def encode(self, lanes: Tensor, has_lane: Tensor, stage_lanes: Tensor, messages: Tensor) -> Any:  # noqa: ANN401
        """As in `Acting`."""

    @abstractmethod
    def decide(
        self,
        encoded: Any,  # noqa: ANN401 (as in `Acting`)
        stage_state: Tensor,
        legal: Tensor,
        valid: Tensor,
        noise: Tensor,
        hidden: Tensor,
        site: Tensor | None = None,
        *,
        temperature: float | None = None,
    ) -> Decided:
        """As in `Acting`; `site` [..., E] is the embedding of the site, zeros if None."""

    def hyper(self, hidden: Tensor) -> Tensor:
        """As in `Acting`; even where there is nothing to weigh."""
        return hidden.new_full((*hidden.shape[:-1], HYPER_SIZE), 1.0 / HYPER_SIZE)

    @abstractmethod
    def fixed_sizes(self, site: SiteSpec) -> dict[str, int]:
        """The sizes that a graph for `site` is bound to, by the letters of the contract."""

    def acting(self, names: Sequence[IntersectionId]) -> Acting:  # noqa: ARG002 (others need them)
        """The same weights for every row."""
        return SharedActing(self, None)

    def exported(self) -> tuple[Exported, ...]:
        """One graph, or one a shape where a graph is bound to its shape."""
        alike: dict[tuple[tuple[str, int], ...], list[IntersectionId]] = {}
        for site in self.spec.sites:
            alike.setdefault(tuple(self.fixed_sizes(site).items()), []).append(site.name)
        if not any(alike):
            return (Exported((), self, {}),)
        return tuple(Exported(tuple(names), self, dict(sizes)) for sizes, names in alike.items())

    def score_parameters(self) -> tuple[Tensor, ...]:
        """Those of `score_names`."""
        return tuple(self.get_parameter(name) for name in self.score_names)

    def edge_parameters(self) -> tuple[Tensor, ...]:
        """Those of `edge_names`."""
        return tuple(self.get_parameter(name) for name in self.edge_names)


class SharedActing(NamedTuple):
    """One network for all rows, with the embedding of each row's site [B, E] where there is one."""

    network: Network
    site: Tensor | None

    def encode(self, lanes: Tensor, has_lane: Tensor, stage_lanes: Tensor, messages: Tensor) -> Any:  # noqa: ANN401
        """As in `Acting`."""
        return self.network.encode(lanes, has_lane, stage_lanes, messages)

    def decide(
        self,
        encoded: Any,  # noqa: ANN401 (as in `Acting`)
        stage_state: Tensor,
        legal: Tensor,
        valid: Tensor,
        noise: Tensor,
        hidden: Tensor,
        *,
        temperature: float | None = None,
    ) -> Decided:
        """As in `Acting`."""
        return self.network.decide(
            encoded, stage_state, legal, valid, noise, hidden, self.site, temperature=temperature
        )

    def hyper(self, hidden: Tensor) -> Tensor:
        """As in `Acting`."""
        return self.network.hyper(hidden)
