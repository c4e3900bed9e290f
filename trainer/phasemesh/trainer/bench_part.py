"""The part `rollout` of `phasemesh bench`: how much of an episode is SUMO's own time, and how fast agents decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from phasemesh.sim_harness.bench import BENCHMARK_MAPS, Figure
from phasemesh.trainer.extras import what_training_needs

LENGTH_S = 600.0
SEED = 100_001
SUMO_SHARE = {"ingolstadt21": 0.7}
"""The least share of SUMO's own step, by map; elsewhere it is reported."""


def rollout_figures(maps: Sequence[str]) -> Iterator[Figure]:
    """One short episode a map, of an actor that has learned nothing; without `maps` the eight of the benchmarks.

    Raises MissingExtraError without torch, ScenarioError for an unknown map.
    """
    with what_training_needs():
        import torch  # noqa: PLC0415 (torch is optional and slow)

        from phasemesh.trainer.crew import Crew  # noqa: PLC0415 (likewise)
        from phasemesh.trainer.episode import EpisodePlan  # noqa: PLC0415 (likewise)
        from phasemesh.trainer.networks import UniversalActor  # noqa: PLC0415 (likewise)
    torch.manual_seed(0)
    crew, actor = Crew(workers=1), UniversalActor()
    for name in maps or BENCHMARK_MAPS:
        (episode,) = crew.play(actor, [EpisodePlan(scenario=name, seed=SEED, length_s=LENGTH_S)])
        yield figure_of(name, episode.simulation_cpu_s / episode.cpu_s, episode.decisions / episode.cpu_s)


def figure_of(name: str, share: float, decisions_per_s: float) -> Figure:
    """The figure of the map `name`, beside its bound if there is one."""
    least = SUMO_SHARE.get(name)
    return Figure(
        f"SUMO's own step, share of a rollout on {name}; decisions a second",
        f"{share:.1%}; {decisions_per_s:.0f}",
        "reported" if least is None else f">= {least:.0%}",
        least is None or share >= least,
    )
