"""Feeds SUMO's own recording of the lights of every step to the monitor, after a run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from phasemesh.contract.errors import ScenarioError
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.sumo_letters import from_sumo
from phasemesh.sim_harness.monitor.city_monitor import CityMonitor, Trip
from phasemesh.sim_harness.monitor.demands import LEAST_YELLOW_S
from phasemesh.sim_harness.monitor.sight import SLACK_S
from phasemesh.sim_harness.sumo.xml_stream import elements


def check_signal_states(
    path: Path,
    intersections: Sequence[Intersection],
    timings: Mapping[IntersectionId, Sequence[StageTiming]],
    commanded_from_s: float,
    *,
    least_yellow_s: float = LEAST_YELLOW_S,
) -> list[Trip]:
    """All trips of the monitor over a recording of SUMO (`SaveTLSStates`); empty when there are none.

    Args:
        path: The recording; the index of a letter is that of the movement.
        intersections: What to judge; other signals in the recording are left out.
        timings: The times of the stages of each intersection, in stage order.
        commanded_from_s: Rows before this time belong to the signals' own programs.
        least_yellow_s: As in `CityMonitor`.

    Raises:
        ScenarioError: The recording is broken or lacks one of the intersections.
    """
    monitor = CityMonitor(intersections, timings, least_yellow_s=least_yellow_s)
    silent = {each.id for each in intersections}
    for time_s, shown in _steps(path, frozenset(silent)):
        if time_s >= commanded_from_s - SLACK_S:
            monitor.look(time_s, shown)
            silent -= shown.keys()
    if silent:
        raise ScenarioError(f"{path}: holds no state of signal {min(silent)!r} after {commanded_from_s} s")
    return monitor.trips


def _steps(path: Path, signals: frozenset[IntersectionId]) -> Iterator[tuple[float, dict[IntersectionId, str]]]:
    """The letters of those of `signals` that a recording tells of, step by step."""
    try:
        for time_s, rows in itertools.groupby(_rows(path), key=lambda row: row[0]):
            yield time_s, {name: letters for _, name, letters in rows if name in signals}
    except (KeyError, ValueError) as error:
        raise ScenarioError(f"{path}: a state lacks a usable {error}") from error


def _rows(path: Path) -> Iterator[tuple[float, IntersectionId, str]]:
    for name, row in elements(path):
        if name == "tlsState":
            yield float(row["time"]), IntersectionId(row["id"]), from_sumo(row["state"])
