"""The observation spec, declared once as tables, and the pure `encode()` that training, export and street share."""

from __future__ import annotations

import functools
import hashlib

import msgspec
import numpy as np
import numpy.typing as npt

from phasemesh.contract.command import elapsed_green_s
from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.history import ServiceHistory, remembered_lights
from phasemesh.contract.intersection import Intersection, Lane

FloatArray = npt.NDArray[np.float32]


class Feature(msgspec.Struct, frozen=True):
    """One named column of a tensor: its unit before scaling, and the factor that scales it."""

    name: str
    unit: str
    scale: float


LANE_FEATURES: tuple[Feature, ...] = (
    Feature("queue", "veh", 1 / 16),
    Feature("vehicles_50m", "veh", 1 / 16),
    Feature("vehicles_100m", "veh", 1 / 16),
    Feature("vehicles_150m", "veh", 1 / 16),
    Feature("queue_ratio", "of capacity", 1.0),
    Feature("vehicles_50m_ratio", "of capacity", 1.0),
    Feature("vehicles_100m_ratio", "of capacity", 1.0),
    Feature("vehicles_150m_ratio", "of capacity", 1.0),
    Feature("arrivals", "veh", 1 / 16),
    Feature("wait", "s", 1 / 64),
    Feature("mean_speed", "of limit", 1.0),
    Feature("downstream_queue", "veh", 1 / 16),
    Feature("downstream_vehicles", "veh", 1 / 16),
    Feature("downstream_room", "ratio", 1.0),
    Feature("green_protected", "share of movements", 1.0),
    Feature("green_permissive", "share of movements", 1.0),
    Feature("since_green", "s", 1 / 64),
    Feature("is_valid", "flag", 1.0),
)
"""Columns of `lanes`; powers of two keep whole counts exact in single precision."""

STAGE_FEATURES: tuple[Feature, ...] = (
    Feature("is_current", "flag", 1.0),
    Feature("elapsed_green", "s", 1 / 64),
    Feature("is_legal", "flag", 1.0),
    Feature("since_served", "s", 1 / 64),
)
"""Columns of `stage_state`; during a change the stage that is being changed to is the current one."""

FEATURE_CAP = 8.0
"""Scaled values are cut off here, so that one odd lane cannot saturate a network."""

SUMMARY_SIZE = 2 * len(LANE_FEATURES)
"""Length of the fixed-size summary sent to neighbours: mean and maximum of every lane feature."""


class Observation(msgspec.Struct, frozen=True):
    """Float32 tensors of one intersection at one step: `lanes` [L, F], `stage_state` [S, G], `summary` [2F]."""

    lanes: FloatArray
    stage_state: FloatArray
    summary: FloatArray


def stage_lanes(intersection: Intersection) -> FloatArray:
    """Share of each lane's movements that each stage serves, [S, L, 2]: protected and permissive."""
    shares = np.zeros((len(intersection.stages), len(intersection.lanes), 2), dtype=np.float32)
    for index, stage in enumerate(intersection.stages):
        for column, served in enumerate((stage.protected, stage.permissive)):
            shares[index, :, column] = _lane_shares(intersection, frozenset(served))
    return shares


def _lane_shares(intersection: Intersection, served: frozenset[int]) -> FloatArray:
    shares = [
        [index in served for index, movement in enumerate(intersection.movements) if lane.id in movement.lanes]
        for lane in intersection.lanes
    ]
    return np.array([sum(share) / max(1, len(share)) for share in shares], dtype=np.float32)


class Encoder:
    """Encodes snapshots of one intersection; holds only what never changes, so that `encode` is a pure function."""

    def __init__(self, intersection: Intersection) -> None:
        """Precompute the tables of `intersection`."""
        self.intersection = intersection
        self.stage_lanes = stage_lanes(intersection)
        self._movements = [
            [index for index, movement in enumerate(intersection.movements) if lane.id in movement.lanes]
            for lane in intersection.lanes
        ]
        # A signal shows a few dozen letters in turn.
        self._green_shares = functools.cache(self._count_greens)

    def encode(self, snapshot: Snapshot, history: ServiceHistory, legal: tuple[bool, ...]) -> Observation:
        """The tensors of `snapshot`, whose readings must be plausible; `legal` marks stages that may be asked for."""
        lanes = self._encode_lanes(snapshot, history)
        mean = np.add.reduce(lanes, axis=0) / np.float32(len(lanes))
        summary = np.concatenate((mean, np.maximum.reduce(lanes, axis=0)))
        return Observation(lanes, self._encode_stages(snapshot, history, legal), summary)

    def _encode_lanes(self, snapshot: Snapshot, history: ServiceHistory) -> FloatArray:
        shares = self._green_shares(remembered_lights(self.intersection, snapshot.signal))
        values: list[float] = []
        for reading, lane, movements, share in zip(
            snapshot.readings, self.intersection.lanes, self._movements, shares, strict=True
        ):
            values += _lane_row(reading, lane, share, _since_green_s(history, movements, snapshot.now_s))
        return _scaled(values, _LANE_SCALES)

    def _count_greens(self, letters: str) -> list[tuple[float, float]]:
        """For each lane the shares of its movements to which `letters` show protected and permissive green."""
        mine = ([letters[index] for index in movements] for movements in self._movements)
        return [(some.count("G") / max(1, len(some)), some.count("g") / max(1, len(some))) for some in mine]

    def _encode_stages(self, snapshot: Snapshot, history: ServiceHistory, legal: tuple[bool, ...]) -> FloatArray:
        signal, now_s = snapshot.signal, snapshot.now_s
        values: list[float] = []
        for index, is_legal in enumerate(legal):
            is_current = index == signal.stage
            elapsed_s = elapsed_green_s(signal, now_s) if is_current else 0.0
            values += (is_current, elapsed_s, is_legal, now_s - history.stage_green_s[index])
        return _scaled(values, _STAGE_SCALES)


