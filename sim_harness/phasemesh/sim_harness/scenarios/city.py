"""Generated cities, `city:SEED`: random networks under random traffic, by the thousand and always the same."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.scenarios.cache import kept
from phasemesh.sim_harness.scenarios.city_demand import city_demand
from phasemesh.sim_harness.scenarios.city_load import capacity_vehph
from phasemesh.sim_harness.scenarios.city_recipe import CityKind, CityRecipe, city_recipe
from phasemesh.sim_harness.scenarios.city_roads import entrances, roads_of
from phasemesh.sim_harness.scenarios.netgenerate import LICENCE, SOURCE, generate_network
from phasemesh.sim_harness.scenarios.scenario import Scenario, read_config
from phasemesh.sim_harness.sumo.net_file import read_net_file
from phasemesh.sim_harness.sumo.network import read_network

CITY_PREFIX = "city:"
MAX_CITY = (1 << 31) - 1
"""The largest seed of a city."""
MAX_ATTEMPTS = 20
"""Draws from one seed before it is given up; of a thousand seeds none needs more than a few."""
FACTS_NAME = "city.json"
_CONFIG_NAME = "city.sumocfg"
_NET_NAME = "city.net.xml"
_NAME = re.compile(r"city:(0|[1-9]\d{0,9})")
_GUESS_MPS = 70.0
"""Sum of the speeds of incoming lanes from which a junction has a signal where not all have one."""
_SOURCES = (
    *(
        f"scenarios/{name}.py"
        for name in ("city", "city_demand", "city_load", "city_recipe", "city_roads", "netgenerate")
    ),
    *(f"sumo/{name}.py" for name in ("net_file", "network", "right_of_way", "stages")),
)
"""What makes a city, the derivation of stages included, by which its capacity is estimated."""


class CityFacts(msgspec.Struct, frozen=True):
    """What became of a seed: the recipe that could be built, its signals, its capacity and its mean demand."""

    recipe: CityRecipe
    signals: int
    entrances: int
    capacity_vehph: float
    demand_vehph: float


def parse_city(name: str) -> int | None:
    """The seed of `city:SEED`; None for other names. Raises ScenarioError when it is too large."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    seed = int(match[1])
    if seed > MAX_CITY:
        raise ScenarioError(f"{name}: seeds of cities are at most {MAX_CITY}")
    return seed


def city_scenario(seed: int) -> Scenario:
    """The scenario of `seed`, from the cache or made now.

    Where SUMO can build nothing from a draw, or what it builds has no signal to command or no way through, the next
    attempt of the same seed is taken; which one is settled by the seed and the version of SUMO.

    Raises:
        MissingExtraError: SUMO's netgenerate is not installed.
        ScenarioError: No attempt succeeds, or the cache cannot be written.
    """
    sources = tuple(Path(__file__).parents[1] / name for name in _SOURCES)
    folder = kept(f"city-{seed}", city_recipe(seed), sources, lambda folder: _make(seed, folder))
    return read_config(folder / _CONFIG_NAME, name=f"{CITY_PREFIX}{seed}", source=SOURCE, licence=LICENCE)


def city_facts(scenario: Scenario) -> CityFacts:
    """What a generated city was made from."""
    return msgspec.json.decode((scenario.config.parent / FACTS_NAME).read_bytes(), type=CityFacts)


def _make(seed: int, folder: Path) -> None:
    reason = ""
    for attempt in range(MAX_ATTEMPTS):
        try:
            _build(city_recipe(seed, attempt), folder)
        except ScenarioError as error:
            reason = str(error)
        else:
            return
    raise ScenarioError(f"{CITY_PREFIX}{seed}: nothing could be built in {MAX_ATTEMPTS} attempts: {reason}")


