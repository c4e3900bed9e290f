"""Detectors as they are on the street: they miscount, and now and then one is out of order for a while.

What they say goes to the cabinet in place of the truth, so that guard, detector health and `encode()` deal with it as
they do on the street.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from phasemesh.contract.detection import READING_LIMITS, LaneReading
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.bridge import Readings
from phasemesh.sim_harness.faults.sensors import SENSOR_TROUBLES
from phasemesh.trainer.street_faults import StreetFaults

_SPEED_LIMIT_MPS = READING_LIMITS["mean_speed_mps"][1]
_WAIT_LIMIT_S = READING_LIMITS["wait_s"][1]


class WornDetectors:
    """All detectors of a city, disturbed by `faults`; the same for the same seed."""

    def __init__(self, intersections: Sequence[Intersection], faults: StreetFaults, seed: int) -> None:
        """Begin with as many detectors out of order as at any other time."""
        self._noise = faults.detector_noise
        self._random = np.random.default_rng((seed, 2))
        self._limits_mps = {each.id: [lane.speed_limit_mps for lane in each.lanes] for each in intersections}
        self._outages = {each.id: [_Outages(faults, self._random) for _ in each.lanes] for each in intersections}

    def disturb(self, readings: Readings, step: int) -> Readings:
        """What is heard at `step` (seconds since the beginning) in place of `readings`."""
        return {name: self._heard(name, lanes, step) for name, lanes in readings.items()}

    def _heard(self, name: IntersectionId, lanes: tuple[LaneReading, ...], step: int) -> tuple[LaneReading, ...]:
        counted = self._miscounted(lanes, self._limits_mps[name]) if self._noise > 0.0 else lanes
        return tuple(
            outages.heard(reading, step) for reading, outages in zip(counted, self._outages[name], strict=True)
        )

    def _miscounted(self, lanes: tuple[LaneReading, ...], limits_mps: list[float]) -> tuple[LaneReading, ...]:
        counts = np.array([_counts(reading) for reading in lanes], dtype=np.int64)
        missed, doubled = (self._random.binomial(counts, self._noise) for _ in range(2))
        factors = np.maximum(0.0, 1.0 + self._noise * self._random.standard_normal((len(lanes), 3)))
        rows = zip(lanes, (counts - missed + doubled).tolist(), factors.tolist(), limits_mps, strict=True)
        return tuple(_miscounted(reading, seen, factor, limit_mps) for reading, seen, factor, limit_mps in rows)


def _counts(reading: LaneReading) -> tuple[float, ...]:
    """Vehicles by where they are, from the stop line backwards; those that stand; those that came."""
    return (
        reading.vehicles_50m_veh,
        reading.vehicles_100m_veh - reading.vehicles_50m_veh,
        reading.vehicles_150m_veh - reading.vehicles_100m_veh,
        reading.queue_veh,
        reading.arrivals_veh,
    )


def _miscounted(reading: LaneReading, seen: list[int], factors: list[float], limit_mps: float) -> LaneReading:
    """`reading` with other counts, and speed, wait and downstream values off by `factors`; consistent in itself."""
    near, middle, far, queue, arrivals = seen
    total = near + middle + far
    speed, wait, downstream = factors
    return msgspec.structs.replace(
        reading,
        queue_veh=float(min(queue, total)),
        vehicles_50m_veh=float(near),
        vehicles_100m_veh=float(near + middle),
        vehicles_150m_veh=float(total),
        arrivals_veh=float(arrivals),
        wait_s=min(_WAIT_LIMIT_S, reading.wait_s * wait) if min(queue, total) else 0.0,
        mean_speed_mps=min(_SPEED_LIMIT_MPS, reading.mean_speed_mps * speed) if total else limit_mps,
        downstream_queue_veh=reading.downstream_queue_veh * downstream,
        downstream_vehicles_veh=reading.downstream_vehicles_veh * downstream,
        downstream_room_ratio=max(0.0, 1.0 - (1.0 - reading.downstream_room_ratio) * downstream),
    )


class _Outages:
    """When one detector is out of order, and what it says then; times between changes are exponential."""

    def __init__(self, faults: StreetFaults, random: np.random.Generator) -> None:
        share = faults.detector_outage
        self._random = random
        self._kinds = faults.outage_kinds
        self._mean_s = (faults.outage_s * (1.0 - share) / share, faults.outage_s) if share > 0.0 else None
        self._is_out = share > 0.0 and float(random.random()) < share
        self._until_s = 0.0
        self._kind = ""
        self._begin()

    def heard(self, reading: LaneReading, step: int) -> LaneReading:
        """`reading`, or what the broken detector says."""
        while step >= self._until_s:
            self._is_out = not self._is_out
            self._begin()
        return SENSOR_TROUBLES[self._kind](reading, step) if self._is_out else reading

    def _begin(self) -> None:
        """Draw how long the present state lasts, and what is wrong in it."""
        if self._mean_s is None:
            self._until_s = float("inf")
            return
        self._until_s += float(self._random.exponential(self._mean_s[self._is_out]))
        self._kind = self._kinds[int(self._random.integers(len(self._kinds)))]
