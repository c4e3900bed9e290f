"""The universal actor: shapes, symmetries, and what each input can and cannot change."""

from __future__ import annotations

import pytest
import torch

from phasemesh.contract.tensors import INPUTS, OUTPUTS
from phasemesh.trainer.networks import UniversalActor, masked_mean, sample_mask

pytestmark = pytest.mark.train
SIZES = {"L": 6, "S": 4, "K": 3}
NAMES = [spec.name for spec in INPUTS]


@pytest.fixture(scope="module")
def actor() -> UniversalActor:
    """An untrained actor with seeded weights, large enough for inputs to matter."""
    torch.manual_seed(0)
    actor = UniversalActor().eval()
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.mul_(3.0)
    return actor


def make_tensors(sizes: dict[str, int] | None = None, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random inputs in the order of the contract; every neighbour is valid."""
    sizes = sizes or SIZES
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        spec.name: torch.rand(
            [size if isinstance(size, int) else sizes[size] for size in spec.shape], generator=generator
        )
        for spec in INPUTS
    }
    tensors["neighbour_valid"] = torch.ones(sizes["K"])
    return tensors


def run(actor: UniversalActor, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The outputs of `actor` by name."""
    with torch.no_grad():
        return dict(zip([spec.name for spec in OUTPUTS], actor(*tensors.values()), strict=True))


@pytest.mark.parametrize("sizes", [SIZES, {"L": 1, "S": 2, "K": 1}, {"L": 30, "S": 16, "K": 8}])
def test_outputs_have_the_shapes_of_the_contract(actor: UniversalActor, sizes: dict[str, int]) -> None:
    """For every shape of intersection, in float32."""
    outputs = run(actor, make_tensors(sizes))

    for spec in OUTPUTS:
        assert list(outputs[spec.name].shape) == [
            size if isinstance(size, int) else sizes[size] for size in spec.shape
        ], spec.name
        assert outputs[spec.name].dtype == torch.float32


def test_the_forward_pass_takes_the_inputs_of_the_contract_in_its_order() -> None:
    """Names of the parameters are those of the tensors."""
    code = UniversalActor.forward.__code__

    assert list(code.co_varnames[1 : code.co_argcount]) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "neighbour_valid"])
def test_every_input_can_change_the_scores(actor: UniversalActor, name: str) -> None:
    """No input is left unconnected, neighbours that the mask lets through and its noise included."""
    tensors = {**make_tensors(), "mask_noise": torch.full((SIZES["K"],), 1.0 - 1e-6)}
    for seed in range(1, 20):
        changed = {**tensors, name: make_tensors(seed=seed)[name]}
        if not torch.allclose(run(actor, changed)["stage_logits"], run(actor, tensors)["stage_logits"]):
            return

    pytest.fail(f"{name} changes nothing")


def test_an_invalid_neighbour_is_never_heard(actor: UniversalActor) -> None:
    """Its message changes no output, its mask and probability are zero under any noise."""
    tensors = make_tensors()
    tensors["neighbour_valid"][1] = 0.0
    tensors["mask_noise"][1] = 0.999
    changed = {**tensors, "neighbour_messages": tensors["neighbour_messages"].clone()}
    changed["neighbour_messages"][1] = 7.0

    first, second = run(actor, tensors), run(actor, changed)

    assert first["mask"][1] == first["mask_probability"][1] == 0.0
    for name, output in first.items():
        assert torch.equal(output, second[name]), name


def test_stages_are_scored_alike_whatever_their_order(actor: UniversalActor) -> None:
    """Stages permuted in the input are permuted in the output."""
    tensors = make_tensors()
    order = torch.tensor([2, 0, 3, 1])
    permuted = {**tensors, **{name: tensors[name][order] for name in ("stage_lanes", "stage_state")}}

    torch.testing.assert_close(run(actor, permuted)["stage_logits"], run(actor, tensors)["stage_logits"][order])


def test_the_order_of_lanes_and_neighbours_does_not_matter(actor: UniversalActor) -> None:
    """Both are sets to the actor."""
    tensors = make_tensors()
    lanes, peers = torch.randperm(SIZES["L"]), torch.tensor([2, 0, 1])
    permuted = {
        **tensors,
        "lanes": tensors["lanes"][lanes],
        "stage_lanes": tensors["stage_lanes"][:, lanes],
        **{name: tensors[name][peers] for name in ("neighbour_messages", "neighbour_valid", "mask_noise")},
    }

    found, expected = run(actor, permuted), run(actor, tensors)

    torch.testing.assert_close(found["stage_logits"], expected["stage_logits"])
    torch.testing.assert_close(found["mask"], expected["mask"][peers])


def test_the_recurrent_state_is_bounded_and_the_hyper_action_a_distribution(actor: UniversalActor) -> None:
    """A GRU state stays within (-1, 1); softmax sums to one."""
    outputs = run(actor, make_tensors())

    assert outputs["hidden_next"].abs().max() <= 1.0
    assert outputs["hyper_action"].min() >= 0.0
    torch.testing.assert_close(outputs["hyper_action"].sum(), torch.tensor(1.0))


@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.5])
def test_the_mask_is_a_bernoulli_sample_of_its_probability(logit: float) -> None:
    """Over evenly spread noise the share of ones is sigmoid(logit)."""
    noise = (torch.arange(10_000) + 0.5) / 10_000

    mask = sample_mask(torch.full((10_000,), logit), noise)

    assert set(mask.tolist()) <= {0.0, 1.0}
    assert mask.mean().item() == pytest.approx(torch.sigmoid(torch.tensor(logit)).item(), abs=2e-4)


def test_without_noise_the_mask_holds_what_is_more_likely_than_not() -> None:
    """Noise 0.5 is the deterministic mode, exactly."""
    logits = torch.tensor([-1e-6, 0.0, 1e-6, -30.0, 30.0])

    assert sample_mask(logits, torch.full((5,), 0.5)).tolist() == [0.0, 0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(("mask", "expected"), [([1, 1], [2, 3]), ([0, 1], [3, 4]), ([0, 0], [0, 0])])
def test_the_mean_of_the_neighbours_counts_those_in_the_mask(mask: list[int], expected: list[int]) -> None:
    """And is zero, not undefined, when there is none."""
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])

    assert masked_mean(rows, torch.tensor(mask, dtype=torch.float32)).tolist() == expected
