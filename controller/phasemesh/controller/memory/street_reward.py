"""What an agent on the street is rewarded for: the reward of its policy's training as far as detectors see it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from phasemesh.contract.bundle import BundleManifest
from phasemesh.contract.detection import LaneReading
from phasemesh.contract.intersection import Intersection

DEFAULT_GAMMA = 0.985
"""Discount a tick where no training says another."""


class StreetReward(StrEnum):
    """Names as in recipes of training: `delay` in vehicle-seconds a second, `halting` in vehicles that stand."""

    DELAY = "delay"
    HALTING = "halting"


class RewardRule(msgspec.Struct, frozen=True):
    """The reward and the discount a tick of a policy's training.

    On the street `delay` reaches as far as the detectors (150 m) and knows lanes by their mean speed. Of a training
    that also counted neighbours' rewards only the agent's own is seen.
    """

    kind: StreetReward = StreetReward.DELAY
    gamma: float = DEFAULT_GAMMA

    def reward(self, intersection: Intersection, readings: tuple[LaneReading, ...]) -> float:
        """Minus the delay, or minus the vehicles that stand, that `readings` show."""
        if self.kind is StreetReward.HALTING:
            return -sum(reading.queue_veh for reading in readings)
        return -sum(
            reading.vehicles_150m_veh * max(0.0, 1.0 - reading.mean_speed_mps / lane.speed_limit_mps)
            for lane, reading in zip(intersection.lanes, readings, strict=True)
        )


def reward_rule(manifest: BundleManifest | None) -> RewardRule:
    """The rule of the training that `manifest` tells of; that of the house for a bundle without a training."""
    training = manifest.provenance.training if manifest else None
    if training is None:
        return RewardRule()
    gamma = _part(training.recipe, "learner").get("gamma", DEFAULT_GAMMA)
    kind = _part(training.recipe, "reward").get("kind", StreetReward.DELAY)
    is_known = kind in set(StreetReward)
    return RewardRule(
        StreetReward(str(kind)) if is_known else StreetReward.DELAY,
        float(gamma) if isinstance(gamma, int | float) and 0.0 <= gamma < 1.0 else DEFAULT_GAMMA,
    )


def _part(recipe: dict[str, object], name: str) -> dict[str, object]:
    part = recipe.get(name)
    return part if isinstance(part, dict) else {}
