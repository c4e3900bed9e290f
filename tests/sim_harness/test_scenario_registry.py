"""Scenarios by name or path: one line for what is unknown, deterministic grids, no map copied."""

from __future__ import annotations

import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import pytest
from net_files import write_row

from phasemesh.contract.errors import MissingExtraError, ScenarioError
from phasemesh.contract.intersection import Turn, crossing_length_m, faults_of_intersection
from phasemesh.contract.timing import PROFILES, faults_of_crossings, stage_timings
from phasemesh.sim_harness.scenarios import generated
from phasemesh.sim_harness.scenarios.cache import cache_folder
from phasemesh.sim_harness.scenarios.generated import GridRecipe, demand, parse_grid, people
from phasemesh.sim_harness.scenarios.registry import find_scenario, list_scenarios
from phasemesh.sim_harness.sumo.binaries import sumo_home, sumo_program
from phasemesh.sim_harness.sumo.net_file import read_net_file
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.sim_harness.sumo.xml_stream import elements


def _write_config(folder: Path, body: str) -> Path:
    write_row(folder / "row.net.xml")
    for name in ("one.rou.xml", "two.rou.xml", "more.add.xml"):
        (folder / name).write_text("<routes/>", encoding="utf-8")
    path = folder / "row.sumocfg"
    path.write_text(f"<configuration>{body}</configuration>", encoding="utf-8")
    return path


def test_a_configuration_names_files_and_window(tmp_path: Path) -> None:
    """Paths are relative to the configuration, lists are split, times are seconds."""
    path = _write_config(
        tmp_path,
        '<net-file value="row.net.xml"/><route-files value="one.rou.xml, two.rou.xml"/>'
        '<additional-files value="more.add.xml"/><begin value="100"/><end value="0:10:00"/>',
    )

    scenario = find_scenario(path)

    assert (scenario.name, scenario.config, scenario.net_file) == ("row", path, tmp_path / "row.net.xml")
    assert scenario.route_files == (tmp_path / "one.rou.xml", tmp_path / "two.rou.xml")
    assert scenario.additional_files == (tmp_path / "more.add.xml",)
    assert (scenario.begin_s, scenario.end_s) == (100.0, 600.0)


def test_a_configuration_without_end_lasts_an_hour(tmp_path: Path) -> None:
    """Short option names work, and a missing end means one hour after the begin."""
    scenario = find_scenario(str(_write_config(tmp_path, '<n value="row.net.xml"/><b value="50"/>')))

    assert (scenario.begin_s, scenario.end_s, scenario.route_files) == (50.0, 3650.0, ())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "names no net-file"),
        ('<net-file value="gone.net.xml"/>', "does not exist"),
        ('<net-file value=","/>', "names no net-file"),
        ('<net-file value="row.net.xml"/><end value="soon"/>', "'soon' is no time"),
        ("<input>", "is not valid XML"),
    ],
)
def test_a_useless_configuration_is_refused(tmp_path: Path, body: str, reason: str) -> None:
    """The error names the configuration and what is wrong with it."""
    path = _write_config(tmp_path, body)

    with pytest.raises(ScenarioError, match=reason) as caught:
        find_scenario(path)

    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["atlantis", "grid0x3", "grid3", "cologne"])
def test_an_unknown_scenario_names_the_known_ones(name: str) -> None:
    """One line lists every known name and the open kinds."""
    with pytest.raises(ScenarioError) as caught:
        find_scenario(name)

    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    assert all(
        known in message for known in ("grid3x3", "walk2x2", "cologne8", "gridNxM", "walkNxM", "city:SEED", ".sumocfg")
    )


def test_a_missing_configuration_is_refused() -> None:
    """A path that does not exist is a ScenarioError."""
    with pytest.raises(ScenarioError, match="cannot be read"):
        find_scenario("nowhere/city.sumocfg")


def test_every_listed_scenario_states_source_and_licence() -> None:
    """The table tells where each scenario comes from and under which terms."""
    entries = list_scenarios()

    assert len({entry.name for entry in entries}) == len(entries) == 17
    assert all(entry.source and entry.licence for entry in entries)


@pytest.mark.parametrize("kind", ["grid", "walk"])
def test_every_generated_scenario_names_its_kind(kind: str) -> None:
    """Whoever reads the list learns that other sizes can be run too."""
    sources = [entry.source for entry in list_scenarios() if entry.name in (f"{kind}3x3", f"{kind}2x2")]

    assert sources
    assert all(f"any {kind}NxM" in source for source in sources)


