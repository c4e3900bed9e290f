"""The traffic of a generated city as SUMO's route file: ways with their shares, and random arrivals that change."""

from __future__ import annotations

import math
from collections.abc import Callable

from phasemesh.sim_harness.scenarios.city_recipe import CityRecipe, DemandShape
from phasemesh.sim_harness.scenarios.city_roads import Entrance

PERIODS = 12
"""Parts of the window in which demand is constant."""
SURGE_PERIODS = 2
"""How long a surge lasts: ten minutes of an hour."""
SURGE_FACTOR = 5.0
"""A surge of strength 1 multiplies the demand of its entrance by 1 and this."""

Factor = Callable[[CityRecipe, int, int, int], float]
"""From recipe, period, number of the entrance and count of entrances to the factor of its demand, before scaling."""


def _constant(_recipe: CityRecipe, _period: int, _entrance: int, _count: int) -> float:
    return 1.0


def _peak(recipe: CityRecipe, period: int, _entrance: int, _count: int) -> float:
    """One hill, its top between a third and two thirds of the window."""
    top = (1.0 + recipe.phase) / 3.0
    return 1.0 + recipe.strength * math.cos(2.0 * math.pi * (_middle(period) - top))


def _waves(recipe: CityRecipe, period: int, _entrance: int, _count: int) -> float:
    """Three waves; half a wave later at every other entrance."""
    return 1.0 + recipe.strength * math.sin(
        2.0 * math.pi * (3.0 * _middle(period) + recipe.phase + 0.5 * (_entrance % 2))
    )


def _surge(recipe: CityRecipe, period: int, entrance: int, count: int) -> float:
    """Far more at one entrance for ten minutes, as when a road elsewhere is closed or a game is over."""
    begin = int(recipe.phase * (PERIODS - SURGE_PERIODS))
    is_hit = entrance == recipe.seed % count and begin <= period < begin + SURGE_PERIODS
    return 1.0 + SURGE_FACTOR * recipe.strength * is_hit


def _tide(recipe: CityRecipe, period: int, entrance: int, _count: int) -> float:
    """From much to little at half of the entrances, the other way round at the others."""
    sign = 1.0 if entrance % 2 else -1.0
    return 1.0 + sign * recipe.strength * math.cos(math.pi * _middle(period))


def _middle(period: int) -> float:
    return (period + 0.5) / PERIODS


SHAPES: dict[DemandShape, Factor] = {
    DemandShape.CONSTANT: _constant,
    DemandShape.PEAK: _peak,
    DemandShape.WAVES: _waves,
    DemandShape.SURGE: _surge,
    DemandShape.TIDE: _tide,
}
"""What each shape makes of demand."""


def factors_of(recipe: CityRecipe, entrance: int, count: int) -> tuple[float, ...]:
    """The factors of one of `count` entrances for every period, with a mean of 1."""
    raw = [SHAPES[recipe.shape](recipe, period, entrance, count) for period in range(PERIODS)]
    return tuple(factor * PERIODS / sum(raw) for factor in raw)


def city_demand(recipe: CityRecipe, ways: tuple[Entrance, ...], total_vehph: float) -> str:
    """The route file in which `total_vehph` vehicles an hour enter on average; arrivals are drawn by SUMO's seed."""
    routes = "".join(_routes(entrance) for entrance in ways)
    factors = [factors_of(recipe, number, len(ways)) for number in range(len(ways))]
    flows = "".join(
        _flow(recipe, entrance, period, total_vehph * entrance.share * factors[number][period])
        for period in range(PERIODS)
        for number, entrance in enumerate(ways)
    )
    return f"<routes>\n{_vehicles(recipe)}{routes}{flows}</routes>\n"


def _vehicles(recipe: CityRecipe) -> str:
    return (
        '  <vTypeDistribution id="traffic">\n'
        f'    <vType id="car" vClass="passenger" probability="{1.0 - recipe.truck_share:.2f}"/>\n'
        f'    <vType id="truck" vClass="truck" probability="{recipe.truck_share:.2f}"/>\n'
        "  </vTypeDistribution>\n"
    )


def _routes(entrance: Entrance) -> str:
    lines = "".join(
        f'    <route edges="{" ".join(route)}" probability="{share:.6f}"/>\n' for route, share in entrance.routes
    )
    return f'  <routeDistribution id="{entrance.edge}">\n{lines}  </routeDistribution>\n'


def _flow(recipe: CityRecipe, entrance: Entrance, period: int, vehph: float) -> str:
    """Poisson arrivals of one entrance in one period."""
    length_s = recipe.window_s / PERIODS
    return (
        f'  <flow id="{entrance.edge}_{period}" type="traffic" route="{entrance.edge}" begin="{period * length_s:g}"'
        f' end="{(period + 1) * length_s:g}" period="exp({vehph / 3600.0:.6f})" departLane="best" departSpeed="max"/>\n'
    )
