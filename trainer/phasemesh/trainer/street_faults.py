"""Domain randomisation: the street's faults in an episode, drawn from a recipe by the seed of the episode."""

from __future__ import annotations

import msgspec
import numpy as np

from phasemesh.trainer.recipe import Randomisation

MAX_LATE_TICKS = 3
"""The latest that a late message comes: as old as a message may be on the street and still count."""


class StreetFaults(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong in one episode; nothing by default.

    `detector_noise` is the share of vehicles that a detector misses, and of those that it counts twice; speeds, waits
    and what is downstream are off by so much (one standard deviation). A detector is out of order for the share
    `detector_outage` of the time, for `outage_s` on average, and then says what one of `outage_kinds` says.
    `message_delay` is the share of messages that come 1 to `MAX_LATE_TICKS` ticks late.
    """

    detector_noise: float = 0.0
    detector_outage: float = 0.0
    outage_s: float = 60.0
    outage_kinds: tuple[str, ...] = ("detector-silent",)
    message_delay: float = 0.0

    @property
    def has_worn_detectors(self) -> bool:
        """Whether any detector is not what it should be."""
        return self.detector_noise > 0.0 or self.detector_outage > 0.0


def drawn_tick_s(recipe: Randomisation, seed: int, tick_s: float) -> float:
    """The control interval of the episode with `seed`; `tick_s` where the recipe does not draw it."""
    if not recipe.ticks_s:
        return tick_s
    return float(recipe.ticks_s[int(_draws(seed)[0] * len(recipe.ticks_s))])


def drawn_faults(recipe: Randomisation, seed: int) -> StreetFaults:
    """The faults of the episode with `seed`; none where the ranges of the recipe are zero."""
    _, noise, outage, delay = _draws(seed)
    return StreetFaults(
        detector_noise=_between(recipe.detector_noise, noise),
        detector_outage=_between(recipe.detector_outage, outage),
        outage_s=recipe.outage_s,
        outage_kinds=recipe.outage_kinds,
        message_delay=_between(recipe.message_delay, delay),
    )


def _draws(seed: int) -> tuple[float, float, float, float]:
    """Numbers from 0 up to 1, apart from all others that the seed of an episode gives."""
    tick, noise, outage, delay = np.random.default_rng((seed, 1)).random(4).tolist()
    return tick, noise, outage, delay


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + share * (ends[1] - ends[0])


class LateMessages:
    """How many ticks late each message of an episode comes."""

    def __init__(self, share: float, seed: int) -> None:
        """With a `share` of 0 nothing is drawn and nothing is late."""
        self._share = share
        self._random = np.random.default_rng((seed, 3))

    def drawn(self, shape: tuple[int, ...]) -> np.ndarray:
        """Ticks for each message of `shape`, 0 for those in time."""
        if self._share <= 0.0:
            return np.zeros(shape, dtype=np.int64)
        is_late = self._random.random(shape) < self._share
        ticks = self._random.integers(1, MAX_LATE_TICKS + 1, shape)
        late: np.ndarray = np.where(is_late, ticks, 0)
        return late
