"""What the monitor looks for: one row of `CHECKS` and one function a breach, each judging one change of letters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from phasemesh.sim_harness.monitor.demands import LEAST_RED_S
from phasemesh.sim_harness.monitor.difference import ACTIVE, GREEN, RED, YELLOW
from phasemesh.sim_harness.monitor.sight import SLACK_S, Moment


def conflict(moment: Moment) -> Iterator[str]:
    """Conflicting movements that are let in together, unless one of them is shown permissively and gives way."""
    letters, entered = moment.letters, moment.differs.entered
    for index in entered:
        for foe in moment.demands.foes[index]:
            is_told = foe < index and foe in entered
            if letters[foe] in ACTIVE and not is_told and not _is_yielding(moment, index, foe):
                yield f"movements {min(index, foe)} and {max(index, foe)} conflict in {letters}"


def _is_yielding(moment: Moment, first: int, second: int) -> bool:
    """A yellow gives way only if the green that it ends did so; one whose green nobody saw is believed to."""
    gives_way_to, runs = moment.demands.gives_way_to, moment.after.runs
    return (second in gives_way_to[first] and runs[first].green != "G") or (
        first in gives_way_to[second] and runs[second].green != "G"
    )


def unreadable(moment: Moment) -> Iterator[str]:
    """Dark movements and letters that nobody understands; a flash of all movements is no business of the checks."""
    for index in moment.differs.strange:
        if moment.letters[index] not in "gy" or index in moment.demands.crossings_m:
            yield f"movement {index} shows {moment.letters[index]!r}"


def skipped_yellow(moment: Moment) -> Iterator[str]:
    """Green that turns red, or loses its protection, at once; walk ends in red, which is right."""
    for index in moment.differs.greens:
        if moment.after.runs[index].kind == RED and index not in moment.demands.crossings_m:
            yield f"movement {index} turned from green to red without yellow"
    for index in moment.differs.weakened:
        yield f"movement {index} lost its protection without yellow"


def wrong_order(moment: Moment) -> Iterator[str]:
    """Yellow out of red, and yellow that turns green again; only a green that loses its protection may end in green."""
    for index in moment.differs.reds:
        if moment.after.runs[index].kind == YELLOW:
            yield f"movement {index} turned from red to yellow"
    for index in moment.differs.yellows:
        if moment.after.runs[index].kind == GREEN and not _only_weakened(moment, index):
            yield f"movement {index} turned from yellow to green"


def _only_weakened(moment: Moment, index: int) -> bool:
    """Whether a movement that is green again has only lost its protection since its latest green."""
    return moment.before.runs[index].green + moment.letters[index] == "Gg"


def short_yellow(moment: Moment) -> Iterator[str]:
    """Yellow below what the stage that ends demands, or below what drivers can read."""
    floor_s = moment.demands.least_yellow_s
    for index, lasted_s, right_s in _yellows_over(moment):
        if lasted_s < floor_s - SLACK_S:
            yield f"movement {index} was yellow for {lasted_s:g} s, below {max(floor_s, right_s[0]):g} s"
        elif lasted_s < right_s[-1] and not _is_right(lasted_s, right_s, moment.step_s):
            yield f"movement {index} was yellow for {lasted_s:g} s, below {right_s[-1]:g} s"


def long_yellow(moment: Moment) -> Iterator[str]:
    """Yellow that lasts a step longer than the stage that ends demands."""
    for index, lasted_s, right_s in _yellows_over(moment):
        if lasted_s > right_s[-1] and not _is_right(lasted_s, right_s, moment.step_s):
            yield f"movement {index} was yellow for {lasted_s:g} s, above {right_s[-1]:g} s"


def _yellows_over(moment: Moment) -> Iterator[tuple[int, float, tuple[float, ...]]]:
    """The movements whose yellow ends, how long it lasted, and every duration that would be right."""
    for index in moment.differs.yellows:
        run = moment.before.runs[index]
        if run.is_whole and run.limits is not None:
            yield index, moment.lasted_s(index), run.limits.yellows_s


def _is_right(lasted_s: float, right_s: tuple[float, ...], step_s: float) -> bool:
    """Where a yellow is no multiple of the step, it lasts until the next one."""
    return any(yellow_s - SLACK_S <= lasted_s < yellow_s + step_s - SLACK_S for yellow_s in right_s)


def short_red_clearance(moment: Moment) -> Iterator[str]:
    """Green before the vehicles of a conflicting movement have left the junction."""
    for index, foe, waited_s, least_s in _hasty(moment):
        if foe not in moment.demands.crossings_m:
            yield f"movement {index} turned green {waited_s:g} s after {foe} closed, not {least_s:g}"


def short_pedestrian_clearance(moment: Moment) -> Iterator[str]:
    """Green for vehicles before the slowest people have left a crossing, with a buffer after it."""
    if not moment.demands.crossings_m:
        return
    for index, foe, waited_s, least_s in _hasty(moment):
        if foe in moment.demands.crossings_m:
            yield f"movement {index} turned green {waited_s:g} s after the walk of {foe} ended, not {least_s:.1f}"


def _hasty(moment: Moment) -> Iterator[tuple[int, int, float, float]]:
    """Movements that open too early after a foe has closed: both, the time between, and what was demanded."""
    closed_s, now_s = moment.after.closed_s, moment.now_s
    for index in moment.differs.opened:
        for foe in moment.demands.foes[index]:
            limits = moment.after.runs[foe].limits
            if limits is not None and foe in closed_s and now_s - closed_s[foe] < limits.empty_s - SLACK_S:
                yield index, foe, now_s - closed_s[foe], limits.empty_s


def short_green(moment: Moment) -> Iterator[str]:
    """Green below the minimum, of a whole stage or of one movement."""
    yield from _short_stage(moment)
    for index in moment.differs.greens:
        limits = moment.after.runs[index].limits
        if index in moment.demands.crossings_m or not moment.before.runs[index].is_whole or limits is None:
            continue
        if moment.lasted_s(index) < limits.min_green_s - SLACK_S:
            yield f"movement {index} was green for {moment.lasted_s(index):g} s, below {limits.min_green_s:g} s"


def _short_stage(moment: Moment) -> Iterator[str]:
    before = moment.before
    stages = moment.demands.stages_of.get(before.letters, ())
    lasted_s = moment.now_s - before.since_s
    is_clearance = before.clearing_s > 0.0 and lasted_s < before.clearing_s + moment.step_s - SLACK_S
    if not stages or not before.is_whole or is_clearance:
        return
    least_s = min(moment.demands.timings[stage].min_green_s for stage in stages)
    if lasted_s < least_s - SLACK_S:
        yield f"stage {before.letters} was green for {lasted_s:g} s, below {least_s:g} s"


def short_walk(moment: Moment) -> Iterator[str]:
    """A walk interval below what the stage that ends demands, or below what any crossing needs."""
    for index in moment.differs.greens if moment.demands.crossings_m else ():
        limits = moment.after.runs[index].limits
        if index not in moment.demands.crossings_m or not moment.before.runs[index].is_whole or limits is None:
            continue
        if moment.lasted_s(index) < limits.walk_s - SLACK_S:
            yield f"movement {index} showed walk for {moment.lasted_s(index):g} s, below {limits.walk_s:g} s"


def short_red(moment: Moment) -> Iterator[str]:
    """Green soon after the yellow of the same movement; a turn that only loses its protection is no such case."""
    for index in moment.differs.reds:
        is_back = moment.before.runs[index].after == YELLOW and moment.after.runs[index].kind == GREEN
        if is_back and moment.lasted_s(index) < LEAST_RED_S - SLACK_S and not _only_weakened(moment, index):
            yield f"movement {index} was red for {moment.lasted_s(index):g} s, below {LEAST_RED_S:g} s"


class Check(msgspec.Struct, frozen=True):
    """One row of the table.

    `rule` is the invariant that is broken, `figure` what is demanded. `judges` are the parts of a `Difference` one of
    which must hold anything. A check that `latches` sends the cabinet into flash. A check of `any_program` needs
    no times, so that it also judges SUMO's own programs.
    """

    name: str
    rule: str
    figure: str
    source: str
    breaches: Callable[[Moment], Iterator[str]]
    judges: frozenset[str]
    latches: bool = True
    any_program: bool = False


CHECKS: tuple[Check, ...] = (
    Check("conflict", "I1", "0 steps", "NEMA TS 2: at most 450 ms", conflict, frozenset({"entered"}), any_program=True),
    Check("unreadable", "I2", "0 steps", "NEMA TS 2 red fail: at most 1500 ms", unreadable, frozenset({"strange"})),
    Check(
        "skipped yellow",
        "I2",
        "every green ends in yellow",
        "MUTCD 4D.26",
        skipped_yellow,
        frozenset({"greens", "weakened"}),
        any_program=True,
    ),
    Check(
        "wrong order",
        "I2",
        "green, yellow, red",
        "MUTCD 4D.26",
        wrong_order,
        frozenset({"yellows", "reds"}),
        any_program=True,
    ),
    Check("short yellow", "I3", "as configured, at least 2.7 s", "NEMA TS 2", short_yellow, frozenset({"yellows"})),
    # A longer yellow endangers nobody, and a stop time may freeze whatever is shown.
    Check(
        "long yellow",
        "I3",
        "one step more than configured",
        "MUTCD 4D.26",
        long_yellow,
        frozenset({"yellows"}),
        latches=False,
    ),
    Check("short red clearance", "I4", "as configured", "MUTCD 4D.26", short_red_clearance, frozenset({"opened"})),
    # No monitor in the field watches it, and flash would be the greater danger.
    Check(
        "short green",
        "I5",
        "as configured",
        "FHWA-HOP-08-024 table 5-3",
        short_green,
        frozenset({"new"}),
        latches=False,
    ),
    Check("short walk", "I8", "as configured, at least 4 s", "MUTCD 4E.06", short_walk, frozenset({"greens"})),
    Check(
        "short pedestrian clearance",
        "I8",
        "as configured, at least length / 1.07 m/s + 3 s",
        "MUTCD 4E.06",
        short_pedestrian_clearance,
        frozenset({"opened"}),
    ),
    Check("short red", "I10", "2 s", "NEMA TS 2 red revert", short_red, frozenset({"reds"})),
)
"""In the order in which they are judged."""
