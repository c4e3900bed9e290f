"""Domain randomisation: within the ranges of the recipe, by the seed of the episode alone, and off unless asked for."""

from __future__ import annotations

import numpy as np
import pytest

from phasemesh.export.rule_weights import random_actor
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.recipe import Randomisation, Recipe, find_recipe, known_recipes
from phasemesh.trainer.street_faults import MAX_LATE_TICKS, LateMessages, StreetFaults, drawn_faults, drawn_tick_s

pytestmark = pytest.mark.train
STREET = Randomisation(
    ticks_s=(1.0, 2.0, 2.0, 5.0),
    detector_noise=(0.05, 0.15),
    detector_outage=(0.0, 0.2),
    message_delay=(0.1, 0.3),
)


def test_without_ranges_nothing_is_wrong() -> None:
    """The recipe says so by default, and the papers' recipes leave it so."""
    for seed in range(20):
        assert drawn_faults(Randomisation(), seed) == StreetFaults()
        assert drawn_tick_s(Randomisation(), seed, 2.0) == 2.0
    assert Recipe().randomisation == Randomisation()
    off = [name for name in known_recipes() if find_recipe(name).randomisation == Randomisation()]
    assert {"bayesg", "bayesg-a2c"} <= set(off)
    assert "bayesg-cities" not in off


def test_faults_are_within_their_ranges_and_use_all_of_them() -> None:
    """Over many episodes, each with its own."""
    drawn = [drawn_faults(STREET, seed) for seed in range(500)]

    for name in ("detector_noise", "detector_outage", "message_delay"):
        low, high = getattr(STREET, name)
        values = [getattr(faults, name) for faults in drawn]
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high
        assert np.mean(values) == pytest.approx((low + high) / 2.0, rel=0.1)


def test_ticks_are_drawn_as_often_as_they_are_named() -> None:
    """Two seconds twice as often as the others."""
    drawn = [drawn_tick_s(STREET, seed, 2.0) for seed in range(1000)]

    assert set(drawn) == {1.0, 2.0, 5.0}
    assert drawn.count(2.0) == pytest.approx(500, rel=0.12)


def test_the_same_seed_has_the_same_faults() -> None:
    """Whatever was drawn before."""
    assert drawn_faults(STREET, 7) == drawn_faults(STREET, 7) != drawn_faults(STREET, 8)


def test_as_many_messages_are_late_as_asked() -> None:
    """By one tick up to the oldest that still counts, evenly; the same for the same seed; none without a share."""
    late = LateMessages(0.2, 5)
    drawn = np.stack([late.drawn((4, 3)) for _ in range(1000)])
    again = LateMessages(0.2, 5)

    assert (drawn > 0).mean() == pytest.approx(0.2, rel=0.1)
    for ticks in range(1, MAX_LATE_TICKS + 1):
        assert (drawn == ticks).mean() == pytest.approx(0.2 / MAX_LATE_TICKS, rel=0.15)
    assert drawn.max() == MAX_LATE_TICKS
    assert np.array_equal(drawn, np.stack([again.drawn((4, 3)) for _ in range(1000)]))
    assert not LateMessages(0.0, 5).drawn((4, 3)).any()


FIELDS = ("lanes", "stage_state", "legal", "told", "age", "valid", "hidden", "stage", "reward")


def same(first: Episode, second: Episode) -> list[str]:
    """The fields in which two episodes agree bit for bit."""
    return [name for name in FIELDS if np.array_equal(getattr(first, name), getattr(second, name))]


@pytest.mark.sumo
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_episode_under_faults_is_repeatable_and_safe() -> None:
    """Same seed, same episode; agents see lanes that are not valid and hear late messages; no light is unsafe."""
    faults = StreetFaults(detector_noise=0.1, detector_outage=0.3, outage_s=30.0, message_delay=0.4)
    plain = EpisodePlan(scenario="grid2x2", seed=9, length_s=90.0)
    worn = EpisodePlan(scenario="grid2x2", seed=9, length_s=90.0, tick_s=3.0, faults=faults)

    first, second, without = Crew(1).play(random_actor(7), [worn, worn, plain])

    assert same(first, second) == list(FIELDS)
    assert first.monitor_trips == without.monitor_trips == 0
    assert first.ticks == 30
    assert_worn(first)
    assert without.lanes[..., -1].min() == 1.0
    assert not without.age[1:].any()


def assert_worn(episode: Episode) -> None:
    """Some lanes are not valid, about as many as asked; some messages are as old as their delay."""
    valid = episode.lanes[..., -1]
    assert 0.5 < valid.mean() < 0.9
    assert set(np.unique(episode.age[5:])) > {0, 1}
