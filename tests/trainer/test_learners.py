"""B5, B15, H8 and the learners: what an update does to a policy, and that it replays exactly what was played."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from trainer_towns import make_episode

from phasemesh.trainer.alarms import Alarm, alarms_of
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.experience import Batch, Lesson, batches, replay
from phasemesh.trainer.learners.learner import Core, Stats, learning_rate
from phasemesh.trainer.learners.ppo import clipped_loss
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import LearnerKind, LearnerRecipe, Precision, Recipe
from phasemesh.trainer.training import LEARNERS

pytestmark = pytest.mark.train
CPU = torch.device("cpu")
REWARDED = [LearnerKind.PPO, LearnerKind.A2C]
"""Those that learn from rewards; distillation learns from what a planner found, see `test_cloning.py`."""


def make_recipe(**learner: Any) -> Recipe:
    """A recipe for small episodes."""
    values: dict[str, Any] = {"segment_ticks": 8, "rows_per_batch": 12, "share_per_epoch": 1.0, **learner}
    return Recipe(learner=LearnerRecipe(**values))


def make_learner(kind: LearnerKind, actor: UniversalActor, **learner: Any):
    """A learner of `kind` for `actor`."""
    return LEARNERS[kind](actor, Critic(), make_recipe(kind=kind, **learner), CPU)


def make_actor(seed: int = 0) -> UniversalActor:
    """An untrained actor."""
    torch.manual_seed(seed)
    return UniversalActor()


def whole(lesson: Lesson) -> Batch:
    """All of a lesson as one batch in the order of time."""
    (batch,) = batches(lesson, np.random.default_rng(0), segment_ticks=len(lesson.advantage), rows=10_000)
    return batch


def lesson_of(episode: Episode, advantage: float | np.ndarray = 0.0) -> Lesson:
    """`episode` with one advantage everywhere."""
    shape = (episode.ticks - 1, len(episode.layout.names))
    values = np.broadcast_to(np.asarray(advantage, dtype=np.float32), shape).copy()
    return Lesson(episode, values, np.zeros(shape, dtype=np.float32))


def entropy(actor: UniversalActor, episode: Episode) -> float:
    """The policy's mean entropy over the ticks that left a choice."""
    batch = whole(lesson_of(episode))
    with torch.no_grad():
        replayed = replay(actor, batch, 0.5)
    return replayed.entropy[batch.has_choice].mean().item()


@pytest.mark.parametrize("message_loss", [0.0, 0.4])
def test_an_update_replays_what_was_played(message_loss: float) -> None:
    """Same weights, same log probabilities, with lost messages and the mask's noise: one semantics."""
    actor = make_actor()
    episode = make_episode(actor, ticks=40, message_loss=message_loss)
    batch = whole(lesson_of(episode))
    with torch.no_grad():
        replayed = replay(actor, batch, 0.5)

    torch.testing.assert_close(replayed.taken(batch.stage), batch.log_probability, atol=1e-5, rtol=1e-5)
    assert (batch.valid.sum() < 39 * 4) == (message_loss > 0.3)


