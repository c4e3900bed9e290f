"""From scores to a stage: legality, ties, and the policy that neighbours are told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.policy.selection import TIE_TOLERANCE, choose_stage, stage_probabilities

SCORES = st.floats(-1000, 1000, width=32)


@st.composite
def choices(draw: st.DrawFn) -> tuple[np.ndarray, tuple[bool, ...], int]:
    """Scores, what is legal, and the current stage of one intersection."""
    size = draw(st.integers(1, 16))
    logits = np.array(draw(st.lists(SCORES, min_size=size, max_size=size)), dtype=np.float32)
    legal = tuple(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    return logits, legal, draw(st.integers(0, size - 1))


@pytest.mark.parametrize(
    ("logits", "legal", "current", "expected"),
    [
        ([1, 3, 2], (True, True, True), 0, 1),
        ([1, 3, 2], (True, False, True), 0, 2),
        ([5, 5, 5], (True, True, True), 2, 2),
        ([5, 5, 5], (True, True, False), 2, 0),
        ([4, 5, 5], (True, True, True), 0, 1),
        ([5, 5 + 0.5 * TIE_TOLERANCE], (True, True), 0, 0),
        ([5, 5 + 2 * TIE_TOLERANCE], (True, True), 0, 1),
        ([5, 9], (False, False), 0, 0),
    ],
)
def test_the_best_legal_stage_wins_and_ties_keep_the_current_one(
    logits: list[float], legal: tuple[bool, ...], current: int, expected: int
) -> None:
    """Best legal score; among equals the current stage, then the lowest index; nothing legal keeps the current."""
    assert choose_stage(np.array(logits, dtype=np.float64), legal, current) == expected


@given(choices())
def test_the_chosen_stage_is_legal_and_no_legal_stage_is_better(
    choice: tuple[np.ndarray, tuple[bool, ...], int],
) -> None:
    """Whatever the scores: never an illegal stage, never one that is beaten by more than the tolerance."""
    logits, legal, current = choice

    stage = choose_stage(logits, legal, current)

    if any(legal):
        assert legal[stage]
        assert float(logits[stage]) >= max(float(logits[i]) for i in np.flatnonzero(legal)) - TIE_TOLERANCE
    else:
        assert stage == current


@given(choices(), st.integers(0, 2**32 - 1))
def test_scores_of_illegal_stages_change_nothing(choice: tuple[np.ndarray, tuple[bool, ...], int], seed: int) -> None:
    """What may not be asked for has no say."""
    logits, legal, current = choice
    noise = np.random.default_rng(seed).normal(0, 100, len(logits)).astype(np.float32)
    other = np.where(legal, logits, noise).astype(np.float32)

    assert choose_stage(other, legal, current) == choose_stage(logits, legal, current)
    np.testing.assert_array_equal(stage_probabilities(other, legal), stage_probabilities(logits, legal))


@given(choices())
def test_probabilities_are_a_distribution_over_the_legal_stages(
    choice: tuple[np.ndarray, tuple[bool, ...], int],
) -> None:
    """Finite float32 that sum to one over what is legal, without overflow for any score."""
    logits, legal, _ = choice

    probabilities = stage_probabilities(logits, legal)

    assert probabilities.dtype == np.float32
    assert np.isfinite(probabilities).all()
    assert (probabilities[~np.asarray(legal)] == 0).all()
    assert probabilities.sum() == pytest.approx(1.0 if any(legal) else 0.0, abs=1e-5)


def test_probabilities_are_the_softmax_of_the_scores() -> None:
    """Known values: odds of e and e squared."""
    found = stage_probabilities(np.array([0, 1, 2, 9], dtype=np.float32), (True, True, True, False))

    total = 1 + np.e + np.e**2
    np.testing.assert_allclose(found, [1 / total, np.e / total, np.e**2 / total, 0], rtol=1e-6)