def _lane_row(
    reading: LaneReading, lane: Lane, green_shares: tuple[float, float], since_green_s: float
) -> tuple[float, ...]:
    """The unscaled features of one lane, in the order of `LANE_FEATURES`."""
    near_veh, middle_veh, far_veh = lane.zone_capacity_veh
    return (
        reading.queue_veh,
        reading.vehicles_50m_veh,
        reading.vehicles_100m_veh,
        reading.vehicles_150m_veh,
        reading.queue_veh / far_veh,
        reading.vehicles_50m_veh / near_veh,
        reading.vehicles_100m_veh / middle_veh,
        reading.vehicles_150m_veh / far_veh,
        reading.arrivals_veh,
        reading.wait_s,
        reading.mean_speed_mps / lane.speed_limit_mps,
        reading.downstream_queue_veh,
        reading.downstream_vehicles_veh,
        reading.downstream_room_ratio,
        *green_shares,
        since_green_s,
        float(reading.is_valid),
    )


def _since_green_s(history: ServiceHistory, movements: list[int], now_s: float) -> float:
    return now_s - max([history.movement_green_s[index] for index in movements], default=now_s)


def _scales(features: tuple[Feature, ...]) -> FloatArray:
    return np.array([feature.scale for feature in features], dtype=np.float32)


_LANE_SCALES = _scales(LANE_FEATURES)
_STAGE_SCALES = _scales(STAGE_FEATURES)


_CAP = np.float32(FEATURE_CAP)


def _scaled(values: list[float], scales: FloatArray) -> FloatArray:
    """`values`, row by row, in the columns of `scales`."""
    raw = np.array(values, dtype=np.float32).reshape(-1, len(scales))
    scaled: FloatArray = np.minimum(raw * scales, _CAP)
    return scaled


def lane_feature(name: str) -> int:
    """The column of a lane feature in `lanes`; raises KeyError for an unknown name."""
    return _index_of(LANE_FEATURES, name)


def stage_feature(name: str) -> int:
    """The column of a stage feature in `stage_state`; raises KeyError for an unknown name."""
    return _index_of(STAGE_FEATURES, name)


def _index_of(features: tuple[Feature, ...], name: str) -> int:
    for index, feature in enumerate(features):
        if feature.name == name:
            return index
    raise KeyError(name)


POLICY_SIZE = 16
"""Stages that a message has room for."""
HIDDEN_SIZE = 64
"""Length of the recurrent state, on the wire in half precision."""
MESSAGE_SIZE = SUMMARY_SIZE + POLICY_SIZE + HIDDEN_SIZE
SITE_SIZE = 8
"""Length of the index embedding of a site; zeros are the 'unknown' row."""
HYPER_SIZE = 8
"""Value heads that the hyper-action weighs."""


def spec_document() -> dict[str, object]:
    """Everything whose change makes old bundles, messages and records unreadable."""
    return {
        "lane_features": [msgspec.structs.asdict(feature) for feature in LANE_FEATURES],
        "stage_features": [msgspec.structs.asdict(feature) for feature in STAGE_FEATURES],
        "feature_cap": FEATURE_CAP,
        "sizes": {
            "summary": SUMMARY_SIZE,
            "policy": POLICY_SIZE,
            "hidden": HIDDEN_SIZE,
            "site": SITE_SIZE,
            "hyper": HYPER_SIZE,
        },
    }


SPEC_HASH = hashlib.sha256(msgspec.json.encode(spec_document(), order="sorted")).hexdigest()[:16]
"""Name of the observation spec; travels in bundles, messages and records."""
