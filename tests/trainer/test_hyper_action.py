"""H2 to H5, H11, H14: the hyper-action learns through the value, and reaches no stage."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from actor_kinds import SITES
from torch import Tensor, nn
from trainer_towns import make_episode

from phasemesh.contract.hyper_profile import js_distance
from phasemesh.contract.observation import HIDDEN_SIZE, LANE_FEATURES, MESSAGE_SIZE, STAGE_FEATURES
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.actor_spec import MaskKind, Mixing, SharingKind
from phasemesh.trainer.alarms import WINDOW, Alarm, hyper_alarms_of
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Batch, Lesson, batches, replay
from phasemesh.trainer.heads import mixed_value, weights_entropy
from phasemesh.trainer.learners.learner import Core, Stats, hyper_entropy_weight
from phasemesh.trainer.learners.ppo import Ppo
from phasemesh.trainer.recipe import (
    HeadsRecipe,
    LearnerRecipe,
    MaskRecipe,
    Recipe,
    SharingRecipe,
    actor_spec,
    find_recipe,
)
from phasemesh.trainer.sharing import make_actor, make_critic

pytestmark = pytest.mark.train
CPU = torch.device("cpu")
HEADS = (1, 8, 32, 64)


def make_recipe(heads: dict[str, Any] | None = None, **learner: Any) -> Recipe:
    """HAMH-PPO for small episodes."""
    values = {"segment_ticks": 8, "rows_per_batch": 12, "epochs": 1, "share_per_epoch": 1.0, **learner}
    return Recipe(
        learner=LearnerRecipe(**values),
        sharing=SharingRecipe(kind=SharingKind.HYPER),
        heads=HeadsRecipe(**heads or {}),
        mask=MaskRecipe(kind=MaskKind.CLOSED),
    )


def make_learner(recipe: Recipe, seed: int = 0) -> Ppo:
    """Actor and critic of `recipe` for the town, untrained."""
    torch.manual_seed(seed)
    spec = actor_spec(recipe, SITES)
    return Ppo(make_actor(spec), make_critic(spec), recipe, CPU)


def batch_of(episode: Episode, target: np.ndarray | None = None) -> Batch:
    """All of an episode as one batch, with `target` [T - 1, A] as returns."""
    nothing = np.zeros((episode.ticks - 1, len(SITES)), dtype=np.float32)
    lesson = Lesson(episode, nothing, nothing if target is None else target.astype(np.float32))
    (batch,) = batches(lesson, np.random.default_rng(0), segment_ticks=episode.ticks - 1, rows=10_000)
    return batch


def no_lessons(_core: Core, episodes: list[Episode]) -> list[Lesson]:
    """Lessons in which nothing is better than anything."""
    nothing = [np.zeros((each.ticks - 1, len(SITES)), dtype=np.float32) for each in episodes]
    return [Lesson(each, rows, rows) for each, rows in zip(episodes, nothing, strict=True)]


def hyper_of(actor: Actor, episode: Episode) -> Tensor:
    """The weights that `actor` has now in what was played."""
    with torch.no_grad():
        return replay(actor, batch_of(episode), 0.5).hyper


def test_h2_one_head_is_the_critic_without_a_hyper_action() -> None:
    """Weight 1, no entropy, and to a millionth the loss of the head alone."""
    core = make_learner(make_recipe({"count": 1})).core
    episode = make_episode(core.actor)
    batch = batch_of(episode, np.random.default_rng(0).normal(size=(23, 3)))
    with torch.no_grad():
        replayed = replay(core.actor, batch, 0.5)
        judged = core.judge(batch, replayed)
    plain = nn.functional.smooth_l1_loss(judged.heads[..., 0], core.scale.normalised(batch.target))

    assert (replayed.hyper == 1.0).all()
    assert (weights_entropy(replayed.hyper) == 0.0).all()
    assert judged.loss.item() == pytest.approx(plain.item(), abs=1e-6)


@pytest.mark.parametrize("learns_policy", [True, False])
def test_h3_without_advantage_and_error_an_update_makes_weights_more_even(
    monkeypatch: pytest.MonkeyPatch, learns_policy: bool
) -> None:
    """The bonus has the sign that its name promises, also while the critic learns alone."""
    learner = make_learner(make_recipe({"entropy_weight": 1.0}, value_weight=0.0, entropy_weight=0.0))
    monkeypatch.setattr(Core, "lessons", no_lessons)
    network = learner.core.actor.network  # type: ignore[union-attr] # that of IndexedActor
    with torch.no_grad():
        network.hyper_score.weight.mul_(20.0)
    episode = make_episode(learner.core.actor)
    before = weights_entropy(hyper_of(learner.core.actor, episode)).mean()

    learner.update([episode], np.random.default_rng(0), learns_policy=learns_policy)

    assert weights_entropy(hyper_of(learner.core.actor, episode)).mean() > before + 1e-4


@pytest.mark.parametrize(("has_index", "error"), [(True, (0.0, 0.1)), (False, (24.9, 25.1))])
def test_h4_two_sites_that_see_the_same_need_an_embedding_to_be_valued_apart(
    has_index: bool, error: tuple[float, float]
) -> None:
    """Returns of 0 and 10, two heads: the squared error vanishes with the index and stays 25 without it."""
    learner = make_learner(make_recipe({"count": 2}))
    names = (SITES[0].name, SITES[2].name) if has_index else ("unknown", "nobody")
    acting = learner.core.actor.acting(names)
    target, heads = torch.tensor([0.0, 10.0]), torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.Adam([*learner.core.actor.parameters(), heads], lr=0.05)
    loss = torch.tensor(0.0)
    for _ in range(400):
        hidden = same_situation(acting)
        loss = nn.functional.mse_loss(mixed_value(heads, acting.hyper(hidden.detach())), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    assert error[0] <= loss.item() <= error[1]


@pytest.mark.parametrize(("sees_more", "is_apart"), [(0.0, False), (0.5, True)])
def test_h11_sites_that_are_not_told_apart_weigh_alike_when_they_see_the_same(
    sees_more: float, *, is_apart: bool
) -> None:
    """No distance at all on identical traffic, and some where one has more of it."""
    acting = make_learner(make_recipe()).core.actor.acting(("unknown", "nobody"))
    with torch.no_grad():
        first, second = acting.hyper(same_situation(acting, sees_more)).numpy()

    assert (js_distance(first, second) > 1e-3) == is_apart
    assert np.array_equal(first, second) != is_apart


def same_situation(acting: Any, sees_more: float = 0.0) -> Tensor:
    """The recurrent states of two intersections that see the same four lanes and two stages, but for `sees_more`."""
    lanes, stages = torch.full((2, 4, len(LANE_FEATURES)), 0.3), torch.full((2, 2, len(STAGE_FEATURES)), 0.2)
    lanes[1] += sees_more
    encoded = acting.encode(lanes, torch.ones(2, 4), torch.full((2, 2, 4, 2), 0.5), torch.zeros(2, 1, MESSAGE_SIZE))
    legal, valid = torch.ones(2, 2, dtype=torch.bool), torch.zeros(2, 1)
    decided = acting.decide(encoded, stages, legal, valid, torch.full((2, 1), 0.5), torch.zeros(2, HIDDEN_SIZE))
    hidden: Tensor = decided.hidden
    return hidden


@pytest.mark.parametrize("count", HEADS)
def test_h5_other_weights_of_the_hyper_action_change_no_decision(count: int) -> None:
    """Probabilities of stages are the same to the bit, in what is played and in what is learned from it."""
    learner = make_learner(make_recipe({"count": count}))
    actor = learner.core.actor
    episode = make_episode(actor)
    with torch.no_grad():
        before = replay(actor, batch_of(episode), 0.5).log_policy
        actor.network.hyper_score.weight.normal_(std=3.0)  # type: ignore[union-attr,operator] # that of IndexedActor
        after = replay(actor, batch_of(episode), 0.5).log_policy
    again = make_episode(actor)

    assert torch.equal(before, after)
    assert np.array_equal(again.stage, episode.stage)
    assert np.array_equal(again.log_probability, episode.log_probability)
    assert (count == 1) == np.array_equal(again.hyper, episode.hyper)


def test_the_value_changes_the_hyper_action_and_nothing_that_acts() -> None:
    """The gradient of the loss of the value ends at the last layer before the weights."""
    core = make_learner(make_recipe()).core
    batch = batch_of(make_episode(core.actor), np.random.default_rng(0).normal(size=(23, 3)))
    core.judge(batch, replay(core.actor, batch, 0.5)).loss.backward()
    learned = {name for name, each in core.actor.named_parameters() if each.grad is not None and each.grad.any()}

    assert learned == {"network.hyper_score.weight", "network.hyper_score.bias"}
    assert all(each.grad is not None and each.grad.any() for each in (core.critic.value.weight,))


def test_the_advantage_moves_no_weight_of_the_hyper_action(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values in it are constants: it would learn to lower what the sampled actions are compared with."""
    learner = make_learner(make_recipe({"entropy_weight": 0.0, "final_entropy_weight": 0.0}, value_weight=0.0))
    lessons = [
        Lesson(each.episode, np.random.default_rng(3).normal(size=(23, 3)).astype(np.float32), each.target)
        for each in no_lessons(learner.core, [make_episode(learner.core.actor)])
    ]
    monkeypatch.setattr(Core, "lessons", lambda _core, _episodes: lessons)
    before = {name: each.clone() for name, each in learner.core.actor.state_dict().items()}

    learner.update([lessons[0].episode], np.random.default_rng(0), learns_policy=True)

    changed = {name for name, each in learner.core.actor.state_dict().items() if not torch.equal(each, before[name])}
    assert not any("hyper_score" in name for name in changed)
    assert "network.stage_score.weight" in changed


