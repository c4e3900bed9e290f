"""Maps without crossings give the same intersections, byte for byte, as before crossings were read."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from phasemesh.contract.intersection import Intersection
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import CityNetwork, read_network

DIGESTS = {
    "cologne1": "4502e582873870bf",
    "cologne3": "a531a8d230047f16",
    "cologne8": "145ea3fe83623532",
    "ingolstadt1": "1a991731e322a109",
    "ingolstadt7": "46a522174698aee0",
    "ingolstadt21": "7c229465ea2ce912",
    "grid4x4": "3dff465d4919540d",
    "arterial4x4": "ae50373838a60e7c",
}
"""Of everything that each map gave when pedestrian crossings were not read."""

pytestmark = pytest.mark.sumo


def _digest(network: CityNetwork) -> str:
    """Names all that is derived from a map, field by field, so that a new field of the contract changes nothing."""
    rows: list[object] = [
        (
            *_intersection_row(site.intersection),
            site.position_m,
            [[(piece.lane_id, piece.length_m, piece.offset_m) for piece in zone] for zone in site.zones],
            site.stage_steps,
            site.own_program,
        )
        for site in network.controlled
    ]
    rows.append((network.watched, [str(change) for change in network.changes]))
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()[:16]


def _intersection_row(each: Intersection) -> tuple[object, ...]:
    return (
        each.id,
        [(lane.id, lane.approach, lane.length_m, lane.speed_limit_mps, lane.zone_capacity_veh) for lane in each.lanes],
        [(movement.approach, movement.turn, movement.lanes, movement.exits) for movement in each.movements],
        [(stage.name, stage.protected, stage.permissive) for stage in each.stages],
        each.conflicts,
        each.yields_to,
        each.neighbours,
    )


@pytest.mark.parametrize("name", DIGESTS)
def test_a_map_without_crossings_is_read_as_ever(name: str) -> None:
    """Intersections, zones, stages, programs and what is told about them are the same."""
    assert _digest(read_network(find_scenario(name).net_file)) == DIGESTS[name]
