"""Every rule beside the learned policies: the same maps, demand, timing and seeds, each in a process of its own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from phasemesh.sim_harness.reproduce import ReproductionRequest, kept_or_made
from phasemesh.sim_harness.request import RunRequest
from phasemesh.sim_harness.worker import run_apart
from phasemesh.trainer.reproduction.trial import EVALUATION_SEEDS, Size, Trial

RULES = (
    "fixed",
    "actuated",
    "sotl",
    "longest-queue",
    "max-pressure",
    "max-wave",
    "approach",
    "approach-lost-time",
    "best",
)
"""SUMO's own programs, all rules of the harness, and the policy that ships."""


class RuleResult(msgspec.Struct, frozen=True):
    """The delays of one rule on one map in seconds, in the order of the seeds."""

    rule: str
    place: str
    delays_s: tuple[float, ...]


def run_rules(request: ReproductionRequest, trial: Trial, size: Size) -> list[RuleResult]:
    """Every rule where `trial` is played, each at its own control interval."""
    stem = Path(trial.scenario).stem
    return [
        kept_or_made(
            request,
            f"{stem}-{trial.demand:g}-rule-{rule}",
            RuleResult,
            partial(_result, request.out, rule, trial, size),
        )
        for rule in RULES
    ]


def _result(out: Path, rule: str, trial: Trial, size: Size) -> RuleResult:
    """The rule played once a seed."""
    results = [
        run_apart(
            RunRequest(
                scenario=trial.scenario,
                controller=rule,
                report=str(out / "rules" / f"{Path(trial.scenario).stem}-{trial.demand:g}-{rule}-{seed}"),
                profile=trial.recipe.episodes.profile,
                seconds=size.episode_s,
                seed=seed,
                sumo_args=() if trial.demand == 1.0 else ("--scale", str(trial.demand)),
            )
        )
        for seed in EVALUATION_SEEDS
    ]
    return RuleResult(rule, trial.place, tuple(round(each.delay_s, 3) for each in results))
