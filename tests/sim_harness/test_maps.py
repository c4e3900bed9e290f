"""Every measuring map that is installed, or lies beside the checkout, derives without faults and without hand work."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest

from phasemesh.contract.intersection import conflicting_pairs, faults_of_intersection, stage_lights
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.neighbours import Roads, neighbours_of
from phasemesh.sim_harness.sumo.net_file import read_net_file
from phasemesh.sim_harness.sumo.network import CityNetwork, read_network

ROOT = Path(__file__).parents[2]
BENCHMARKS = {
    "cologne1": (1, 0),
    "cologne3": (3, 0),
    "cologne8": (8, 0),
    "ingolstadt1": (1, 0),
    "ingolstadt7": (7, 0),
    "ingolstadt21": (21, 0),
    "grid4x4": (16, 0),
    "arterial4x4": (16, 0),
}
"""Commanded and watched signals of the maps that come with packages."""
BESIDE = {"atsc_grid5x5": (25, 0), "monaco28": (28, 0), "newyork51": (43, 8)}
"""The same for the maps that may lie beside the checkout."""

pytestmark = pytest.mark.sumo


def _maps_folder() -> Path:
    return Path(os.environ.get("PHASEMESH_MAPS", ROOT.parent / "shared" / "scenarios"))


@cache
def _net_file(name: str) -> Path:
    if name in BENCHMARKS:
        return find_scenario(name).net_file
    config = _maps_folder() / name / f"{name}.sumocfg"
    if not config.is_file():
        pytest.skip(f"map {name} is neither under PHASEMESH_MAPS nor beside the checkout")
    return find_scenario(config).net_file


@cache
def _network(name: str) -> CityNetwork:
    return read_network(_net_file(name))


MAPS = [*BENCHMARKS, *(pytest.param(name, marks=pytest.mark.maps) for name in BESIDE)]


@pytest.mark.parametrize("name", MAPS)
def test_a_map_has_its_known_signals(name: str) -> None:
    """The numbers of commanded and watched signals are those of the map."""
    network = _network(name)

    assert (len(network.controlled), len(network.watched)) == {**BENCHMARKS, **BESIDE}[name]


@pytest.mark.parametrize("name", MAPS)
def test_a_map_derives_without_faults(name: str) -> None:
    """The contract finds no contradiction: stages are safe and every vehicle movement is served."""
    faults = {i.id: faults_of_intersection(i) for i in _network(name).intersections}

    assert {signal: found for signal, found in faults.items() if found} == {}


@pytest.mark.parametrize("name", MAPS)
def test_every_signal_has_a_choice_that_fits_a_message(name: str) -> None:
    """Each commanded signal has 2 to 16 distinct, safe stages."""
    for intersection in _network(name).intersections:
        shown = [stage_lights(intersection, stage) for stage in intersection.stages]

        assert 2 <= len(set(shown)) == len(shown) <= 16
        assert all(conflicting_pairs(intersection, lights) == [] for lights in shown)


@pytest.mark.parametrize("name", MAPS)
def test_neighbours_on_a_map_are_mutual_and_few(name: str) -> None:
    """Who has a neighbour is its neighbour, and nobody has more than six."""
    neighbours = {i.id: i.neighbours for i in _network(name).intersections}

    for signal, others in neighbours.items():
        assert len(others) <= 6
        assert list(others) == sorted(others)
        assert all(signal in neighbours[other] for other in others)


@pytest.mark.parametrize("name", MAPS)
def test_zones_on_a_map_begin_at_the_stop_line(name: str) -> None:
    """Each zone starts with its own lane, holds each lane once, and ends within 150 m."""
    for site in _network(name).controlled:
        for lane, zone in zip(site.intersection.lanes, site.zones, strict=True):
            offsets_m = [piece.offset_m for piece in zone]

            assert (zone[0].lane_id, zone[0].offset_m) == (lane.id, 0.0)
            assert len({piece.lane_id for piece in zone}) == len(zone)
            assert offsets_m == sorted(offsets_m)
            assert offsets_m[-1] < 150.0


@pytest.mark.parametrize("name", ["cologne1", "cologne3", "cologne8", "ingolstadt1"])
def test_a_safe_real_program_is_not_altered(name: str) -> None:
    """The programs of these maps agree with their right of way, letter by letter."""
    network = _network(name)

    assert network.changes == ()
    for site in network.controlled:
        for stage, step in zip(site.intersection.stages, site.stage_steps, strict=True):
            assert step is not None
            assert stage_lights(site.intersection, stage) == site.own_program[step][0]


def test_turns_on_red_of_a_map_are_reported() -> None:
    """The s letters of grid4x4 are told, once for each of its stages, and nothing else is."""
    changes = _network("grid4x4").changes

    assert len(changes) == 16 * 8
    assert all("turn on red" in change.text for change in changes)


@pytest.mark.maps
def test_the_unsafe_merge_of_the_grid_is_reported() -> None:
    """Left and right turns that enter one lane under two protected greens are told at every signal."""
    network = _network("atsc_grid5x5")

    assert {change.signal for change in network.changes} == {site.tls_id for site in network.controlled}
    assert all("permissive (g)" in change.text for change in network.changes)


@pytest.mark.maps
def test_downstream_signals_of_new_york_are_those_known() -> None:
    """Each signal leads to exactly the signals of an independent walk over the same network."""
    net_file = _net_file("newyork51")
    facts = json.loads((_maps_folder() / "facts" / "newyork51_downstream_tls.json").read_text(encoding="utf-8"))
    net = read_net_file(net_file)
    roads = Roads(net)
    signals = frozenset(net.programs)

    found = {signal: sorted(roads.downstream(signal, signals)) for signal in sorted(signals)}

    assert found == {signal: sorted(others) for signal, others in sorted(facts["newyork51"].items())}


@pytest.mark.maps
def test_watched_signals_of_new_york_are_passed_through() -> None:
    """The neighbours of commanded signals are found through signals of a single stage."""
    network = _network("newyork51")
    net = read_net_file(network.net_file)
    everyone = neighbours_of(net, net.programs)
    commanded = {i.id: set(i.neighbours) for i in network.intersections}

    for signal, others in commanded.items():
        assert set(everyone[signal]) - set(network.watched) <= others
        assert not others & set(network.watched)
