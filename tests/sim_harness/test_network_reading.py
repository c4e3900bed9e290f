"""Networks become intersections: lanes, zones, conflicts and neighbours; what cannot be used is refused in one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from net_files import Node, Way, crossing, write_net, write_row

from phasemesh.contract.errors import ScenarioError
from phasemesh.contract.intersection import Turn, faults_of_intersection
from phasemesh.sim_harness.sumo.network import SignalSite, read_network


def _site(path: Path, name: str) -> SignalSite:
    return next(site for site in read_network(path).controlled if site.tls_id == name)


def test_a_row_of_signals_is_read_without_faults(tmp_path: Path) -> None:
    """All signals of a plain network are commanded, with valid intersections and nothing to report."""
    network = read_network(write_row(tmp_path / "row.net.xml"))

    assert [site.tls_id for site in network.controlled] == ["a", "b", "c"]
    assert [faults_of_intersection(intersection) for intersection in network.intersections] == [[], [], []]
    assert (network.watched, network.changes) == ((), ())


def test_movements_stand_at_their_signal_index(tmp_path: Path) -> None:
    """A movement knows the approach, turn, lanes and exits of the connections of its index."""
    first, second = _site(write_row(tmp_path / "row.net.xml"), "a").intersection.movements

    assert (first.approach, first.turn, first.lanes, first.exits) == (
        "west",
        Turn.STRAIGHT,
        ("west_0",),
        ("a_plain_0",),
    )
    assert second.approach == "side_a"


def test_own_steps_are_kept_with_the_stages_they_gave(tmp_path: Path) -> None:
    """A site holds the network's own program and the step of each stage."""
    site = _site(write_row(tmp_path / "row.net.xml"), "a")

    assert site.own_program == (("Gr", 10.0), ("yr", 10.0), ("rG", 10.0), ("ry", 10.0))
    assert site.stage_steps == (0, 2)


def test_a_long_lane_is_its_own_zone(tmp_path: Path) -> None:
    """A lane of 150 m or more needs no upstream lanes, and holds 50, 100 and 150 m of vehicles."""
    site = _site(write_row(tmp_path / "row.net.xml"), "a")

    assert [piece.lane_id for piece in site.zones[0]] == ["west_0"]
    assert site.intersection.lanes[0].zone_capacity_veh == pytest.approx((50 / 7.5, 100 / 7.5, 20.0))


def test_a_short_lane_is_continued_through_plain_nodes_but_not_signals(tmp_path: Path) -> None:
    """The zone goes on through the unsignalised node and ends at the signal before, its capacity with it."""
    site = _site(write_row(tmp_path / "row.net.xml", between_m=(80.0, 40.0)), "b")

    assert [(piece.lane_id, piece.offset_m) for piece in site.zones[0]] == [("plain_b_0", 0.0), ("a_plain_0", 40.0)]
    assert site.intersection.lanes[0].zone_capacity_veh == pytest.approx((50 / 7.5, 100 / 7.5, 120 / 7.5))


def test_a_tiny_lane_still_holds_a_vehicle(tmp_path: Path) -> None:
    """No zone has a capacity below one vehicle."""
    site = _site(write_row(tmp_path / "row.net.xml", between_m=(1.0, 0.5)), "b")

    assert site.intersection.lanes[0].zone_capacity_veh == (1.0, 1.0, 1.0)


def test_neighbours_are_mutual_on_one_way_roads(tmp_path: Path) -> None:
    """A signal and the next one downstream are neighbours of each other, through a plain node as well."""
    network = read_network(write_row(tmp_path / "row.net.xml"))

    assert {i.id: i.neighbours for i in network.intersections} == {"a": ("b",), "b": ("a", "c"), "c": ("b",)}


def test_a_single_stage_signal_is_watched_and_passed_through(tmp_path: Path) -> None:
    """A signal that never chooses is not commanded, and its neighbours see each other through it."""
    network = read_network(write_row(tmp_path / "row.net.xml", middle=("Gr", "rr")))

    assert network.watched == ("b",)
    assert {i.id: i.neighbours for i in network.intersections} == {"a": ("c",), "c": ("a",)}


