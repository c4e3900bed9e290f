"""Ranges of generated cities among the scenarios of a training: every episode takes another city of the range."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.scenarios.city import CITY_PREFIX, MAX_CITY

EVALUATED_CITIES = 3
"""Cities behind the end of a range, which no training on it ever plays, that stand for it in an evaluation."""

_RANGE = re.compile(r"city:(?:(\*)|(\d{1,10})-(\d{1,10}))")


class CityRange(msgspec.Struct, frozen=True):
    """The cities from seed `first` to seed `last`."""

    first: int
    last: int

    def drawn(self, random: np.random.Generator) -> str:
        """One of the cities."""
        return f"{CITY_PREFIX}{int(random.integers(self.first, self.last + 1))}"

    def behind(self) -> tuple[str, ...]:
        """The cities that stand for the range in an evaluation."""
        return tuple(f"{CITY_PREFIX}{self.last + number}" for number in range(1, EVALUATED_CITIES + 1))


def city_range(name: str, cities: tuple[int, int]) -> CityRange | None:
    """The range that `city:FIRST-LAST` or `city:*` names, the latter that of the recipe; None for other names.

    Raises InputError for a range without a city, or too near to the last city there is to be evaluated.
    """
    match = _RANGE.fullmatch(name)
    if match is None:
        return None
    first, last = cities if match[1] else (int(match[2]), int(match[3]))
    if not 0 <= first <= last <= MAX_CITY - EVALUATED_CITIES:
        raise InputError(f"{name}: cities from {first} to {last} are no range up to {MAX_CITY - EVALUATED_CITIES}")
    return CityRange(first, last)


def scenario_for(name: str, cities: tuple[int, int], random: np.random.Generator) -> str:
    """The scenario that an episode for `name` plays; only a range draws from `random`."""
    found = city_range(name, cities)
    return name if found is None else found.drawn(random)


def evaluated(names: Sequence[str], cities: tuple[int, int]) -> Iterator[str]:
    """The scenarios on which a training on `names` is evaluated: themselves, and cities behind each range."""
    for name in names:
        found = city_range(name, cities)
        yield from (name,) if found is None else found.behind()


def looked_at(name: str, cities: tuple[int, int]) -> str:
    """The scenario that is read before a training on `name` begins: of a range its first city."""
    found = city_range(name, cities)
    return name if found is None else f"{CITY_PREFIX}{found.first}"
