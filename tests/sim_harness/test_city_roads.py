"""Ways through a generated city: from end to end, turn by turn as often as asked, and never in a circle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from net_files import Node, Way, write_net

from phasemesh.contract.intersection import Turn
from phasemesh.sim_harness.scenarios.city_roads import CityRoads, Entrance, entrances, flows_of, roads_of
from phasemesh.sim_harness.sumo.net_file import read_net_file

FORK = CityRoads(
    turns={
        "in": (("ahead", Turn.STRAIGHT), ("aside", Turn.LEFT), ("away", Turn.RIGHT)),
        "ahead": (),
        "aside": (),
        "away": (),
    },
    ahead={"in": "fork", "ahead": "a", "aside": "b", "away": "c"},
    lanes={"in": 2, "ahead": 1, "aside": 1, "away": 1},
    entries=("in",),
)
CIRCLE = CityRoads(
    turns={"in": (("round", Turn.STRAIGHT),), "round": (("back", Turn.LEFT),), "back": (("round", Turn.LEFT),)},
    ahead={"in": "a", "round": "b", "back": "a"},
    lanes={"in": 1, "round": 1, "back": 1},
    entries=("in",),
)


def ways(roads: CityRoads, seed: int = 1, **shares: float) -> tuple[Entrance, ...]:
    """The entrances of `roads` with evenly shared turns unless told otherwise."""
    wanted = {"spread": 0.0, "left_share": 1 / 3, "right_share": 1 / 3, **shares}
    return entrances(roads, np.random.default_rng(seed), **wanted)


def test_a_network_becomes_edges_turns_and_entries(tmp_path: Path) -> None:
    """What nothing leads to is an entry, what leads nowhere an end; lanes for people only are no road."""
    path = write_net(
        tmp_path / "small.net.xml",
        edges_m={"in": 100.0, "on": 100.0, "left": 50.0, "walk": 10.0},
        ways=(Way("in", "on"), Way("in", "left", direction="l")),
        nodes=(Node("middle", ("in",)), Node("end", ("on",)), Node("side", ("left",))),
        programs={},
    )

    roads = roads_of(read_net_file(path))

    assert roads.turns == {"in": (("on", Turn.STRAIGHT), ("left", Turn.LEFT)), "on": (), "left": ()}
    assert roads.ahead == {"in": "middle", "on": "end", "left": "side"}
    assert roads.lanes == {"in": 1, "on": 1, "left": 1}
    assert roads.entries == ("in",)


def test_the_ways_of_an_entrance_share_all_of_its_traffic() -> None:
    """Each begins there, ends where no edge follows, and stands there once."""
    (entrance,) = ways(FORK)

    assert entrance.share == 1.0
    assert sum(share for _, share in entrance.routes) == pytest.approx(1.0)
    assert len({route for route, _ in entrance.routes}) == len(entrance.routes)
    assert {route for route, _ in entrance.routes} <= {("in", "ahead"), ("in", "aside"), ("in", "away")}


def test_vehicles_turn_as_often_as_asked() -> None:
    """Over many draws the shares of the turns are those of the recipe."""
    drawn = [ways(FORK, seed, left_share=0.1, right_share=0.3)[0] for seed in range(200)]
    flows = [flows_of((entrance,)) for entrance in drawn]

    for edge, share in (("aside", 0.1), ("away", 0.3), ("ahead", 0.6)):
        assert np.mean([flow.get(("in", edge), 0.0) for flow in flows]) == pytest.approx(share, abs=0.03)


def test_who_would_go_round_in_circles_does_not_enter() -> None:
    """An entrance from which no way leads out is left out."""
    assert ways(CIRCLE) == ()


def test_entrances_with_more_lanes_bring_more() -> None:
    """In proportion without a spread, within it otherwise; and shares add up."""
    wide = CityRoads(
        turns={"wide": (("out", Turn.STRAIGHT),), "narrow": (("out", Turn.RIGHT),), "out": ()},
        ahead={"wide": "middle", "narrow": "middle", "out": "end"},
        lanes={"wide": 3, "narrow": 1, "out": 2},
        entries=("wide", "narrow"),
    )

    assert [entrance.share for entrance in ways(wide)] == pytest.approx([0.75, 0.25])
    for seed in range(50):
        shares = [entrance.share for entrance in ways(wide, seed, spread=0.5)]
        assert sum(shares) == pytest.approx(1.0)
        assert 3.0 * 0.5 / 1.5 <= shares[0] / shares[1] <= 3.0 * 1.5 / 0.5


def test_flows_are_shares_of_all_traffic() -> None:
    """Each pair of edges has what all ways over it bring."""
    both = (
        Entrance("a", 0.25, ((("a", "c", "d"), 1.0),)),
        Entrance("b", 0.75, ((("b", "c", "d"), 0.4), (("b", "e"), 0.6))),
    )

    assert flows_of(both) == pytest.approx(
        {("a", "c"): 0.25, ("c", "d"): 0.25 + 0.3, ("b", "c"): 0.3, ("b", "e"): 0.45}
    )
