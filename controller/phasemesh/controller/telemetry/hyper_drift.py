"""Watches whether the hyper-action leaves what is usual at this time of day; it tells people and changes nothing."""

from __future__ import annotations

import msgspec
import numpy as np

from phasemesh.contract.hyper_profile import MEMORY_S, HyperProfile, js_distance, smoothed, usual_at
from phasemesh.contract.observation import HYPER_SIZE, FloatArray
from phasemesh.controller.telemetry.records import TickRecord

ALARM_AFTER_S = 900.0
"""How long the distance must stay above the threshold before it is an alarm, in cabinet time."""


class Drift(msgspec.Struct, frozen=True):
    """How far the hyper-action is from the usual one, `threshold` being what one tick in two hundred had in training.

    `above_s` is for how long it has been above, `is_alarm` whether that is too long. The distance is None until the
    running mean has seen enough.
    """

    distance: float | None
    threshold: float
    above_s: float = 0.0

    @property
    def is_alarm(self) -> bool:
        """Whether people should look."""
        return self.above_s >= ALARM_AFTER_S


class DriftWatch:
    """Follows the hyper-action of one agent, tick by tick."""

    def __init__(self, profile: HyperProfile | None) -> None:
        """Compare with `profile`; without one there is nothing to tell."""
        self._profile = profile
        self._mean: FloatArray | None = None
        self._begun_s = self._seen_s = 0.0
        self._above_since_s: float | None = None

    def note(self, record: TickRecord) -> Drift | None:
        """What is known after the tick of `record`; a tick without an answer of the policy says nothing."""
        if self._profile is None:
            return None
        weights = np.frombuffer(record.hyper_action, dtype=np.float32)
        if len(weights) == HYPER_SIZE and weights.sum() > 0.0:
            self._take(weights, record.now_s)
        return self._drift(self._profile, record.snapshot.day_s, record.now_s)

    def _take(self, weights: FloatArray, now_s: float) -> None:
        if self._mean is None or now_s < self._seen_s:
            # Of a cabinet whose clock went back nothing is known that could be compared.
            self._mean, self._begun_s, self._above_since_s = weights, now_s, None
        else:
            self._mean = smoothed(self._mean, weights, now_s - self._seen_s)
        self._seen_s = now_s

    def _drift(self, profile: HyperProfile, day_s: float, now_s: float) -> Drift:
        if self._mean is None or self._seen_s - self._begun_s < MEMORY_S:
            return Drift(None, profile.threshold)
        distance = js_distance(self._mean, usual_at(profile, day_s))
        if distance <= profile.threshold:
            self._above_since_s = None
            return Drift(distance, profile.threshold)
        if self._above_since_s is None:
            self._above_since_s = now_s
        return Drift(distance, profile.threshold, now_s - self._above_since_s)
