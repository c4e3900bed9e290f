"""The intersections that an actor is made for, where it is made for certain ones."""

from __future__ import annotations

from collections.abc import Sequence

from phasemesh.contract.errors import InputError
from phasemesh.contract.intersection import Intersection
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.trainer.actor_spec import SiteSpec
from phasemesh.trainer.city_ranges import city_range
from phasemesh.trainer.recipe import Recipe
from phasemesh.trainer.sharing import check_sites, needs_sites


def site_of(intersection: Intersection) -> SiteSpec:
    """What an actor has to know of `intersection`."""
    lanes, stages, neighbours = map(len, (intersection.lanes, intersection.stages, intersection.neighbours))
    return SiteSpec(intersection.id, lanes, stages, max(1, neighbours))


def sites_of(recipe: Recipe, scenarios: Sequence[str]) -> tuple[SiteSpec, ...]:
    """Every intersection of `scenarios`, or none where the actor of `recipe` takes any.

    Raises:
        InputError: It cannot be made for them.
    """
    if not needs_sites(recipe.network.kind, recipe.sharing.kind):
        return ()
    ranges = [name for name in scenarios if city_range(name, recipe.episodes.cities)]
    if ranges:
        raise InputError(
            f"--scenarios {ranges[0]}: network {recipe.network.kind} with sharing {recipe.sharing.kind} is made for"
            " certain intersections, not for a range of cities"
        )
    sites = tuple(
        site_of(each) for name in scenarios for each in read_network(find_scenario(name).net_file).intersections
    )
    check_sites(recipe.sharing.kind, sites)
    return sites
