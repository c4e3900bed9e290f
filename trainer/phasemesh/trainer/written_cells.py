"""Recurrent cells written out in plain operations, which can be computed for many sets of weights at once.

Those of torch are single operations that `torch.func.vmap` would call once a row. Names and shapes of the parameters
are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear


class WrittenGru(nn.GRUCell):
    """The gated recurrent unit. Source: Cho et al., EMNLP 2014, in the form of `torch.nn.GRUCell`."""

    def forward(self, units: Tensor, hx: Tensor | None = None) -> Tensor:
        """The next state [..., H] from units [..., I] and the state [..., H], zeros if None."""
        state = units.new_zeros(*units.shape[:-1], self.hidden_size) if hx is None else hx
        from_units = linear(units, self.weight_ih, self.bias_ih).chunk(3, dim=-1)
        from_state = linear(state, self.weight_hh, self.bias_hh).chunk(3, dim=-1)
        reset = torch.sigmoid(from_units[0] + from_state[0])
        kept = torch.sigmoid(from_units[1] + from_state[1])
        fresh = torch.tanh(from_units[2] + reset * from_state[2])
        return fresh + kept * (state - fresh)


class WrittenLstm(nn.LSTMCell):
    """Long short-term memory. Source: Hochreiter and Schmidhuber, 1997, in the form of `torch.nn.LSTMCell`."""

    def forward(self, units: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The next output and cell state [..., H] from units [..., I] and those before, zeros if None."""
        nothing = units.new_zeros(*units.shape[:-1], self.hidden_size)
        output, cell = (nothing, nothing) if hx is None else hx
        gates = linear(units, self.weight_ih, self.bias_ih) + linear(output, self.weight_hh, self.bias_hh)
        enters, stays, fresh, leaves = gates.chunk(4, dim=-1)
        following = torch.sigmoid(stays) * cell + torch.sigmoid(enters) * torch.tanh(fresh)
        return torch.sigmoid(leaves) * torch.tanh(following), following
