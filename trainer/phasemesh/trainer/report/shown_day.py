"""One episode of a training's scenario under its policy, and the same under the rule that it should beat."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.report.map_plot import RoadMap, edge_losses, read_road_map
from phasemesh.sim_harness.report_folder import EDGES_NAME
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import read_network
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.city_ranges import evaluated
from phasemesh.trainer.crews import EpisodeCrew
from phasemesh.trainer.episode import EpisodePlan
from phasemesh.trainer.evaluation import RULE, RULE_TICK_S
from phasemesh.trainer.report.ego_graph import EgoGraph, ego_graph_of
from phasemesh.trainer.run_folder import RunDescription

POLICY = "policy"


class ShownDay(msgspec.Struct, frozen=True):
    """What the two episodes were like; losses of every edge and mean delays are by who decided, in seconds."""

    scenario: str
    seed: int
    graph: EgoGraph
    road_map: RoadMap
    positions_m: Mapping[IntersectionId, tuple[float, float]]
    losses_s: dict[str, dict[str, float]]
    delay_s: dict[str, float]


def shown_scenario(run: RunDescription) -> str:
    """The scenario of `run` with the most signals to hear each other; a range of cities is shown by the one behind."""
    names = tuple(evaluated(run.scenarios, run.recipe.episodes.cities))
    return max(names, key=lambda name: len(read_network(find_scenario(name).net_file).controlled))


def play_day(
    crew: EpisodeCrew, actor: Actor, run: RunDescription, scenario: str, seed: int, length_s: float | None
) -> ShownDay:
    """Play `scenario` greedily with `actor` and with the rule, both with `seed` and without faults."""
    with tempfile.TemporaryDirectory(prefix="phasemesh-shown-") as scratch:
        folders = {name: Path(scratch) / name for name in (POLICY, RULE)}
        for folder in folders.values():
            folder.mkdir()
        plan = EpisodePlan(
            scenario=scenario,
            seed=seed,
            tick_s=run.recipe.episodes.tick_s,
            length_s=length_s,
            profile=run.recipe.episodes.profile,
            is_greedy=True,
            edges_folder=folders[POLICY],
        )
        rule = msgspec.structs.replace(
            plan, tick_s=RULE_TICK_S, teacher=RULE, teacher_share=1.0, edges_folder=folders[RULE]
        )
        episodes = dict(zip((POLICY, RULE), crew.play(actor, [plan, rule]), strict=True))
        losses_s = {name: edge_losses(folder / EDGES_NAME) for name, folder in folders.items()}
    network = read_network(find_scenario(scenario).net_file)
    return ShownDay(
        scenario=scenario,
        seed=seed,
        graph=ego_graph_of(actor, episodes[POLICY]),
        road_map=read_road_map(network.net_file),
        positions_m={site.intersection.id: site.position_m for site in network.controlled},
        losses_s=losses_s,
        delay_s={name: round(episode.mean_delay_s, 2) for name, episode in episodes.items()},
    )
