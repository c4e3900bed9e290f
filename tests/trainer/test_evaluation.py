"""Evaluation: what was never trained on, beside the rule, and nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from phasemesh.contract.errors import InputError
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.evaluation import (
    EVALUATION_NAME,
    FIRST_TRAINING_SEED,
    Comparison,
    Evaluation,
    check_seeds,
    evaluate,
    write_evaluation,
)
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.recipe import Recipe

pytestmark = pytest.mark.train


def test_the_ratio_is_that_of_medians() -> None:
    """One seed that locks does not decide."""
    comparison = Comparison(scenario="x", actor_s=(9.0, 10.0, 500.0), rule_s=(21.0, 19.0, 20.0))

    assert comparison.ratio == 0.5
    assert "ratio 0.50" in str(comparison)


@pytest.mark.parametrize("seeds", [(1, 1), (-1,), (FIRST_TRAINING_SEED,)])
def test_seeds_that_were_trained_on_are_refused(seeds: tuple[int, ...]) -> None:
    """Likewise a seed that is named twice."""
    with pytest.raises(InputError, match="--evaluate"):
        check_seeds(seeds)


@pytest.mark.sumo
@pytest.mark.slow
def test_actor_and_rule_play_the_same_seeds(tmp_path: Path) -> None:
    """An untrained actor is far behind the rule; the file says what was measured."""
    torch.manual_seed(0)
    comparisons = tuple(evaluate(Crew(2), UniversalActor(), Recipe(), ["grid2x2"], [1, 2], 240.0))
    write_evaluation(tmp_path, Evaluation(iteration=0, seeds=(1, 2), length_s=240.0, comparisons=comparisons))

    (found,) = comparisons
    assert len(found.actor_s) == len(found.rule_s) == 2
    assert len({*found.rule_s}) == 2
    assert found.ratio > 1.1
    assert '"scenario": "grid2x2"' in (tmp_path / EVALUATION_NAME).read_text()
