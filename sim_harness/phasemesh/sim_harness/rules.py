"""The rules for comparison, in plain numpy: each scores stages from the same tensors as a learned policy.

All rules run through agents, guard and cabinets like any bundle; they differ from one only in `infer`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from phasemesh.contract.observation import (
    HIDDEN_SIZE,
    HYPER_SIZE,
    LANE_FEATURES,
    STAGE_FEATURES,
    FloatArray,
    lane_feature,
    stage_feature,
)
from phasemesh.contract.tensors import PolicyInput, PolicyOutput

Scores = npt.NDArray[np.float64]
Score = Callable[[PolicyInput], Scores]

LOST_TIME_CAP_VEH = 8.0
"""Vehicles a lane that a green can serve before the next decision matters."""
LOST_TIME_VEH = 3.0
"""What a switch costs, in vehicles a lane that could have passed meanwhile."""
SOTL_THRESHOLD_VEH_S = 50.0
"""Vehicle-seconds waiting in red after which self-organising lights switch (Gershenson 2005, theta)."""
SOTL_PLATOON_VEH = 3.0
"""A platoon of fewer vehicles than this is not cut (Gershenson 2005, mu)."""


def _lanes(inputs: PolicyInput, name: str) -> Scores:
    """A lane feature in its own unit, [L]."""
    column = lane_feature(name)
    values: Scores = inputs.lanes[:, column].astype(np.float64) / LANE_FEATURES[column].scale
    return values


def _stages(inputs: PolicyInput, name: str) -> Scores:
    """A stage feature in its own unit, [S]."""
    column = stage_feature(name)
    values: Scores = inputs.stage_state[:, column].astype(np.float64) / STAGE_FEATURES[column].scale
    return values


def _served(inputs: PolicyInput, permissive_weight: float = 1.0) -> Scores:
    """Share of each lane that each stage serves, [S, L]; permissive greens count `permissive_weight`."""
    shares = inputs.stage_lanes.astype(np.float64)
    served: Scores = shares[:, :, 0] + permissive_weight * shares[:, :, 1]
    return served


def max_pressure(inputs: PolicyInput) -> Scores:
    """Queue before the stop line less the queue behind it, over served lanes (Varaiya 2013, eq. 5, on queues)."""
    return _served(inputs) @ (_lanes(inputs, "queue") - _lanes(inputs, "downstream_queue"))


def max_wave(inputs: PolicyInput) -> Scores:
    """Vehicles within 50 m of the stop line, over served lanes (MaxWave of Ault and Sharon 2021)."""
    return _served(inputs) @ _lanes(inputs, "vehicles_50m")


def longest_queue(inputs: PolicyInput) -> Scores:
    """The longest queue of any served lane."""
    longest: Scores = np.max((_served(inputs) > 0) * _lanes(inputs, "queue"), axis=1)
    return longest


def approach(inputs: PolicyInput) -> Scores:
    """Vehicles on the last 100 m, over served lanes."""
    return _served(inputs) @ _lanes(inputs, "vehicles_100m")


def approach_lost_time(inputs: PolicyInput) -> Scores:
    """As `approach`, capped, with permissive greens at half weight and the lost time of a switch taken off."""
    vehicles = _lanes(inputs, "vehicles_100m")
    served = _served(inputs, permissive_weight=0.5)
    staying = served @ np.minimum(vehicles, LOST_TIME_CAP_VEH)
    switching = served @ np.minimum(vehicles, LOST_TIME_CAP_VEH - LOST_TIME_VEH)
    return np.where(_stages(inputs, "is_current") > 0, staying, switching)


SCORES: dict[str, Score] = {
    "max-pressure": max_pressure,
    "max-wave": max_wave,
    "longest-queue": longest_queue,
    "approach": approach,
    "approach-lost-time": approach_lost_time,
}


class ScoreRule:
    """A rule that wants the stage with the best score."""

    def __init__(self, score: Score) -> None:
        """Score stages with `score`."""
        self._score = score

    def infer(self, inputs: PolicyInput) -> PolicyOutput:
        """As in `Policy`."""
        return _answer(inputs, self._score(inputs), inputs.hidden)


class SelfOrganisingRule:
    """Self-organising traffic lights: switch when enough has waited, unless that cuts a platoon (Gershenson 2005).

    The vehicle-seconds that wait in red are counted in the first element of the recurrent state.
    """

    def __init__(self, tick_s: float) -> None:
        """Count with decisions every `tick_s`."""
        self._tick_s = tick_s

    def infer(self, inputs: PolicyInput) -> PolicyOutput:
        """As in `Policy`."""
        current = int(np.argmax(_stages(inputs, "is_current")))
        served_now = _served(inputs)[current] > 0
        waiting = _lanes(inputs, "vehicles_100m") * ~served_now
        counted = float(inputs.hidden[0]) + self._tick_s * float(waiting.sum())
        near = float((_lanes(inputs, "vehicles_50m") * served_now).sum())
        may_switch = bool(_stages(inputs, "is_legal").sum() > 1)
        wants_switch = may_switch and counted >= SOTL_THRESHOLD_VEH_S and not 0 < near < SOTL_PLATOON_VEH
        scores = np.zeros(len(inputs.stage_state))
        scores[_most_waiting(inputs, waiting, current) if wants_switch else current] = 1.0
        hidden = np.zeros(HIDDEN_SIZE, dtype=np.float32)
        hidden[0] = 0.0 if wants_switch else counted
        return _answer(inputs, scores, hidden)


def _most_waiting(inputs: PolicyInput, waiting: Scores, current: int) -> int:
    scores = _served(inputs) @ waiting
    scores[current] = -1.0
    return int(np.argmax(scores))


def _answer(inputs: PolicyInput, scores: Scores, hidden: FloatArray) -> PolicyOutput:
    neighbours = len(inputs.neighbour_valid)
    return PolicyOutput(
        stage_logits=scores.astype(np.float32),
        hidden_next=hidden,
        mask_probability=np.zeros(neighbours, dtype=np.float32),
        mask=np.zeros(neighbours, dtype=np.float32),
        hyper_action=np.full(HYPER_SIZE, 1.0 / HYPER_SIZE, dtype=np.float32),
    )
