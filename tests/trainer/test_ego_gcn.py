"""B4 and the papers' own network: a convolution over the ego star that the mask opens and closes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from actor_kinds import SITES, make_town_actor
from test_networks import make_tensors
from torch import Tensor, nn

from phasemesh.contract.observation import POLICY_SIZE, SUMMARY_SIZE
from phasemesh.contract.tensors import OUTPUTS
from phasemesh.trainer.actor_spec import MaskKind, NetworkKind, SharingKind
from phasemesh.trainer.ego_gcn import EgoGcn, graph_convolution
from phasemesh.trainer.numbered import WIDTH
from phasemesh.trainer.written_cells import WrittenGru, WrittenLstm

pytestmark = pytest.mark.train
LARGEST = {"L": max(site.lanes for site in SITES), "S": max(site.stages for site in SITES)}
PARTS = {
    "sees_state": slice(0, SUMMARY_SIZE),
    "sees_policy": slice(SUMMARY_SIZE, SUMMARY_SIZE + POLICY_SIZE),
    "sees_trajectory": slice(SUMMARY_SIZE + POLICY_SIZE, None),
}


@pytest.fixture(scope="module")
def actor() -> EgoGcn:
    """The town's network, shared by all."""
    return make_gcn()


def make_gcn(**mask: object) -> EgoGcn:
    """The same with another mask."""
    actor = make_town_actor(NetworkKind.EGO_GCN, SharingKind.FULL, **mask)
    assert isinstance(actor, EgoGcn)
    return actor


def tensors_for(neighbours: int, noise: float | None = None, seed: int = 0) -> dict[str, Tensor]:
    """Random inputs for the largest site, all neighbours valid and all stages legal."""
    tensors = make_tensors({**LARGEST, "K": neighbours}, seed)
    tensors["stage_state"][:, 2] = 1.0
    if noise is not None:
        tensors["mask_noise"][:] = noise
    return tensors


def dense(layer: nn.Linear, centre: Tensor, around: Tensor, mask: Tensor) -> Tensor:
    """The centre's row of the convolution with the whole matrix: D^-1/2 (I + star) D^-1/2 (X W + b)."""
    adjacency = torch.eye(1 + len(mask))
    adjacency[0, 1:] = adjacency[1:, 0] = mask
    roots = adjacency.sum(dim=1).rsqrt()
    return torch.relu((roots[:, None] * adjacency * roots) @ layer(torch.cat((centre[None], around))))[0]


@pytest.mark.parametrize("mask", [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.3]])
def test_b4_a_masked_convolution_is_that_of_the_masked_graph(mask: list[float]) -> None:
    """All ones: the plain convolution over the star; all zeros: the centre's own features and nothing else."""
    layer = nn.Linear(5, 7)
    centre, around, weights = torch.rand(5), torch.rand(3, 5), torch.tensor(mask)
    found = graph_convolution(layer, centre, around, weights)

    torch.testing.assert_close(found, dense(layer, centre, around, weights))
    if not any(mask):
        assert torch.equal(found, torch.relu(layer(centre)))
        assert torch.equal(found, graph_convolution(layer, centre, around + 1.0, weights))


def test_b4_an_open_mask_and_a_mask_of_ones_are_the_same_network(actor: EgoGcn) -> None:
    """To the last digits; and with a mask of zeros no message matters."""
    unmasked = make_gcn(kind=MaskKind.OPEN)
    unmasked.load_state_dict(actor.state_dict())
    everybody, nobody = tensors_for(3, 1.0 - 1e-6), tensors_for(3, 1e-6)
    others = {**nobody, "neighbour_messages": nobody["neighbour_messages"] * 0.3}
    with torch.no_grad():
        actor.edge_score.weight.mul_(0.01)
        first, second = actor(*everybody.values()), unmasked(*everybody.values())
        alone, still_alone = actor(*nobody.values()), actor(*others.values())

    assert (first[3].tolist(), alone[3].tolist()) == ([1.0] * 3, [0.0] * 3)
    torch.testing.assert_close(first[0], second[0])
    assert torch.equal(alone[0], still_alone[0])
    assert not torch.equal(first[0], alone[0])


def test_outputs_have_the_shapes_of_the_contract(actor: EgoGcn) -> None:
    """For every site and any number of neighbours; the hyper-action is even."""
    for site in SITES:
        for neighbours in (1, 3):
            sizes = {"L": site.lanes, "S": site.stages, "K": neighbours}
            with torch.no_grad():
                outputs = actor(*make_tensors(sizes).values())
            for spec, output in zip(OUTPUTS, outputs, strict=True):
                assert list(output.shape) == [size if isinstance(size, int) else sizes[size] for size in spec.shape]
            assert outputs[4].tolist() == [0.125] * 8


@pytest.mark.parametrize("off", list(PARTS))
def test_b10_an_input_that_is_switched_off_has_no_gradient(off: str) -> None:
    """Into the posterior; the others keep theirs."""
    tensors = {name: tensor.requires_grad_() for name, tensor in tensors_for(3).items()}
    probability = make_gcn(**{off: False})(*tensors.values())[2]
    names = ("lanes", "stage_state", "hidden", "neighbour_messages")
    found = torch.autograd.grad(probability.sum(), [tensors[name] for name in names], allow_unused=True)
    lanes, state, hidden, messages = (None if part is None or not part.any() else part for part in found)

    assert (lanes is None, state is None, hidden is None) == (off == "sees_state",) * 2 + (off == "sees_trajectory",)
    assert messages is not None
    for name, part in PARTS.items():
        assert bool(messages[:, part].any()) == (name != off), name


def test_a_site_whose_stages_may_not_be_asked_for_has_no_last_policy(actor: EgoGcn) -> None:
    """The policy is one over the stages that may, and never a number that is none."""
    legal = torch.tensor([1.0, 0.0, 1.0, 0.0])
    with torch.no_grad():
        some, none = actor.last_policy(torch.rand(32), legal), actor.last_policy(torch.rand(32), legal * 0.0)

    assert some.shape == (POLICY_SIZE,)
    assert some.sum().item() == pytest.approx(1.0)
    assert not some[[1, 3]].any()
    assert not none.any()


@pytest.mark.parametrize(("plain", "written"), [(nn.GRUCell, WrittenGru), (nn.LSTMCell, WrittenLstm)])
def test_written_cells_are_those_of_torch(plain: type[nn.GRUCell], written: type[nn.GRUCell]) -> None:
    """Same names, same numbers, in a row and in several, with a state and without."""
    torch.manual_seed(1)
    cell = plain(6, 4)
    other = written(6, 4)
    other.load_state_dict(cell.state_dict())
    units, state = torch.randn(5, 6), torch.randn(5, 4)
    states = (state, state * 0.5) if plain is nn.LSTMCell else state

    torch.testing.assert_close(other(units, states), cell(units, states))
    torch.testing.assert_close(other(units[0]), cell(units[0]))
    assert WIDTH == 64
    assert np.isfinite(other(units * 100.0)[0].detach().numpy()).all()
