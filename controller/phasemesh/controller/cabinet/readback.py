"""The cabinet's own eye: judges the letters that it is about to show by nothing but the letters shown before.

It shares neither the sequencer nor the rules of the guard, so that a defect there ends in flash and not in a conflict.
It is software in the same process and no substitute for a conflict monitor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import msgspec

from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import RED_REVERT_S, StageTiming
from phasemesh.controller.safety.case import Finding, Reaction

_SLACK_S = 1e-6
_GREEN = frozenset("Gg")
_OPEN = frozenset("Ggy")
_YIELDING = frozenset("gy")
_FLASH = frozenset("oO")
_VEHICLE_LETTERS = "Ggyro"
_CROSSING_LETTERS = "GrO"
_ORDER = frozenset({"Gy", "gy", "gG", "yr", "rG", "rg", "or"})
"""Letters of one movement of vehicles that may follow each other; beside these, a protected turn may come out of its
yellow as a yielding one."""
_CROSSING_ORDER = frozenset({"Gr", "rG", "Or"})


_Changes = tuple[tuple[int, str], ...]
"""The movements that change, each with its letters before and after."""


class _Limits(msgspec.Struct, frozen=True):
    """The least that the stages serving one movement demand of it, in seconds.

    `clearance_s` is from its last yellow or walk to the green of a movement that conflicts.
    """

    yellow_s: float
    walk_s: float
    clearance_s: float


def _limits(intersection: Intersection, timings: tuple[StageTiming, ...], movement: int) -> _Limits:
    mine = [timing for stage, timing in zip(intersection.stages, timings, strict=True) if movement in stage.served]
    is_crossing = intersection.movements[movement].is_crossing
    clearances_s = [
        timing.red_clearance_s + (timing.ped_clearance_s + timing.yellow_s if is_crossing else 0.0) for timing in mine
    ]
    return _Limits(
        yellow_s=min((timing.yellow_s for timing in mine), default=0.0),
        walk_s=min((timing.walk_s for timing in mine), default=0.0),
        clearance_s=min(clearances_s, default=0.0),
    )


class ReadBack:
    """Follows the letters of one signal; `look` answers with what must be latched."""

    def __init__(self, intersection: Intersection, timings: tuple[StageTiming, ...]) -> None:
        """Nothing has been seen yet."""
        movements = range(len(intersection.movements))
        self._intersection = intersection
        self._is_crossing = tuple(movement.is_crossing for movement in intersection.movements)
        self._foes = tuple(frozenset(j for j in movements if intersection.conflicts[i][j] == "1") for i in movements)
        self._limits = tuple(_limits(intersection, timings, index) for index in movements)
        self._letters = ""
        self._before = [""] * len(movements)
        self._green = [""] * len(movements)
        self._since_s = [0.0] * len(movements)
        self._closed_s = [-math.inf] * len(movements)

    def look(self, letters: str, now_s: float) -> tuple[Finding, ...]:
        """What is wrong with showing `letters` from `now_s` on; letters that stay as they are were judged before."""
        if letters == self._letters:
            return ()
        if not self._is_readable(letters):
            return (self._finding("I2", "no signal shows this", letters),)
        changes = tuple(self._changes(letters))
        findings = tuple(
            self._finding(rule, detail, letters)
            for rule, check in _CHECKS
            for detail in check(self, letters, changes, now_s)
        )
        self._note(letters, now_s)
        return findings

    def _finding(self, rule: str, detail: str, letters: str) -> Finding:
        return Finding(rule, Reaction.LATCH, f"{detail}, from {self._letters or 'nothing'} to {letters}")

    def _is_readable(self, letters: str) -> bool:
        """Whether heads have these letters; a signal flashes as a whole or not at all."""
        allowed = [_CROSSING_LETTERS if is_crossing else _VEHICLE_LETTERS for is_crossing in self._is_crossing]
        is_known = len(letters) == len(allowed) and all(map(str.__contains__, allowed, letters))
        return is_known and sum(letter in _FLASH for letter in letters) in (0, len(letters))

    def _note(self, letters: str, now_s: float) -> None:
        before = self._letters or letters
        for index, (old, new) in enumerate(zip(before, letters, strict=True)):
            if old != new or not self._letters:
                self._before[index], self._since_s[index] = old, now_s
            if old != new and old in _OPEN | _FLASH and new not in _OPEN:
                self._closed_s[index] = now_s
            if new in _GREEN:
                self._green[index] = new
        self._letters = letters

    def _changes(self, letters: str) -> Iterator[tuple[int, str]]:
        """Each movement that changes, with its letters before and after; a transfer to flash may cut off anything."""
        for index, (old, new) in enumerate(zip(self._letters or letters, letters, strict=True)):
            if old != new and new not in _FLASH:
                yield index, old + new

    def _lasted_s(self, index: int, now_s: float) -> float:
        return now_s - self._since_s[index]

    def _conflicts(self, letters: str, _changes: _Changes, _now_s: float) -> Iterator[str]:
        """I1: green or yellow for movements that conflict and of which none yields."""
        moving = [index for index, letter in enumerate(letters) if letter in _OPEN]
        for first in moving:
            for second in self._foes[first].intersection(moving):
                if first < second and not (
                    self._yields(letters, first, second) or self._yields(letters, second, first)
                ):
                    yield f"movements {first} and {second} conflict"

    def _yields(self, letters: str, movement: int, foe: int) -> bool:
        return letters[movement] in _YIELDING and self._intersection.yields_to[movement][foe] == "1"

    def _out_of_order(self, _letters: str, changes: _Changes, _now_s: float) -> Iterator[str]:
        """I2: green, yellow, red; only a turn that was protected may come out of its yellow as a yielding one."""
        for index, change in changes:
            order = _CROSSING_ORDER if self._is_crossing[index] else _ORDER
            if change not in order and not (change == "yg" and self._before[index] == "G"):
                yield f"movement {index} goes from {change[0]} to {change[1]}"

    def _short_yellow(self, _letters: str, changes: _Changes, now_s: float) -> Iterator[str]:
        """I3: a yellow below that of every stage which serves the movement."""
        for index in _ended(changes, "y"):
            if self._lasted_s(index, now_s) < self._limits[index].yellow_s - _SLACK_S:
                yield f"movement {index} was yellow for {self._lasted_s(index, now_s):.3f} s"

    def _missing_clearance(self, letters: str, changes: _Changes, now_s: float) -> Iterator[str]:
        """I4: a green while vehicles that conflict may still be inside the junction."""
        return self._uncleared(letters, changes, now_s, is_crossing=False)

    def _missing_ped_clearance(self, letters: str, changes: _Changes, now_s: float) -> Iterator[str]:
        """I8: a green while people may still be on a crossing that conflicts."""
        return self._uncleared(letters, changes, now_s, is_crossing=True)

    def _uncleared(self, letters: str, changes: _Changes, now_s: float, *, is_crossing: bool) -> Iterator[str]:
        for index in _opening(changes):
            for foe in self._foes[index]:
                if letters[foe] in _OPEN or self._is_crossing[foe] is not is_crossing:
                    continue
                cleared_s = self._cleared_s(foe, now_s)
                if cleared_s < self._limits[foe].clearance_s - _SLACK_S:
                    yield f"movement {index} opens {cleared_s:.3f} s after movement {foe} closed"

    def _cleared_s(self, index: int, now_s: float) -> float:
        """How long the movement, which is closed from `now_s` on at the latest, has been closed."""
        if self._letters[index] in _OPEN | _FLASH:
            return 0.0
        return now_s - self._closed_s[index]

    def _short_walk(self, _letters: str, changes: _Changes, now_s: float) -> Iterator[str]:
        """I8: a walk below that of every stage which serves the crossing."""
        for index in _ended(changes, "G"):
            if self._is_crossing[index] and self._lasted_s(index, now_s) < self._limits[index].walk_s - _SLACK_S:
                yield f"the walk of movement {index} lasted {self._lasted_s(index, now_s):.3f} s"

    def _short_red(self, letters: str, changes: _Changes, now_s: float) -> Iterator[str]:
        """I10: too short a red from a yellow to the next green; a protected turn that goes on yielding had warning."""
        for index in _opening(changes):
            is_reverted = self._letters[index] == "r" and self._before[index] == "y"
            is_demoted = self._green[index] == "G" and letters[index] == "g"
            if is_reverted and not is_demoted and self._lasted_s(index, now_s) < RED_REVERT_S - _SLACK_S:
                yield f"movement {index} was red for {self._lasted_s(index, now_s):.3f} s"


def _ended(changes: _Changes, ending: str) -> Iterator[int]:
    """Each movement that leaves one of the letters of `ending`."""
    return (index for index, change in changes if change[0] in ending)


def _opening(changes: _Changes) -> Iterator[int]:
    """Each movement that turns green, or from yielding to protected."""
    return (index for index, change in changes if change[1] in _GREEN)


_CHECKS: tuple[tuple[str, Callable[[ReadBack, str, _Changes, float], Iterator[str]]], ...] = (
    ("I1", ReadBack._conflicts),
    ("I2", ReadBack._out_of_order),
    ("I3", ReadBack._short_yellow),
    ("I4", ReadBack._missing_clearance),
    ("I8", ReadBack._missing_ped_clearance),
    ("I8", ReadBack._short_walk),
    ("I10", ReadBack._short_red),
)
