"""Plausibility of detector readings (I21), and the snapshot that carries them."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_reading, make_snapshot
from phasemesh.contract.detection import (
    COMMANDABLE_MODES,
    INVALID_READING,
    READING_LIMITS,
    ControlMode,
    LaneReading,
    Snapshot,
    plausible,
)
from strategies import readings


def _reading(values: tuple[float, ...], is_valid: bool) -> LaneReading:
    return make_reading(**dict(zip(READING_LIMITS, values, strict=True)), is_valid=is_valid)


def test_every_number_of_a_reading_has_limits() -> None:
    """No value of a detector escapes the check of plausibility."""
    assert set(READING_LIMITS) == set(LaneReading.__struct_fields__) - {"is_valid"}


@given(readings())
def test_a_plausible_reading_is_returned_as_it_is(reading: LaneReading) -> None:
    """Valid readings within the limits pass unaltered, all others become the neutral one."""
    assert plausible(reading) is (reading if reading.is_valid else INVALID_READING)


@pytest.mark.parametrize("name", list(READING_LIMITS))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-9, 1e9])
def test_one_implausible_value_makes_the_lane_invalid(name: str, value: float) -> None:
    """NaN, infinity, negative and absurdly large values are never used (I21)."""
    assert plausible(make_reading(**{name: value})) is INVALID_READING


@pytest.mark.parametrize("name", list(READING_LIMITS))
def test_the_limits_themselves_are_plausible(name: str) -> None:
    """Both ends of each range pass, and what is just beyond the upper end does not."""
    low, high = READING_LIMITS[name]

    assert plausible(make_reading(**{name: low})).is_valid
    assert plausible(make_reading(**{name: high})).is_valid
    assert not plausible(make_reading(**{name: math.nextafter(high, math.inf)})).is_valid


@given(st.tuples(*[st.floats()] * len(READING_LIMITS)), st.booleans())
def test_whatever_passes_is_finite_and_within_limits(values: tuple[float, ...], is_valid: bool) -> None:
    """The check is total: any ten numbers give a reading that is safe to encode."""
    passed = plausible(_reading(values, is_valid))

    for name, (low, high) in READING_LIMITS.items():
        assert low <= getattr(passed, name) <= high


@given(st.tuples(*[st.floats()] * len(READING_LIMITS)), st.booleans())
def test_the_check_changes_nothing_the_second_time(values: tuple[float, ...], is_valid: bool) -> None:
    """Checking a checked reading gives the same reading."""
    once = plausible(_reading(values, is_valid))

    assert plausible(once) is once


def test_the_neutral_reading_is_marked_invalid_and_empty() -> None:
    """In place of an implausible reading stands an empty lane with room downstream and the flag that warns of it."""
    counts = [getattr(INVALID_READING, name) for name in READING_LIMITS if name.endswith("_veh")]

    assert not INVALID_READING.is_valid
    assert set(counts) == {0.0}
    assert INVALID_READING.downstream_room_ratio == 1.0


@given(st.lists(readings(), min_size=4, max_size=4), st.integers(0, 2**31), st.floats(0.0, 1e6))
def test_snapshots_survive_json(lanes: list[LaneReading], step: int, now_s: float) -> None:
    """A snapshot decodes from its JSON to itself."""
    snapshot = make_snapshot(make_intersection(), step=step, now_s=now_s, readings=tuple(lanes))

    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot


def test_a_snapshot_that_lacks_a_number_is_refused() -> None:
    """JSON has no NaN: a null in a reading does not decode."""
    text = msgspec.json.encode(make_snapshot(make_intersection(), readings=(make_reading(math.nan),)))

    assert b'"queue_veh":null' in text
    with pytest.raises(msgspec.ValidationError, match=r"readings\[0\]\.queue_veh"):
        msgspec.json.decode(text, type=Snapshot)


def test_modes_have_stable_names() -> None:
    """The names on the wire of who is in control do not change."""
    assert [mode.value for mode in ControlMode] == [
        "agent",
        "own_plan",
        "startup",
        "preempt",
        "manual",
        "stop_time",
        "flash",
    ]


def test_only_two_modes_take_commands() -> None:
    """Preemption, manual control, stop time, flash and start-up keep every agent away (I11)."""
    assert {ControlMode.AGENT, ControlMode.OWN_PLAN} == COMMANDABLE_MODES


@pytest.mark.parametrize("mode", list(ControlMode))
def test_a_snapshot_carries_what_the_unit_says_of_itself(mode: ControlMode) -> None:
    """Mode, lease time, digest, latched rules and time of day survive the wire."""
    snapshot = make_snapshot(
        make_intersection(), mode=mode, lease_s=0.0, digest="ab" * 32, latched=("I1", "I8"), day_s=86_399.0
    )

    decoded = msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot)

    assert decoded == snapshot
    assert (decoded.mode, decoded.latched, decoded.day_s) == (mode, ("I1", "I8"), 86_399.0)


@pytest.mark.parametrize("name", ["lease_s", "config_digest"])
def test_a_unit_that_hides_how_it_may_be_commanded_is_not_understood(name: str) -> None:
    """Without lease time or digest a snapshot does not decode: no default may pass for a safe answer (I14, I19)."""
    document = msgspec.to_builtins(make_snapshot(make_intersection()))
    del document[name]

    with pytest.raises(msgspec.ValidationError, match=f"required field `{name}`"):
        msgspec.json.decode(msgspec.json.encode(document), type=Snapshot)


def test_a_unit_that_tells_no_latch_has_none() -> None:
    """A snapshot without latched rules and time of day decodes."""
    document = msgspec.to_builtins(make_snapshot(make_intersection(), latched=("I1",), day_s=5.0))
    decoded = msgspec.convert({name: document[name] for name in document if name not in {"latched", "day_s"}}, Snapshot)

    assert (decoded.latched, decoded.day_s) == ((), 0.0)
