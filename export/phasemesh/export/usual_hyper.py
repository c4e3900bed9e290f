"""What a bundle says of the usual hyper-action of its intersections, from greedy episodes of the policy it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from phasemesh.contract.hyper_profile import MEMORY_S, HyperProfile, bin_of, js_distance, smoothed, usual_at
from phasemesh.contract.observation import FloatArray
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.trainer.episode import Episode
from phasemesh.trainer.heads import told_weights

EPISODES = 3
"""Whole episodes of a scenario that a profile is made of: each is held against the others."""
QUANTILE = 0.995
LEAST_THRESHOLD = 0.02
"""No distance below this is worth a look, however even the episodes were."""

Series = tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]
"""Times of day [T] in seconds and hyper-actions [T, k] of one intersection in one episode."""


class UsualHyper:
    """Collects the hyper-actions of episodes that others look at."""

    def __init__(self) -> None:
        """Begin with none."""
        self._series: dict[IntersectionId, list[Series]] = {}

    def watched(self, episodes: Iterable[Episode]) -> Iterator[Episode]:
        """The same `episodes`, each noted as it passes."""
        for episode in episodes:
            self.note(episode, find_scenario(episode.plan.scenario).begin_s)
            yield episode

    def note(self, episode: Episode, begin_s: float) -> None:
        """Take in an episode that began at `begin_s` of the day."""
        day_s = begin_s + episode.plan.tick_s * np.arange(episode.ticks, dtype=np.float64)
        told = told_weights(torch.from_numpy(episode.hyper)).numpy()
        for agent, name in enumerate(episode.layout.names):
            self._series.setdefault(name, []).append((day_s, told[:, agent]))

    def profiles(self) -> dict[str, HyperProfile]:
        """The profile of every intersection that was played twice for longer than the monitor looks back."""
        long = {name: [each for each in found if _is_long(each)] for name, found in self._series.items()}
        return {str(name): profile_of(found) for name, found in long.items() if len(found) > 1}


def _is_long(series: Series) -> bool:
    return bool(series[0][-1] - series[0][0] >= MEMORY_S)


def profile_of(series: list[Series]) -> HyperProfile:
    """The profile of several episodes; its threshold is what one tick in two hundred has against the others."""
    distances = [
        distance
        for left_out, each in enumerate(series)
        for distance in _distances(each, _means([*series[:left_out], *series[left_out + 1 :]], 1.0))
    ]
    threshold = max(LEAST_THRESHOLD, float(np.quantile(distances, QUANTILE)))
    return _means(series, round(min(1.0, threshold), 6))


def _means(series: list[Series], threshold: float) -> HyperProfile:
    day_s, weights = (np.concatenate(parts) for parts in zip(*series, strict=True))
    bins = np.array([bin_of(each) for each in day_s])
    return HyperProfile(
        usual=_row(weights.mean(axis=0)),
        by_bin={int(number): _row(weights[bins == number].mean(axis=0)) for number in np.unique(bins)},
        threshold=threshold,
    )


def _row(weights: npt.NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(round(float(weight), 6) for weight in weights)


def _distances(series: Series, profile: HyperProfile) -> Iterator[float]:
    """What the monitor of the street would have measured."""
    mean: FloatArray | None = None
    begun_s = before_s = float(series[0][0])
    for day_s, weights in zip(*series, strict=True):
        mean = smoothed(mean, weights, day_s - before_s)
        before_s = day_s
        if day_s - begun_s >= MEMORY_S:
            yield js_distance(mean, usual_at(profile, day_s))
