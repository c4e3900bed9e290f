"""Sharing: whoever has which weights, an actor plays, learns, is kept and exported alike."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from actor_kinds import KINDS, SITES, make_recipe, make_town_actor
from test_networks import make_tensors
from torch import Tensor
from trainer_towns import LAYOUT, make_episode

from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import HIDDEN_SIZE, LANE_FEATURES, MESSAGE_SIZE, STAGE_FEATURES
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.actor_spec import ActorSpec, NetworkKind, SharingKind, SiteSpec
from phasemesh.trainer.batched import ILLEGAL
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor, load_checkpoint, save_checkpoint
from phasemesh.trainer.cloning import sharpen
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.experience import Batch, Lesson, batches, replay
from phasemesh.trainer.learners.a2c import A2c
from phasemesh.trainer.sharing import SHARINGS, SeparateCritics, check_sites, make_actor, make_critic
from phasemesh.trainer.weights import actor_with, weights_of

pytestmark = pytest.mark.train
CPU = torch.device("cpu")
NAMES = LAYOUT.names


def unbatched(actor: Actor, name: str) -> tuple[torch.nn.Module, Tensor]:
    """The exported network of an intersection and its input `site`."""
    row = torch.tensor(actor.site_rows().get(name, (0.0,) * 8))
    return next(each.network for each in actor.exported() if not each.names or name in each.names), row


def town_inputs(seed: int) -> dict[str, dict[str, Tensor]]:
    """Inputs of every intersection of the town, unbatched; the last stage is not legal."""
    found = {}
    for index, site in enumerate(SITES):
        tensors = make_tensors({"L": site.lanes, "S": site.stages, "K": 2}, seed=10 * seed + index)
        tensors["stage_state"][:, 2] = (torch.arange(site.stages) < site.stages - 1).float()
        found[site.name] = tensors
    return found


def padded(parts: list[Tensor], *sizes: int) -> Tensor:
    """The `parts` as rows of one tensor, filled up with zeros."""
    rows = torch.zeros((len(parts), *sizes))
    for row, part in zip(rows, parts, strict=True):
        row[tuple(slice(size) for size in part.shape)] = part
    return rows


@pytest.mark.parametrize(("network", "sharing"), KINDS)
def test_batched_rows_are_the_unbatched_networks(network: NetworkKind, sharing: SharingKind) -> None:
    """In any order of the rows, one of them twice: every intersection with its weights and its site."""
    actor = make_town_actor(network, sharing)
    inputs, names = town_inputs(1), (NAMES[2], NAMES[0], NAMES[1], NAMES[0])
    rows = [inputs[name] for name in names]
    lanes, stages = LAYOUT.has_lane.shape[1], LAYOUT.has_stage.shape[1]
    with torch.no_grad():
        acting = actor.acting(names)
        encoded = acting.encode(
            padded([row["lanes"] for row in rows], lanes, len(LANE_FEATURES)),
            torch.stack([(torch.arange(lanes) < len(row["lanes"])).float() for row in rows]),
            padded([row["stage_lanes"] for row in rows], stages, lanes, 2),
            padded([row["neighbour_messages"] for row in rows], 2, MESSAGE_SIZE),
        )
        found = acting.decide(
            encoded,
            padded([row["stage_state"] for row in rows], stages, len(STAGE_FEATURES)),
            torch.stack([torch.arange(stages) < len(row["stage_state"]) for row in rows]),
            torch.ones(4, 2),
            torch.stack([row["mask_noise"] for row in rows]),
            torch.stack([row["hidden"] for row in rows]),
        )
        for index, name in enumerate(names):
            single, site = unbatched(actor, name)
            scores, hidden, probability, mask, _ = single(*{**rows[index], "site": site}.values())
            torch.testing.assert_close(found.scores[index, : len(scores)], scores, atol=2e-5, rtol=1e-5)
            torch.testing.assert_close(found.hidden[index], hidden, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(found.probability[index], probability, atol=1e-5, rtol=1e-5)
            assert torch.equal(found.mask[index], mask)
            assert (found.scores[index, len(scores) :] == ILLEGAL).all()


def lesson_of(actor: Actor, ticks: int = 40) -> Lesson:
    """An episode of `actor` in the town."""
    episode = make_episode(actor, ticks=ticks, message_loss=0.3)
    nothing = np.zeros((ticks - 1, len(NAMES)), dtype=np.float32)
    return Lesson(episode, nothing, nothing)


def only_batch(lesson: Lesson) -> Batch:
    """All of a lesson in segments of seven ticks."""
    (batch,) = batches(lesson, np.random.default_rng(0), segment_ticks=7, rows=10_000)
    return batch


@pytest.mark.parametrize(("network", "sharing"), KINDS)
def test_an_update_replays_what_was_played(network: NetworkKind, sharing: SharingKind) -> None:
    """Same weights, same log probabilities, whichever intersection stands in which row."""
    actor = make_town_actor(network, sharing)
    batch = only_batch(lesson_of(actor))
    with torch.no_grad():
        replayed = replay(actor, batch, 0.5)

    torch.testing.assert_close(replayed.taken(batch.stage), batch.log_probability, atol=1e-5, rtol=1e-5)


def test_separate_networks_learn_each_from_its_own_intersection() -> None:
    """What one did has no gradient in the weights of another; a shared network has it everywhere."""
    actor = make_town_actor(NetworkKind.UNIVERSAL, SharingKind.NONE)
    batch = only_batch(lesson_of(actor))
    is_first = torch.tensor([name == NAMES[0] for name in batch.agents])
    taken = replay(actor, batch, 0.5).taken(batch.stage)
    taken[:, is_first].sum().backward()

    gradients = [parameter.grad for parameter in actor.parameters() if parameter.grad is not None]
    assert all(not gradient[1:].any() for gradient in gradients)
    assert sum(bool(gradient[0].any()) for gradient in gradients) > 10


def test_separate_critics_judge_each_its_own_intersection() -> None:
    """Row by row as critics by themselves, and with gradients in those of their rows alone."""
    critic = make_critic(make_town_actor(NetworkKind.UNIVERSAL, SharingKind.NONE).spec)
    assert isinstance(critic, SeparateCritics)
    batch = only_batch(lesson_of(make_town_actor(NetworkKind.UNIVERSAL, SharingKind.NONE)))
    values = critic.judging(batch.agents)(*batch.critic)
    is_first = torch.tensor([name == NAMES[0] for name in batch.agents])
    values[:, is_first].sum().backward()

    for place, name in enumerate(NAMES):
        single = Critic()
        single.load_state_dict(critic.critics.state_of(place))
        rows = torch.tensor([agent == name for agent in batch.agents])
        expected = single(*(part[:, rows] for part in batch.critic))
        torch.testing.assert_close(values[:, rows], expected, atol=1e-5, rtol=1e-5)
    gradients = [parameter.grad for parameter in critic.parameters()]
    assert all(gradient is not None and not gradient[1:].any() for gradient in gradients)


def test_an_embedding_learns_from_its_own_site_alone() -> None:
    """And a site that the table does not know has zeros, as a network that all share."""
    actor = make_town_actor(NetworkKind.UNIVERSAL, SharingKind.INDEX)
    batch = only_batch(lesson_of(actor))
    is_first = torch.tensor([name == NAMES[0] for name in batch.agents])
    replay(actor, batch, 0.5).taken(batch.stage)[:, is_first].sum().backward()

    table = dict(actor.named_parameters())["table"]
    assert table.grad is not None
    assert table.grad[0].any()
    assert not table.grad[1:].any()
    acting = actor.acting(("elsewhere",))
    assert acting.site.tolist() == [[0.0] * 8]  # type: ignore[attr-defined] # that of SharedActing


def test_the_first_embedding_hangs_on_the_name_alone() -> None:
    """Not on the order of sites, nor on what else was drawn."""
    spec = ActorSpec(sharing=SharingKind.INDEX, sites=SITES)
    turned = ActorSpec(sharing=SharingKind.INDEX, sites=SITES[::-1])

    assert make_actor(spec).site_rows() == make_actor(turned).site_rows()
    assert len(set(make_actor(spec).site_rows().values())) == len(SITES)


@pytest.mark.parametrize(("network", "sharing"), KINDS)
def test_a_checkpoint_and_a_worker_make_the_same_actor(
    tmp_path: Path, network: NetworkKind, sharing: SharingKind
) -> None:
    """Kind, sites and every weight."""
    actor = make_town_actor(network, sharing)
    core = A2c(actor, Critic(), make_recipe(network, sharing), CPU).core
    save_checkpoint(tmp_path / CHECKPOINT_NAME, core, np.random.default_rng(0), iteration=2, elapsed_s=0.0)

    for found in (load_actor(tmp_path / CHECKPOINT_NAME)[0], actor_with(weights_of(actor))):
        assert found.spec == actor.spec
        expected = actor.state_dict()
        assert set(found.state_dict()) == set(expected)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.state_dict().items())


@pytest.mark.parametrize(("network", "sharing"), KINDS)
def test_two_updates_at_once_are_two_with_a_checkpoint_between(
    tmp_path: Path, network: NetworkKind, sharing: SharingKind
) -> None:
    """Bit for bit, whoever shares what; and the weights do change."""
    recipe = make_recipe(network, sharing)
    path = tmp_path / CHECKPOINT_NAME
    ends = []
    for is_interrupted in (False, True):
        learner = A2c(make_town_actor(network, sharing), Critic(), recipe, CPU)
        random = np.random.default_rng(5)
        first = {name: tensor.clone() for name, tensor in learner.core.actor.state_dict().items()}
        for iteration in range(2):
            learner.update([make_episode(learner.core.actor, ticks=24, seed=iteration)], random, learns_policy=True)
            if is_interrupted:
                save_checkpoint(path, learner.core, random, iteration=iteration, elapsed_s=0.0)
                learner = A2c(make_town_actor(network, sharing, seed=9), Critic(), recipe, CPU)
                random = np.random.default_rng(6)
                load_checkpoint(path, learner.core, random)
        ends.append(learner.core.actor.state_dict())
        assert any(not torch.equal(tensor, first[name]) for name, tensor in ends[-1].items())

    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


@pytest.mark.parametrize(("network", "sharing"), KINDS)
def test_sharpening_multiplies_the_last_layer_of_every_network(network: NetworkKind, sharing: SharingKind) -> None:
    """Whatever it is called and wherever it lies, and nothing else."""
    actor = make_town_actor(network, sharing)
    before = {name: tensor.clone() for name, tensor in actor.state_dict().items()}
    sharpen(actor, 3.0)

    changed = {name for name, tensor in actor.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name.replace("/", ".").rpartition(".")[2] for name in changed} == {"weight", "bias"}
    assert len(changed) == 2
    assert all(name.replace("/", ".").split(".")[-2] in {"stage_score", "head"} for name in changed)
    assert all(torch.equal(actor.state_dict()[name], 3.0 * before[name]) for name in changed)


def test_an_intersection_without_a_network_is_refused() -> None:
    """In one line that names it."""
    actor = make_town_actor(NetworkKind.EGO_GCN, SharingKind.NONE)

    with pytest.raises(InputError, match="no network for intersection 'elsewhere'"):
        actor.acting((NAMES[0], "elsewhere"))


def test_sites_that_cannot_be_told_apart_or_are_too_many_are_refused() -> None:
    """Before anything is played."""
    with pytest.raises(InputError, match="'a' is in two of them"):
        check_sites(SharingKind.INDEX, (*SITES, SiteSpec("a", 3, 2)))
    many = tuple(SiteSpec(str(number), 4, 2) for number in range(65))
    with pytest.raises(InputError, match="65 intersections"):
        check_sites(SharingKind.NONE, many)
    check_sites(SharingKind.INDEX, many)


def test_every_way_of_sharing_is_in_the_table() -> None:
    """One row each; the hidden state of all is that of the contract."""
    assert set(SHARINGS) == set(SharingKind)
    assert HIDDEN_SIZE == 64


def cells_of(actor: Actor) -> Tensor:
    """The recurrent cells of all networks, a row each."""
    stacks = [each.detach() for name, each in actor.named_parameters() if "memory/" in name]
    return torch.cat([each.flatten(1) for each in stacks], dim=1)


@pytest.mark.parametrize("network", NetworkKind)
def test_b9_consensus_takes_the_mean_of_every_neighbourhood_at_once(network: NetworkKind) -> None:
    """On a line of three, of the cells as they were: the last to be computed sees nobody's new ones."""
    actor = make_town_actor(network, SharingKind.CONSENSUS)
    first, second, third = cells_of(actor).clone()
    others = {name: each.clone() for name, each in actor.named_parameters() if "memory/" not in name}
    actor.settle(LAYOUT)

    expected = torch.stack(((first + second) / 2, (first + second + third) / 3, (second + third) / 2))
    torch.testing.assert_close(cells_of(actor), expected)
    assert all(torch.equal(each, others[name]) for name, each in actor.named_parameters() if name in others)