def _build(recipe: CityRecipe, folder: Path) -> None:
    types = folder / "city.typ.xml"
    types.write_text(_road_types(recipe), encoding="utf-8")
    generate_network(recipe.kind, {"type-files": types, **_options(recipe)}, folder / _NET_NAME)
    net, network = read_net_file(folder / _NET_NAME), read_network(folder / _NET_NAME)
    roads = roads_of(net)
    ways = entrances(
        roads,
        np.random.default_rng((recipe.seed, recipe.attempt)),
        spread=recipe.spread,
        left_share=recipe.left_share,
        right_share=recipe.right_share,
    )
    if not ways:
        raise ScenarioError("no way leads through the network")
    capacity = capacity_vehph(network, roads, ways)
    demand_vehph = recipe.level * capacity
    (folder / "city.rou.xml").write_text(city_demand(recipe, ways, demand_vehph), encoding="utf-8")
    facts = CityFacts(recipe, len(network.controlled), len(ways), round(capacity, 1), round(demand_vehph, 1))
    (folder / FACTS_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=2) + b"\n")
    (folder / _CONFIG_NAME).write_text(_config(recipe), encoding="utf-8")


def _road_types(recipe: CityRecipe) -> str:
    rows = "".join(
        f'  <type id="road{number}" numLanes="{lanes}" speed="{speed_mps:g}" priority="{3 + 2 * number}"/>\n'
        for number, (lanes, speed_mps) in enumerate(zip(recipe.lanes, recipe.speeds_mps, strict=True))
    )
    return f"<types>\n{rows}</types>\n"


def _options(recipe: CityRecipe) -> dict[str, object]:
    return {
        "xml-validation": "never",
        "seed": recipe.seed,
        "random-type": "true",
        "no-turnarounds": "true",
        "tls.layout": recipe.layout,
        "tls.left-green.time": recipe.left_green_s,
        "tls.cycle.time": recipe.cycle_s,
        "tls.minor-left.max-speed": 30.0 if recipe.has_permissive_left else 0.0,
        **_KIND_OPTIONS[recipe.kind](recipe),
        **({"turn-lanes": 1, "turn-lanes.length": recipe.pocket_m} if recipe.pocket_m else {}),
        **(
            {"default-junction-type": "traffic_light"}
            if recipe.is_signalised
            else {"default-junction-type": "priority", "tls.guess": "true", "tls.guess.threshold": _GUESS_MPS}
        ),
    }


def _grid(recipe: CityRecipe) -> dict[str, object]:
    noise = f"norm(0,{recipe.crooked_m:g})"
    return {
        "grid.x-number": recipe.columns,
        "grid.y-number": recipe.rows,
        "grid.x-length": recipe.block_m,
        "grid.y-length": recipe.block_m,
        "grid.attach-length": 200,
        "perturb-x": noise,
        "perturb-y": noise,
    }


def _spider(recipe: CityRecipe) -> dict[str, object]:
    return {
        "spider.arm-number": recipe.arms,
        "spider.circle-number": recipe.circles,
        "spider.space-radius": recipe.block_m,
        "spider.attach-length": 200,
        # Without a signal netgenerate leaves the middle without any right of way, and vehicles crash there.
        "tls.set": "A1",
    }


def _random(recipe: CityRecipe) -> dict[str, object]:
    return {
        "rand.iterations": recipe.roads,
        "rand.min-distance": 0.7 * recipe.block_m,
        "rand.max-distance": 1.5 * recipe.block_m,
        "rand.min-angle": 45,
    }


_KIND_OPTIONS = {CityKind.GRID: _grid, CityKind.SPIDER: _spider, CityKind.RANDOM: _random}
"""What each kind of network tells netgenerate."""


def _config(recipe: CityRecipe) -> str:
    return (
        "<configuration>\n"
        f'  <net-file value="{_NET_NAME}"/>\n'
        '  <route-files value="city.rou.xml"/>\n'
        '  <begin value="0"/>\n'
        f'  <end value="{recipe.window_s:g}"/>\n'
        "</configuration>\n"
    )
