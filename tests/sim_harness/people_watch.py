"""What SUMO's own records say about people at crossings: where they were at every second, what the lights showed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from phasemesh.contract.intersection import Intersection, crossing_length_m
from phasemesh.sim_harness.sumo.connection import HALTING_MPS, SIGNAL_STATES_NAME
from phasemesh.sim_harness.sumo.xml_stream import elements

PEOPLE_NAME = "people.xml"
"""Where SUMO writes the place of every person at every step."""
STEP_S = 1.0


def people_arguments(folder: Path) -> tuple[str, ...]:
    """Arguments that make SUMO write that file."""
    return ("--fcd-output", str(folder / PEOPLE_NAME), "--device.fcd.probability", "0")


class Seen(NamedTuple):
    """One person at one second."""

    time_s: float
    name: str
    edge: str
    speed_mps: float


def people(folder: Path) -> Iterator[Seen]:
    """Everybody at every second."""
    time_s = 0.0
    for name, attributes in elements(folder / PEOPLE_NAME):
        if name == "timestep":
            time_s = float(attributes["time"])
        elif name == "person":
            yield Seen(time_s, attributes["id"], attributes["edge"], float(attributes["speed"]))


def lights(folder: Path) -> dict[str, dict[float, str]]:
    """For each signal what it showed at each second."""
    shown: dict[str, dict[float, str]] = defaultdict(dict)
    for name, attributes in elements(folder / SIGNAL_STATES_NAME):
        if name == "tlsState":
            shown[attributes["id"]][float(attributes["time"])] = attributes["state"]
    return shown


def _protected_foes(intersection: Intersection, crossing: int, letters: str) -> list[int]:
    return [foe for foe, letter in enumerate(letters) if letter == "G" and intersection.conflicts[crossing][foe] == "1"]


class Across(NamedTuple):
    """Somebody's way over the crossing `movement`, with the first and the last second on it."""

    name: str
    intersection: Intersection
    movement: int
    entered_s: float
    last_s: float

    @property
    def speed_mps(self) -> float:
        """How fast they walked, on average."""
        return crossing_length_m(self.intersection, self.movement) / (self.last_s - self.entered_s + STEP_S)


def ways_across(folder: Path, intersections: Sequence[Intersection]) -> list[Across]:
    """Everybody's ways over all crossings, in the order of their beginnings."""
    crossings = {
        movement.approach: (intersection, index)
        for intersection in intersections
        for index, movement in enumerate(intersection.movements)
        if movement.is_crossing
    }
    found: dict[tuple[str, str, float], Across] = {}
    begun: dict[tuple[str, str], float] = {}
    before: dict[str, str] = {}
    for seen in people(folder):
        if seen.edge in crossings:
            who = (seen.name, seen.edge)
            if before.get(seen.name) != seen.edge:
                begun[who] = seen.time_s
            found[*who, begun[who]] = Across(seen.name, *crossings[seen.edge], begun[who], seen.time_s)
        before[seen.name] = seen.edge
    return list(found.values())


def is_walk(shown: dict[str, dict[float, str]], way: Across) -> bool:
    """Whether they stepped onto the crossing while it showed them a walk; they see the light of the step before."""
    states = shown[way.intersection.id]
    return "G" in {states[max(0.0, way.entered_s - STEP_S)][way.movement], states[way.entered_s][way.movement]}


def met_protected_traffic(shown: dict[str, dict[float, str]], way: Across) -> bool:
    """Whether vehicles had a protected green over the crossing while they were on it."""
    states = shown[way.intersection.id]
    return any(
        _protected_foes(way.intersection, way.movement, letters)
        for time_s, letters in states.items()
        if way.entered_s <= time_s <= way.last_s
    )


def clearances_s(folder: Path, intersections: Sequence[Intersection]) -> Mapping[tuple[str, int], list[float]]:
    """For each signal and crossing, how long after each end of a walk conflicting vehicles got a protected green."""
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    shown = lights(folder)
    for intersection in intersections:
        for index, movement in enumerate(intersection.movements):
            if movement.is_crossing:
                found[intersection.id, index] += _clearances_s(intersection, index, shown[intersection.id])
    return found


def _clearances_s(intersection: Intersection, crossing: int, shown: dict[float, str]) -> Iterator[float]:
    ended_s: float | None = None
    was_walking = False
    for time_s, letters in sorted(shown.items()):
        is_walking = letters[crossing] == "G"
        if was_walking and not is_walking:
            ended_s = time_s
        elif is_walking:
            ended_s = None
        if ended_s is not None and _protected_foes(intersection, crossing, letters):
            yield time_s - ended_s
            ended_s = None
        was_walking = is_walking


def longest_wait_s(folder: Path) -> float:
    """The longest that anybody stood still at one corner of a junction."""
    standing: dict[str, tuple[str, float]] = {}
    longest_s = 0.0
    for seen in people(folder):
        if seen.speed_mps >= HALTING_MPS or not seen.edge.startswith(":"):
            standing.pop(seen.name, None)
            continue
        place, since_s = standing.setdefault(seen.name, (seen.edge, seen.time_s))
        if place != seen.edge:
            standing[seen.name] = (seen.edge, seen.time_s)
        else:
            longest_s = max(longest_s, seen.time_s - since_s + 1.0)
    return longest_s
