"""B10: what the edge posterior reads can be switched off, and the mask can be open or random, everywhere alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_networks import make_tensors
from torch import Tensor
from trainer_towns import make_episode

from phasemesh.contract.observation import HIDDEN_SIZE, POLICY_SIZE, SUMMARY_SIZE
from phasemesh.contract.tensors import PolicyFault
from phasemesh.controller.policy.session import OnnxPolicy
from phasemesh.export.onnx import export_onnx
from phasemesh.export.parity import measure_parity, parity_inputs
from phasemesh.trainer.actor_spec import ActorSpec, MaskKind, MaskSpec
from phasemesh.trainer.batched import decide, encode
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor, save_checkpoint
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.learners.ppo import Ppo
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import LearnerRecipe, MaskRecipe, Recipe, actor_spec
from phasemesh.trainer.weights import actor_with, weights_of

pytestmark = pytest.mark.train
SUMMARY = slice(0, SUMMARY_SIZE)
POLICY = slice(SUMMARY_SIZE, SUMMARY_SIZE + POLICY_SIZE)
HIDDEN = slice(SUMMARY_SIZE + POLICY_SIZE, None)
SWITCHES = ("sees_state", "sees_trajectory", "sees_policy")


def make_actor(**mask: object) -> UniversalActor:
    """An actor of seeded weights."""
    torch.manual_seed(4)
    return UniversalActor(ActorSpec(mask=MaskSpec(**mask)))


def gradients(actor: UniversalActor, *, is_batched: bool) -> dict[str, Tensor]:
    """What the posterior of all edges together hangs on, by part of the input."""
    tensors = {name: tensor.requires_grad_() for name, tensor in make_tensors().items()}
    lanes, hidden, messages = (tensors[name] for name in ("lanes", "hidden", "neighbour_messages"))
    probability = _batched(actor, tensors) if is_batched else actor(*tensors.values())[2]
    found = torch.autograd.grad(probability.sum(), (lanes, hidden, messages), allow_unused=True)
    own, memory, message = (
        torch.zeros_like(part) if each is None else each
        for each, part in zip(found, (lanes, hidden, messages), strict=True)
    )
    return {
        "sees_state": torch.cat((own.flatten(), message[:, SUMMARY].flatten())),
        "sees_trajectory": torch.cat((memory, message[:, HIDDEN].flatten())),
        "sees_policy": message[:, POLICY].flatten(),
    }


def _batched(actor: UniversalActor, tensors: dict[str, Tensor]) -> Tensor:
    lanes, shares, state, messages, valid, noise, hidden, _ = (tensor[None] for tensor in tensors.values())
    encoded = encode(actor, lanes, torch.ones(lanes.shape[:2]), shares, messages)
    legal = torch.ones(state.shape[:2], dtype=torch.bool)
    return decide(actor, encoded, state, legal, valid, noise, hidden, temperature=0.5).probability


@pytest.mark.parametrize("is_batched", [False, True])
@pytest.mark.parametrize("off", [(), *((name,) for name in SWITCHES), SWITCHES])
def test_b10_an_input_that_is_switched_off_has_no_gradient(off: tuple[str, ...], is_batched: bool) -> None:
    """Exactly none into the posterior, in rollouts and at the edge; the others keep theirs."""
    found = gradients(make_actor(**dict.fromkeys(off, False)), is_batched=is_batched)

    for name, gradient in found.items():
        assert bool(gradient.any()) == (name not in off), name


@pytest.mark.parametrize("off", SWITCHES)
def test_what_passes_the_mask_stays_whole(off: str) -> None:
    """The scores still hang on every part of the messages that are heard."""
    actor = make_actor(**{off: False})
    tensors = make_tensors()
    tensors["mask_noise"][:] = 1.0 - 1e-6
    tensors["neighbour_messages"].requires_grad_()
    logits, *_ = actor(*tensors.values())
    (gradient,) = torch.autograd.grad(logits.sum(), tensors["neighbour_messages"])

    assert all(gradient[:, part].any() for part in (SUMMARY, POLICY, HIDDEN))


def test_b10_a_random_mask_does_not_hang_on_the_weights() -> None:
    """It is Bernoulli(prior), whatever the actor; the noise alone decides."""
    tensors = make_tensors({"L": 4, "S": 3, "K": 20_000})
    first = make_actor(kind=MaskKind.RANDOM, prior=0.2)
    second = make_actor(kind=MaskKind.RANDOM, prior=0.2)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.normal_()
        found = [actor(*tensors.values()) for actor in (first, second)]

    assert torch.equal(found[0][3], found[1][3])
    assert found[0][3].mean().item() == pytest.approx(0.2, abs=0.01)
    torch.testing.assert_close(found[0][2], torch.full((20_000,), 0.2))
    probability = gradients(second, is_batched=True)
    assert not any(gradient.any() for gradient in probability.values())


@pytest.mark.parametrize("noise", [1e-6, 0.5, 1.0 - 1e-6])
def test_an_open_mask_hears_every_neighbour_that_is_valid(noise: float) -> None:
    """Under every noise, with probability 1."""
    tensors = make_tensors()
    tensors["neighbour_valid"][1] = 0.0
    tensors["mask_noise"][:] = noise
    _, _, probability, mask, _ = make_actor(kind=MaskKind.OPEN)(*tensors.values())

    assert probability.tolist() == mask.tolist() == [1.0, 0.0, 1.0]


SPECS = (
    MaskSpec(kind=MaskKind.OPEN),
    MaskSpec(kind=MaskKind.RANDOM, prior=0.3),
    MaskSpec(sees_policy=False),
    MaskSpec(sees_state=False, sees_trajectory=False),
)


@pytest.mark.parametrize("mask", SPECS)
def test_a_checkpoint_and_a_worker_know_the_mask(tmp_path: Path, mask: MaskSpec) -> None:
    """What is loaded decides as what was saved."""
    actor = UniversalActor(ActorSpec(mask=mask))
    core = Ppo(actor, Critic(), Recipe(), torch.device("cpu")).core
    save_checkpoint(tmp_path / CHECKPOINT_NAME, core, np.random.default_rng(0), iteration=1, elapsed_s=0.0)

    assert load_actor(tmp_path / CHECKPOINT_NAME)[0].spec == actor.spec
    assert actor_with(weights_of(actor)).spec == actor.spec


@pytest.mark.slow
@pytest.mark.parametrize("mask", SPECS)
def test_the_edge_masks_as_training_does(mask: MaskSpec) -> None:
    """Numbers and decisions of the exported graph are those of torch; what is constant is constant there too."""
    actor = make_actor(**{name: getattr(mask, name) for name in mask.__struct_fields__}).eval()
    policy = OnnxPolicy(export_onnx(actor))
    parity = measure_parity(actor, policy)

    assert (parity.max_abs < 1e-4, parity.changed_decisions) == (True, 0)
    constant = {MaskKind.OPEN: 1.0, MaskKind.RANDOM: mask.prior}.get(mask.kind)
    inputs = next(parity_inputs(0))
    output = policy.infer(inputs)
    assert not isinstance(output, PolicyFault)
    if constant is not None:
        np.testing.assert_allclose(output.mask_probability, constant * inputs.neighbour_valid, rtol=1e-6)


@pytest.mark.parametrize("kind", [MaskKind.OPEN, MaskKind.RANDOM])
def test_a_mask_that_does_not_learn_has_no_loss(kind: MaskKind) -> None:
    """And its network keeps its weights."""
    recipe = Recipe(mask=MaskRecipe(kind=kind, prior=0.2), learner=LearnerRecipe(segment_ticks=8, rows_per_batch=12))
    actor = UniversalActor(actor_spec(recipe))
    before = {name: tensor.clone() for name, tensor in actor.state_dict().items()}
    learner = Ppo(actor, Critic(), recipe, torch.device("cpu"))
    stats = learner.update([make_episode(actor, ticks=30)], np.random.default_rng(0), learns_policy=True)

    assert stats.mask_loss == 0.0
    changed = {name for name, tensor in actor.state_dict().items() if not torch.equal(tensor, before[name])}
    assert "message_layer.weight" in changed
    assert not any(name.startswith("edge") for name in changed)


def test_the_parts_of_a_message_are_those_of_the_contract() -> None:
    """Summary, policy and hidden state, in this order."""
    actor = make_actor(sees_policy=False)

    assert actor.seen_of_message.tolist() == [1.0] * SUMMARY_SIZE + [0.0] * POLICY_SIZE + [1.0] * HIDDEN_SIZE
