"""How good a trained actor is: greedy, on seeds that no training ever sees, beside the rule that it should beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.crews import EpisodeCrew
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.recipe import Recipe

EVALUATION_NAME = "evaluation.json"
FIRST_TRAINING_SEED = 100_000
"""Smaller seeds of SUMO are kept for evaluation: nothing is ever trained on them."""
RULE = "approach-lost-time"
"""The strongest rule known, at its own tick of two seconds."""
RULE_TICK_S = 2.0


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario: the delays of actor and rule in seconds, in the order of the seeds, and the ratio of medians."""

    scenario: str
    actor_s: tuple[float, ...]
    rule_s: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Below 1 where the actor is better."""
        return median(self.actor_s) / median(self.rule_s)

    def __str__(self) -> str:
        """The comparison as one line."""
        return f"{self.scenario:14} {_spread(self.actor_s)}   {RULE} {_spread(self.rule_s)}   ratio {self.ratio:.2f}"


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All scenarios of an evaluation after `iteration` iterations; `length_s` None is their whole window."""

    iteration: int
    seeds: tuple[int, ...]
    length_s: float | None
    comparisons: tuple[Comparison, ...]


def evaluate(
    crew: EpisodeCrew,
    actor: Actor,
    recipe: Recipe,
    scenarios: Sequence[str],
    seeds: Sequence[int],
    length_s: float | None,
) -> Iterator[Comparison]:
    """Play every scenario with `actor`, greedily, and with the rule, once a seed, at the scenario's own demand."""
    for scenario in scenarios:
        plain = [
            EpisodePlan(
                scenario=scenario, seed=seed, length_s=length_s, profile=recipe.episodes.profile, is_greedy=True
            )
            for seed in seeds
        ]
        own = [msgspec.structs.replace(plan, tick_s=recipe.episodes.tick_s) for plan in plain]
        rule = [msgspec.structs.replace(plan, tick_s=RULE_TICK_S, teacher=RULE, teacher_share=1.0) for plan in plain]
        episodes = crew.play(actor, [*own, *rule])
        delays_s = tuple(_safe_delay_s(episode) for episode in episodes)
        yield Comparison(scenario=scenario, actor_s=delays_s[: len(seeds)], rule_s=delays_s[len(seeds) :])


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds that a training may have seen; raises InputError."""
    foreign = [seed for seed in seeds if not 0 <= seed < FIRST_TRAINING_SEED]
    if foreign or len(set(seeds)) < len(seeds):
        raise InputError(
            f"--evaluate: give different seeds from 0 to {FIRST_TRAINING_SEED - 1}; larger ones are trained on"
        )


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Put `evaluation` into the run folder, in place of an older one."""
    content = msgspec.json.format(msgspec.json.encode(evaluation), indent=2)
    (folder / EVALUATION_NAME).write_bytes(content + b"\n")


def read_evaluation(folder: Path) -> Evaluation | None:
    """The evaluation in a run folder, if there is one; raises InputError for one that cannot be read."""
    path = folder / EVALUATION_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _safe_delay_s(episode: Episode) -> float:
    """The delay of an episode; raises RuntimeError if an unsafe light was shown, which must never happen."""
    if episode.monitor_trips:
        raise RuntimeError(f"{episode.plan}: the monitor tripped {episode.monitor_trips} times")
    return round(episode.mean_delay_s, 3)


def _spread(delays_s: Sequence[float]) -> str:
    return f"{median(delays_s):6.1f} s ({min(delays_s):.1f} to {max(delays_s):.1f})"
