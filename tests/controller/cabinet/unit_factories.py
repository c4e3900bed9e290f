"""A junction with crossings under a cabinet of its own, and the small moves that tests of the unit make."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from factories import make_intersection, make_reading
from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.contract.detection import LaneReading
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.preemption import RailPreemption
from phasemesh.contract.site import PlanKind
from phasemesh.contract.timing import SIMULATED_UNIT, STREET, StageTiming, TimingProfile, UnitTiming, stage_timings
from phasemesh.controller.cabinet.arbiter import Override, OverrideKind
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.plans.table import PLANS

TICK_S = 2.0
WALKED = make_intersection("walked", has_crossings=True)
"""Two stages: north and south with the crossings beside them, then east and west with theirs."""
STAGES_OF_FOUR = make_intersection("turning", has_left_lanes=True)
"""Four stages, two of them with left turns that yield and two with protected ones."""


def quiet(intersection: Intersection) -> tuple[LaneReading, ...]:
    """Nobody anywhere."""
    return (make_reading(),) * len(intersection.lanes)


def busy(intersection: Intersection) -> tuple[LaneReading, ...]:
    """A queue in every lane, and people at every crossing."""
    return (make_reading(3.0),) * len(intersection.lanes)


def shape(shown: list[str]) -> list[tuple[str, int]]:
    """What was shown, each with the seconds that it lasted."""
    return [(letters, len(list(group))) for letters, group in groupby(shown)]


@contextmanager
def full_disk() -> Iterator[None]:
    """The system lets no file of this process grow by a single byte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Unit:
    """A cabinet with a clock of whole seconds; `seen` holds the lights with which every second so far was left."""

    def __init__(
        self,
        intersection: Intersection = WALKED,
        *,
        profile: TimingProfile = STREET,
        unit: UnitTiming = SIMULATED_UNIT,
        plan: PlanKind = PlanKind.FIXED,
        state_path: Path | None = None,
        rail: RailPreemption | None = None,
    ) -> None:
        """Power comes at second 0."""
        self.times: tuple[StageTiming, ...] = stage_timings(intersection, profile)
        self.cabinet = Cabinet(
            intersection,
            self.times,
            PLANS[plan](intersection, self.times),
            tick_s=TICK_S,
            now_s=0.0,
            unit=unit,
            state_path=state_path,
            rail=rail,
        )
        self.now_s = 0.0
        self.seq = 0
        self.seen = [self.cabinet.lights]

    def run(self, seconds: int, readings: tuple[LaneReading, ...] | None = None) -> list[str]:
        """The lights of the next `seconds`, with nobody on the road unless told."""
        shown = []
        for _ in range(seconds):
            self.now_s += 1.0
            self.cabinet.step(round(self.now_s), self.now_s, readings or quiet(self.cabinet.intersection))
            shown.append(self.cabinet.lights)
        self.seen += shown
        return shown

    def ask(self, stage: int, *, boot_id: int = 1, approved_s: float | None = 0.0) -> AppliedCommand:
        """What becomes of an agent's fresh command for `stage`, approved `approved_s` ago or never."""
        self.seq += 1
        approved_at_s = None if approved_s is None else self.now_s - approved_s
        name, step = self.cabinet.intersection.id, round(self.now_s)
        applied = self.cabinet.command(
            Command(name, boot_id, self.seq, step, self.now_s, CommandKind.STAGE, stage, approved_s=approved_at_s)
        )
        self.seen[-1] = self.cabinet.lights
        return applied

    def override(self, kind: OverrideKind, stage: int | None = None, ttl_s: float = 600.0) -> Override:
        """Put an override in force that is admitted."""
        answer = self.cabinet.override(kind, stage, ttl_s, reason="a test", who="tester")
        assert isinstance(answer, Override)
        self.seen[-1] = self.cabinet.lights
        return answer