def test_b9_under_consensus_cells_contract_to_one() -> None:
    """Each round brings them nearer, and no other way of sharing does anything of the kind."""
    actor, separate = (
        make_town_actor(NetworkKind.NUMBERED, each) for each in (SharingKind.CONSENSUS, SharingKind.NONE)
    )
    kept = cells_of(separate).clone()
    spreads = []
    for _ in range(20):
        spreads.append(cells_of(actor).std(dim=0).mean().item())
        actor.settle(LAYOUT)
        separate.settle(LAYOUT)

    assert all(after < before for before, after in itertools.pairwise(spreads))
    assert spreads[-1] < 1e-3 * spreads[0]
    assert torch.equal(cells_of(separate), kept)


def test_hyper_action_has_the_parameters_of_one_network_and_wide_those_of_two_or_three() -> None:
    """Whatever the number of intersections; a network for each has as many times as many."""
    counts = {
        sharing: sum(each.numel() for each in make_town_actor(NetworkKind.UNIVERSAL, sharing).parameters())
        for sharing in SharingKind
    }

    assert counts[SharingKind.NONE] == counts[SharingKind.CONSENSUS] == 3 * counts[SharingKind.FULL]
    assert counts[SharingKind.FULL] < counts[SharingKind.HYPER] < 1.1 * counts[SharingKind.FULL]
    assert 1.8 * counts[SharingKind.FULL] < counts[SharingKind.WIDE] < 3.0 * counts[SharingKind.FULL]
