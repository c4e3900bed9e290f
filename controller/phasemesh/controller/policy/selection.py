"""From scores to a stage: the mask of what is legal, ties, and the policy that neighbours are told."""

from __future__ import annotations

import math

import numpy as np

from phasemesh.contract.observation import FloatArray

TIE_TOLERANCE = 1e-4
"""Scores this close to the best are equal; above the rounding of single precision, far below one vehicle."""


def choose_stage(logits: FloatArray, legal: tuple[bool, ...], current: int) -> int:
    """The legal stage with the best score; among equals the current one, then the lowest index.

    Args:
        logits: Finite scores [S].
        legal: Which stages may be asked for [S]; without any the current stage is kept.
        current: The stage in force.
    """
    scores = {
        index: score for index, (score, is_legal) in enumerate(zip(logits.tolist(), legal, strict=True)) if is_legal
    }
    if not scores:
        return current
    best = max(scores.values())
    equals = [index for index, score in scores.items() if best - score <= TIE_TOLERANCE]
    return current if current in equals else equals[0]


def stage_probabilities(logits: FloatArray, legal: tuple[bool, ...]) -> FloatArray:
    """Softmax of finite `logits` [S] over the legal stages, float32 [S]; zero elsewhere, and everywhere if none is."""
    scores = [score if is_legal else -math.inf for score, is_legal in zip(logits.tolist(), legal, strict=True)]
    best = max(scores, default=-math.inf)
    if best == -math.inf:
        return np.zeros(len(legal), dtype=np.float32)
    # A dozen stages at most: plain floats cost a fraction of what arrays do.
    weights = [math.exp(score - best) for score in scores]
    total = sum(weights)
    return np.array([weight / total for weight in weights], dtype=np.float32)
