"""A cabinet with a driver that suffers faults by plan; time passes only in `step`."""

from __future__ import annotations

from factories import make_intersection, make_reading, make_timings
from phasemesh.contract.command import AppliedCommand, Command, CommandKind
from phasemesh.contract.detection import LaneReading, Snapshot
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.plans.table import DEFAULT_PLAN, PLANS
from phasemesh.sim_harness.faults.driver import ScheduledDriver
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.schedule import Schedule

NAME = IntersectionId("crossing")
TICK_S = 2.0


def at_once(means: str, *, length_s: float = 1e6, strength: float = 0.0) -> PlannedFault:
    """A fault of NAME from the very beginning."""
    return PlannedFault(
        fault="F0", means=means, targets=(NAME,), start_s=0.0, length_s=length_s, strength=strength, seed=5
    )


def make_cabinet() -> Cabinet:
    """A cabinet under the benchmark profile that knows of an agent's first life."""
    intersection = make_intersection(NAME)
    timings = make_timings(intersection)
    plan = PLANS[DEFAULT_PLAN](intersection, timings)
    cabinet = Cabinet(intersection, timings, plan, tick_s=TICK_S, now_s=0.0)
    cabinet.attach(1)
    return cabinet


class Corner:
    """A cabinet, the driver of its agent, and an agent's hand that asks for stages."""

    def __init__(self, *faults: PlannedFault) -> None:
        """Begin at cabinet time 0 with a first look."""
        self.cabinet = make_cabinet()
        self.schedule = Schedule(NAME, faults)
        self.hung = 0
        self.driver = ScheduledDriver(MemoryDriver(self.cabinet), self.schedule, on_dead_loop=self._hang)
        self._step = 0
        self.seq = 0
        self.step(1)

    def _hang(self) -> None:
        self.hung += 1

    def step(self, seconds: int, reading: LaneReading | None = None) -> None:
        """Let so many seconds pass, with `reading` on all lanes."""
        readings = (reading or make_reading(1.0),) * len(self.cabinet.intersection.lanes)
        for _ in range(seconds):
            self._step += 1
            self.cabinet.step(self._step, float(self._step), readings)

    def look(self) -> Snapshot | DriverFault | None:
        """What the driver sees now."""
        return self.driver.observe(-1, 0.0)

    def ask(self, stage: int) -> AppliedCommand | DriverFault:
        """Ask for `stage` as an agent whose guard has approved it."""
        snapshot = self.cabinet.snapshot()
        self.seq += 1
        return self.driver.apply(
            Command(
                intersection_id=NAME,
                boot_id=1,
                seq=self.seq,
                step=snapshot.step,
                decided_s=snapshot.now_s,
                kind=CommandKind.STAGE,
                stage=stage,
                approved_s=snapshot.now_s,
            )
        )