def test_values_of_the_lesson_are_weighed_as_they_were_played() -> None:
    """At every tick, the last included, with the recurrent state after it (no history one step short)."""
    learner = make_learner(make_recipe({"count": 8}))
    episode = make_episode(learner.core.actor)

    torch.testing.assert_close(
        hyper_of(learner.core.actor, episode).flatten(0, 1), torch.from_numpy(episode.hyper[:-1]).flatten(0, 1)
    )
    assert episode.hyper.shape == (24, 3, 8)


def make_stats(**changes: float) -> Stats:
    """A healthy update with eight heads but for `changes`."""
    healthy = dict.fromkeys(Stats.__struct_fields__, 0.5) | {"heads": 8.0}
    return Stats(**healthy | changes)


@pytest.mark.parametrize(
    ("changes", "alarm"),
    [
        ({"hyper_evenness": 0.991}, Alarm.HYPER_UNIFORM),
        ({"hyper_evenness": 0.009}, Alarm.HYPER_ONE_HOT),
        ({"head_likeness": 0.981}, Alarm.HEADS_IDENTICAL),
        ({"hyper_evenness": 0.989, "head_likeness": 0.979}, None),
        ({"hyper_evenness": 0.011}, None),
        ({"heads": 1.0, "hyper_evenness": 0.0}, None),
        ({"heads": 0.0, "hyper_evenness": 0.0}, None),
    ],
)
def test_h14_a_hyper_action_that_says_nothing_has_a_name(changes: dict[str, float], alarm: Alarm | None) -> None:
    """After a whole window, since all of them begin even; one head alone has nothing to say."""
    stats = make_stats(**changes)

    assert hyper_alarms_of([stats] * WINDOW) == (() if alarm is None else (alarm,))
    assert hyper_alarms_of([stats] * (WINDOW - 1)) == ()
    assert hyper_alarms_of([make_stats()] + [stats] * (WINDOW - 1)) == ()


