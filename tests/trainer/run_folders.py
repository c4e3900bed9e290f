"""Folders of trainings as a training leaves them, without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from phasemesh.trainer.alarms import Alarm
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, save_checkpoint
from phasemesh.trainer.critic import Critic
from phasemesh.trainer.evaluation import Comparison, Evaluation, write_evaluation
from phasemesh.trainer.learners.learner import Stats
from phasemesh.trainer.learners.ppo import Ppo
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import Recipe
from phasemesh.trainer.run_folder import CurveRow, append_curve, begin_run, describe


def make_stats(**changes: float) -> Stats:
    """The figures of a healthy update but for `changes`."""
    healthy = dict.fromkeys(Stats.__struct_fields__, 0.5) | {"mask_spread": 0.1, "mask_entropy": 0.6}
    return Stats(**{**healthy, **changes})


def make_row(iteration: int, *, delay_s: float, scenario: str, alarms: tuple[Alarm, ...] = ()) -> CurveRow:
    """One iteration on one scenario."""
    return CurveRow(
        iteration=iteration,
        elapsed_s=30.0 * (iteration + 1),
        play_s=20.0,
        update_s=10.0,
        steps_per_s=500.0,
        learning_rate=1e-3,
        delay_s={scenario: delay_s},
        reward={scenario: -1.0},
        stats=make_stats(),
        monitor_trips=0,
        alarms=alarms,
    )


def make_run(
    folder: Path, *, seed: int = 1, scenario: str = "cologne3", delays_s: tuple[float, ...] = (30.0, 25.0)
) -> Path:
    """A training of an untrained actor with one iteration for each of `delays_s`, the first with an alarm."""
    torch.manual_seed(seed)
    recipe = Recipe()
    begin_run(folder, describe("bayesg", recipe, (scenario,), seed))
    core = Ppo(UniversalActor(), Critic(), recipe, torch.device("cpu")).core
    for iteration, delay_s in enumerate(delays_s):
        alarms = (Alarm.MASK_COLLAPSE,) if iteration == 0 else ()
        append_curve(folder, make_row(iteration, delay_s=delay_s, scenario=scenario, alarms=alarms))
    save_checkpoint(
        folder / CHECKPOINT_NAME, core, np.random.default_rng(seed), iteration=len(delays_s), elapsed_s=60.0
    )
    return folder


def evaluate_run(folder: Path, scenario: str = "cologne3") -> None:
    """Give the run in `folder` an evaluation on two seeds."""
    found = Comparison(scenario=scenario, actor_s=(20.0, 22.0), rule_s=(28.0, 28.0))
    write_evaluation(folder, Evaluation(iteration=2, seeds=(1, 2), length_s=None, comparisons=(found,)))
