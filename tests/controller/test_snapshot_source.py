"""Where snapshots come from when a cabinet was restarted: its steps begin anew, and so does the lease."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_factories import PAIR, WEST, make_site
from command_line import free_ports
from factories import make_intersection, make_snapshot
from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.site import Pace
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.clock import SimulatedClock
from phasemesh.controller.snapshot_source import SnapshotSource

CROSSING = make_intersection(WEST, PAIR[WEST])
REFUSED = DriverFault("a newer life has the lease")


class RestartedCabinet:
    """A driver of a cabinet whose steps are those of `step` on, and which gives its lease or refuses it."""

    def __init__(self, refusal: DriverFault | None) -> None:
        """Answer `attach` with `refusal`."""
        self.refusal = refusal
        self.step = 100

    def attach(self, _boot_id: int) -> DriverFault | None:
        """As in `Driver`."""
        return self.refusal

    def observe(self, after_step: int, _timeout_s: float) -> Snapshot | DriverFault | None:
        """As in `Driver`."""
        return make_snapshot(CROSSING, step=self.step) if self.step > after_step else None

    def apply(self, _command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`."""
        return REFUSED

    def close(self) -> None:
        """As in `Driver`."""


@pytest.mark.parametrize("refusal", [None, REFUSED], ids=["given", "refused"])
def test_the_lease_of_a_restarted_cabinet_is_taken_anew(tmp_path: Path, refusal: DriverFault | None) -> None:
    """What it shows is decided on only by whoever holds its lease; a refusal is a fault with its reason."""
    site = make_site(tmp_path, PAIR, ports=free_ports(2), pace=Pace.REALTIME).file
    driver, clock = RestartedCabinet(refusal), SimulatedClock()
    source = SnapshotSource(driver, site, CROSSING, 5, clock)
    first = source.next()
    assert isinstance(first, Snapshot)
    source._last_step, source._last_ns, source._after_step = first.step, clock.mono_ns(), first.step
    driver.step = 3
    assert source.next() is None
    clock.set_s(1000.0 * site.tick_s)

    assert source.next() == (refusal or make_snapshot(CROSSING, step=3))
