"""Results of trials as trials leave them, without training."""

from __future__ import annotations

from typing import Any

from phasemesh.trainer.reproduction.trial import TrialResult

EVEN = (0.125,) * 8
FIRST = (1.0, *(0.0,) * 7)


def make_result(method: str, place: str, seed: int, delay_s: float = 30.0, **changes: Any) -> TrialResult:
    """A trial that ended with one delay, and was paid a hundredth of it less than nothing."""
    values: dict[str, Any] = {
        "curve_s": (90.0, 60.0, delay_s),
        "rewards": (-0.9, -0.6, -delay_s / 100.0),
        "delays_s": (delay_s,) * 3,
        "final_rewards": (-delay_s / 100.0,) * 3,
        "parameters": 70_000,
        "update_s": 2.0,
        "hyper": {"a": (EVEN, EVEN), "b": (EVEN, EVEN), "c": (EVEN, EVEN)},
        "alarms": (),
    }
    return TrialResult(method=method, place=place, seed=seed, **values | changes)
