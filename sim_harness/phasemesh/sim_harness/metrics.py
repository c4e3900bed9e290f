"""Metrics of vehicles and people from SUMO's tripinfo output; needs no simulator.

The delay of a run is taken over all vehicles that were due: time loss plus departure delay, where vehicles that never
found room to enter contribute their departure delay so far. A controller cannot look good by keeping traffic out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.sumo.xml_stream import elements


class Trip(msgspec.Struct, frozen=True):
    """One vehicle of a run, in seconds; the values of trips under way are those at the end of the run.

    `depart_s` is None for a vehicle that never entered, `arrival_s` for one that did not arrive.
    """

    id: str
    depart_s: float | None
    arrival_s: float | None
    duration_s: float
    waiting_s: float
    time_loss_s: float
    depart_delay_s: float

    @property
    def delay_s(self) -> float:
        """What the vehicle lost on the road and before it could enter, in seconds."""
        return self.time_loss_s + self.depart_delay_s


class TripMetrics(msgspec.Struct, frozen=True):
    """The metrics of one run, in seconds and vehicles.

    `delay_s` is the mean over all `loaded` vehicles. `duration_s`, `waiting_s`, `time_loss_s` and `depart_delay_s` are
    means over the `departed` ones, `completed` and `unfinished` together, as published tables have them. Waiting means
    slower than 0.1 m/s. All means are 0 without vehicles.
    """

    delay_s: float
    duration_s: float
    waiting_s: float
    time_loss_s: float
    depart_delay_s: float
    loaded: int
    departed: int
    completed: int
    unfinished: int
    undeparted: int


class PeopleMetrics(msgspec.Struct, frozen=True):
    """The people of one run: how many set out, how many of them had not arrived at its end, and how long they stood.

    `waiting_s` is the mean over all of them of the seconds below 0.1 m/s, at crossings and elsewhere, for those under
    way so far. What they lost otherwise is left out, since SUMO 1.28 tells it of finished walks alone.
    """

    count: int = 0
    unfinished: int = 0
    waiting_s: float = 0.0


def iterate_trips(path: Path) -> Iterator[Trip]:
    """The trips of a tripinfo file in its own order, without holding the file; raises ScenarioError if it is broken."""
    try:
        yield from (_trip(attributes) for name, attributes in elements(path) if name == "tripinfo")
    except (KeyError, ValueError) as error:
        raise ScenarioError(f"{path}: a tripinfo row lacks a usable {error}") from error


def _trip(row: dict[str, str]) -> Trip:
    depart_s, arrival_s = float(row["depart"]), float(row["arrival"])
    has_arrived = arrival_s >= 0.0 and not row.get("vaporized")
    return Trip(
        id=row["id"],
        depart_s=depart_s if depart_s >= 0.0 else None,
        arrival_s=arrival_s if has_arrived else None,
        duration_s=float(row["duration"]),
        waiting_s=float(row["waitingTime"]),
        time_loss_s=float(row["timeLoss"]),
        depart_delay_s=float(row["departDelay"]),
    )


def read_trips(path: Path) -> list[Trip]:
    """All trips of a tripinfo file, by id; raises ScenarioError if it is broken."""
    return sorted(iterate_trips(path), key=lambda trip: trip.id)


def trip_metrics(trips: Iterable[Trip]) -> TripMetrics:
    """The metrics of a run with `trips`."""
    every = list(trips)
    departed = [trip for trip in every if trip.depart_s is not None]
    completed = sum(1 for trip in departed if trip.arrival_s is not None)
    return TripMetrics(
        delay_s=_mean([trip.delay_s for trip in every]),
        duration_s=_mean([trip.duration_s for trip in departed]),
        waiting_s=_mean([trip.waiting_s for trip in departed]),
        time_loss_s=_mean([trip.time_loss_s for trip in departed]),
        depart_delay_s=_mean([trip.depart_delay_s for trip in departed]),
        loaded=len(every),
        departed=len(departed),
        completed=completed,
        unfinished=len(departed) - completed,
        undeparted=len(every) - len(departed),
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def read_metrics(path: Path) -> TripMetrics:
    """The metrics of a tripinfo file; raises ScenarioError if it is broken."""
    return trip_metrics(iterate_trips(path))


def read_people(path: Path) -> PeopleMetrics:
    """The people of a tripinfo file, without those who had not set out; raises ScenarioError if it is broken."""
    try:
        people = [row for name, row in elements(path) if name == "personinfo" and float(row["depart"]) >= 0.0]
        return PeopleMetrics(
            count=len(people),
            unfinished=sum(float(row["duration"]) < 0.0 for row in people),
            waiting_s=_mean([float(row["waitingTime"]) for row in people]),
        )
    except (KeyError, ValueError) as error:
        raise ScenarioError(f"{path}: a personinfo row lacks a usable {error}") from error


def trips_digest(path: Path) -> str:
    """SHA-256 over all trips in the order of their ids: equal digests mean that every vehicle did the same."""
    digest = hashlib.sha256()
    for trip in read_trips(path):
        digest.update(msgspec.json.encode(trip) + b"\n")
    return digest.hexdigest()