def test_h14_an_update_measures_what_the_alarms_go_by() -> None:
    """Random heads are neither alike nor weighed by one alone."""
    learner = make_learner(make_recipe({"count": 8}))
    stats = learner.update([make_episode(learner.core.actor)], np.random.default_rng(0), learns_policy=True)

    assert stats.heads == 8.0
    assert 0.5 < stats.hyper_evenness <= 1.0
    assert stats.head_likeness < 0.9


def test_the_bonus_falls_as_the_rate_of_learning_does() -> None:
    """From a hundredth to a thousandth, and stays there."""
    recipe = find_recipe("hamh-ppo")
    found = [hyper_entropy_weight(recipe, iteration) for iteration in (0, 100, 200, 999)]

    assert found == pytest.approx([0.01, 0.0055, 0.001, 0.001])


@pytest.mark.parametrize("mixing", Mixing)
@pytest.mark.parametrize("attends", [True, False])
def test_h10_every_ablation_learns_what_a_site_is_worth(mixing: Mixing, attends: bool) -> None:
    """Returns that hang on the lanes are explained, whoever weighs the heads and whether or not there is attention."""
    core = make_learner(make_recipe({"count": 8, "mixing": mixing, "attends": attends}, learning_rate=3e-3)).core
    episode = make_episode(core.actor, ticks=60)
    batch = batch_of(episode, episode.lanes[:-1, :, :2].sum(axis=(2, 3)))
    core.scale.note(batch.target)
    explained = []
    for _ in range(60):
        judged = core.judge(batch, replay(core.actor, batch, 0.5))
        core.optimiser.zero_grad()
        judged.loss.backward()
        core.optimiser.step()
        explained.append(judged.explained.item())

    assert explained[0] < 0.2
    assert explained[-1] > explained[0] + 0.3


def test_heads_go_with_the_sharing_alone() -> None:
    """A recipe without hyper-action has an actor as it ever was."""
    recipe = make_recipe({"count": 64})
    full = msgspec.structs.replace(recipe, sharing=SharingRecipe(kind=SharingKind.FULL))

    assert actor_spec(recipe, SITES).heads.count == 64
    assert actor_spec(full).heads == actor_spec(find_recipe("bayesg")).heads
