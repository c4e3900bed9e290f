"""What a bundle says of the training behind it: how to do it again, and how good it was."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import msgspec

from phasemesh.contract.bundle import TrainingProvenance
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, read_progress
from phasemesh.trainer.evaluation import RULE, Comparison, Evaluation, read_evaluation
from phasemesh.trainer.run_folder import RunDescription

EvaluationRow = dict[str, float | int | str]
"""One scenario of an evaluation, as it stands in a manifest."""


def training_of(folder: Path, run: RunDescription) -> TrainingProvenance:
    """The training in `folder`, whose description is `run`; nothing in it says where it was done."""
    iterations, elapsed_s = read_progress(folder / CHECKPOINT_NAME)
    return TrainingProvenance(
        recipe_name=run.recipe_name,
        recipe=msgspec.to_builtins(run.recipe),
        scenarios=run.scenarios,
        seed=run.seed,
        iterations=iterations,
        minutes=round(elapsed_s / 60.0, 1),
        revision=run.revision,
        tool_versions=run.tool_versions,
    )


def evaluation_rows(folder: Path, iterations: int) -> tuple[EvaluationRow, ...]:
    """The evaluation in `folder`, a row for each scenario; none when it was of other weights than these."""
    found = read_evaluation(folder)
    if found is None or found.iteration != iterations:
        return ()
    return tuple(_row(found, each) for each in found.comparisons)


def _row(evaluation: Evaluation, found: Comparison) -> EvaluationRow:
    length: EvaluationRow = {} if evaluation.length_s is None else {"seconds": evaluation.length_s}
    return {
        "scenario": found.scenario,
        "seeds": ",".join(map(str, evaluation.seeds)),
        "median_delay_s": round(median(found.actor_s), 3),
        "least_delay_s": min(found.actor_s),
        "greatest_delay_s": max(found.actor_s),
        "rule": RULE,
        "rule_median_delay_s": round(median(found.rule_s), 3),
        "ratio": round(found.ratio, 4),
        **length,
    }
