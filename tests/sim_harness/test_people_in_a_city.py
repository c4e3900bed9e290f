"""A city with people on foot under our agents: they are served, they get across, and vehicles wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from city_runs import run_city
from people_watch import (
    clearances_s,
    is_walk,
    lights,
    longest_wait_s,
    met_protected_traffic,
    people_arguments,
    ways_across,
)

from phasemesh.contract.command import change_s
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import PROFILES, WALKING_SPEED_MPS, StageTiming, stage_timings
from phasemesh.sim_harness.metrics import read_metrics
from phasemesh.sim_harness.result import RunResult
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.connection import TRIPS_NAME
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.sim_harness.sumo.xml_stream import elements

pytest.importorskip("libsumo", reason="needs SUMO")
pytestmark = [pytest.mark.sumo, pytest.mark.slow]

SCENARIO = "walk2x2"
SECONDS = 900.0
RUNS = (("max-pressure", "benchmark"), ("bundle:approach-lost-time", "benchmark"), ("approach-lost-time", "street"))
"""Controllers with their profiles; each run takes about 10 s."""


class Town(NamedTuple):
    """One run, its outputs, and what was commanded."""

    folder: Path
    result: RunResult
    intersections: tuple[Intersection, ...]
    timings: Mapping[str, tuple[StageTiming, ...]]


@pytest.fixture(scope="module", params=RUNS, ids=lambda run: "-".join(run).replace("bundle:", "bundle-"))
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A quarter of an hour of the city of two by two signals under one controller and one profile."""
    controller, profile = request.param
    folder = tmp_path_factory.mktemp("people")
    result = run_city(
        folder, SCENARIO, controller, seconds=SECONDS, profile=profile, sumo_args=people_arguments(folder)
    )
    intersections = read_network(find_scenario(SCENARIO).net_file).intersections
    timings = {each.id: stage_timings(each, PROFILES[profile]) for each in intersections}
    return Town(folder, result, intersections, timings)


def test_nobody_is_hit(town: Town) -> None:
    """SUMO, which also looks inside junctions here, counts no collision and no emergency stop."""
    assert (town.result.collisions, town.result.emergency_stops) == (0, 0)
    assert town.result.is_complete


def test_nobody_steps_onto_a_crossing_at_red(town: Town) -> None:
    """Every way across begins while the crossing shows a walk, and many people cross."""
    shown, ways = lights(town.folder), ways_across(town.folder, town.intersections)

    assert len(ways) > 200
    assert [way for way in ways if not is_walk(shown, way)] == []


def test_only_who_walks_slower_than_the_clearance_assumes_meets_protected_traffic(town: Town) -> None:
    """Everybody at 1.07 m/s or faster is across before conflicting vehicles get a protected green.

    Some of SUMO's people walk at 0.7 m/s (MUTCD 4E.06 times clearances for 3.5 ft/s, not for everybody); at most one in
    a hundred is still on the crossing then, and the vehicles wait for them.
    """
    shown, ways = lights(town.folder), ways_across(town.folder, town.intersections)

    late = [way for way in ways if met_protected_traffic(shown, way)]

    assert all(way.speed_mps < WALKING_SPEED_MPS for way in late)
    assert len(late) <= len(ways) / 100


def test_every_walk_ends_with_its_whole_clearance(town: Town) -> None:
    """From the end of a walk to the first conflicting protected green: clearance, yellow and red clearance at least."""
    found = clearances_s(town.folder, town.intersections)

    assert len(found) == 4 * len(town.intersections)
    for (name, crossing), lasted_s in found.items():
        stages = next(each for each in town.intersections if each.id == name).stages
        least_s = min(
            change_s(timing)
            for stage, timing in zip(stages, town.timings[name], strict=True)
            if crossing in stage.served
        )
        assert least_s > 15.0
        assert lasted_s
        assert min(lasted_s) >= least_s


def test_nobody_waits_longer_than_the_longest_wait_and_a_cycle(town: Town) -> None:
    """Who stands at a corner is served within the maximum wait and one round of all stages."""
    timings = next(iter(town.timings.values()))
    cycle_s = sum(timing.min_green_s + change_s(timing) for timing in timings)

    assert 0.0 < longest_wait_s(town.folder) <= timings[0].max_wait_s + cycle_s


def test_people_do_not_enter_the_delay_of_vehicles(town: Town) -> None:
    """The trips of people stand in the same file and are no trips of vehicles."""
    names = [name for name, _ in elements(town.folder / TRIPS_NAME)]

    assert names.count("personinfo") > 100
    assert read_metrics(town.folder / TRIPS_NAME).loaded == names.count("tripinfo") == town.result.loaded


def test_people_stand_in_the_result(town: Town) -> None:
    """Everybody who set out is counted, those who are still on their way beside them, and so is how long they stood."""
    rows = [row for name, row in elements(town.folder / TRIPS_NAME) if name == "personinfo"]
    people = town.result.people

    assert people.count == sum(row["depart"] != "-1" for row in rows) > 100
    assert 0 < people.unfinished < people.count
    assert 1.0 < people.waiting_s < longest_wait_s(town.folder)
