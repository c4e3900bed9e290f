"""Intervals of a stage and the named profiles; every value has a unit in its name and a validated range."""

from __future__ import annotations

import msgspec

from phasemesh.contract.intersection import Intersection, Stage, Turn


class StageTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times of one stage, in seconds.

    `max_green_s` bounds a green while a conflicting call waits, `absolute_max_green_s` bounds it in any case,
    `max_wait_s` is the longest that a called movement may stay red.
    """

    min_green_s: float
    max_green_s: float
    absolute_max_green_s: float
    yellow_s: float
    red_clearance_s: float
    max_wait_s: float


class TimingRange(msgspec.Struct, frozen=True):
    """The allowed values of one field of `StageTiming`, on the street and in simulation, in seconds."""

    street: tuple[float, float]
    simulation: tuple[float, float]
    source: str


TIMING_RANGES: dict[str, TimingRange] = {
    "min_green_s": TimingRange((4.0, 60.0), (1.0, 60.0), "FHWA-HOP-08-024 table 5-3"),
    "max_green_s": TimingRange((10.0, 120.0), (5.0, 600.0), "FHWA-HOP-08-024 table 5-5"),
    "absolute_max_green_s": TimingRange((10.0, 300.0), (5.0, 3600.0), "engineering choice"),
    "yellow_s": TimingRange((3.0, 6.0), (2.0, 6.0), "MUTCD 4D.26: 3 to 6 s"),
    "red_clearance_s": TimingRange((0.0, 6.0), (0.0, 6.0), "MUTCD 4D.26: at most 6 s"),
    "max_wait_s": TimingRange((60.0, 300.0), (30.0, 3600.0), "above the longest Austroads AGTM09 cycle, 160 s"),
}


class TimingProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of times; stages whose movements all turn left may have a shorter minimum green."""

    name: str
    timing: StageTiming
    left_min_green_s: float
    tick_s: float | None = None
    """The control interval that the profile prescribes, or None to leave it to the controller."""


BENCHMARK = TimingProfile(
    name="benchmark",
    timing=StageTiming(
        min_green_s=5.0,
        max_green_s=150.0,
        absolute_max_green_s=300.0,
        yellow_s=3.0,
        red_clearance_s=0.0,
        max_wait_s=150.0,
    ),
    left_min_green_s=5.0,
)
STREET = TimingProfile(
    name="street",
    timing=StageTiming(
        min_green_s=7.0,
        max_green_s=60.0,
        absolute_max_green_s=120.0,
        yellow_s=4.0,
        red_clearance_s=1.0,
        max_wait_s=180.0,
    ),
    left_min_green_s=5.0,
)
PAPER = TimingProfile(
    name="paper",
    timing=StageTiming(
        min_green_s=3.0,
        max_green_s=600.0,
        absolute_max_green_s=3600.0,
        yellow_s=2.0,
        red_clearance_s=0.0,
        max_wait_s=3600.0,
    ),
    left_min_green_s=3.0,
    tick_s=5.0,
)
PROFILES: dict[str, TimingProfile] = {profile.name: profile for profile in (BENCHMARK, STREET, PAPER)}


def stage_timings(intersection: Intersection, profile: TimingProfile) -> tuple[StageTiming, ...]:
    """The times of every stage of `intersection` under `profile`, in stage order."""
    return tuple(_timing_of(intersection, stage, profile) for stage in intersection.stages)


def _timing_of(intersection: Intersection, stage: Stage, profile: TimingProfile) -> StageTiming:
    turns = {intersection.movements[index].turn for index in stage.served}
    if turns <= {Turn.LEFT, Turn.U_TURN}:
        return msgspec.structs.replace(profile.timing, min_green_s=profile.left_min_green_s)
    return profile.timing


def faults_of_timing(timing: StageTiming, *, is_simulated: bool) -> list[str]:
    """All fields of `timing` outside their range, each with its path; simulation allows the papers' short yellow."""
    faults = []
    for name, allowed in TIMING_RANGES.items():
        low, high = allowed.simulation if is_simulated else allowed.street
        value = getattr(timing, name)
        if not low <= value <= high:
            faults.append(f"{name}: {value} s is outside {low} to {high} s ({allowed.source})")
    if timing.max_green_s < timing.min_green_s:
        faults.append(f"max_green_s: {timing.max_green_s} s is below min_green_s")
    if timing.absolute_max_green_s < timing.max_green_s:
        faults.append(f"absolute_max_green_s: {timing.absolute_max_green_s} s is below max_green_s")
    return faults