def test_only_selected_signals_are_commanded(tmp_path: Path) -> None:
    """With a selection all other signals are watched."""
    network = read_network(write_row(tmp_path / "row.net.xml"), ["c", "a"])

    assert [site.tls_id for site in network.controlled] == ["a", "c"]
    assert network.watched == ("b",)


def test_detours_past_another_signal_make_no_neighbours(tmp_path: Path) -> None:
    """A signal that is quicker reached past a third one is no neighbour, although a side street leads there."""
    ways_a, node_a = crossing("a", "west", "side_a", ("a_b", "detour"))
    ways_b, node_b = crossing("b", "a_b", "side_b", ("b_c", "out_b"))
    ways_c, node_c = crossing("c", "b_c", "detour_c", ("east", "out_c"))
    names = ("west", "side_a", "a_b", "side_b", "b_c", "east", "out_b", "out_c", "detour_c")
    path = write_net(
        tmp_path / "detour.net.xml",
        edges_m={**dict.fromkeys(names, 100.0), "detour": 900.0},
        ways=(*ways_a, *ways_b, *ways_c, Way("detour", "detour_c")),
        nodes=(node_a, node_b, node_c, Node("bend", ("detour",), (("0", "0"),))),
        programs=dict.fromkeys("abc", ("Gr", "rG")),
    )

    network = read_network(path)

    assert {i.id: i.neighbours for i in network.intersections} == {"a": ("b",), "b": ("a", "c"), "c": ("b",)}


def test_a_turn_yields_but_a_through_movement_does_not(tmp_path: Path) -> None:
    """The matrix lets a turn give way; of two through movements it is disregarded."""
    path = write_net(
        tmp_path / "turns.net.xml",
        edges_m=dict.fromkeys(("n", "e", "s", "out_1", "out_2"), 200.0),
        ways=(Way("n", "out_1", "s", "x", 0), Way("e", "out_2", "s", "x", 1), Way("s", "out_1", "l", "x", 2)),
        nodes=(Node("x", ("n", "e", "s"), (("000", "110"), ("001", "001"), ("001", "001"))),),
        programs={"x": ("GrG", "rGr")},
    )

    intersection = read_network(path).controlled[0].intersection

    assert intersection.conflicts == ("011", "100", "100")
    assert intersection.yields_to == ("000", "000", "100")
    assert [(stage.protected, stage.permissive) for stage in intersection.stages] == [((0,), (2,)), ((1,), ())]


def test_links_of_different_junctions_of_a_joined_signal_are_no_foes(tmp_path: Path) -> None:
    """Two junctions under one signal conflict only within themselves; the road between them is no neighbour."""
    nodes = (
        Node("left", ("w", "s_1"), (("00", "10"), ("00", "01"))),
        Node("right", ("inner", "s_2"), (("00", "10"), ("00", "01"))),
    )
    path = write_net(
        tmp_path / "joined.net.xml",
        edges_m=dict.fromkeys(("w", "s_1", "inner", "s_2", "e", "out_1", "out_2"), 60.0),
        ways=(
            Way("w", "inner", "s", "j", 0),
            Way("s_1", "out_1", "s", "j", 1),
            Way("inner", "e", "s", "j", 2),
            Way("s_2", "out_2", "s", "j", 3),
        ),
        nodes=nodes,
        programs={"j": ("GrGr", "rGrG")},
    )

    site = read_network(path).controlled[0]

    assert site.intersection.conflicts == ("0100", "1000", "0001", "0010")
    assert site.intersection.neighbours == ()
    assert [piece.lane_id for piece in site.zones[2]] == ["inner_0"]


def test_without_a_matrix_all_approaches_conflict(tmp_path: Path) -> None:
    """A junction that brings no right of way is read in the safe sense."""
    ways, node = crossing("x", "n", "e", ("out_1", "out_2"))
    path = write_net(
        tmp_path / "bare.net.xml",
        edges_m=dict.fromkeys(("n", "e", "out_1", "out_2"), 200.0),
        ways=ways,
        nodes=(node._replace(rows=()),),
        programs={"x": ("GG", "Gr", "rG")},
    )

    network = read_network(path)

    assert network.intersections[0].conflicts == ("01", "10")
    assert [str(change) for change in network.changes][:1] == [
        "x step 0: movement 1 red, since it conflicts with movement 0"
    ]


