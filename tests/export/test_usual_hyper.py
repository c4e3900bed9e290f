"""What a bundle says of its usual hyper-actions: means by time of day, and what is too far from them."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from phasemesh.contract.hyper_profile import faults_of_profile
from phasemesh.export.usual_hyper import LEAST_THRESHOLD, UsualHyper
from phasemesh.trainer.episode import Episode

pytestmark = pytest.mark.train
TICKS, TICK_S, BEGIN_S = 360, 10.0, 25_200.0
USUAL = np.full(32, 1.0 / 32.0)


def make_episode(seed: int, *, shift: float = 0.0) -> Episode:
    """An hour of two intersections whose weights over 32 heads hang on nothing but chance and `shift`."""
    random = np.random.default_rng(seed)
    weights = random.dirichlet(20.0 * USUAL, size=(TICKS, 2)).astype(np.float32)
    weights[..., 0] += shift
    parts: dict[str, Any] = {
        "plan": SimpleNamespace(tick_s=TICK_S, scenario="line"),
        "layout": SimpleNamespace(names=("a", "b")),
        "ticks": TICKS,
        "hyper": weights / weights.sum(axis=-1, keepdims=True),
    }
    return cast("Episode", SimpleNamespace(**parts))


def usual_of(episodes: Iterator[Episode] | list[Episode]) -> UsualHyper:
    """What is known after `episodes`."""
    usual = UsualHyper()
    for episode in episodes:
        usual.note(episode, BEGIN_S)
    return usual


def test_every_intersection_has_the_parts_of_the_day_that_were_played() -> None:
    """An hour from seven o'clock is four of them; all rows are distributions over the eight places of the contract."""
    profiles = usual_of([make_episode(seed) for seed in range(3)]).profiles()

    assert set(profiles) == {"a", "b"}
    assert list(profiles["a"].by_bin) == [28, 29, 30, 31]
    assert [fault for name, each in profiles.items() for fault in faults_of_profile(name, each)] == []
    assert profiles["a"].usual == pytest.approx((0.125,) * 8, abs=0.01)


def test_a_threshold_is_what_one_episode_has_against_the_others() -> None:
    """Days that differ from each other allow more than days that are alike."""
    alike = usual_of([make_episode(seed) for seed in range(3)]).profiles()["a"].threshold
    apart = usual_of([make_episode(seed, shift=0.3 * seed) for seed in range(3)]).profiles()["a"].threshold

    assert LEAST_THRESHOLD <= alike < 0.3
    assert apart > 1.3 * alike


def test_one_episode_says_nothing_of_what_is_usual() -> None:
    """There is nothing to hold it against."""
    assert usual_of([make_episode(1)]).profiles() == {}
