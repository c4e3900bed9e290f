"""One trial: a recipe trained with one seed on one map, then played greedily; it goes on where it was stopped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import torch

from phasemesh.contract.observation import FloatArray
from phasemesh.sim_harness.reproduce import ReproductionRequest, kept_or_made
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME
from phasemesh.trainer.cloning import Cloned
from phasemesh.trainer.crews import EpisodeCrew, hired
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.heads import told_weights
from phasemesh.trainer.limits import Limits
from phasemesh.trainer.recipe import Recipe
from phasemesh.trainer.run_folder import RUN_NAME, CurveRow, begin_run, describe, read_curves, read_run
from phasemesh.trainer.training import Training

RUNS = "runs"
WORKERS = min(2, os.cpu_count() or 1)
EVALUATION_SEEDS = (1, 2, 3)
"""Seeds of SUMO that nothing is trained on."""
SHOWN_PARTS = 12
"""Into so many parts of an episode its hyper-actions are averaged."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained: a `recipe`, called `method` in tables, on a `scenario` with `demand` times its demand."""

    method: str
    recipe: Recipe
    scenario: str
    demand: float = 1.0

    @property
    def place(self) -> str:
        """The map, with its demand where that is not its own."""
        return self.scenario if self.demand == 1.0 else f"{self.scenario} x{self.demand:g}"


class Size(msgspec.Struct, frozen=True):
    """How much is played: iterations of a training, and simulated seconds of an episode (None: all that there are)."""

    iterations: int
    episode_s: float | None


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one trial came to.

    `curve_s` is the mean delay of the episodes of every iteration in seconds, `rewards` their mean reward; `delays_s`
    and `final_rewards` are those of the greedy episodes at the end. `parameters` are those of the actor. `hyper` is the
    mean hyper-action [part][k] of every intersection over the parts of an episode. `alarms` are those of the end.
    """

    method: str
    place: str
    seed: int
    curve_s: tuple[float, ...]
    rewards: tuple[float, ...]
    delays_s: tuple[float, ...]
    final_rewards: tuple[float, ...]
    parameters: int
    update_s: float
    hyper: dict[str, tuple[tuple[float, ...], ...]]
    alarms: tuple[str, ...]

    @property
    def delay_s(self) -> float:
        """The mean delay at the end."""
        return float(np.mean(self.delays_s))


class QuietListener:
    """Hears how a training goes and says nothing: cells are told when they are done."""

    def cloned(self, round_: int, delays_s: dict[str, float], result: Cloned) -> None:
        """A round of the warm start is over."""

    def iterated(self, row: CurveRow) -> None:
        """An iteration is over."""


def run_trials(request: ReproductionRequest, trials: Sequence[Trial], size: Size) -> list[TrialResult]:
    """Every trial with every seed, seed by seed, so that a run that is stopped early has all methods."""
    return [
        kept_or_made(
            request,
            f"{_name_of(trial)}-seed{seed}",
            TrialResult,
            partial(_result, request.out, trial, seed, size),
        )
        for seed in range(1, request.seeds + 1)
        for trial in trials
    ]


def _result(out: Path, trial: Trial, seed: int, size: Size) -> TrialResult:
    torch.set_num_threads(1)
    folder = out / RUNS / f"{_name_of(trial)}-seed{seed}-{size.iterations}"
    with hired(WORKERS) as crew:
        training = trained(folder, trial, seed, size, crew)
        episodes = crew.play(training.learner.core.actor, [_final_plan(trial, each, size) for each in EVALUATION_SEEDS])
    rows = read_curves(folder)
    return TrialResult(
        method=trial.method,
        place=trial.place,
        seed=seed,
        curve_s=tuple(row.delay_s[trial.scenario] for row in rows),
        rewards=tuple(row.reward[trial.scenario] for row in rows),
        delays_s=tuple(round(each.mean_delay_s, 3) for each in episodes),
        final_rewards=tuple(round(float(each.reward.mean()), 5) for each in episodes),
        parameters=sum(each.numel() for each in training.learner.core.actor.parameters()),
        update_s=float(np.median([row.update_s for row in rows])),
        hyper=shown_hyper(episodes[0]),
        alarms=tuple(rows[-1].alarms),
    )


def trained(folder: Path, trial: Trial, seed: int, size: Size, crew: EpisodeCrew) -> Training:
    """The training of `trial` in `folder`, begun or gone on with, until it has its iterations."""
    if not (folder / CHECKPOINT_NAME).exists():
        (folder / RUN_NAME).unlink(missing_ok=True)
        begin_run(folder, describe(trial.method, sized(trial, size), (trial.scenario,), seed))
    training = Training(folder, read_run(folder), crew, QuietListener(), torch.device("cpu"))
    if (folder / CHECKPOINT_NAME).exists():
        training.resume()
    else:
        training.begin()
    training.run(Limits(minutes=None, iterations=size.iterations, ends_on_alarm=False))
    return training


def sized(trial: Trial, size: Size) -> Recipe:
    """The recipe of `trial` for so long a training: its rates fall over the iterations that there are."""
    recipe = trial.recipe
    episodes = msgspec.structs.replace(
        recipe.episodes,
        demand=(trial.demand, trial.demand),
        length_s=recipe.episodes.length_s if size.episode_s is None else size.episode_s,
    )
    learner = msgspec.structs.replace(recipe.learner, anneal_iterations=size.iterations)
    return msgspec.structs.replace(recipe, episodes=episodes, learner=learner)


def _final_plan(trial: Trial, seed: int, size: Size) -> EpisodePlan:
    recipe = trial.recipe
    return EpisodePlan(
        scenario=trial.scenario,
        seed=seed,
        tick_s=recipe.episodes.tick_s,
        length_s=size.episode_s,
        profile=recipe.episodes.profile,
        demand=trial.demand,
        reward=recipe.reward.kind,
        is_greedy=True,
    )


def shown_hyper(episode: Episode) -> dict[str, tuple[tuple[float, ...], ...]]:
    """The mean hyper-action of every intersection in each part of `episode`, in the places of the contract."""
    told: FloatArray = told_weights(torch.from_numpy(episode.hyper)).numpy()
    parts = [part.mean(axis=0) for part in np.array_split(told, min(SHOWN_PARTS, len(told)))]
    return {
        str(name): tuple(tuple(round(float(weight), 5) for weight in part[agent]) for part in parts)
        for agent, name in enumerate(episode.layout.names)
    }


def _name_of(trial: Trial) -> str:
    letters = f"{Path(trial.scenario).stem}-{trial.demand:g}-{trial.method}"
    return "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in letters)