def test_lanes_for_pedestrians_are_not_seen(tmp_path: Path) -> None:
    """A way for people that is no crossing of SUMO has an index but neither lanes nor exits, and stays red."""
    ways, node = crossing("x", "n", "e", ("out_1", "out_2"))
    path = write_net(
        tmp_path / "walk.net.xml",
        edges_m=dict.fromkeys(("n", "e", "out_1", "out_2", "walk_1", "walk_2"), 200.0),
        ways=(*ways, Way("walk_1", "walk_2", "s", "x", 2)),
        nodes=(Node("x", (*node.incoming, "walk_1"), (("100", "110"), ("001", "001"), ("000", "001"))),),
        programs={"x": ("GrG", "rGr")},
    )

    intersection = read_network(path).intersections[0]

    assert (intersection.movements[2].lanes, intersection.movements[2].exits) == ((), ())
    assert [lane.id for lane in intersection.lanes] == ["n_0", "e_0"]
    assert all(2 not in stage.served for stage in intersection.stages)
    assert faults_of_intersection(intersection) == []


def test_the_last_program_of_a_signal_counts(tmp_path: Path) -> None:
    """Of several programs SUMO starts the last, and so do we."""
    path = write_row(tmp_path / "row.net.xml")
    text = path.read_text(encoding="utf-8")
    again = "<tlLogic id='c' type='static' programID='1' offset='0'><phase duration='5' state='Gr'/></tlLogic></net>"
    path.write_text(text.replace("</net>", again), encoding="utf-8")

    network = read_network(path)

    assert network.watched == ("c",)


def test_a_gzipped_network_reads_like_the_plain_one(tmp_path: Path) -> None:
    """Compression makes no difference."""
    plain = write_row(tmp_path / "row.net.xml")
    packed = tmp_path / "row.net.xml.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert read_network(packed).controlled == read_network(plain).controlled


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<net><edge id='e'>", "is not valid XML"),
        ("", "is not valid XML"),
        ("<routes/>", "it has no lanes"),
        ("<net><edge/></net>", "lacks"),
        ("<net><phase duration='1' state='G'/></net>", "lacks"),
        ("<net><edge id='e'><lane id='e_0' speed='fast' length='1'/></edge></net>", "fast"),
    ],
)
def test_a_broken_network_is_refused_with_one_line(tmp_path: Path, content: str, reason: str) -> None:
    """What is no SUMO network is named with its path and the reason."""
    path = tmp_path / "broken.net.xml"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(ScenarioError, match=reason) as caught:
        read_network(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_network_is_refused(tmp_path: Path) -> None:
    """A path without a file is a ScenarioError, not a stack trace."""
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_network(tmp_path / "none.net.xml")


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    """A gzip file that ends too early cannot be read."""
    path = tmp_path / "row.net.xml.gz"
    path.write_bytes(gzip.compress(write_row(tmp_path / "row.net.xml").read_bytes())[:-40])

    with pytest.raises(ScenarioError, match="cannot be read"):
        read_network(path)


def test_states_of_different_lengths_are_refused(tmp_path: Path) -> None:
    """A program whose states do not match each other cannot be derived."""
    with pytest.raises(ScenarioError, match="differ in length"):
        read_network(write_row(tmp_path / "row.net.xml", middle=("Gr", "rGr")))


def test_a_network_without_a_choice_is_refused(tmp_path: Path) -> None:
    """Without any signal of two stages there is nothing to command."""
    path = write_net(
        tmp_path / "road.net.xml", edges_m={"a": 100.0, "b": 100.0}, ways=(Way("a", "b"),), nodes=(), programs={}
    )

    with pytest.raises(ScenarioError, match="nothing to command"):
        read_network(path)


@pytest.mark.parametrize(("signal", "reason"), [("z", "has no signal 'z'; it has a, b, c"), ("b", "a single stage")])
def test_signals_that_cannot_be_commanded_are_refused(tmp_path: Path, signal: str, reason: str) -> None:
    """Selecting an unknown or single-stage signal is an error that names it."""
    path = write_row(tmp_path / "row.net.xml", middle=("Gr", "rr"))

    with pytest.raises(ScenarioError, match=reason):
        read_network(path, ["a", signal])
