"""How an agent sees its situation for memory: levels of queues a movement, and what is green."""

from __future__ import annotations

from bisect import bisect_right

import msgspec

from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.intersection import Intersection

LEVELS_VEH = (1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90)
"""Where the level of a queue rises: single vehicles count while there are few, and only the size of a long queue."""
GREEN = 128
"""Added to the level of a movement that is green, so that one key has levels and signal in one byte a movement.

What a stage is worth depends on whether it is in force already: to change costs yellow.
"""


class Sight(msgspec.Struct, frozen=True):
    """Tables of one intersection: the lanes of each movement, and which movements each stage serves."""

    lanes: tuple[tuple[int, ...], ...]
    served: tuple[frozenset[int], ...]

    def counts(self, snapshot: Snapshot) -> tuple[int, ...] | None:
        """The situation [M] of `snapshot`; None while a detector is not trusted: then nobody knows where he is."""
        readings = snapshot.readings
        if not all(reading.is_valid for reading in readings):
            return None
        green = self.served[snapshot.signal.stage]
        return tuple(
            _level(readings, lanes) + (GREEN if movement in green else 0) for movement, lanes in enumerate(self.lanes)
        )


def sight_of(intersection: Intersection) -> Sight:
    """The tables of `intersection`."""
    places = {lane.id: index for index, lane in enumerate(intersection.lanes)}
    return Sight(
        lanes=tuple(tuple(places[lane] for lane in movement.lanes) for movement in intersection.movements),
        served=tuple(stage.served for stage in intersection.stages),
    )


def _level(readings: tuple[LaneReading, ...], lanes: tuple[int, ...]) -> int:
    return bisect_right(LEVELS_VEH, sum(readings[lane].queue_veh for lane in lanes))
