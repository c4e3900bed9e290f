"""What the printed loss of BayesG does to the masks, beside the divergence: six short trainings, a table and a plot.

python -m phasemesh.trainer.mask_experiment --scenario grid3x3 --iterations 3 --out runs/masks --picture masks.png
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from phasemesh.sim_harness.report.figures import BLUE, GREY, VERMILION, new_figure, png, tidy
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME
from phasemesh.trainer.cloning import Cloned
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.limits import Limits
from phasemesh.trainer.recipe import MaskLoss, Recipe, find_recipe
from phasemesh.trainer.run_folder import RUN_NAME, CurveRow, begin_run, describe, read_curves, read_run
from phasemesh.trainer.training import Training, check_training

PRIOR = 0.2
PUBLIC_THRESHOLD = 0.08
"""Probability below which the paper's public code closes an edge."""
PRINTED_MINIMUM = 0.054
"""Where the printed loss alone ends at this prior."""


class Setting(NamedTuple):
    """One column of the experiment: the weight of the mask's loss, and that of the task."""

    name: str
    mask_weight: float
    policy_weight: float


SETTINGS = (
    Setting("regulariser alone", 1.0, 0.0),
    Setting("weight 1, as in the paper", 1.0, 1.0),
    Setting("weight 0.01, as in the recipe", 0.01, 1.0),
)
Curves = Mapping[tuple[Setting, MaskLoss], Sequence[CurveRow]]


class _Silent:
    """A `TrainingListener` that nobody listens to."""

    def cloned(self, round_: int, delays_s: dict[str, float], result: Cloned) -> None:
        """Say nothing."""

    def iterated(self, row: CurveRow) -> None:
        """Say nothing."""


def recipe_of(setting: Setting, loss: MaskLoss) -> Recipe:
    """The paper's own learner on short episodes, without a warm start."""
    recipe = find_recipe("bayesg-a2c")
    learner = msgspec.structs.replace(
        recipe.learner,
        segment_ticks=20,
        policy_weight=setting.policy_weight,
        entropy_weight=recipe.learner.entropy_weight * setting.policy_weight,
    )
    return msgspec.structs.replace(
        recipe,
        learner=learner,
        mask=msgspec.structs.replace(recipe.mask, loss=loss, prior=PRIOR, weight=setting.mask_weight),
        episodes=msgspec.structs.replace(recipe.episodes, per_iteration=2, length_s=600.0),
    )


def played(out: Path, scenario: str, iterations: int, workers: int, seed: int) -> Iterator[Training]:
    """All trainings, each in a folder of its own below `out` and gone on with where it is there already."""
    for number, setting in enumerate(SETTINGS):
        for loss in MaskLoss:
            folder, recipe = out / f"{number}-{loss}", recipe_of(setting, loss)
            check_training(recipe, (scenario,))
            if not (folder / RUN_NAME).exists():
                begin_run(folder, describe("bayesg-a2c", recipe, (scenario,), seed))
            training = Training(folder, read_run(folder), Crew(workers), _Silent(), torch.device("cpu"))
            if (folder / CHECKPOINT_NAME).exists():
                training.resume()
            training.run(Limits(iterations=iterations))
            yield training


def curves_of(out: Path) -> Curves:
    """The curves of all trainings below `out`."""
    return {
        (setting, loss): read_curves(out / f"{number}-{loss}")
        for number, setting in enumerate(SETTINGS)
        for loss in MaskLoss
    }


def table(curves: Curves) -> str:
    """The masks after the last iteration as a table in Markdown; spread is that over contexts."""
    lines = [
        "| | loss | probability of an edge | spread | entropy, nats | mean delay, s |",
        "|---|---|---|---|---|---|",
    ]
    for (setting, loss), rows in curves.items():
        stats = rows[-1].stats
        (delay_s,) = rows[-1].delay_s.values()
        lines.append(
            f"| {setting.name} | `{loss}` | {stats.mask_mean:.3f} | {stats.mask_spread:.3f}"
            f" | {stats.mask_entropy:.2f} | {delay_s:.0f} |"
        )
    return "\n".join(lines)


def picture(curves: Curves) -> bytes:
    """The mean probability of an edge over the iterations, a panel a setting, as a PNG."""
    figure = new_figure(9.5, 3.4)
    panels = figure.subplots(1, len(SETTINGS), sharey=True)
    for axes, setting in zip(panels, SETTINGS, strict=True):
        for loss, colour in ((MaskLoss.KL, BLUE), (MaskLoss.PRINTED, VERMILION)):
            rows = curves[setting, loss]
            done, means = [row.iteration + 1 for row in rows], [row.stats.mask_mean for row in rows]
            axes.plot(done, means, color=colour, marker="o", markersize=4, label=loss)
        axes.axhline(PRIOR, color=GREY, linestyle="--", linewidth=1.0, label="prior")
        axes.axhline(PUBLIC_THRESHOLD, color=GREY, linestyle=":", linewidth=1.0, label="threshold of the public code")
        axes.set_title(setting.name, fontsize=10)
        axes.set_ylim(0.0, 0.6)
        axes.xaxis.get_major_locator().set_params(integer=True)
        tidy(axes, x="Iterations", y="Probability of an edge" if setting is SETTINGS[0] else "")
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=9
    )
    return png(figure)


def main() -> None:
    """Run what is missing, print the table, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="grid3x3")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--picture", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for training in played(asked.out, asked.scenario, asked.iterations, asked.workers, asked.seed):
        print(f"{training.folder}: {training.iteration} iterations, {training.elapsed_s:.0f} s", flush=True)  # noqa: T201
    curves = curves_of(asked.out)
    print(table(curves))  # noqa: T201
    if asked.picture is not None:
        asked.picture.write_bytes(picture(curves))


if __name__ == "__main__":
    main()