def test_a_map_without_its_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sumo-rl the error says how to get it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(MissingExtraError, match=re.escape("pip install 'phasemesh[sim]'")):
        find_scenario("cologne1")


def test_a_missing_simulator_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without wheel, SUMO_HOME or PATH the error names the program and how to get it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.delenv("SUMO_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert sumo_home() is None
    with pytest.raises(MissingExtraError, match="netgenerate is not installed"):
        sumo_program("netgenerate")


def test_sumo_home_is_the_second_place_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the environment variable says where SUMO is."""
    program = tmp_path / "bin" / "netgenerate"
    program.parent.mkdir()
    program.write_text("", encoding="utf-8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setenv("SUMO_HOME", str(tmp_path))

    assert sumo_program("netgenerate") == program


def test_grid_names_are_parsed() -> None:
    """Columns come first; other names are no grids; too large ones are refused."""
    assert parse_grid("grid2x7") == GridRecipe(columns=2, rows=7)
    assert parse_grid("walk2x7") == GridRecipe(columns=2, rows=7, mean_flow_vehph=250.0, people_ph=60.0)
    assert parse_grid("mygrid2x7") is None
    assert parse_grid("walk2") is None
    with pytest.raises(ScenarioError, match="at most 26"):
        parse_grid("grid27x1")


def test_the_demand_of_a_grid_is_reproducible_and_seeded() -> None:
    """The same recipe gives the same bytes, another seed gives other flows."""
    recipe = GridRecipe(columns=2, rows=3)

    assert demand(recipe) == demand(recipe)
    assert demand(recipe) != demand(GridRecipe(columns=2, rows=3, seed=2))


def _rates(name: str, start: str, tmp_path: Path) -> list[float]:
    """Arrivals a second in the middle of the window on every road of a scenario that begins at a node so called."""
    recipe = parse_grid(name)
    assert recipe is not None
    path = tmp_path / f"{name}.rou.xml"
    path.write_text(demand(recipe), encoding="utf-8")
    period = len(recipe.axis_factors) // 2
    flows = {attributes["id"]: float(attributes["period"][4:-1]) for tag, attributes in elements(path) if tag == "flow"}
    return [flows[f"from_{start}{number}_{period}"] for number in range(3)]


def test_three_signals_in_a_row_differ_in_demand_or_do_not(tmp_path: Path) -> None:
    """About six times as much traffic crosses the last as the first; or each has the same to the last digit."""
    first, second, third = _rates("mixed3x1", "bottom", tmp_path)

    assert second > 2.0 * first
    assert third > 4.0 * first
    assert len(set(_rates("same3x1", "bottom", tmp_path))) == 1


def test_the_routes_of_a_road_share_all_of_its_traffic(tmp_path: Path) -> None:
    """Probabilities of each entry sum to one, and each entry has one straight route and two at each crossing."""
    path = tmp_path / "grid.rou.xml"
    path.write_text(demand(GridRecipe(columns=3, rows=2)), encoding="utf-8")

    shares: list[list[float]] = []
    for name, attributes in elements(path):
        if name == "routeDistribution":
            shares.append([])
        elif name == "route":
            shares[-1].append(float(attributes["probability"]))

    assert [sum(entry) for entry in shares] == pytest.approx([1.0] * 10, abs=1e-4)
    assert sorted(map(len, shares)) == [5] * 6 + [7] * 4


def test_a_grid_that_cannot_be_cached_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder that is a file gives one line, not a stack trace."""
    (tmp_path / "phasemesh").write_text("", encoding="utf-8")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(ScenarioError, match="cannot be written"):
        find_scenario("grid2x2")


@pytest.mark.sumo
def test_a_refusal_of_netgenerate_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SUMO's generator does not accept is reported with its reason, and nothing is cached."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(ScenarioError, match="netgenerate failed") as caught:
        generated.grid_scenario("bad", GridRecipe(columns=2, rows=2, road_m=-5.0))

    assert "\n" not in str(caught.value)
    assert list(cache_folder().iterdir()) == []


@pytest.mark.sumo
@pytest.mark.parametrize(("name", "signals", "degrees"), [("grid3x3", 9, {2, 3, 4}), ("grid1x3", 3, {1, 2})])
def test_a_generated_grid_needs_no_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, signals: int, degrees: set[int]
) -> None:
    """Each crossing is one signal of four safe stages whose neighbours are the crossings beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    network = read_network(find_scenario(name).net_file)

    assert len(network.controlled) == signals
    assert network.changes == ()
    assert [fault for intersection in network.intersections for fault in faults_of_intersection(intersection)] == []
    assert {len(intersection.stages) for intersection in network.intersections} == {4}
    assert {len(intersection.neighbours) for intersection in network.intersections} == degrees


def test_the_people_of_a_grid_are_reproducible_and_seeded() -> None:
    """The same recipe gives the same bytes, another seed gives other flows, and all of them add up."""
    recipe = GridRecipe(columns=2, rows=3, people_ph=60.0)

    assert people(recipe) == people(recipe)
    assert people(recipe) != people(GridRecipe(columns=2, rows=3, people_ph=60.0, seed=2))
    rates_hz = [float(rate) for rate in re.findall(r"exp\(([\d.]+)\)", people(recipe))]
    assert 3600.0 * sum(rates_hz) == pytest.approx(6 * 4 * 60.0, rel=recipe.spread)


@pytest.mark.sumo
def test_a_generated_grid_with_people_serves_every_crossing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each signal has a crossing over each arm; every profile gives people their time; only clearances are merged."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    network = read_network(find_scenario("walk1x2").net_file)

    for intersection in network.intersections:
        crossings = [index for index, movement in enumerate(intersection.movements) if movement.is_crossing]
        assert [intersection.movements[index].turn for index in crossings] == [Turn.CROSSING] * 4
        assert {crossing_length_m(intersection, index) for index in crossings} == {16.0}
        assert faults_of_intersection(intersection) == []
        for profile in PROFILES.values():
            assert faults_of_crossings(intersection, stage_timings(intersection, profile)) == []
    assert len(network.controlled) == 2
    assert len(network.changes) == 4
    assert all("each walk ends with a clearance" in change.text for change in network.changes)


@pytest.mark.sumo
def test_people_are_the_only_difference_between_the_grids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The movements of vehicles, their conflicts, their stages and the neighbours are those of the plain grid."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain, walked = (read_network(find_scenario(name).net_file).intersections[0] for name in ("grid1x2", "walk1x2"))
    vehicles = range(len(plain.movements))

    assert [movement.turn for movement in walked.movements[: len(vehicles)]] == [m.turn for m in plain.movements]
    assert [row[: len(vehicles)] for row in walked.conflicts[: len(vehicles)]] == list(plain.conflicts)
    assert walked.neighbours == plain.neighbours
    assert [frozenset(stage.served & frozenset(vehicles)) for stage in walked.stages] == [
        stage.served for stage in plain.stages
    ]


@pytest.mark.sumo
def test_everybody_on_foot_sets_out_and_arrives_on_a_pavement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ends of each walk have a lane for people, and the demand names people only where there are any."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    scenario = find_scenario("walk2x3")
    lanes = read_net_file(scenario.net_file).lanes.values()
    pavements = {lane.edge for lane in lanes if not lane.is_for_vehicles and not lane.function}

    walks = [found for file in scenario.route_files for name, found in elements(file) if name == "walk"]

    assert len(walks) > 6 * 4 * 2
    assert {walk[end] for walk in walks for end in ("from", "to")} <= pavements
    assert len(find_scenario("grid2x3").route_files) == 1


@pytest.mark.sumo
def test_every_route_of_a_grid_can_be_driven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consecutive edges of each route are connected in the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    scenario = find_scenario("grid2x3")
    joined = {(way.from_edge, way.to_edge) for way in read_net_file(scenario.net_file).connections}

    routes = [found["edges"].split() for name, found in elements(scenario.route_files[0]) if name == "route"]

    assert routes
    assert all(pair in joined for edges in routes for pair in pairwise(edges))


@pytest.mark.sumo
def test_a_grid_is_made_once_and_byte_for_byte_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look finds the cache; another cache gets the same bytes, without a date in them."""
    files = []
    for cache in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        scenario = find_scenario("grid2x2")
        stamp_ns = scenario.net_file.stat().st_mtime_ns
        assert find_scenario("grid2x2").net_file.stat().st_mtime_ns == stamp_ns
        files.append([path.read_bytes() for path in (scenario.config, scenario.net_file, *scenario.route_files)])

    assert files[0] == files[1]