def test_segments_begin_with_the_recurrent_state_that_was_played() -> None:
    """Also in the middle of an episode."""
    actor = make_actor()
    lesson = lesson_of(make_episode(actor, ticks=41))

    for batch in batches(lesson, np.random.default_rng(1), segment_ticks=7, rows=6):
        with torch.no_grad():
            found = replay(actor, batch, 0.5).taken(batch.stage)
        torch.testing.assert_close(found, batch.log_probability, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", REWARDED)
def test_b5_without_any_advantage_the_entropy_rises(kind: LearnerKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight of the entropy has the sign that its name promises."""
    actor = make_actor()
    with torch.no_grad():
        actor.stage_score.weight.mul_(20.0)
    episode = make_episode(actor, ticks=40)
    learner = make_learner(kind, actor, entropy_weight=1.0, learning_rate=1e-4)
    monkeypatch.setattr(Core, "lessons", lambda _core, episodes: [lesson_of(each) for each in episodes])
    before = entropy(actor, episode)

    for seed in range(3):
        learner.update([episode], np.random.default_rng(seed), learns_policy=True)

    assert entropy(actor, episode) > before + 0.001


def test_an_epoch_looks_at_no_more_of_an_episode_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two agents, forty ticks: half of the eighty decisions where forty are allowed, in each of two epochs."""
    actor = make_actor()
    episode = make_episode(actor, ticks=41)
    agents = len(episode.layout.names)
    learner = make_learner(LearnerKind.PPO, actor, epochs=2, decisions_per_epoch=20 * agents)
    seen: list[int] = []
    monkeypatch.setattr(Core, "judge", _noting(Core.judge, seen))

    learner.update([episode], np.random.default_rng(0), learns_policy=True)

    # Segments of 8 ticks: of the five that there are, half is two, rounded to the even number.
    assert sum(seen) == 2 * 2 * 8 * agents


def _noting(judge: Any, seen: list[int]) -> Any:
    def noting(core: Core, batch: Batch, replayed: Any) -> Any:
        seen.append(batch.stage.numel())
        return judge(core, batch, replayed)

    return noting


@pytest.mark.parametrize("kind", REWARDED)
def test_what_was_better_than_expected_becomes_more_likely(kind: LearnerKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the rest less."""
    actor = make_actor()
    episode = make_episode(actor, ticks=60)
    is_good = episode.stage[:-1] == 0
    monkeypatch.setattr(
        Core, "lessons", lambda _core, episodes: [lesson_of(each, np.where(is_good, 1.0, -1.0)) for each in episodes]
    )
    learner = make_learner(kind, actor, entropy_weight=0.0)

    learner.update([episode], np.random.default_rng(0), learns_policy=True)

    batch = whole(lesson_of(episode))
    with torch.no_grad():
        gain = replay(actor, batch, 0.5).taken(batch.stage) - batch.log_probability
    assert gain[batch.has_choice & (batch.stage == 0)].mean() > 0
    assert gain[batch.has_choice & (batch.stage != 0)].mean() < 0


@pytest.mark.parametrize("kind", REWARDED)
def test_a_critic_that_learns_alone_leaves_the_actor_as_it_is(kind: LearnerKind) -> None:
    """Bit for bit, while it explains the returns better than before."""
    actor = make_actor()
    before = {name: tensor.clone() for name, tensor in actor.state_dict().items()}
    learner = make_learner(kind, actor)
    episode = make_episode(actor, ticks=60)

    found = [learner.update([episode], np.random.default_rng(0), learns_policy=False) for _ in range(6)]

    assert all(torch.equal(tensor, before[name]) for name, tensor in actor.state_dict().items())
    assert found[-1].value_loss < found[0].value_loss


def test_h8_the_clip_takes_the_gain_of_going_further() -> None:
    """Both ways, and never the loss of having gone too far."""
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5])
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0])

    torch.testing.assert_close(clipped_loss(ratio, advantage, 0.2), torch.tensor([-1.2, -0.5, 1.5, 0.8]))


def test_every_city_weighs_alike() -> None:
    """Advantages have mean 0 and spread 1 over the ticks with a choice, whatever the rewards' size."""
    core = make_learner(LearnerKind.PPO, make_actor()).core
    episode = make_episode(core.actor, ticks=80)
    (lesson,) = core.lessons([msgspec.structs.replace(episode, reward=episode.reward * 1000.0)])

    chosen = lesson.advantage[episode.legal[:-1].sum(axis=-1) > 1]
    assert chosen.mean() == pytest.approx(0.0, abs=1e-4)
    assert chosen.std() == pytest.approx(1.0, abs=1e-3)


def test_figures_of_the_mask_are_averages_over_edges() -> None:
    """Not over batches, some of which have none."""
    actor = make_actor()
    stats = make_learner(LearnerKind.PPO, actor).update(
        [make_episode(actor, ticks=40)], np.random.default_rng(0), learns_policy=False
    )

    assert isinstance(stats, Stats)
    assert 0.0 < stats.mask_mean < 1.0
    assert stats.edges > 0
    assert 0.0 < stats.mask_entropy <= np.log(2.0)


@pytest.mark.parametrize(("bias", "is_collapsed"), [(-9.0, True), (0.0, False), (9.0, True)])
def test_b15_an_update_of_a_collapsed_mask_raises_the_alarm(bias: float, is_collapsed: bool) -> None:
    """From the posterior of the batches to the alarm, shut and open alike."""
    actor = make_actor()
    with torch.no_grad():
        actor.edge_score.bias.fill_(bias)
    stats = make_learner(LearnerKind.PPO, actor).update(
        [make_episode(actor, ticks=40)], np.random.default_rng(0), learns_policy=False
    )

    assert (Alarm.MASK_COLLAPSE in alarms_of([stats])) == is_collapsed


@pytest.mark.parametrize("kind", [LearnerKind.PPO, LearnerKind.A2C])
def test_mixed_precision_learns_much_the_same(kind: LearnerKind) -> None:
    """From the same episode: figures within the rounding of bfloat16, weights and losses in single precision."""
    found = {}
    for precision in Precision:
        actor = make_actor()
        episode = make_episode(actor, ticks=60)
        learner = make_learner(kind, actor, precision=precision, epochs=1)
        found[precision] = learner.update([episode], np.random.default_rng(0), learns_policy=True)
        assert {each.dtype for each in learner.core.parameters} == {torch.float32}
    exact, mixed = found[Precision.FLOAT32], found[Precision.BFLOAT16]

    assert mixed != exact
    for name in ("value_loss", "entropy", "mask_mean", "explained_variance"):
        assert getattr(mixed, name) == pytest.approx(getattr(exact, name), rel=0.05, abs=0.02), name
    assert abs(mixed.policy_kl - exact.policy_kl) < 0.01


def test_what_is_computed_in_bfloat16_is_judged_in_single_precision() -> None:
    """Log probabilities replay within its rounding, and illegal stages stay impossible."""
    actor = make_actor()
    core = make_learner(LearnerKind.PPO, actor, precision=Precision.BFLOAT16).core
    batch = whole(lesson_of(make_episode(actor, ticks=40)))
    with torch.no_grad(), core.computing():
        replayed = replay(actor, batch, 0.5)

    assert replayed.log_policy.dtype == replayed.probability.dtype == torch.float32
    torch.testing.assert_close(replayed.taken(batch.stage), batch.log_probability, atol=0.05, rtol=0.05)
    assert not replayed.log_policy.exp()[~batch.legal].any()


@pytest.mark.parametrize(("iteration", "expected"), [(0, 1e-3), (50, 5.5e-4), (100, 1e-4), (900, 1e-4)])
def test_the_rate_of_learning_falls_and_stays(iteration: int, expected: float) -> None:
    """Linearly, to a tenth."""
    recipe = LearnerRecipe(learning_rate=1e-3, final_rate=0.1, anneal_iterations=100)

    assert learning_rate(recipe, iteration) == pytest.approx(expected)


@pytest.mark.parametrize("tick_s", [1.0, 4.0])
def test_a_second_weighs_alike_at_every_tick(tick_s: float) -> None:
    """The same rewards a second, in other ticks than the recipe's, are worth the same to the critic."""
    seconds = 240
    targets = []
    for each_s in (2.0, tick_s):
        learner = make_learner(LearnerKind.PPO, make_actor(), gamma=0.97, lambda_=1.0)
        with torch.no_grad():
            for parameter in learner.core.critic.parameters():
                parameter.zero_()
        episode = make_episode(make_actor(), ticks=int(seconds / each_s) + 1, tick_s=each_s)
        rewards = np.full_like(episode.reward, -1.0)
        (lesson,) = learner.core.lessons([msgspec.structs.replace(episode, reward=rewards)])
        targets.append(float(lesson.target[0].mean()))

    assert targets[0] < -10.0
    assert targets[1] == pytest.approx(targets[0], rel=0.05)
