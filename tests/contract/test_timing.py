"""Times of stages: ranges on the street and in simulation, and the shipped profiles."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection, make_timings
from phasemesh.contract.intersection import Stage, Turn
from phasemesh.contract.timing import (
    BENCHMARK,
    PAPER,
    PROFILES,
    SIMULATED_UNIT,
    STREET,
    TIMING_RANGES,
    UNIT_RANGES,
    StageTiming,
    TimingProfile,
    UnitTiming,
    faults_of_timing,
    faults_of_unit,
)
from strategies import timings


def _street(**changes: float) -> StageTiming:
    return msgspec.structs.replace(STREET.timing, **changes)


def test_every_field_of_a_timing_has_a_range() -> None:
    """No time of a stage escapes validation."""
    assert set(TIMING_RANGES) == set(StageTiming.__struct_fields__)


@pytest.mark.parametrize("name", list(TIMING_RANGES))
def test_the_street_is_never_laxer_than_simulation(name: str) -> None:
    """What the street allows, simulation allows too, and each range says where it comes from."""
    allowed = TIMING_RANGES[name]

    assert allowed.simulation[0] <= allowed.street[0] <= allowed.street[1] <= allowed.simulation[1]
    assert allowed.source


def test_the_street_profile_is_fit_for_the_street() -> None:
    """The street profile has no fault in either place."""
    assert faults_of_timing(STREET.timing, is_simulated=False) == []
    assert faults_of_timing(STREET.timing, is_simulated=True) == []


@pytest.mark.parametrize("profile", [BENCHMARK, PAPER])
def test_the_other_profiles_are_for_simulation_alone(profile: TimingProfile) -> None:
    """The profiles of benchmarks and papers pass in simulation and are refused on the street."""
    assert faults_of_timing(profile.timing, is_simulated=True) == []
    assert faults_of_timing(profile.timing, is_simulated=False) != []


@pytest.mark.parametrize("profile", list(PROFILES.values()), ids=list(PROFILES))
@pytest.mark.parametrize("is_simulated", [False, True])
def test_the_short_green_of_left_stages_adds_no_fault(profile: TimingProfile, is_simulated: bool) -> None:
    """A profile is as valid for its left stages as for all others."""
    left = msgspec.structs.replace(profile.timing, min_green_s=profile.left_min_green_s)
    without = set(faults_of_timing(profile.timing, is_simulated=is_simulated))

    assert set(faults_of_timing(left, is_simulated=is_simulated)) <= without


def test_a_yellow_of_two_and_a_half_seconds_is_for_simulation_alone() -> None:
    """The short yellow of papers is refused on the street with the rule that forbids it."""
    short = _street(yellow_s=2.5)

    assert faults_of_timing(short, is_simulated=True) == []
    assert faults_of_timing(short, is_simulated=False) == [
        "yellow_s: 2.5 s is outside 3.0 to 6.0 s (MUTCD 4D.26: 3 to 6 s)"
    ]


@pytest.mark.parametrize("name", list(TIMING_RANGES))
@pytest.mark.parametrize("is_simulated", [False, True])
def test_the_ends_of_a_range_are_allowed_and_nothing_beyond(name: str, is_simulated: bool) -> None:
    """Each end of a range is inside it and the next number is not."""
    allowed = TIMING_RANGES[name]
    low, high = allowed.simulation if is_simulated else allowed.street

    for value, is_fault in ((low, False), (high, False), (low - 1e-9, True), (math.nextafter(high, math.inf), True)):
        faults = faults_of_timing(_street(**{name: value}), is_simulated=is_simulated)
        assert any(fault.startswith(f"{name}: {value} s is outside") for fault in faults) == is_fault


@pytest.mark.parametrize("name", list(TIMING_RANGES))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_times_that_are_no_numbers_are_faults(name: str, value: float) -> None:
    """NaN and infinity are outside every range."""
    faults = faults_of_timing(_street(**{name: value}), is_simulated=True)

    assert any(fault.startswith(f"{name}: ") for fault in faults)


def test_a_maximum_below_the_minimum_is_a_fault() -> None:
    """Greens that would have to end before they may end are reported."""
    assert faults_of_timing(_street(min_green_s=30.0, max_green_s=20.0), is_simulated=False) == [
        "max_green_s: 20.0 s is below min_green_s"
    ]


def test_an_absolute_maximum_below_the_maximum_is_a_fault() -> None:
    """The absolute maximum bounds the maximum."""
    assert faults_of_timing(_street(max_green_s=60.0, absolute_max_green_s=50.0), is_simulated=False) == [
        "absolute_max_green_s: 50.0 s is below max_green_s"
    ]


def test_all_faults_come_at_once() -> None:
    """A timing that is wrong throughout gives a line for each field."""
    wrong = StageTiming(0.0, 0.0, 0.0, 0.0, -1.0, 0.0, -1.0, 61.0)
    named = [fault.split(":")[0] for fault in faults_of_timing(wrong, is_simulated=True)]

    assert named == list(TIMING_RANGES)


@given(timings())
def test_drawn_timings_are_valid_in_simulation(timing: StageTiming) -> None:
    """The strategy of these tests draws only what simulation allows."""
    assert faults_of_timing(timing, is_simulated=True) == []


@given(st.tuples(*[st.floats(allow_nan=True)] * len(TIMING_RANGES)))
def test_a_timing_without_fault_is_in_order(values: tuple[float, ...]) -> None:
    """Whatever passes has finite times with minimum, maximum and absolute maximum in this order."""
    timing = StageTiming(*values)
    if faults_of_timing(timing, is_simulated=True) == []:
        assert 0 < timing.min_green_s <= timing.max_green_s <= timing.absolute_max_green_s < math.inf
        assert timing.yellow_s >= 2.0


def test_there_is_one_timing_a_stage_in_stage_order() -> None:
    """Left stages get the short minimum green and nothing else of their own."""
    crossing = make_intersection(has_left_lanes=True)
    times = make_timings(crossing, STREET)

    assert [timing.min_green_s for timing in times] == [7.0, 5.0, 7.0, 5.0]
    assert {timing.max_green_s for timing in times} == {60.0}


def test_a_stage_with_one_through_movement_is_no_left_stage() -> None:
    """The short minimum green needs a stage whose movements all turn left."""
    crossing = make_intersection(has_left_lanes=True)
    mixed = msgspec.structs.replace(crossing, stages=(Stage("mixed", (0, 1)),))

    assert make_timings(mixed, STREET)[0].min_green_s == 7.0


def test_profiles_are_found_by_their_own_name() -> None:
    """The key of a profile is its name."""
    assert {name: profile.name for name, profile in PROFILES.items()} == {name: name for name in PROFILES}


def test_only_the_paper_profile_prescribes_a_tick() -> None:
    """The papers decide every 5 s; benchmark and street leave the tick to the controller."""
    assert {name: profile.tick_s for name, profile in PROFILES.items()} == {
        "benchmark": None,
        "street": None,
        "paper": 5.0,
    }


def test_a_permissive_left_turn_gets_its_clearance() -> None:
    """Where vehicles wait inside the junction for a gap, the benchmark profile clears them before others start."""
    crossing = make_intersection(has_left_lanes=True)
    times = make_timings(crossing, BENCHMARK)

    assert [timing.red_clearance_s for timing in times] == [1.0, 0.0, 1.0, 0.0]
    assert BENCHMARK.permissive_left_clearance_s == 1.0


def test_a_permissive_u_turn_is_cleared_as_a_left_turn_is() -> None:
    """Both cross the opposing traffic; a permissive right turn does not."""
    turns = {Turn.U_TURN: 1.0, Turn.RIGHT: 0.0}
    crossing = make_intersection(has_left_lanes=True)

    for turn, clearance_s in turns.items():
        movement = msgspec.structs.replace(crossing.movements[1], turn=turn)
        other = msgspec.structs.replace(
            crossing,
            movements=(crossing.movements[0], movement, *crossing.movements[2:]),
            stages=(Stage("mixed", (0,), (1,)),),
        )
        assert make_timings(other, BENCHMARK)[0].red_clearance_s == clearance_s


def test_the_clearance_of_left_turns_never_shortens_a_longer_one() -> None:
    """A profile whose red clearance is longer anyway keeps it."""
    crossing = make_intersection(has_left_lanes=True)
    timing = msgspec.structs.replace(BENCHMARK.timing, red_clearance_s=2.5)
    longer = msgspec.structs.replace(BENCHMARK, timing=timing)

    assert {each.red_clearance_s for each in make_timings(crossing, longer)} == {2.5}
    assert {each.red_clearance_s for each in make_timings(crossing, STREET)} == {STREET.timing.red_clearance_s}


def test_every_time_of_a_unit_has_a_range() -> None:
    """No time of a controller unit escapes validation."""
    assert set(UNIT_RANGES) == set(UnitTiming.__struct_fields__)


@pytest.mark.parametrize("name", list(UNIT_RANGES))
def test_the_street_allows_a_unit_no_more_than_simulation_does(name: str) -> None:
    """What the street allows, simulation allows too, and each range says where it comes from."""
    allowed = UNIT_RANGES[name]

    assert allowed.simulation[0] <= allowed.street[0] <= allowed.street[1] <= allowed.simulation[1]
    assert allowed.source


@pytest.mark.parametrize("name", list(UNIT_RANGES))
@pytest.mark.parametrize("is_simulated", [False, True])
def test_the_ends_of_a_range_of_a_unit_are_allowed_and_nothing_beyond(name: str, is_simulated: bool) -> None:
    """Each end of a range is inside it, the next number is not, and neither is what is no number."""
    allowed = UNIT_RANGES[name]
    low, high = allowed.simulation if is_simulated else allowed.street
    outside = (low - 1e-9, math.nextafter(high, math.inf), math.nan, math.inf)

    for value, is_fault in ((low, False), (high, False), *((value, True) for value in outside)):
        unit = msgspec.structs.replace(UnitTiming(), **{name: value})
        faults = [f"{name}: {value} s is outside {low} to {high} s ({allowed.source})"] if is_fault else []
        assert faults_of_unit(unit, is_simulated=is_simulated) == faults


def test_a_unit_that_obeys_at_once_is_for_simulation_alone() -> None:
    """On the street an agent reads states for a while before it commands (I12)."""
    assert faults_of_unit(SIMULATED_UNIT, is_simulated=True) == []
    assert [fault.split(":")[0] for fault in faults_of_unit(SIMULATED_UNIT, is_simulated=False)] == ["startup_window_s"]


@pytest.mark.parametrize("profile", list(PROFILES.values()), ids=list(PROFILES))
def test_only_the_street_waits_at_its_start(profile: TimingProfile) -> None:
    """Profiles of simulations obey from the first step, so that whole runs are compared."""
    assert (profile.unit == SIMULATED_UNIT) == (profile is not STREET)
    assert faults_of_unit(STREET.unit, is_simulated=False) == []
