"""The observation spec and the pure `encode()`: columns by name, exact counts, the cap, shapes and the spec hash."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.command import Interval, SignalState, start
from phasemesh.contract.detection import INVALID_READING, LaneReading, Snapshot
from phasemesh.contract.history import ServiceHistory, empty_history, note_calls, note_signal
from phasemesh.contract.intersection import Intersection, Movement, Stage, Turn
from phasemesh.contract.observation import (
    FEATURE_CAP,
    HIDDEN_SIZE,
    LANE_FEATURES,
    MESSAGE_SIZE,
    POLICY_SIZE,
    SPEC_HASH,
    STAGE_FEATURES,
    SUMMARY_SIZE,
    Encoder,
    Feature,
    Observation,
    lane_feature,
    spec_document,
    stage_feature,
    stage_lanes,
)
from phasemesh.contract.units import LaneId
from strategies import brisk, intersections, readings

CROSSING = make_intersection()
WITH_LEFT = make_intersection(has_left_lanes=True)
Scene = tuple[Intersection, Snapshot, ServiceHistory, tuple[bool, ...]]
YELLOW = SignalState(stage=1, from_stage=0, interval=Interval.YELLOW, since_s=8.0)


def _encode(
    *lanes: LaneReading,
    intersection: Intersection = CROSSING,
    now_s: float = 10.0,
    signal: SignalState | None = None,
    history: ServiceHistory | None = None,
    legal: tuple[bool, ...] | None = None,
) -> Observation:
    filled = (*lanes, *[make_reading()] * (len(intersection.lanes) - len(lanes)))
    snapshot = make_snapshot(intersection, now_s=now_s, signal=signal, readings=filled)
    past = history or empty_history(intersection, 0.0)
    return Encoder(intersection).encode(snapshot, past, legal or (True,) * len(intersection.stages))


def _lane(observation: Observation, name: str, lane: int = 0) -> float:
    return float(observation.lanes[lane, lane_feature(name)])


def _stage(observation: Observation, name: str) -> list[float]:
    return [float(value) for value in observation.stage_state[:, stage_feature(name)]]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """An intersection with a snapshot, a history that saw it, and legal stages."""
    intersection = draw(intersections())
    size = len(intersection.lanes)
    signal = SignalState(
        stage=draw(st.integers(0, len(intersection.stages) - 1)),
        from_stage=draw(st.integers(0, len(intersection.stages) - 1)),
        interval=draw(st.sampled_from(Interval)),
        since_s=draw(st.floats(0.0, 100.0)),
    )
    lanes = tuple(draw(st.lists(readings(), min_size=size, max_size=size)))
    snapshot = make_snapshot(intersection, now_s=draw(st.floats(100.0, 500.0)), signal=signal, readings=lanes)
    history = note_calls(note_signal(empty_history(intersection, 0.0), intersection, signal, 100.0), snapshot)
    legal = draw(st.lists(st.booleans(), min_size=len(intersection.stages), max_size=len(intersection.stages)))
    return intersection, snapshot, history, tuple(legal)


@brisk
@given(scenes(), scenes())
def test_encode_is_pure(scene: Scene, other: Scene) -> None:
    """The same inputs give the same bytes, from a fresh encoder and from one that encoded other things between."""
    encoder = Encoder(scene[0])
    first = encoder.encode(*scene[1:])
    Encoder(other[0]).encode(*other[1:])
    encoder.encode(msgspec.structs.replace(scene[1], now_s=999.0), *scene[2:])

    for again in (encoder.encode(*scene[1:]), Encoder(scene[0]).encode(*scene[1:])):
        assert again.lanes.tobytes() == first.lanes.tobytes()
        assert again.stage_state.tobytes() == first.stage_state.tobytes()
        assert again.summary.tobytes() == first.summary.tobytes()


@brisk
@given(scenes())
def test_shapes_follow_the_intersection_and_all_numbers_are_usable(scene: Scene) -> None:
    """There is a row a lane and a row a stage, in float32, finite, not negative and not above the cap."""
    intersection, snapshot, history, legal = scene
    observation = Encoder(intersection).encode(snapshot, history, legal)

    assert observation.lanes.shape == (len(intersection.lanes), len(LANE_FEATURES))
    assert observation.stage_state.shape == (len(intersection.stages), len(STAGE_FEATURES))
    assert observation.summary.shape == (SUMMARY_SIZE,)
    for tensor in (observation.lanes, observation.stage_state, observation.summary):
        assert tensor.dtype == np.float32
        assert np.isfinite(tensor).all()
        assert tensor.min() >= 0.0
        assert tensor.max() <= FEATURE_CAP


@pytest.mark.parametrize("lanes", [1, 2, 7, 40])
def test_any_number_of_lanes_can_be_encoded(lanes: int) -> None:
    """From one lane to forty, the tensors have as many rows."""
    one = CROSSING.lanes[0]
    ids = [LaneId(f"lane_{index}") for index in range(lanes)]
    wide = Intersection(
        id=CROSSING.id,
        lanes=tuple(msgspec.structs.replace(one, id=name) for name in ids),
        movements=(Movement("north", Turn.STRAIGHT, tuple(ids), ()),),
        stages=(Stage("all", (0,)),),
        conflicts=("0",),
        yields_to=("0",),
    )

    assert _encode(intersection=wide).lanes.shape == (lanes, len(LANE_FEATURES))
    assert stage_lanes(wide).shape == (1, lanes, 2)


@brisk
@given(scenes())
def test_the_summary_is_mean_and_maximum_of_the_lanes(scene: Scene) -> None:
    """Neighbours get, for every lane feature, its mean and then its maximum."""
    observation = Encoder(scene[0]).encode(*scene[1:])
    size = len(LANE_FEATURES)

    np.testing.assert_allclose(observation.summary[:size], observation.lanes.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(observation.summary[size:], observation.lanes.max(axis=0))


@pytest.mark.parametrize(
    ("field", "feature"),
    [
        ("queue_veh", "queue"),
        ("vehicles_50m_veh", "vehicles_50m"),
        ("vehicles_100m_veh", "vehicles_100m"),
        ("vehicles_150m_veh", "vehicles_150m"),
        ("arrivals_veh", "arrivals"),
        ("downstream_queue_veh", "downstream_queue"),
        ("downstream_vehicles_veh", "downstream_vehicles"),
    ],
)
@given(count=st.integers(0, int(16 * FEATURE_CAP)))
def test_counts_are_exact(field: str, feature: str, count: int) -> None:
    """Whole vehicles up to the cap come back from single precision exactly, in the column of their name."""
    encoded = _lane(_encode(make_reading(**{field: float(count)})), feature)

    assert encoded * 16 == count


@pytest.mark.parametrize(
    ("changes", "feature", "value"),
    [
        ({"queue_veh": 5.0}, "queue_ratio", 5.0 / 20.0),
        ({"vehicles_50m_veh": 13.0}, "vehicles_50m_ratio", 2.0),
        ({"vehicles_100m_veh": 6.5}, "vehicles_100m_ratio", 0.5),
        ({"vehicles_150m_veh": 10.0}, "vehicles_150m_ratio", 0.5),
        ({"wait_s": 32.0}, "wait", 0.5),
        ({"mean_speed_mps": 6.95}, "mean_speed", 0.5),
        ({"mean_speed_mps": 0.0}, "mean_speed", 0.0),
        ({"downstream_room_ratio": 0.25}, "downstream_room", 0.25),
        ({"is_valid": True}, "is_valid", 1.0),
        ({"is_valid": False}, "is_valid", 0.0),
    ],
)
def test_each_reading_lands_in_the_column_of_its_name(changes: dict[str, float], feature: str, value: float) -> None:
    """Ratios, waits, speeds and flags are scaled as the table of features says."""
    assert _lane(_encode(make_reading(**changes)), feature) == pytest.approx(value)


def test_one_lane_does_not_touch_the_row_of_another() -> None:
    """A reading alters its own row alone."""
    empty, changed = _encode(), _encode(make_reading(), make_reading(7.0))

    assert [bool((empty.lanes[row] != changed.lanes[row]).any()) for row in range(4)] == [False, True, False, False]


def test_large_values_are_cut_off_at_the_cap() -> None:
    """One odd lane cannot saturate a network."""
    observation = _encode(make_reading(400.0, wait_s=86_400.0))

    assert _lane(observation, "queue") == FEATURE_CAP
    assert _lane(observation, "vehicles_50m_ratio") == FEATURE_CAP
    assert _lane(observation, "wait") == FEATURE_CAP


def test_green_columns_follow_the_lights() -> None:
    """A lane knows whether its movements are protected or permissive green now."""
    observation = _encode(intersection=WITH_LEFT)

    assert [_lane(observation, "green_protected", lane) for lane in range(4)] == [1.0, 0.0, 0.0, 0.0]
    assert [_lane(observation, "green_permissive", lane) for lane in range(4)] == [0.0, 1.0, 0.0, 0.0]


def test_yellow_is_not_green() -> None:
    """During the yellow of the first stage no lane of the crossing is green."""
    assert _encode(signal=YELLOW).lanes[:, lane_feature("green_protected")].tolist() == [0.0] * 4


def test_since_green_counts_from_the_latest_green_of_the_lane() -> None:
    """A lane that two movements share counts from the later one."""
    left = Movement("north", Turn.LEFT, (LaneId("north_0"),), ())
    shared = msgspec.structs.replace(WITH_LEFT, movements=(WITH_LEFT.movements[0], left, *WITH_LEFT.movements[2:]))
    history = msgspec.structs.replace(empty_history(shared, 0.0), movement_green_s=(32.0, 16.0) + (0.0,) * 6)
    observation = _encode(intersection=shared, now_s=64.0, history=history)

    assert _lane(observation, "since_green") == 0.5
    assert _lane(observation, "since_green", 2) == 1.0


def test_a_lane_without_movements_is_encoded_as_never_green() -> None:
    """A lane that no signal controls has no green and no time since one."""
    movements = (msgspec.structs.replace(CROSSING.movements[0], lanes=()), *CROSSING.movements[1:])
    observation = _encode(intersection=msgspec.structs.replace(CROSSING, movements=movements), now_s=64.0)

    assert _lane(observation, "green_protected") == 0.0
    assert _lane(observation, "since_green") == 0.0
    assert _lane(observation, "since_green", 1) == 1.0


def test_the_neutral_reading_is_flagged() -> None:
    """A lane without trust has counts of zero and the flag that says so."""
    observation = _encode(INVALID_READING)

    assert _lane(observation, "is_valid") == 0.0
    assert _lane(observation, "queue") == 0.0
    assert _lane(observation, "downstream_room") == 1.0


def test_stage_columns_by_name() -> None:
    """A stage knows whether it is current and legal, how long it has been green, and when it was last served."""
    history = msgspec.structs.replace(empty_history(CROSSING, 0.0), stage_green_s=(128.0, 96.0))
    observation = _encode(now_s=128.0, signal=start(0, 64.0), history=history, legal=(True, False))

    assert _stage(observation, "is_current") == [1.0, 0.0]
    assert _stage(observation, "elapsed_green") == [1.0, 0.0]
    assert _stage(observation, "is_legal") == [1.0, 0.0]
    assert _stage(observation, "since_served") == [0.0, 0.5]


def test_during_a_change_the_next_stage_is_current_without_elapsed_green() -> None:
    """The stage that is being changed to is the current one, and its green has not begun."""
    observation = _encode(signal=YELLOW)

    assert _stage(observation, "is_current") == [0.0, 1.0]
    assert _stage(observation, "elapsed_green") == [0.0, 0.0]


def test_stage_lanes_hold_the_shares_of_movements() -> None:
    """A lane with a through movement and a left turn is half protected and half permissive in the mixed stage."""
    left = Movement("north", Turn.LEFT, (LaneId("north_0"),), ())
    shared = msgspec.structs.replace(WITH_LEFT, movements=(WITH_LEFT.movements[0], left, *WITH_LEFT.movements[2:]))
    shares = stage_lanes(shared)

    assert shares[0, 0].tolist() == [0.5, 0.5]
    assert shares[1, 0].tolist() == [0.5, 0.0]
    assert shares[2, 0].tolist() == [0.0, 0.0]


@brisk
@given(intersections())
def test_stage_lanes_are_shares(intersection: Intersection) -> None:
    """The two shares of a lane in a stage lie between 0 and 1 and do not sum to more than 1."""
    shares = stage_lanes(intersection)

    assert shares.dtype == np.float32
    assert shares.min() >= 0.0
    assert shares.sum(axis=2).max() <= 1.0 + 1e-6


def test_a_wrong_number_of_readings_is_a_programming_error() -> None:
    """An encoder does not cut off or pad the snapshot of another intersection."""
    snapshot = make_snapshot(CROSSING, readings=(make_reading(),) * 3)

    with pytest.raises(ValueError, match="zip"):
        Encoder(CROSSING).encode(snapshot, empty_history(CROSSING, 0.0), (True, True))


def test_features_are_found_by_name() -> None:
    """Every name leads to its own column, and no name occurs twice."""
    assert [lane_feature(feature.name) for feature in LANE_FEATURES] == list(range(len(LANE_FEATURES)))
    assert [stage_feature(feature.name) for feature in STAGE_FEATURES] == list(range(len(STAGE_FEATURES)))


@pytest.mark.parametrize("find", [lane_feature, stage_feature])
def test_an_unknown_feature_is_a_key_error(find: Callable[[str], int]) -> None:
    """A misspelt feature is a programming error."""
    with pytest.raises(KeyError, match="colour"):
        find("colour")


@pytest.mark.parametrize("feature", [*LANE_FEATURES, *STAGE_FEATURES], ids=lambda feature: feature.name)
def test_scales_are_powers_of_two(feature: Feature) -> None:
    """Scaling by a power of two loses no bit of a whole count."""
    mantissa, _ = np.frexp(feature.scale)

    assert mantissa == 0.5


def test_sizes_of_the_message_row_add_up() -> None:
    """A neighbour's row is summary, policy and hidden state."""
    assert 2 * len(LANE_FEATURES) == SUMMARY_SIZE
    assert MESSAGE_SIZE == SUMMARY_SIZE + POLICY_SIZE + HIDDEN_SIZE


def test_the_spec_hash_is_stable() -> None:
    """The name of the observation spec changes only on purpose, because all bundles, messages and records carry it."""
    assert SPEC_HASH == "fff41a89b7b6ae9b", (
        "the observation spec has changed: old bundles, messages and records become unreadable; if that is meant, "
        "write the new hash here, in docs/bundle-format.md and docs/messages.md, and a line in CHANGELOG.md"
    )


def test_the_spec_document_holds_both_tables_and_every_size() -> None:
    """A change of any name, unit, scale, cap or size would change the hash."""
    document = msgspec.to_builtins(spec_document())

    assert [row["name"] for row in document["lane_features"]] == [feature.name for feature in LANE_FEATURES]
    assert [row["name"] for row in document["stage_features"]] == [feature.name for feature in STAGE_FEATURES]
    assert all(set(row) == {"name", "unit", "scale"} for row in document["lane_features"])
    assert document["feature_cap"] == FEATURE_CAP
    assert document["sizes"] == {"summary": 36, "policy": 16, "hidden": 64, "site": 8, "hyper": 8}
