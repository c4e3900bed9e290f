"""One call of `phasemesh train`, from what was asked to what is on the disk."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from rich.console import Console

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.report_folder import only_writer
from phasemesh.trainer.alarms import Alarm
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME
from phasemesh.trainer.city_ranges import evaluated
from phasemesh.trainer.crews import EpisodeCrew, hired
from phasemesh.trainer.curve_screen import CurveScreen
from phasemesh.trainer.evaluation import Comparison, Evaluation, check_seeds, evaluate, write_evaluation
from phasemesh.trainer.limits import Limits
from phasemesh.trainer.origin import find_origin
from phasemesh.trainer.recipe import LearnerKind, Recipe, find_recipe
from phasemesh.trainer.run_folder import (
    TENSORBOARD_NAME,
    RunDescription,
    begin_run,
    describe,
    read_run,
)
from phasemesh.trainer.training import Training, check_training


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a training; see the command line."""

    recipe: str
    scenarios: tuple[str, ...]
    minutes: float | None = None
    iterations: int | None = None
    workers: int = 1
    ray_address: str = ""
    seed: int = 1
    device: str = "cpu"
    is_resumed: bool = False
    origin: Path | None = None
    ends_on_alarm: bool = False
    evaluation_seeds: tuple[int, ...] = ()
    evaluation_s: float | None = None


class Trained(msgspec.Struct, frozen=True):
    """How many iterations a run has, and the alarms that ended it early."""

    iterations: int
    alarms: tuple[Alarm, ...]


def train_in(folder: Path, order: Order, console: Console) -> Trained:
    """Train in `folder` until the limits of `order` are reached.

    Raises InputError, with one line, for whatever the user can put right, before anything is played.
    """
    check_seeds(order.evaluation_seeds)
    device = find_device(order.device)
    recipe = find_recipe(order.recipe)
    limits = _limits(order, recipe)
    check_training(recipe, order.scenarios)
    description = _same_run(folder, order, recipe) if order.is_resumed else _new_run(folder, order, recipe)
    # An update computes in one thread: its tensors are small, and the workers have the other cores.
    torch.set_num_threads(1)
    with (
        only_writer(folder, "--out", "training"),
        hired(order.workers, order.ray_address) as crew,
        CurveScreen(folder / TENSORBOARD_NAME, limits, console) as screen,
    ):
        training = Training(folder, description, crew, screen, device)
        if (folder / CHECKPOINT_NAME).exists():
            training.resume()
        else:
            training.begin()
        alarms = training.run(limits)
        if order.evaluation_seeds:
            _evaluate(training, order, crew, screen)
        return Trained(training.iteration, alarms)


def _limits(order: Order, recipe: Recipe) -> Limits:
    """When the training ends; one by the planner has the rounds of its recipe unless more is said."""
    iterations = order.iterations
    if order.minutes is None and iterations is None:
        if recipe.learner.kind is not LearnerKind.DISTIL:
            raise InputError("--minutes or --iterations: say when the training should end")
        iterations = recipe.planner.rounds
    return Limits(minutes=order.minutes, iterations=iterations, ends_on_alarm=order.ends_on_alarm)


def find_device(name: str) -> torch.device:
    """The device of that name; raises InputError when this machine does not have it."""
    if name not in {"cpu", "cuda"}:
        raise InputError(f"--device {name!r}: choose cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no such device here; use cpu, or install torch with CUDA")
    return torch.device(name)


def _evaluate(training: Training, order: Order, crew: EpisodeCrew, screen: CurveScreen) -> None:
    screen.note(f"evaluation on seeds {', '.join(map(str, order.evaluation_seeds))}: median and range of the delay")
    comparisons: list[Comparison] = []
    for comparison in evaluate(
        crew,
        training.learner.core.actor,
        training.recipe,
        tuple(evaluated(training.scenarios, training.recipe.episodes.cities)),
        order.evaluation_seeds,
        order.evaluation_s,
    ):
        screen.note(str(comparison))
        comparisons.append(comparison)
    write_evaluation(
        training.folder,
        Evaluation(
            iteration=training.iteration,
            seeds=order.evaluation_seeds,
            length_s=order.evaluation_s,
            comparisons=tuple(comparisons),
        ),
    )


def _new_run(folder: Path, order: Order, recipe: Recipe) -> RunDescription:
    begins_with = order.origin or recipe.origin
    origin = find_origin(begins_with) if begins_with else None
    description = describe(Path(order.recipe).stem, recipe, order.scenarios, order.seed, origin)
    begin_run(folder, description)
    return description


def _same_run(folder: Path, order: Order, recipe: Recipe) -> RunDescription:
    """The description of the run to go on with, which must be what was asked for again."""
    if order.origin:
        raise InputError(f"--from {order.origin}: a run that is resumed goes on from its own weights; leave it out")
    description = read_run(folder)
    asked = {"recipe": recipe, "scenarios": order.scenarios, "seed": order.seed}
    differing = [name for name, value in asked.items() if getattr(description, name) != value]
    if differing:
        raise InputError(f"--resume {folder}: was begun with another {' and another '.join(differing)}")
    return description
