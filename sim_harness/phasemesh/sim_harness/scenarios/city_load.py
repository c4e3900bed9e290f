"""How much traffic a generated city can take, estimated: the demand at which its busiest junction is full."""

from __future__ import annotations

from collections import defaultdict

from phasemesh.contract.intersection import Intersection
from phasemesh.contract.observation import stage_lanes
from phasemesh.contract.units import LaneId
from phasemesh.sim_harness.scenarios.city_roads import CityRoads, Entrance, Flows, flows_of
from phasemesh.sim_harness.sumo.network import CityNetwork

SATURATION_VEHPH = 1800.0
"""What a lane lets through in an hour of green: a vehicle every two seconds (HCM 2010, base saturation flow 1900)."""
USABLE_SHARE = 0.85
"""Share of the time that is green once changes and start-up are taken off."""
PERMISSIVE_WEIGHT = 0.5
"""What a green that gives way is worth beside one that does not."""
_SLICES = 400
"""Slices of green into which the demand of a signal is cut; the estimate is fine to about one of them."""


def capacity_vehph(network: CityNetwork, roads: CityRoads, ways: tuple[Entrance, ...]) -> float:
    """Vehicles an hour in the whole city at which its busiest entrance or junction has no time left.

    A signal needs so much green that its stages serve all of its lanes; at a junction without a signal the approaches
    take turns. What queues do to each other is left out: it is an estimate to compare levels by, not a bound.
    """
    flows = flows_of(ways)
    needs = [
        *(entrance.share / roads.lanes[entrance.edge] for entrance in ways),
        *(green_need(site.intersection, flows) / USABLE_SHARE for site in network.controlled),
        *(need / USABLE_SHARE for need in _needs_without_signal(network, roads, flows)),
    ]
    return SATURATION_VEHPH / max(needs)


def green_need(intersection: Intersection, flows: Flows) -> float:
    """How much green serves every lane of a signal; 1 is that of a lane which takes all traffic of the city.

    Green is given in slices to the stage that serves most of what is left, which comes close to the best division.
    """
    left = _lane_needs(intersection, flows)
    served = [
        [float(protected) + PERMISSIVE_WEIGHT * float(permissive) for protected, permissive in lanes]
        for lanes in stage_lanes(intersection)
    ]
    slice_ = sum(left) / _SLICES
    given = 0.0
    while sum(left) > slice_:
        best = max(served, key=lambda lanes: sum(share * need for share, need in zip(lanes, left, strict=True)))
        left = [max(0.0, need - slice_ * share) for share, need in zip(best, left, strict=True)]
        given += slice_
    return given


def _lane_needs(intersection: Intersection, flows: Flows) -> list[float]:
    """The flow of every lane; a movement with several lanes is spread over them evenly."""
    needs = dict.fromkeys((lane.id for lane in intersection.lanes), 0.0)
    lanes: dict[tuple[str, str], list[LaneId]] = defaultdict(list)
    for movement in intersection.movements:
        for exit_ in dict.fromkeys(_edge(exit_) for exit_ in movement.exits):
            lanes[movement.approach, exit_] += movement.lanes
    for pair, used in lanes.items():
        for lane in used:
            needs[lane] += flows.get(pair, 0.0) / len(used)
    return [needs[lane.id] for lane in intersection.lanes]


def _edge(lane: str) -> str:
    return lane.rpartition("_")[0]


def _needs_without_signal(network: CityNetwork, roads: CityRoads, flows: Flows) -> list[float]:
    """For each junction that is not commanded, what its approaches need if they take turns; two do not meet."""
    commanded = {movement.approach for site in network.controlled for movement in site.intersection.movements}
    approaches: dict[str, list[float]] = defaultdict(list)
    for edge, flow in _edge_flows(flows).items():
        if edge not in commanded:
            approaches[roads.ahead[edge]].append(flow / roads.lanes[edge])
    return [sum(needs) if len(needs) > 2 else max(needs) for needs in approaches.values()]


def _edge_flows(flows: Flows) -> dict[str, float]:
    """What leaves every edge."""
    found: dict[str, float] = defaultdict(float)
    for (edge, _), flow in flows.items():
        found[edge] += flow
    return found
