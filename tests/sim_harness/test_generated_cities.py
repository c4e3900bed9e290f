"""Cities by seed, through the same door as every other scenario: built once, always the same, safe and drivable."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from city_runs import run_city

from phasemesh.contract.errors import ScenarioError
from phasemesh.contract.intersection import conflicting_pairs, faults_of_intersection, stage_lights
from phasemesh.sim_harness.scenarios import city
from phasemesh.sim_harness.scenarios.cache import cache_folder
from phasemesh.sim_harness.scenarios.city import city_facts, city_scenario, parse_city
from phasemesh.sim_harness.scenarios.city_recipe import CityKind, CityRecipe, city_recipe
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.net_file import read_net_file
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.sim_harness.sumo.xml_stream import elements

CITIES = (3, 13, 29)
"""A grid, a random network and a spider, each with few signals."""
REDRAWN = 233
"""A seed whose first network has no way through or no signal."""


def test_names_of_cities_are_seeds() -> None:
    """Whole numbers without leading zeros; other names are no cities; too large ones are refused."""
    assert (parse_city("city:0"), parse_city("city:17")) == (0, 17)
    assert [parse_city(name) for name in ("city", "city:", "city:-1", "city:01", "city:x", "town:1", "city:1-9")] == [
        None
    ] * 7
    with pytest.raises(ScenarioError, match="at most"):
        parse_city("city:2147483648")


@pytest.mark.sumo
@pytest.mark.parametrize("seed", CITIES)
def test_a_city_is_made_once_and_byte_for_byte_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """A second look finds the cache; another cache gets the same bytes of network, demand and facts."""
    files = []
    for cache in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        scenario = find_scenario(f"city:{seed}")
        stamp_ns = scenario.net_file.stat().st_mtime_ns
        assert find_scenario(f"city:{seed}").net_file.stat().st_mtime_ns == stamp_ns
        names = (scenario.net_file, scenario.config, *scenario.route_files, scenario.config.with_name(city.FACTS_NAME))
        files.append([path.read_bytes() for path in names])

    assert files[0] == files[1]


@pytest.mark.sumo
def test_cities_are_safe_and_can_be_driven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every signal has two distinct safe stages or more, every way is connected, and demand is its level's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kinds = set()
    for seed in CITIES:
        scenario = find_scenario(f"city:{seed}")
        network, facts = read_network(scenario.net_file), city_facts(scenario)
        for intersection in network.intersections:
            shown = [stage_lights(intersection, stage) for stage in intersection.stages]
            assert faults_of_intersection(intersection) == []
            assert 2 <= len(set(shown)) == len(shown)
            assert all(conflicting_pairs(intersection, lights) == [] for lights in shown)
        joined = {(way.from_edge, way.to_edge) for way in read_net_file(scenario.net_file).connections}
        routes = [found["edges"].split() for name, found in elements(scenario.route_files[0]) if name == "route"]
        assert all(pair in joined for edges in routes for pair in pairwise(edges))
        assert facts.signals == len(network.controlled)
        assert facts.demand_vehph == pytest.approx(facts.recipe.level * facts.capacity_vehph, rel=1e-3)
        kinds.add(facts.recipe.kind)
    assert kinds == set(CityKind)


@pytest.mark.sumo
def test_a_draw_that_is_no_city_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The facts tell which attempt it was; nothing of the attempts before is left but the name."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    facts = city_facts(find_scenario(f"city:{REDRAWN}"))

    assert facts.recipe.attempt > 0
    assert facts.recipe == city_recipe(REDRAWN, facts.recipe.attempt)
    assert [path.name.rpartition("-")[0] for path in cache_folder().iterdir()] == [f"city-{REDRAWN}"]


@pytest.mark.sumo
def test_a_seed_that_never_gives_a_city_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last attempt there is one line with the reason, and nothing is kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(city, "city_recipe", _impossible)
    monkeypatch.setattr(city, "MAX_ATTEMPTS", 2)

    with pytest.raises(ScenarioError, match=r"city:4: nothing could be built in 2 attempts: netgenerate failed"):
        city_scenario(4)
    assert list(cache_folder().iterdir()) == []


def _impossible(seed: int, attempt: int = 0) -> CityRecipe:
    """A recipe whose roads have no length."""
    return CityRecipe(
        **{
            **{name: getattr(city_recipe(seed, attempt), name) for name in CityRecipe.__struct_fields__},
            "kind": CityKind.SPIDER,
            "block_m": -1.0,
        }
    )


@pytest.mark.sumo
@pytest.mark.slow
@pytest.mark.parametrize("seed", CITIES)
def test_no_light_of_a_city_is_unsafe_and_nobody_crashes(tmp_path: Path, seed: int) -> None:
    """Under the strongest rule: the monitor sees nothing, and SUMO no collision."""
    result = run_city(tmp_path, f"city:{seed}", "approach-lost-time", seconds=200.0)

    assert (result.monitor_trips, result.collisions) == (0, 0)
    assert result.is_complete
