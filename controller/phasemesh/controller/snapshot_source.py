"""Where the decision loop gets its snapshots: the next one that is due, or why there is none."""

from __future__ import annotations

from phasemesh.contract.detection import Snapshot
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.site import Pace, SiteFile
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.adapters.driver import Driver, DriverFault
from phasemesh.controller.clock import Clock
from phasemesh.controller.telemetry.records import TickRecord
from phasemesh.controller.unit_watch import snapshot_fault

OBSERVE_WAIT_S = 0.25
"""Longest wait for a snapshot before the loop turns once to show that it lives."""
STANDSTILL_TICKS = 3
"""Ticks without a new snapshot after which a cabinet counts as standing still, or as restarted."""


class SnapshotSource:
    """Asks a driver for snapshots at the pace of a site; in lockstep all agents count the same steps."""

    def __init__(self, driver: Driver, site: SiteFile, intersection: Intersection, boot_id: int, clock: Clock) -> None:
        """Ask `driver` for the life `boot_id` of the agent of `intersection`."""
        self._driver = driver
        self._site = site
        self._intersection = intersection
        self._boot_id = boot_id
        self._clock = clock
        self._after_step = -1
        self._last_step: int | None = None
        self._last_ns: MonoNs | None = None

    def note(self, record: TickRecord) -> None:
        """A tick was decided; the next snapshot belongs to the next control interval."""
        self._last_step, self._last_ns = record.step, self._clock.mono_ns()
        is_lockstep = self._site.pace is Pace.LOCKSTEP
        self._after_step = (self._due_step(record.step) if is_lockstep else record.step + 1) - 1

    def attach(self) -> DriverFault | None:
        """Take the lease for this life; why that was impossible, if it was."""
        return self._driver.attach(self._boot_id)

    def next(self) -> Snapshot | DriverFault | None:
        """The snapshot to decide on; None when none is due within `OBSERVE_WAIT_S`, a fault when none can come."""
        answer = self._observe()
        if isinstance(answer, Snapshot):
            if fault := snapshot_fault(self._intersection, answer):
                return DriverFault(fault)
            if not self._is_due(answer):
                self._after_step = self._due_step(answer.step) - 1
                return None
        return answer

    def _observe(self) -> Snapshot | DriverFault | None:
        answer = self._driver.observe(self._after_step, OBSERVE_WAIT_S)
        return self._look_again() if answer is None and self._is_overdue() else answer

    def _is_overdue(self) -> bool:
        """Whether a snapshot should have come long ago; in lockstep the city may take all the time that it needs."""
        if self._last_ns is None or self._site.pace is Pace.LOCKSTEP:
            return False
        waited_s = (self._clock.mono_ns() - self._last_ns) / NS_PER_S
        return waited_s > STANDSTILL_TICKS * self._site.tick_s / self._site.speed

    def _look_again(self) -> Snapshot | DriverFault:
        """Take whatever the cabinet shows: one that was restarted counts its steps from the beginning again."""
        answer = self._driver.observe(-1, 0.0)
        if isinstance(answer, Snapshot) and self._last_step is not None and answer.step < self._last_step:
            return self.attach() or answer
        return answer if isinstance(answer, DriverFault) else DriverFault("the cabinet stands still")

    def _due_step(self, step: int) -> int:
        """The first step of the next control interval after `step`; all agents count alike in lockstep."""
        return (step // self._site.steps_per_tick + 1) * self._site.steps_per_tick

    def _is_due(self, snapshot: Snapshot) -> bool:
        return self._site.pace is Pace.REALTIME or snapshot.step % self._site.steps_per_tick == 0
