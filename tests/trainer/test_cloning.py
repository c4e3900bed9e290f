"""The warm start: an actor learns what a rule wants, and says so more surely when sharpened."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from trainer_towns import make_episode, random_views

from phasemesh.contract.errors import InputError
from phasemesh.contract.units import IntersectionId
from phasemesh.trainer.actor_spec import ActorSpec, SharingKind, SiteSpec
from phasemesh.trainer.cloning import clone, renew_edges, sharpen, wanted
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Lesson, batches, replay
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import Recipe, WarmStart
from phasemesh.trainer.sharing import make_actor
from phasemesh.trainer.teacher import check_teacher, taught_stage

pytestmark = pytest.mark.train


def test_an_actor_learns_what_its_teacher_wants() -> None:
    """On random traffic it agrees far more often after cloning than before."""
    torch.manual_seed(0)
    actor = UniversalActor()
    episode = make_episode(actor, ticks=160, teacher="approach", teacher_share=1.0)
    start = WarmStart(teacher="approach", epochs=1, rows_per_batch=24, segment_ticks=8)
    few, many = (Recipe(warm_start=msgspec.structs.replace(start, epochs=epochs)) for epochs in (1, 25))
    first = clone(actor, [episode], few, np.random.default_rng(0), torch.device("cpu"))
    last = clone(actor, [episode], many, np.random.default_rng(0), torch.device("cpu"))

    assert last.agreement > first.agreement + 0.15
    assert last.loss < first.loss


def test_cloning_teaches_the_edge_posterior_nothing() -> None:
    """A rule hears nobody: whether edges are open is not its to teach."""
    torch.manual_seed(0)
    actor = UniversalActor()
    before = [parameter.clone() for parameter in actor.edge_parameters()]
    episode = make_episode(actor, ticks=160, teacher="approach", teacher_share=1.0)
    recipe = Recipe(warm_start=WarmStart(teacher="approach", epochs=2, rows_per_batch=24, segment_ticks=8))
    clone(actor, [episode], recipe, np.random.default_rng(0), torch.device("cpu"))

    assert len(before) == 4
    assert all(torch.equal(old, new) for old, new in zip(before, actor.edge_parameters(), strict=True))


def test_an_edge_posterior_that_was_dead_tells_contexts_apart_again() -> None:
    """Units that are 0 everywhere give one probability and no gradient; drawn anew they give many, all near 0.5."""
    torch.manual_seed(0)
    actor = UniversalActor()
    episode = make_episode(actor, ticks=48)
    with torch.no_grad():
        actor.edge_layer.bias.fill_(-1e3)
    dead = _probabilities(actor, episode)
    renew_edges(actor, seed=5)
    alive = _probabilities(actor, episode)

    assert dead.std() == 0.0
    assert alive.std() > 0.001
    assert alive.min() > 0.3
    assert alive.max() < 0.7


@pytest.mark.parametrize("kind", [SharingKind.FULL, SharingKind.INDEX, SharingKind.NONE])
def test_edges_are_renewed_by_seed_whoever_shares_them(kind: SharingKind) -> None:
    """The same seed gives the same layers; nothing else of the actor moves."""
    sites = tuple(SiteSpec(name=IntersectionId(name), lanes=4, stages=3, neighbours=()) for name in "ab")
    actor = make_actor(ActorSpec(sharing=kind, sites=sites))
    before = {name: tensor.clone() for name, tensor in actor.state_dict().items()}
    drawn = []
    for seed in (1, 2, 1):
        renew_edges(actor, seed)
        drawn.append([parameter.clone() for parameter in actor.edge_parameters()])
    moved = {name for name, tensor in actor.state_dict().items() if not torch.equal(tensor, before[name])}

    assert all(torch.equal(first, again) for first, again in zip(drawn[0], drawn[2], strict=True))
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert moved
    assert all("edge_" in name for name in moved)


def _probabilities(actor: UniversalActor, episode: Episode) -> torch.Tensor:
    (batch,) = batches(_nothing_of(episode), np.random.default_rng(0), segment_ticks=48, rows=10_000)
    with torch.no_grad():
        return replay(actor, batch, 0.5).probability[batch.valid > 0]


def _nothing_of(episode: Episode) -> Lesson:
    nothing = np.zeros((episode.ticks - 1, len(episode.layout.names)), dtype=np.float32)
    return Lesson(episode, nothing, nothing)


def test_an_actor_learns_from_costs() -> None:
    """It comes to want what is cheap, in the end; decisions that nobody looked at teach it nothing."""
    torch.manual_seed(0)
    actor = UniversalActor()
    episode = make_episode(actor, ticks=48, teacher="approach", teacher_share=1.0)
    costs = np.where(episode.legal & (episode.costs > 0.0), np.float32(6.0), episode.costs)
    seen, unseen = (
        msgspec.structs.replace(episode, costs=each) for each in (costs, np.full_like(costs, np.float32(np.inf)))
    )
    start = WarmStart(rows_per_batch=24, segment_ticks=8)
    once, often = (Recipe(warm_start=msgspec.structs.replace(start, epochs=epochs)) for epochs in (1, 8))
    before = actor.stage_layer.weight.clone()
    untaught = clone(actor, [unseen], once, np.random.default_rng(0), torch.device("cpu"))

    assert untaught.loss == 0.0
    assert torch.equal(actor.stage_layer.weight, before)
    first = clone(actor, [seen], once, np.random.default_rng(0), torch.device("cpu"))
    last = clone(actor, [seen], often, np.random.default_rng(0), torch.device("cpu"))
    assert last.loss < first.loss
    assert last.agreement > first.agreement


def test_costs_become_wishes_that_fall_by_e_with_every_temperature() -> None:
    """A rule, which knows no other stage than its own, is certain; what nobody looked at has no wish at all."""
    inf = float("inf")
    shares = wanted(torch.tensor([[0.0, 5.0, inf], [inf, 0.0, inf], [inf, inf, inf]]), temperature_veh_s=5.0)

    torch.testing.assert_close(shares[0, 0] / shares[0, 1], torch.tensor(np.e, dtype=torch.float32))
    assert shares[1:].tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    assert shares[0, 2] == 0.0


def test_where_the_teacher_plays_its_wishes_are_played() -> None:
    """With a share of 1 at every tick, with 0 at no other than by chance."""
    torch.manual_seed(0)
    taught, own = (make_episode(UniversalActor(), ticks=60, teacher="approach", teacher_share=s) for s in (1.0, 0.0))

    assert (taught.stage == taught.taught).all()
    assert (own.stage != own.taught).any()


def test_a_teacher_wants_legal_stages_alone() -> None:
    """As on the street, where the guard would not let it have others."""
    random = np.random.default_rng(0)
    for _ in range(50):
        for view in random_views(random).values():
            assert view["action_mask"][taught_stage("approach-lost-time", view)]


def test_sharpened_scores_keep_their_order() -> None:
    """Every score is multiplied, the bias included."""
    torch.manual_seed(0)
    actor = UniversalActor()
    before = (actor.stage_score.weight.clone(), actor.stage_score.bias.clone())
    sharpen(actor, 3.0)

    torch.testing.assert_close(actor.stage_score.weight, 3.0 * before[0])
    torch.testing.assert_close(actor.stage_score.bias, 3.0 * before[1])


def test_an_unknown_teacher_is_refused_with_the_known_ones() -> None:
    """In one line."""
    with pytest.raises(InputError, match="approach-lost-time"):
        check_teacher("aproach")
