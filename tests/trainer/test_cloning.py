"""The warm start: an actor learns what a rule wants, and says so more surely when sharpened."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from trainer_towns import make_episode, random_views

from phasemesh.contract.errors import InputError
from phasemesh.trainer.cloning import clone, sharpen, wanted
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Lesson, batches, replay
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import Recipe, WarmStart
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


def test_cloning_leaves_the_mask_at_its_prior() -> None:
    """A rule hears nobody: whether edges are open is not its to teach, and a mask at 0 or 1 learns no more."""
    torch.manual_seed(0)
    actor = UniversalActor()
    with torch.no_grad():
        actor.edge_score.bias.fill_(-2.0)
    episode = make_episode(actor, ticks=160, teacher="approach", teacher_share=1.0)
    recipe = Recipe(warm_start=WarmStart(teacher="approach", epochs=25, rows_per_batch=24, segment_ticks=8))

    clone(actor, [episode], recipe, np.random.default_rng(0), torch.device("cpu"))

    (batch,) = batches(_nothing_of(episode), np.random.default_rng(0), segment_ticks=160, rows=10_000)
    with torch.no_grad():
        probability = replay(actor, batch, 0.5).probability[batch.valid > 0]
    assert (probability - recipe.mask.prior).abs().max() < 0.1


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
