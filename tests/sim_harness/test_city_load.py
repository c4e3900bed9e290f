"""The estimate of what a city can take, held against junctions whose capacity is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from factories import make_intersection
from phasemesh.sim_harness.scenarios.city_load import (
    PERMISSIVE_WEIGHT,
    SATURATION_VEHPH,
    USABLE_SHARE,
    capacity_vehph,
    green_need,
)
from phasemesh.sim_harness.scenarios.city_roads import CityRoads, Entrance, Flows
from phasemesh.sim_harness.sumo.network import CityNetwork

NOBODY = CityNetwork(net_file=Path("none.net.xml"), controlled=(), watched=(), changes=())


def flows(**approaches: float) -> Flows:
    """Through traffic of the crossing of the factories, by approach."""
    return {(approach, f"{approach}_0"): flow for approach, flow in approaches.items()}


def test_opposing_approaches_share_their_green() -> None:
    """The larger of two that run together counts, and the axes add up."""
    need = green_need(make_intersection(), flows(north=0.3, south=0.1, east=0.2, west=0.15))

    assert need == pytest.approx(0.3 + 0.2, abs=0.01)


def test_left_turns_need_a_green_of_their_own_or_a_gap() -> None:
    """A left turn beside through traffic is served at part of the rate; the rest takes a stage of its own."""
    left: Flows = {("north", "north_1"): 0.2}
    alone = green_need(make_intersection(has_left_lanes=True), left)
    beside = green_need(make_intersection(has_left_lanes=True), left | flows(north=0.3))

    assert alone == pytest.approx(0.2, abs=0.01)
    assert beside == pytest.approx(0.3 + 0.2 - PERMISSIVE_WEIGHT * 0.3, abs=0.02)


def test_nobody_needs_nothing() -> None:
    """A signal without traffic does not limit a city."""
    assert green_need(make_intersection(), {}) == 0.0


def test_an_entrance_limits_a_city_by_its_lanes() -> None:
    """Without any junction that matters, two lanes take twice what one takes."""
    roads = CityRoads(
        turns={"in": (), "on": ()}, ahead={"in": "j", "on": ""}, lanes={"in": 2, "on": 2}, entries=("in",)
    )
    ways = (Entrance("in", 1.0, ((("in",), 1.0),)),)

    assert capacity_vehph(NOBODY, roads, ways) == pytest.approx(2.0 * SATURATION_VEHPH)


@pytest.mark.parametrize(("arms", "need"), [(2, 0.5), (4, 1.0)])
def test_approaches_without_a_signal_take_turns(arms: int, need: float) -> None:
    """All of them where they meet; the two directions of a road do not."""
    names = [f"in{arm}" for arm in range(arms)]
    roads = CityRoads(
        turns=dict.fromkeys(names, ()),
        ahead=dict.fromkeys(names, "j"),
        lanes=dict.fromkeys(names, 1),
        entries=tuple(names),
    )
    ways = tuple(Entrance(name, 1.0 / arms, (((name, f"{name}out"), 1.0),)) for name in names)

    assert capacity_vehph(NOBODY, roads, ways) == pytest.approx(SATURATION_VEHPH * USABLE_SHARE / need)
