"""What the signal heads show as a whole: stages and their changes, or flash and the way into and out of it.

Start-up and the end of every flash lead through one all-red, because nobody knows which vehicles and people are still
inside the junction (fault F24 of a reboot in the middle of a change). Letters are those of SUMO: `o` is a blinking
yellow for vehicles, which then yield, and `O` a dark head, here that of a crossing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec

from phasemesh.contract.command import (
    TIME_EPSILON_S,
    Interval,
    SignalState,
    advance,
    change_s,
    elapsed_green_s,
    lights,
    start,
)
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.intersection import Intersection, stage_lights
from phasemesh.contract.timing import RED_REVERT_S, StageTiming

MIN_FLASH_S = 6.0
"""Shortest flash of a fault or an operator, in seconds (NEMA TS 2 minimum flash: 6 to 16 s)."""
FLASH_LETTER = "o"
DARK_LETTER = "O"


class Face(StrEnum):
    """What the heads show together; `closing` is the change from a stage to the flash of an operator."""

    STARTUP_FLASH = "startup_flash"
    FLASH = "flash"
    ALL_RED = "all_red"
    CLOSING = "closing"
    STAGES = "stages"


MODE_OF_FACE: dict[Face, ControlMode] = {
    Face.STARTUP_FLASH: ControlMode.STARTUP,
    Face.FLASH: ControlMode.FLASH,
    Face.ALL_RED: ControlMode.STARTUP,
    Face.CLOSING: ControlMode.FLASH,
}
"""The mode that each face means; while stages are shown, the mode is that of whoever chooses them."""


class Display(msgspec.Struct, frozen=True):
    """A face since `since_s` (cabinet time).

    `signal` is the stage shown or changed to; in a face without stages it is the first stage, not green yet. Closing is
    a change from a stage to itself.
    """

    face: Face
    signal: SignalState
    since_s: float


class DisplayTimes(msgspec.Struct, frozen=True):
    """The times that a display needs, in seconds; `all_red_s` is that before the first stage."""

    timings: tuple[StageTiming, ...]
    startup_flash_s: float
    all_red_s: float


def display_times(timings: tuple[StageTiming, ...], startup_flash_s: float) -> DisplayTimes:
    """The times of a display; its all-red outlasts every change, as any of them may have been cut off."""
    clearances_s = [timing.red_clearance_s for timing in timings]
    walks_s = [change_s(timing) for timing in timings if timing.ped_clearance_s > 0.0]
    return DisplayTimes(timings, startup_flash_s, max(RED_REVERT_S, *clearances_s, *walks_s))


def first_display(times: DisplayTimes, now_s: float, *, is_latched: bool) -> Display:
    """What is shown when power comes: flash, unless the unit has no start-up time at all."""
    if is_latched:
        return flash(now_s)
    if times.startup_flash_s > 0.0:
        return _without_stages(Face.STARTUP_FLASH, now_s)
    return _stages(now_s)


def flash(now_s: float) -> Display:
    """Flash from `now_s` on."""
    return _without_stages(Face.FLASH, now_s)


def frozen(display: Display, elapsed_s: float) -> Display:
    """`display` with its green as old as `elapsed_s` ago; a running change goes on, no yellow is ever frozen."""
    signal = display.signal
    if display.face is not Face.STAGES or signal.interval is not Interval.GREEN:
        return display
    return msgspec.structs.replace(display, signal=msgspec.structs.replace(signal, since_s=signal.since_s + elapsed_s))


def advance_display(
    display: Display, times: DisplayTimes, intersection: Intersection, now_s: float, *, wants_flash: bool
) -> Display:
    """`display` at `now_s`; `wants_flash` while a latched fault or an operator asks for flash."""
    return _ADVANCES[display.face](_Frame(display, times, intersection, now_s, wants_flash))


class _Frame(msgspec.Struct, frozen=True):
    display: Display
    times: DisplayTimes
    intersection: Intersection
    now_s: float
    wants_flash: bool

    def has_lasted(self, duration_s: float) -> bool:
        return self.now_s - self.display.since_s >= duration_s - TIME_EPSILON_S

    def flash_or_all_red(self) -> Display:
        return _without_stages(Face.FLASH if self.wants_flash else Face.ALL_RED, self.now_s)


def _advance_startup_flash(frame: _Frame) -> Display:
    return frame.flash_or_all_red() if frame.has_lasted(frame.times.startup_flash_s) else frame.display


def _advance_flash(frame: _Frame) -> Display:
    may_end = not frame.wants_flash and frame.has_lasted(MIN_FLASH_S)
    return _without_stages(Face.ALL_RED, frame.now_s) if may_end else frame.display


def _advance_all_red(frame: _Frame) -> Display:
    if frame.wants_flash:
        return flash(frame.now_s)
    return _stages(frame.now_s) if frame.has_lasted(frame.times.all_red_s) else frame.display


def _advance_closing(frame: _Frame) -> Display:
    signal = next_signal(frame.display.signal, frame.times.timings, frame.now_s)
    if signal.interval is Interval.GREEN:
        return frame.flash_or_all_red()
    return msgspec.structs.replace(frame.display, signal=signal)


def _advance_stages(frame: _Frame) -> Display:
    display, now_s = frame.display, frame.now_s
    signal = next_signal(display.signal, frame.times.timings, now_s)
    if frame.wants_flash and _may_close(signal, frame.times.timings, now_s):
        return Display(Face.CLOSING, _closing_signal(frame.intersection, signal.stage, now_s), now_s)
    return display if signal is display.signal else msgspec.structs.replace(display, signal=signal)


_ADVANCES: dict[Face, Callable[[_Frame], Display]] = {
    Face.STARTUP_FLASH: _advance_startup_flash,
    Face.FLASH: _advance_flash,
    Face.ALL_RED: _advance_all_red,
    Face.CLOSING: _advance_closing,
    Face.STAGES: _advance_stages,
}


def _without_stages(face: Face, now_s: float) -> Display:
    return Display(face, SignalState(stage=0, from_stage=0, interval=Interval.RED_CLEARANCE, since_s=now_s), now_s)


def _stages(now_s: float) -> Display:
    return Display(Face.STAGES, start(0, now_s), now_s)


def _may_close(signal: SignalState, timings: tuple[StageTiming, ...], now_s: float) -> bool:
    """Whether a green has lasted as long as it must before anything may end it, flash included."""
    least_s = max(timings[signal.stage].min_green_s, timings[signal.stage].walk_s)
    return signal.interval is Interval.GREEN and elapsed_green_s(signal, now_s) >= least_s - TIME_EPSILON_S


def _closing_signal(intersection: Intersection, stage: int, now_s: float) -> SignalState:
    has_walk = any(intersection.movements[index].is_crossing for index in intersection.stages[stage].served)
    interval = Interval.PED_CLEARANCE if has_walk else Interval.YELLOW
    return SignalState(stage=stage, from_stage=stage, interval=interval, since_s=now_s)


def next_signal(signal: SignalState, timings: tuple[StageTiming, ...], now_s: float) -> SignalState:
    """`signal` at `now_s` as a cabinet shows it, whose lights change only at steps.

    An interval counts from the step that first shows it, and none is left out even where a coarse step would jump over
    it; neither makes a difference when all times are whole numbers of steps.
    """
    if advance(signal, timings, now_s) == signal:
        return signal
    interval = _following(signal.interval, timings[signal.from_stage])
    return msgspec.structs.replace(signal, interval=interval, since_s=now_s)


def _following(interval: Interval, timing: StageTiming) -> Interval:
    if interval is Interval.PED_CLEARANCE:
        return Interval.YELLOW
    is_cleared = interval is Interval.RED_CLEARANCE or timing.red_clearance_s <= 0.0
    return Interval.GREEN if is_cleared else Interval.RED_CLEARANCE


def letters(intersection: Intersection, display: Display) -> str:
    """The letters of `display`, one a movement."""
    return _LETTERS[display.face](intersection, display.signal)


def flash_letters(intersection: Intersection) -> str:
    """All vehicles blink, all crossings are dark."""
    return "".join(DARK_LETTER if movement.is_crossing else FLASH_LETTER for movement in intersection.movements)


def _closing_letters(intersection: Intersection, signal: SignalState) -> str:
    closed = {Interval.PED_CLEARANCE: "", Interval.YELLOW: "y"}.get(signal.interval, "r")
    return "".join(
        "r" if letter == "r" or intersection.movements[index].is_crossing else closed or letter
        for index, letter in enumerate(stage_lights(intersection, intersection.stages[signal.stage]))
    )


_LETTERS: dict[Face, Callable[[Intersection, SignalState], str]] = {
    Face.STARTUP_FLASH: lambda intersection, _signal: flash_letters(intersection),
    Face.FLASH: lambda intersection, _signal: flash_letters(intersection),
    Face.ALL_RED: lambda intersection, _signal: "r" * len(intersection.movements),
    Face.CLOSING: _closing_letters,
    Face.STAGES: lights,
}
