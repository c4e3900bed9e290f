"""Crossings of a SUMO network: people become movements, turns give way to them, and their walks have a clearance."""

from __future__ import annotations

from pathlib import Path

import pytest
from crossing_nets import CROSSING, LENGTH_M, ROWS, STRICT_ROWS, write_corner

from phasemesh.contract.errors import ScenarioError
from phasemesh.contract.intersection import (
    Intersection,
    Movement,
    Turn,
    crossing_length_m,
    faults_of_intersection,
    stage_lights,
)
from phasemesh.contract.timing import PROFILES, WALKING_SPEED_MPS, faults_of_crossings, stage_timings
from phasemesh.sim_harness.sumo.network import CityNetwork, read_network


def _lights(intersection: Intersection) -> list[str]:
    return [stage_lights(intersection, stage) for stage in intersection.stages]


def _texts(network: CityNetwork) -> list[str]:
    return [str(change) for change in network.changes]


def test_a_crossing_is_a_movement_of_people(tmp_path: Path) -> None:
    """Its lane is the place where they wait, as long as their way across; it has no exits and no detection zone."""
    site = read_network(write_corner(tmp_path / "x.net.xml")).controlled[0]

    intersection = site.intersection
    assert intersection.movements[3] == Movement(":x_c0", Turn.CROSSING, (CROSSING,), ())
    assert [lane.id for lane in intersection.lanes] == ["n_0", "e_0", CROSSING]
    place, zone = intersection.lanes[2], site.zones[2]
    assert (place.length_m, place.speed_limit_mps, zone) == (LENGTH_M, WALKING_SPEED_MPS, ())
    assert all(capacity > 0 for capacity in place.zone_capacity_veh)
    assert crossing_length_m(intersection, 3) == LENGTH_M
    assert faults_of_intersection(intersection) == []


def test_pavements_do_not_shift_the_right_of_way(tmp_path: Path) -> None:
    """Rows of the matrix belong to roads and crossings only, whatever pavements lead to the junction."""
    intersection = read_network(write_corner(tmp_path / "x.net.xml")).intersections[0]

    assert intersection.conflicts == ("0010", "0011", "1101", "0110")
    assert intersection.yields_to == ("0000", "0011", "0000", "0000")


def test_a_turn_is_permissive_while_people_walk(tmp_path: Path) -> None:
    """A program that protects the turn over a walk is corrected; without people the turn is protected."""
    network = read_network(write_corner(tmp_path / "x.net.xml", ("GGrG", "rGrr", "rrGr")))

    assert _lights(network.intersections[0]) == ["GgrG", "rGrr", "rrGr"]
    assert _texts(network) == [
        "x step 0: movement 1 permissive (g), since foes that have the right of way are green too"
    ]


def test_a_turn_that_does_not_give_way_to_people_never_runs_with_them(tmp_path: Path) -> None:
    """Where the network does not make vehicles yield, the walk is a conflict, and no stage holds both."""
    intersection = read_network(write_corner(tmp_path / "x.net.xml", rows=STRICT_ROWS)).intersections[0]

    assert intersection.conflicts[1][3] == "1"
    assert intersection.yields_to[1][3] == "0"
    assert not any({1, 3} <= stage.served for stage in intersection.stages)
    assert any(3 in stage.served for stage in intersection.stages)


def test_traffic_straight_over_a_walk_is_a_conflict(tmp_path: Path) -> None:
    """Only turns yield: a program that lets people walk before straight traffic loses one of the two."""
    network = read_network(write_corner(tmp_path / "x.net.xml", ("Ggrr", "rrgG")))

    assert not any({2, 3} <= stage.served for stage in network.intersections[0].stages)
    assert any("conflicts with" in text for text in _texts(network))
    assert faults_of_intersection(network.intersections[0]) == []


