"""Watches the letters of signals look by look and keeps every trip; the conflict monitor of the harness.

It stands where the malfunction management unit of a real cabinet stands: it sees only what is really shown, knows
nothing of what agents and cabinets intended, and shares no judgement with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from phasemesh.contract.intersection import Intersection
from phasemesh.contract.timing import StageTiming
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.monitor.checks import CHECKS, Check
from phasemesh.sim_harness.monitor.demands import LEAST_YELLOW_S, Demands, demands_of
from phasemesh.sim_harness.monitor.sight import moment_of, unseen

BLINKING, DARK = "o", "O"
UNREADABLE = next(check for check in CHECKS if check.name == "unreadable")


class Trip(msgspec.Struct, frozen=True):
    """One breach: where and when (simulated seconds), which check found it, and a sentence for people."""

    intersection_id: IntersectionId
    time_s: float
    check: Check
    detail: str

    def __str__(self) -> str:
        """The trip as one line."""
        return f"{self.intersection_id} at {self.time_s:g} s: {self.detail}"


def is_flash(demands: Demands, letters: str) -> bool:
    """Whether all vehicles see a blinking yellow; the heads of crossings may blink with them or be dark."""
    return all(
        letter == BLINKING or (letter == DARK and index in demands.crossings_m) for index, letter in enumerate(letters)
    )


class SignalMonitor:
    """Follows one signal by its changes.

    Intervals under way at the first change that it is shown, or cut off by a flash, are not judged by their length.
    """

    def __init__(self, demands: Demands) -> None:
        """Begin with nothing seen."""
        self._demands = demands
        self._checks = tuple(check for check in CHECKS if check.any_program or demands.timings)
        self._relevant: dict[frozenset[str], tuple[Check, ...]] = {}
        self._sight = unseen(demands)

    def change(self, time_s: float, step_s: float, letters: str) -> tuple[Trip, ...]:
        """What is wrong with `letters`, shown from `time_s` on; the look before was `step_s` earlier."""
        if len(letters) != len(self._demands.foes):
            self._sight = unseen(self._demands)
            detail = f"{len(letters)} letters for {len(self._demands.foes)} movements"
            return (Trip(self._demands.intersection_id, time_s, UNREADABLE, detail),)
        if BLINKING in letters and is_flash(self._demands, letters):
            self._sight = unseen(self._demands)
            return ()
        moment = moment_of(self._demands, self._sight, letters, time_s, step_s)
        self._sight = moment.after
        return tuple(
            Trip(self._demands.intersection_id, time_s, check, detail)
            for check in self._checks_for(moment.differs.parts)
            for detail in check.breaches(moment)
        )

    def _checks_for(self, parts: frozenset[str]) -> tuple[Check, ...]:
        """The checks that find anything to judge in a change that holds `parts`."""
        if parts not in self._relevant:
            self._relevant[parts] = tuple(check for check in self._checks if check.judges & parts)
        return self._relevant[parts]


class CityMonitor:
    """The monitors of all commanded signals and their trips, in the order of time."""

    def __init__(
        self,
        intersections: Sequence[Intersection],
        timings: Mapping[IntersectionId, Sequence[StageTiming]] | None,
        *,
        least_yellow_s: float = LEAST_YELLOW_S,
    ) -> None:
        """Watch `intersections`; without `timings` they run programs of SUMO, whose times are not known here.

        `least_yellow_s` lies under every configured yellow; 0 for the papers' experiments, which show less.
        """
        self.trips: list[Trip] = []
        self._now_s = 0.0
        self._shown: dict[IntersectionId, str] = {}
        self._signals = {
            each.id: SignalMonitor(demands_of(each, timings[each.id] if timings else (), least_yellow_s))
            for each in intersections
        }

    def look(self, time_s: float, shown: Mapping[IntersectionId, str]) -> list[Trip]:
        """Judge the letters `shown` from `time_s` on, keep and return the trips; looks come once a step, in order.

        A signal that is left out goes on as it was. Raises KeyError for a signal that is not watched.
        """
        step_s, self._now_s = time_s - self._now_s, time_s
        trips: list[Trip] = []
        for name, letters in shown.items():
            if letters != self._shown.get(name):
                self._shown[name] = letters
                trips += self._signals[name].change(time_s, step_s, letters)
        self.trips += trips
        return trips
