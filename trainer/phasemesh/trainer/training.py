"""The loop: play episodes with the weights as they are, improve them, write everything down, again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import torch

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.options import SEED_LIMIT
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.actor_spec import MaskKind, Mixing
from phasemesh.trainer.alarms import Alarm, alarms_of, hyper_alarms_of
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from phasemesh.trainer.city_ranges import city_range, looked_at, scenario_for
from phasemesh.trainer.cloning import Cloned, clone, renew_edges, sharpen
from phasemesh.trainer.crews import EpisodeCrew
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.env import CityEnv, CityOptions
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.evaluation import FIRST_TRAINING_SEED
from phasemesh.trainer.learners.a2c import A2c
from phasemesh.trainer.learners.distil import Distil
from phasemesh.trainer.learners.learner import Learner, Stats, learning_rate
from phasemesh.trainer.learners.ppo import Ppo
from phasemesh.trainer.limits import Limits
from phasemesh.trainer.origin import take_over
from phasemesh.trainer.planner import check_planned
from phasemesh.trainer.recipe import LearnerKind, Recipe, actor_spec
from phasemesh.trainer.rewards import RewardKind
from phasemesh.trainer.run_folder import CurveRow, RunDescription, append_curve, cut_curves
from phasemesh.trainer.sharing import make_actor, make_critic
from phasemesh.trainer.sites import sites_of
from phasemesh.trainer.street_faults import drawn_faults, drawn_tick_s
from phasemesh.trainer.turns import Turns

LEARNERS: dict[LearnerKind, Callable[[Actor, Critic, Recipe, torch.device], Learner]] = {
    LearnerKind.PPO: Ppo,
    LearnerKind.A2C: A2c,
    LearnerKind.DISTIL: Distil,
}
"""The learners, each by what makes it from networks, recipe and device."""


class TrainingListener(Protocol):
    """Whoever wants to see how a training goes."""

    def cloned(self, round_: int, delays_s: dict[str, float], result: Cloned) -> None:
        """A round of the warm start is over."""

    def iterated(self, row: CurveRow) -> None:
        """An iteration is over."""


class Training:
    """One training in a run folder; `resume` or `begin` first, then `run`."""

    def __init__(
        self,
        folder: Path,
        description: RunDescription,
        crew: EpisodeCrew,
        listener: TrainingListener,
        device: torch.device,
    ) -> None:
        """Make the networks that the seed of `description` gives."""
        self.folder = folder
        self.recipe: Recipe = description.recipe
        self.scenarios = description.scenarios
        self._origin, self._seed = description.origin, description.seed
        self.iteration = 0
        self._turns = Turns(description.scenarios, description.recipe)
        self._crew = crew
        self._listener = listener
        torch.manual_seed(description.seed)
        self.random = np.random.default_rng(description.seed)
        spec = actor_spec(self.recipe, sites_of(self.recipe, self.scenarios))
        self.learner = LEARNERS[self.recipe.learner.kind](make_actor(spec), make_critic(spec), self.recipe, device)
        self._history: list[Stats] = []
        self._before_s = 0.0
        self._began_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Wall time of training so far, earlier parts of a resumed one included."""
        return self._before_s + time.monotonic() - self._began_s

    def resume(self) -> None:
        """Go on from the checkpoint; raises InputError when there is none that fits."""
        meta = load_checkpoint(self.folder / CHECKPOINT_NAME, self.learner.core, self.random)
        self.iteration, self._before_s = meta.iteration, meta.elapsed_s
        self._began_s = time.monotonic()
        self._history = [row.stats for row in cut_curves(self.folder, self.iteration)]

    def begin(self) -> None:
        """Take over the weights of another run, or warm-start, and write the first checkpoint.

        Raises InputError when the other run is no longer there.
        """
        if self._origin:
            take_over(self._origin, self.learner.core)
            if self.recipe.mask.begins_anew:
                renew_edges(self.learner.core.actor, self._seed)
        else:
            self._warm_start()
        self._save()

    def _warm_start(self) -> None:
        """Clone the teacher of the recipe, if it names one."""
        start, core = self.recipe.warm_start, self.learner.core
        played: list[Episode] = []
        for round_, share in enumerate(start.teacher_shares if start.teacher else ()):
            names = self._turns.taught_names()
            episodes = self._crew.play(core.actor, [self._taught_plan(name, share) for name in names])
            played += episodes
            cloned = clone(core.actor, played, self.recipe, self.random, core.device)
            self._listener.cloned(round_, _delays_s(names, episodes), cloned)
        if start.teacher:
            sharpen(core.actor, start.sharpness)
            renew_edges(core.actor, self._seed)

    def run(self, limits: Limits) -> tuple[Alarm, ...]:
        """Iterate until `limits` are reached; every iteration ends with a checkpoint. The alarms that ended it."""
        while not limits.are_reached(self.iteration, self.elapsed_s):
            row = self.iterate()
            self._listener.iterated(row)
            if row.alarms and limits.ends_on_alarm:
                return row.alarms
        return ()

    def iterate(self) -> CurveRow:
        """Play, learn, write down: one iteration."""
        learner, recipe = self.learner, self.recipe
        learner.core.anneal(self.iteration)
        began_s = time.monotonic()
        names = self._turns.names(self.iteration)
        episodes = self._crew.play(learner.core.actor, [self._plan_of_kind(name) for name in names])
        played_s = time.monotonic()
        stats = learner.update(episodes, self.random, learns_policy=self.iteration >= recipe.learner.critic_iterations)
        for layout in {episode.layout.names: episode.layout for episode in episodes}.values():
            learner.core.actor.settle(layout)
        self._history.append(stats)
        row = self._row(names, episodes, stats, played_s - began_s, time.monotonic() - played_s)
        append_curve(self.folder, row)
        self.iteration += 1
        self._save()
        return row

    def _plan(self, name: str) -> EpisodePlan:
        """An episode for `name`; everything else is drawn."""
        recipe, disturbed = self.recipe.episodes, self.recipe.randomisation
        scenario, seed = scenario_for(name, recipe.cities, self.random), self._draw_seed()
        return EpisodePlan(
            scenario=scenario,
            seed=seed,
            tick_s=drawn_tick_s(disturbed, seed, recipe.tick_s),
            length_s=min(recipe.length_s, recipe.city_length_s) if city_range(name, recipe.cities) else recipe.length_s,
            profile=recipe.profile,
            demand=float(self.random.uniform(*recipe.demand)),
            reward=self.recipe.reward.kind,
            message_loss=float(self.random.choice(recipe.message_losses)),
            faults=drawn_faults(disturbed, seed),
        )

    def _plan_of_kind(self, name: str) -> EpisodePlan:
        """An episode for `name` as the learner needs it."""
        is_planned = self.recipe.learner.kind is LearnerKind.DISTIL
        return self._planned(self._plan(name)) if is_planned else self._plan(name)

    def _planned(self, plan: EpisodePlan) -> EpisodePlan:
        """`plan` with a planner that looks ahead from a rule in the first round, and from the actor in the others."""
        planner = self.recipe.planner
        has_rule = self.iteration == 0 and self._origin is None and planner.base != ""
        return msgspec.structs.replace(
            plan,
            is_greedy=True,
            reward=RewardKind.DELAY,
            teacher=planner.base if has_rule else None,
            teacher_share=1.0 if has_rule else 0.0,
            planner=planner,
            planner_share=planner.shares[min(self.iteration, len(planner.shares) - 1)],
        )

    def _taught_plan(self, name: str, share: float) -> EpisodePlan:
        recipe, disturbed = self.recipe, self.recipe.randomisation
        scenario, seed = scenario_for(name, recipe.episodes.cities, self.random), self._draw_seed()
        return EpisodePlan(
            scenario=scenario,
            seed=seed,
            tick_s=drawn_tick_s(disturbed, seed, recipe.episodes.tick_s),
            length_s=recipe.warm_start.length_s,
            profile=recipe.episodes.profile,
            demand=float(self.random.uniform(*recipe.episodes.demand)),
            teacher=recipe.warm_start.teacher,
            teacher_share=share,
            faults=drawn_faults(disturbed, seed),
        )

    def _draw_seed(self) -> int:
        return int(self.random.integers(FIRST_TRAINING_SEED, SEED_LIMIT))

    def _row(
        self, names: Sequence[str], episodes: Sequence[Episode], stats: Stats, play_s: float, update_s: float
    ) -> CurveRow:
        decisions = sum(episode.stage.size for episode in episodes)
        return CurveRow(
            iteration=self.iteration,
            elapsed_s=round(self.elapsed_s, 1),
            play_s=round(play_s, 2),
            update_s=round(update_s, 2),
            steps_per_s=round(decisions / max(play_s, 1e-3), 1),
            learning_rate=learning_rate(self.recipe.learner, self.iteration),
            delay_s=_delays_s(names, episodes),
            reward=_means(names, [float(episode.reward.mean()) for episode in episodes]),
            stats=stats,
            monitor_trips=sum(episode.monitor_trips for episode in episodes),
            deviations=round(float(np.mean([episode.deviations for episode in episodes])), 4),
            alarms=self._alarms(),
        )

    def _alarms(self) -> tuple[Alarm, ...]:
        """Those of what this recipe learns; what is held even or one-hot for comparison is no alarm."""
        of_mask = alarms_of(self._history) if self.recipe.mask.kind is MaskKind.BAYES else ()
        return of_mask + (hyper_alarms_of(self._history) if self.recipe.heads.mixing is Mixing.LEARNED else ())

    def _save(self) -> None:
        save_checkpoint(
            self.folder / CHECKPOINT_NAME,
            self.learner.core,
            self.random,
            iteration=self.iteration,
            elapsed_s=self.elapsed_s,
        )


def check_training(recipe: Recipe, scenarios: Sequence[str]) -> None:
    """Read everything that will be played, so that a mistake is told before hours of work; raises InputError."""
    if not scenarios or len(set(scenarios)) < len(scenarios):
        raise InputError("--scenarios: name at least one scenario, and each only once")
    for name in scenarios:
        scenario = find_scenario(looked_at(name, recipe.episodes.cities))
        env = CityEnv(CityOptions(scenario=scenario, tick_s=recipe.episodes.tick_s, profile=recipe.episodes.profile))
        if recipe.learner.kind is LearnerKind.DISTIL:
            check_planned(name, recipe.episodes.cities, len(env.layout.names))
    sites_of(recipe, scenarios)


def _delays_s(names: Sequence[str], episodes: Sequence[Episode]) -> dict[str, float]:
    """The mean delay of each scenario, or range of cities, that was played."""
    means = _means(names, [episode.mean_delay_s for episode in episodes])
    return {name: round(delay_s, 2) for name, delay_s in means.items()}


def _means(names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """The mean of the values that stand under each name."""
    found: dict[str, list[float]] = {}
    for name, value in zip(names, values, strict=True):
        found.setdefault(name, []).append(value)
    return {name: float(np.mean(each)) for name, each in found.items()}