def test_a_step_in_which_people_only_finish_is_no_stage(tmp_path: Path) -> None:
    """The step that netconvert adds for their clearance belongs to the stage of the walk, and that is told."""
    site = read_network(write_corner(tmp_path / "x.net.xml")).controlled[0]
    network = read_network(write_corner(tmp_path / "x.net.xml"))

    assert _lights(site.intersection) == ["GgrG", "rrGr"]
    assert site.stage_steps == (0, 3)
    assert _texts(network) == [
        "x step 1: no stage of its own, since it is step 0 with movement 3 red; each walk ends with a clearance"
    ]


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        (("Ggrr", "GgrG", "yyrr", "rrGr"), ["GgrG", "rrGr"]),
        (("GgrG", "rrGr", "rryr", "Ggrr"), ["GgrG", "rrGr"]),
        (("GgrG", "yyrr", "Ggrr", "rrGr"), ["GgrG", "GGrr", "rrGr"]),
        (("Ggrr", "yyrr", "rrGr", "rryr", "rrrG", "rrrr"), ["GGrr", "rrGr", "rrrG"]),
    ],
    ids=["people start later", "around the end of the cycle", "not beside the walk", "people alone"],
)
def test_only_a_neighbouring_step_is_a_clearance(tmp_path: Path, program: tuple[str, ...], shown: list[str]) -> None:
    """What shows the same vehicles elsewhere in the cycle is a stage, and so is a step for people alone."""
    intersection = read_network(write_corner(tmp_path / "x.net.xml", program)).intersections[0]

    assert _lights(intersection) == shown


def test_people_whom_the_program_forgets_get_a_stage(tmp_path: Path) -> None:
    """A crossing that is never green is served beside the traffic that gives way or does not cross it."""
    network = read_network(write_corner(tmp_path / "x.net.xml", ("Ggrr", "rrGr")))

    assert _lights(network.intersections[0])[-1] == "GgrG"
    assert "x added 1: movement 3 would be served by no stage" in _texts(network)


def test_a_crossing_may_have_an_index_for_each_end(tmp_path: Path) -> None:
    """People from the other end meet the same vehicles, wait for the same crossing, and never conflict with others."""
    path = write_corner(tmp_path / "x.net.xml", ("GgrGr", "GgrrG", "rrGrr"), back_index=4)

    intersection = read_network(path).intersections[0]

    assert intersection.movements[4] == intersection.movements[3]
    assert [lane.id for lane in intersection.lanes] == ["n_0", "e_0", CROSSING]
    assert intersection.conflicts[4] == intersection.conflicts[3] == "01100"
    assert faults_of_intersection(intersection) == []


def test_a_turn_gives_way_to_people_without_a_signal(tmp_path: Path) -> None:
    """Over a crossing that the signal does not show, a turn is never protected."""
    path = write_corner(tmp_path / "x.net.xml", ("GGr", "rGr", "rrG"), indices=(0, 1, 2, None))

    intersection = read_network(path).intersections[0]

    assert len(intersection.movements) == 3
    assert _lights(intersection) == ["Ggr", "rgr", "rrG"]


def test_without_a_matrix_everybody_is_a_foe_of_people(tmp_path: Path) -> None:
    """A junction that brings no right of way is read in the safe sense."""
    intersection = read_network(write_corner(tmp_path / "x.net.xml", rows=())).intersections[0]

    assert intersection.conflicts[3] == "1110"
    assert intersection.yields_to[0] == "0000"
    assert _lights(intersection)[-1] == "rrrG"


def test_an_index_for_vehicles_and_people_is_not_commanded(tmp_path: Path) -> None:
    """Nobody could clear one before the other, so that the signal keeps its program; asking for it says why."""
    path = write_corner(tmp_path / "x.net.xml", ("Grr", "rGr", "rrG"), indices=(0, 1, 2, 0))

    with pytest.raises(ScenarioError, match="one index for vehicles and people"):
        read_network(path, ["x"])


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_gives_people_their_time(tmp_path: Path, profile: str) -> None:
    """Stages with a crossing have a walk and a clearance that the contract accepts, the others have none."""
    intersection = read_network(write_corner(tmp_path / "x.net.xml")).intersections[0]

    timings = stage_timings(intersection, PROFILES[profile])

    assert faults_of_crossings(intersection, timings) == []
    assert [timing.ped_clearance_s > 0 for timing in timings] == [True, False]
    assert timings[0].ped_clearance_s >= LENGTH_M / WALKING_SPEED_MPS


def test_the_matrix_of_the_tests_is_symmetric() -> None:
    """The networks of these tests say of two links that they are foes in both rows, as SUMO's own do."""
    for first, (_, foes) in enumerate(ROWS):
        for second in range(len(ROWS)):
            assert (foes[-1 - second] == "1") == (ROWS[second][1][-1 - first] == "1")
