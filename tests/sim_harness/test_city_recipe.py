"""What seeds give: always the same, within the table of ranges, and everything that the table holds."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from phasemesh.sim_harness.scenarios.city_recipe import QUALITIES, CityKind, Pick, Span, city_recipe

MANY = [city_recipe(seed) for seed in range(400)]
GOLDEN = "003f2e5c772d566b04595f2df3575642410066204850e9f14b952c5baed43457"
"""Digest of the recipes of the first 400 seeds: a change of the table is a change of every city."""


def test_seeds_give_what_they_always_gave() -> None:
    """On every machine and with every version of Python and numpy."""
    assert hashlib.sha256(msgspec.json.encode(MANY)).hexdigest() == GOLDEN


def test_every_quality_is_within_its_range_and_uses_all_of_it() -> None:
    """Spans are drawn from end to end, picks draw each of their values."""
    for name, quality in QUALITIES.items():
        drawn = [getattr(recipe, name) for recipe in MANY]
        if isinstance(quality, Pick):
            assert set(drawn) == set(quality.values)
        else:
            width = quality.high - quality.low
            assert quality.low <= min(drawn) <= quality.low + 0.1 * width
            assert quality.high - 0.1 * width <= max(drawn) <= quality.high


def test_qualities_are_drawn_for_themselves() -> None:
    """Level and size, both of which are spans, have nothing to do with each other."""
    levels, blocks_m = ([getattr(recipe, name) for recipe in MANY] for name in ("level", "block_m"))
    high = [block_m for level, block_m in zip(levels, blocks_m, strict=True) if level > 0.7]
    low = [block_m for level, block_m in zip(levels, blocks_m, strict=True) if level <= 0.7]

    assert sum(high) / len(high) == pytest.approx(sum(low) / len(low), rel=0.1)


def test_levels_run_from_light_to_well_past_saturation() -> None:
    """A good part of the cities is light, a good part is past what its busiest junction can serve."""
    levels = [recipe.level for recipe in MANY]

    assert sum(level < 0.4 for level in levels) > 0.15 * len(levels)
    assert sum(level > 1.0 for level in levels) > 0.15 * len(levels)


def test_a_further_attempt_is_another_city_of_the_same_seed() -> None:
    """Drawn anew, and as repeatable as the first."""
    first, second = city_recipe(5), city_recipe(5, attempt=1)

    assert (second.seed, second.attempt) == (5, 1)
    assert city_recipe(5, attempt=1) == second
    assert (first.level, first.block_m) != (second.level, second.block_m)


def test_the_ends_of_a_range_can_be_drawn() -> None:
    """A share just below 1 is the last value."""
    almost = 1.0 - 2.0**-53

    assert Pick(("a", "b")).drawn(0.0) == "a"
    assert Pick(("a", "b")).drawn(almost) == "b"
    assert (Span(1.0, 2.0, 1).drawn(0.0), Span(1.0, 2.0, 1).drawn(almost)) == (1.0, 2.0)
    assert set(CityKind) == set(QUALITIES["kind"].values)
