"""Puts faults inside an agent's process: what ships is left as it is, only what an agent is built from is wrapped.

The parts are replaced in the modules that build an agent, inside the one process that is to suffer. A part that is
not there by that name is a programming error and ends the process at once, so that no fault is ever silently missing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from phasemesh.contract.site import Pace, SiteFile, SiteIntersection
from phasemesh.contract.tensors import PolicyFault
from phasemesh.contract.units import IntersectionId
from phasemesh.controller import assembly, process
from phasemesh.controller.assembly import LoadedPolicy
from phasemesh.controller.clock import SimulatedClock
from phasemesh.controller.peers.directory import WatchedTransport
from phasemesh.sim_harness.faults.driver import ScheduledDriver
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.policy import FaultyPolicy, SlowClock
from phasemesh.sim_harness.faults.schedule import Schedule
from phasemesh.sim_harness.faults.transport import FaultyTransport, LinkClock, LockstepLinks, WallLinks
from phasemesh.sim_harness.faults.wall_clock import ShiftedWallClock

Part = Callable[..., Any]


def rig_process(name: IntersectionId, faults: tuple[PlannedFault, ...]) -> None:
    """Let the agent `name`, which this process is about to build, meet `faults` (in cabinet time)."""
    rig = Rig(Schedule(name, faults))
    ShiftedWallClock(rig.schedule).install()
    for module, part, wrap in (
        (process, "open_driver", rig.driver_of),
        (process, "WatchedTransport", rig.transport_of),
        (process, "load_policy", rig.policy_of),
        (assembly, "decision_clock", rig.clock_of),
    ):
        setattr(module, part, wrap(getattr(module, part)))


class Rig:
    """Wraps the parts of one agent; each method takes what makes a part and gives what makes the faulty one."""

    def __init__(self, schedule: Schedule) -> None:
        """Let all parts go by `schedule`."""
        self.schedule = schedule
        self._clock = SlowClock(SimulatedClock())

    def driver_of(self, true: Part) -> Part:
        """Drivers whose cabinet, guard or loop fails."""

        def faulty(*given: object) -> ScheduledDriver:
            return ScheduledDriver(true(*given), self.schedule)

        return faulty

    def transport_of(self, true: Part) -> Part:
        """Transports whose messages are disturbed."""

        def faulty(folder: Path, site: SiteFile, entry: SiteIntersection, *more: object) -> RiggedTransport:
            return RiggedTransport(true(folder, site, entry, *more), self.schedule, _links(self.schedule, site))

        return faulty

    def policy_of(self, true: Part) -> Part:
        """Policies that are slow or answer no numbers."""

        def faulty(*given: object) -> LoadedPolicy:
            loaded: LoadedPolicy = true(*given)
            if isinstance(loaded.policy, PolicyFault):
                return loaded
            return LoadedPolicy(loaded.bundle, FaultyPolicy(loaded.policy, self.schedule, self._clock))

        return faulty

    def clock_of(self, true: Part) -> Part:
        """Clocks that lose what a slow policy takes."""

        def faulty(*given: object) -> SlowClock:
            self._clock.go_by(true(*given))
            return self._clock

        return faulty


class RiggedTransport(FaultyTransport):
    """A `FaultyTransport` that follows the directory of its site as the true one does."""

    def __init__(self, inner: WatchedTransport, schedule: Schedule, links: LinkClock) -> None:
        """Disturb what `inner` brings."""
        super().__init__(inner, schedule, links)
        self._watched = inner

    @property
    def refused(self) -> int:
        """As in `WatchedTransport`."""
        return self._watched.refused

    def look_now(self) -> None:
        """As in `WatchedTransport`."""
        self._watched.look_now()


def _links(schedule: Schedule, site: SiteFile) -> LinkClock:
    if site.pace is Pace.REALTIME:
        return WallLinks(site.speed)
    return LockstepLinks(schedule, site.comm_deadline_ms / 1000.0)
