"""An independent look at the lights that SUMO really showed, from its own recording of every step.

It shares nothing with the guard, the sequencer or the cabinet but the description of the intersection, and reads what
the vehicles saw; tests hold it against real runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from phasemesh.contract.errors import ScenarioError
from phasemesh.contract.intersection import Intersection, conflicting_pairs, stage_lights
from phasemesh.contract.timing import StageTiming
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.sumo.xml_stream import elements

_CLASSES = {"G": "green", "g": "green", "y": "yellow", "r": "red"}
_SLACK_S = 1e-3
"""SUMO prints times with two decimals."""


class _Row(msgspec.Struct, frozen=True):
    signal_id: str
    time_s: float
    letters: str


class _Run(msgspec.Struct, frozen=True):
    """Since when something has been shown, and whether its beginning was seen."""

    shown: str
    since_s: float
    is_whole: bool


class _Limits(msgspec.Struct, frozen=True):
    """The least that the stages which serve one movement demand of it, in seconds, and every yellow they may show."""

    min_green_s: float
    yellows_s: tuple[float, ...]
    red_clearance_s: float


def check_signal_states(
    path: Path,
    intersections: Sequence[Intersection],
    timings: Mapping[IntersectionId, Sequence[StageTiming]],
    commanded_from_s: float,
) -> list[str]:
    """All breaches in a recording of SUMO (`SaveTLSStates`), one line each; empty when there are none.

    Looked for are: conflicting greens or yellows, letters other than `G`, `g`, `y` and `r`, green that ends without
    yellow, yellow that does not last what its stage demands (up to one step more), yellow that does not end in red
    (or, for a turn that loses its protection, in permissive green), green of a movement or of a whole stage below the
    minimum green, and green before the red clearance of a conflicting movement is over. Intervals cut off by
    `commanded_from_s` or by the end of the recording are not judged by their length.

    Args:
        path: The recording; the index of a letter is that of the movement.
        intersections: What to judge; other signals in the recording are left out.
        timings: The times of the stages of each intersection, in stage order.
        commanded_from_s: Rows before this time belong to the signals' own programs.

    Raises:
        ScenarioError: The recording is broken or lacks one of the intersections.
    """
    watches = {str(one.id): _Watch(one, timings[one.id]) for one in intersections}
    silent = set(watches)
    try:
        for row in _rows(path):
            if row.signal_id in watches and row.time_s >= commanded_from_s - _SLACK_S:
                watches[row.signal_id].take(row)
                silent.discard(row.signal_id)
    except (KeyError, ValueError) as error:
        raise ScenarioError(f"{path}: a state lacks a usable {error}") from error
    if silent:
        raise ScenarioError(f"{path}: holds no state of signal {min(silent)!r} after {commanded_from_s} s")
    return [fault for watch in watches.values() for fault in watch.faults]


def _rows(path: Path) -> Iterator[_Row]:
    for name, attributes in elements(path):
        if name == "tlsState":
            yield _Row(attributes["id"], float(attributes["time"]), attributes["state"])


class _Watch:
    """Follows one signal row by row and collects its faults."""

    def __init__(self, intersection: Intersection, timings: Sequence[StageTiming]) -> None:
        self.faults: list[str] = []
        self._intersection = intersection
        self._limits = [_limits(intersection, timings, index) for index in range(len(intersection.movements))]
        self._min_greens_s = _min_greens_s(intersection, timings)
        self._longest_red_s = max(timing.red_clearance_s for timing in timings)
        self._movements: list[_Run] = []
        self._signal: _Run | None = None
        self._before = ""
        self._closed_s: dict[int, float] = {}
        self._step_s = 0.0
        self._last_s = 0.0

    def take(self, row: _Row) -> None:
        """Judge the next row; most are like the one before."""
        if self._signal is not None:
            self._step_s = row.time_s - self._last_s
        self._last_s = row.time_s
        if self._signal is not None and self._signal.shown == row.letters:
            return
        if len(row.letters) != len(self._intersection.movements):
            self._fault(row.time_s, f"{len(row.letters)} letters for {len(self._intersection.movements)} movements")
            return
        self._judge_letters(row)
        self._judge_stage(row.time_s)
        self._advance(row)

    def _fault(self, time_s: float, what: str) -> None:
        self.faults.append(f"{self._intersection.id} at {time_s:g} s: {what}")

    def _judge_letters(self, row: _Row) -> None:
        for index, letter in enumerate(row.letters):
            if letter not in _CLASSES:
                self._fault(row.time_s, f"movement {index} shows {letter!r}")
        before = self._signal.shown if self._signal else row.letters
        for index, (old, new) in enumerate(zip(before, row.letters, strict=True)):
            if (old, new) == ("G", "g"):
                self._fault(row.time_s, f"movement {index} lost its protection without yellow")
        for first, second in conflicting_pairs(self._intersection, row.letters):
            self._fault(row.time_s, f"movements {first} and {second} conflict in {row.letters}")

    def _judge_stage(self, now_s: float) -> None:
        """Whether the stage that ends now was green for long enough; red clearance may look like a smaller stage."""
        run = self._signal
        if run is None or not run.is_whole or run.shown not in self._min_greens_s:
            return
        lasted_s, least_s = now_s - run.since_s, self._min_greens_s[run.shown]
        is_clearance = "y" in self._before and lasted_s < self._longest_red_s + self._step_s - _SLACK_S
        if lasted_s < least_s - _SLACK_S and not (self._longest_red_s > 0.0 and is_clearance):
            self._fault(now_s, f"stage {run.shown} was green for {lasted_s:g} s, below {least_s:g} s")

    def _advance(self, row: _Row) -> None:
        is_whole = self._signal is not None
        self._before = self._signal.shown if self._signal else ""
        self._signal = _Run(row.letters, row.time_s, is_whole)
        shown = [_CLASSES.get(letter, "other") for letter in row.letters]
        if not self._movements:
            self._movements = [_Run(now, row.time_s, is_whole=False) for now in shown]
        changed = [index for index, run in enumerate(self._movements) if run.shown != shown[index]]
        for index in changed:
            self._judge_change(index, self._movements[index], shown[index], row)
        for index in changed:
            if shown[index] == "green":
                self._judge_clearance(index, row.time_s)
            self._movements[index] = _Run(shown[index], row.time_s, is_whole=True)

    def _judge_change(self, index: int, run: _Run, shown: str, row: _Row) -> None:
        now_s = row.time_s
        lasted_s, limits = now_s - run.since_s, self._limits[index]
        if run.shown == "green":
            if shown != "yellow":
                self._fault(now_s, f"movement {index} turned from green to {shown} without yellow")
            if run.is_whole and lasted_s < limits.min_green_s - _SLACK_S:
                self._fault(now_s, f"movement {index} was green for {lasted_s:g} s, below {limits.min_green_s:g} s")
        elif shown == "yellow":
            self._fault(now_s, f"movement {index} turned from {run.shown} to yellow")
        if run.shown == "yellow":
            if shown != "red" and row.letters[index] != "g":
                self._fault(now_s, f"movement {index} turned from yellow to {shown}")
            if run.is_whole and not self._is_yellow_right(lasted_s, limits):
                self._fault(now_s, f"movement {index} was yellow for {lasted_s:g} s, not {limits.yellows_s} s")
        if run.shown in {"green", "yellow"}:
            self._closed_s[index] = now_s

    def _is_yellow_right(self, lasted_s: float, limits: _Limits) -> bool:
        return any(
            yellow_s - _SLACK_S <= lasted_s < yellow_s + self._step_s - _SLACK_S for yellow_s in limits.yellows_s
        )

    def _judge_clearance(self, index: int, now_s: float) -> None:
        for foe, closed_s in self._closed_s.items():
            red_s = self._limits[foe].red_clearance_s
            if self._intersection.conflicts[index][foe] == "1" and now_s - closed_s < red_s - _SLACK_S:
                self._fault(
                    now_s, f"movement {index} turned green {now_s - closed_s:g} s after {foe} closed, not {red_s:g}"
                )


def _limits(intersection: Intersection, timings: Sequence[StageTiming], movement: int) -> _Limits:
    mine = [timing for stage, timing in zip(intersection.stages, timings, strict=True) if movement in stage.served]
    return _Limits(
        min_green_s=min((timing.min_green_s for timing in mine), default=0.0),
        yellows_s=tuple(sorted({timing.yellow_s for timing in mine})),
        red_clearance_s=min((timing.red_clearance_s for timing in mine), default=0.0),
    )


def _min_greens_s(intersection: Intersection, timings: Sequence[StageTiming]) -> dict[str, float]:
    """The shortest minimum green of the stages that show the same letters, by those letters."""
    shortest_s: dict[str, float] = {}
    for stage, timing in zip(intersection.stages, timings, strict=True):
        letters = stage_lights(intersection, stage)
        shortest_s[letters] = min(timing.min_green_s, shortest_s.get(letters, timing.min_green_s))
    return shortest_s
