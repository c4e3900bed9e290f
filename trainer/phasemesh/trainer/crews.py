"""The crews that can play episodes, behind one interface: processes of this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

from phasemesh.trainer.actor import Actor
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.ray_crew import RayCrew


class EpisodeCrew(Protocol):
    """Whoever plays episodes; the same plans give the same episodes whoever plays them."""

    def play(self, actor: Actor, plans: Sequence[EpisodePlan]) -> list[Episode]:
        """The episodes of `plans` with the weights of `actor` as they are now, in the order of the plans.

        Raises PhasemeshError, with the plan, when a worker dies, and what SUMO says when it refuses.
        """

    def close(self) -> None:
        """Let go of what plays."""


class CrewKind(StrEnum):
    """Where episodes are played."""

    PROCESSES = "processes"
    RAY = "ray"


CREWS: dict[CrewKind, Callable[[int, str], EpisodeCrew]] = {
    CrewKind.PROCESSES: lambda workers, _address: Crew(workers),
    CrewKind.RAY: lambda _workers, address: RayCrew(address),
}
"""The crews, each by what makes it from the number of workers and the address of a cluster."""


@contextmanager
def hired(workers: int, ray_address: str = "") -> Iterator[EpisodeCrew]:
    """A crew of `workers` processes, or the cluster at `ray_address` if there is one, until the end of the block."""
    crew = CREWS[CrewKind.RAY if ray_address else CrewKind.PROCESSES](workers, ray_address)
    try:
        yield crew
    finally:
        crew.close()
