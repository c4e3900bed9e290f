"""What agents are rewarded for: the delay that arises at their signal, or the papers' halting vehicles."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from phasemesh.contract.detection import LaneReading


class RewardKind(StrEnum):
    """`delay` is what the harness measures a controller by, seen locally; `halting` is that of BayesG and NeurComm."""

    DELAY = "delay"
    HALTING = "halting"


def halting_reward(readings: Sequence[LaneReading], norm_veh: float) -> float:
    """Minus the vehicles that stand on the lanes of an intersection, over `norm_veh`.

    Each vehicle counts once, where the papers' public code counts it once a movement of its lane. Vehicles that find no
    room to enter are not seen: a controller can look good by keeping traffic out, which `delay` does not reward.
    """
    return -sum(reading.queue_veh for reading in readings) / norm_veh
