"""Who drove into whom: on the street, or inside a junction, where SUMO looks only when it is told to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.sim_harness.sumo.xml_stream import elements

COLLISIONS_NAME = "collisions.xml"
"""In the folder of a run: one element a collision, as SUMO's option `collision-output` writes it."""
CRASH_MPS = 3.0
"""Both vehicles of a crash are faster, about 11 km/h: nobody who waits for a gap or inches forward is."""
SIGMAS = 3.0
"""Two runs differ when their counts are farther apart than so many standard deviations of their difference."""


class Collisions(msgspec.Struct, frozen=True):
    """How many vehicles collided in a run.

    `street` counts those outside junctions, `crashes` those within one in which both vehicles were faster than
    `CRASH_MPS`, as where two greens conflict. `overlaps` are all others within: mostly a vehicle that waits in the
    middle of a junction, as a permissive turn must, and stands in the way of what drives past it.
    """

    street: int = 0
    crashes: int = 0
    overlaps: int = 0

    def more_than(self, calm: Collisions) -> Iterator[str]:
        """In what the traffic was more dangerous than in the run `calm`, a line each.

        Outside junctions one collision more is one too many. Within, both runs have some by chance and part after
        the first fault, so that there a difference counts which chance does not explain (Poisson counts).
        """
        if self.street > calm.street:
            yield f"{self.street} collisions on the street, {calm.street} without faults"
        within = (("crashes", self.crashes, calm.crashes), ("overlaps", self.overlaps, calm.overlaps))
        for what, count, calm_count in within:
            if count - calm_count > SIGMAS * math.sqrt(count + calm_count):
                yield f"{count} {what} inside junctions, {calm_count} without faults: more than by chance"


def junction_arguments(folder: Path) -> tuple[str, ...]:
    """What makes SUMO look inside junctions, without any effect on the vehicles, and write down what it finds."""
    return ("--collision.check-junctions", "--collision-output", str((folder / COLLISIONS_NAME).resolve()))


def read_collisions(folder: Path) -> Collisions:
    """What SUMO wrote down in the folder of a run; raises InputError when that is not there or cannot be read."""
    path = folder / COLLISIONS_NAME
    if not path.is_file():
        raise InputError(f"{path}: is missing; nobody looked inside the junctions of this run")
    found = Counter(_kind(attributes) for name, attributes in elements(path) if name == "collision")
    return Collisions(found["street"], found["crash"], found["overlap"])


def _kind(attributes: dict[str, str]) -> str:
    if not attributes["lane"].startswith(":"):
        return "street"
    slower_mps = min(float(attributes["colliderSpeed"]), float(attributes["victimSpeed"]))
    return "crash" if slower_mps > CRASH_MPS else "overlap"
