"""Several networks of one kind computed at once: weights in stacks, of which each row of a batch takes its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from phasemesh.trainer.actor import Decided, Network

Template = TypeVar("Template", bound=nn.Module)


class Stacked(nn.Module, Generic[Template]):
    """The weights of networks of one kind, [networks, ...] each; dots in their names have become strokes."""

    template: Template

    def __init__(self, networks: Sequence[Template]) -> None:
        """Take the weights of `networks` as they are."""
        super().__init__()
        # Kept out of the module's children: its own weights are never used.
        object.__setattr__(self, "template", networks[0])
        self._names = [name for name, _ in networks[0].named_parameters()]
        for name in self._names:
            stack = torch.stack([network.get_parameter(name).detach() for network in networks])
            self.register_parameter(_flat(name), nn.Parameter(stack))
        for name, buffer in networks[0].named_buffers():
            self.register_buffer(_flat(name), buffer, persistent=False)

    def parameter(self, name: str) -> nn.Parameter:
        """The stack of one parameter of the networks."""
        return self.get_parameter(_flat(name))

    def rows(self, places: Sequence[int]) -> StackedRows[Template]:
        """The weights of the networks at `places`, one network a row."""
        index = torch.tensor(places, device=self.parameter(self._names[0]).device)
        buffers = {name: self.get_buffer(_flat(name)) for name, _ in self.template.named_buffers()}
        return StackedRows(self.template, {name: self.parameter(name)[index] for name in self._names}, buffers)

    def state_of(self, place: int) -> dict[str, Tensor]:
        """The weights of one network under its own names."""
        return {name: self.parameter(name)[place].detach().cpu() for name in self._names}


class StackedRows(NamedTuple, Generic[Template]):
    """The weights of each row's network [B, ...], and what all networks have in common."""

    template: Template
    weights: dict[str, Tensor]
    buffers: dict[str, Tensor]


class StackedActing(NamedTuple):
    """A network of its own for every row; see `Acting`."""

    rows: StackedRows[Network]

    def encode(self, lanes: Tensor, has_lane: Tensor, stage_lanes: Tensor, messages: Tensor) -> Any:  # noqa: ANN401
        """As in `Acting`; rows are the last dimension before those of a row itself, time stands before them."""
        axes = (0, lanes.dim() - 3, has_lane.dim() - 2, stage_lanes.dim() - 4, messages.dim() - 3)
        encode = vmap(self._encode_row, in_dims=axes, out_dims=lanes.dim() - 3)
        return encode(self.rows.weights, lanes, has_lane, stage_lanes, messages)

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

        def decide_row(weights: dict[str, Tensor], *inputs: Any) -> Decided:  # noqa: ANN401 (as in `Acting`)
            caller = _Decide(self.rows.template)
            decided: Decided = _called(caller, weights, self.rows.buffers, inputs, {"temperature": temperature})
            return decided

        decided: Decided = vmap(decide_row)(self.rows.weights, encoded, stage_state, legal, valid, noise, hidden)
        return decided

    def hyper(self, hidden: Tensor) -> Tensor:
        """As in `Acting`."""

        def weigh_row(weights: dict[str, Tensor], row: Tensor) -> Tensor:
            weighed: Tensor = _called(_Hyper(self.rows.template), weights, self.rows.buffers, (row,), {})
            return weighed

        weighed: Tensor = vmap(weigh_row)(self.rows.weights, hidden)
        return weighed

    def _encode_row(self, weights: dict[str, Tensor], *inputs: Tensor) -> Any:  # noqa: ANN401 (as in `Acting`)
        return _called(_Encode(self.rows.template), weights, self.rows.buffers, inputs, {})


class _Encode(nn.Module):
    """The encoding of a network as a forward pass, which is what can be called with other weights."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Any:  # noqa: ANN401 (as in `Acting`)
        """As in `Network.encode`."""
        return self.network.encode(*inputs)


class _Decide(nn.Module):
    """The decision of a network as a forward pass."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Any, temperature: float | None) -> Decided:  # noqa: ANN401 (as in `Acting`)
        """As in `Network.decide`."""
        return self.network.decide(*inputs, temperature=temperature)


class _Hyper(nn.Module):
    """The hyper-action of a network as a forward pass."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, hidden: Tensor) -> Tensor:
        """As in `Network.hyper`."""
        return self.network.hyper(hidden)


def _called(
    caller: nn.Module,
    weights: dict[str, Tensor],
    buffers: dict[str, Tensor],
    inputs: tuple[Any, ...],
    options: dict[str, Any],
) -> Any:  # noqa: ANN401 (as in `Acting`)
    state = {f"network.{name}": tensor for part in (weights, buffers) for name, tensor in part.items()}
    return functional_call(caller, state, inputs, options)


def _flat(name: str) -> str:
    return name.replace(".", "/")
