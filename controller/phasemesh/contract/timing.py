"""Intervals of a stage and the named profiles; every value has a unit in its name and a validated range."""

from __future__ import annotations

import math

import msgspec

from phasemesh.contract.intersection import Intersection, Stage, Turn, crossing_length_m


class StageTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times of one stage, in seconds.

    `max_green_s` bounds a green while a conflicting call waits, `absolute_max_green_s` bounds it in any case,
    `max_wait_s` is the longest that a called movement may stay red. `walk_s` is the least walk interval of a stage with
    crossings and `ped_clearance_s` the time in which the slowest people finish the longest of them before the yellow;
    both are 0 in a stage without crossings.
    """

    min_green_s: float
    max_green_s: float
    absolute_max_green_s: float
    yellow_s: float
    red_clearance_s: float
    max_wait_s: float
    walk_s: float = 0.0
    ped_clearance_s: float = 0.0


LEFTWARD = frozenset({Turn.LEFT, Turn.U_TURN})
"""Turns across the opposing traffic."""


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
    "walk_s": TimingRange((0.0, 60.0), (0.0, 60.0), "MUTCD 4E.06: 7 s, in some cases 4 s; 0 without crossings"),
    "ped_clearance_s": TimingRange((0.0, 60.0), (0.0, 60.0), "MUTCD 4E.06: length / 3.5 ft/s; 0 without crossings"),
}
MIN_WALK_S = 4.0
"""Least walk interval of any crossing (MUTCD 4E.06)."""
WALK_S = 7.0
"""Usual walk interval (MUTCD 4E.06)."""
WALKING_SPEED_MPS = 1.07
"""Speed of the people for whom the pedestrian clearance is timed: 3.5 ft/s (MUTCD 4E.06)."""
PED_BUFFER_S = 3.0
"""Least time between the end of a pedestrian clearance and the green of conflicting vehicles (MUTCD 4E.06)."""
RED_REVERT_S = 2.0
"""Least red of a movement between its yellow and its next green (NEMA TS 2 red revert)."""


class UnitTiming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Times of a whole controller unit, in seconds, of cabinet time.

    `startup_flash_s` is the flash before the first stage after power comes (NTCIP 1202 unitStartUpFlash),
    `startup_window_s` how long an agent must read valid states before its first command (invariant I12), and
    `resume_s` how long it keeps away after a preemption, a manual control or a flash has ended (I11).
    """

    startup_flash_s: float = 6.0
    startup_window_s: float = 10.0
    resume_s: float = 60.0


SIMULATED_UNIT = UnitTiming(startup_flash_s=0.0, startup_window_s=0.0)
"""A unit that obeys from its first step, so that a simulation is compared from its beginning."""


UNIT_RANGES: dict[str, TimingRange] = {
    "startup_flash_s": TimingRange((0.0, 255.0), (0.0, 255.0), "NTCIP 1202 unitStartUpFlash"),
    "startup_window_s": TimingRange((1.0, 120.0), (0.0, 120.0), "engineering choice"),
    "resume_s": TimingRange((10.0, 600.0), (0.0, 600.0), "engineering choice: one cycle, or 60 s"),
}


class TimingProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named set of times; stages whose movements all turn left may have a shorter minimum green."""

    name: str
    timing: StageTiming
    left_min_green_s: float
    permissive_left_clearance_s: float = 0.0
    """Least red clearance after a permissive left turn, whose last vehicles wait inside the junction for a gap."""
    unit: UnitTiming = UnitTiming()
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
    permissive_left_clearance_s=1.0,
    unit=SIMULATED_UNIT,
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
    unit=SIMULATED_UNIT,
    tick_s=5.0,
)
PROFILES: dict[str, TimingProfile] = {profile.name: profile for profile in (BENCHMARK, STREET, PAPER)}


def stage_timings(intersection: Intersection, profile: TimingProfile) -> tuple[StageTiming, ...]:
    """The times of every stage of `intersection` under `profile`, in stage order."""
    return tuple(_timing_of(intersection, stage, profile) for stage in intersection.stages)


def _timing_of(intersection: Intersection, stage: Stage, profile: TimingProfile) -> StageTiming:
    timing = profile.timing
    turns = {intersection.movements[index].turn for index in stage.served}
    if turns <= LEFTWARD:
        timing = msgspec.structs.replace(timing, min_green_s=profile.left_min_green_s)
    if any(intersection.movements[index].turn in LEFTWARD for index in stage.permissive):
        clearance_s = max(timing.red_clearance_s, profile.permissive_left_clearance_s)
        timing = msgspec.structs.replace(timing, red_clearance_s=clearance_s)
    return _with_crossings(intersection, stage, timing)


def _with_crossings(intersection: Intersection, stage: Stage, timing: StageTiming) -> StageTiming:
    """`timing` with what the crossings of `stage` need; yellow and red clearance count towards the buffer."""
    if not any(intersection.movements[index].is_crossing for index in stage.served):
        return timing
    return msgspec.structs.replace(
        timing,
        min_green_s=max(timing.min_green_s, WALK_S),
        max_green_s=max(timing.max_green_s, WALK_S),
        walk_s=WALK_S,
        ped_clearance_s=least_ped_clearance_s(intersection, stage, timing),
    )


def least_ped_clearance_s(intersection: Intersection, stage: Stage, timing: StageTiming) -> float:
    """The shortest pedestrian clearance of `stage`, in whole seconds; 0 without crossings (MUTCD 4E.06).

    Clearance, yellow and red clearance together hold the walk across the longest crossing and the buffer after it. It
    is infinite where a length or a time is no finite number.
    """
    lengths_m = [crossing_length_m(intersection, index) for index in stage.served]
    if not all(math.isfinite(length_m) for length_m in lengths_m):
        return math.inf
    longest_m = max(lengths_m, default=0.0)
    if longest_m == 0.0:
        return 0.0
    missing_buffer_s = max(0.0, PED_BUFFER_S - timing.yellow_s - timing.red_clearance_s)
    needed_s = longest_m / WALKING_SPEED_MPS + missing_buffer_s
    return float(math.ceil(needed_s)) if math.isfinite(needed_s) else math.inf


def faults_of_crossings(intersection: Intersection, timings: tuple[StageTiming, ...]) -> list[str]:
    """Stages whose times are too short for the people on their crossings, each with its path (invariant I8)."""
    faults = []
    for index, (stage, timing) in enumerate(zip(intersection.stages, timings, strict=True)):
        if not any(intersection.movements[movement].is_crossing for movement in stage.served):
            continue
        least_s = least_ped_clearance_s(intersection, stage, timing)
        if timing.walk_s < MIN_WALK_S:
            faults.append(f"timings[{index}].walk_s: {timing.walk_s} s is below {MIN_WALK_S} s (MUTCD 4E.06)")
        if timing.ped_clearance_s < least_s:
            faults.append(
                f"timings[{index}].ped_clearance_s: {timing.ped_clearance_s} s is below the {least_s} s that people"
                " need to walk across (MUTCD 4E.06)"
            )
    return faults


def faults_of_unit(unit: UnitTiming, *, is_simulated: bool) -> list[str]:
    """All fields of `unit` outside their range, each with its path."""
    faults = []
    for name, allowed in UNIT_RANGES.items():
        low, high = allowed.simulation if is_simulated else allowed.street
        value = getattr(unit, name)
        if not low <= value <= high:
            faults.append(f"{name}: {value} s is outside {low} to {high} s ({allowed.source})")
    return faults


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
