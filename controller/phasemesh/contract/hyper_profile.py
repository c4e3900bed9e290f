"""The usual hyper-action of an intersection by time of day, and how far one is from it.

What a policy weighs its value heads by says which situations it takes its intersection to be in. When that leaves what
it was in training, demand or detectors have: a signal to people, never to the lights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from phasemesh.contract.observation import HYPER_SIZE, FloatArray
from phasemesh.contract.schedule import DAY_S

BIN_S = 900.0
"""Length of one part of the day."""
MEMORY_S = 900.0
"""Time constant of the mean that is compared: single ticks say little."""
BINS = round(DAY_S / BIN_S)
_SUM_TOLERANCE = 1e-3


class HyperProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one intersection's hyper-action was like in training.

    `usual` is its mean [k] over all that was played, `by_bin` that of each part of the day that was, by its number
    since midnight. A distance above `threshold` was seen in one of two hundred ticks.
    """

    usual: tuple[float, ...]
    by_bin: dict[int, tuple[float, ...]]
    threshold: float


def bin_of(day_s: float) -> int:
    """The number of the part of the day that `day_s`, seconds since midnight, is in."""
    return int(day_s % DAY_S // BIN_S)


def usual_at(profile: HyperProfile, day_s: float) -> tuple[float, ...]:
    """What is usual at `day_s`; where nothing was played, what is usual in all."""
    return profile.by_bin.get(bin_of(day_s), profile.usual)


def smoothed(before: FloatArray | None, weights: FloatArray, elapsed_s: float) -> FloatArray:
    """The running mean [k] after `weights` [k] that came `elapsed_s` after those before."""
    if before is None:
        return weights
    mean: FloatArray = before + np.float32(-math.expm1(-elapsed_s / MEMORY_S)) * (weights - before)
    return mean


def js_distance(first: Sequence[float] | FloatArray, second: Sequence[float] | FloatArray) -> float:
    """The Jensen-Shannon distance of two distributions [k]: a metric from 0 to 1 (Endres and Schindelin, 2003)."""
    rows = np.array((first, second), dtype=np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    ratio = np.where(rows > 0.0, rows / np.maximum(rows.mean(axis=0), 1e-300), 1.0)
    return math.sqrt(max(0.0, float((rows * np.log2(ratio)).sum()) / 2.0))


def faults_of_profile(name: str, profile: HyperProfile) -> list[str]:
    """What makes no sense in the profile of the intersection `name`, each with its path."""
    rows = {"usual": profile.usual, **{f"by_bin[{number}]": row for number, row in profile.by_bin.items()}}
    faults = [
        f"hyper_profiles[{name}].{path}: is no distribution over {HYPER_SIZE} heads"
        for path, row in rows.items()
        if len(row) != HYPER_SIZE or min(row) < -_SUM_TOLERANCE or not abs(sum(row) - 1.0) <= _SUM_TOLERANCE
    ]
    faults += [
        f"hyper_profiles[{name}].by_bin: {number} is no part of a day of {BINS}"
        for number in profile.by_bin
        if not 0 <= number < BINS
    ]
    if not 0.0 <= profile.threshold <= 1.0:
        faults.append(f"hyper_profiles[{name}].threshold: {profile.threshold} is outside 0 to 1")
    return faults
