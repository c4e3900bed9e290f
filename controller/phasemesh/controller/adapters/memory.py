"""The in-process adapter: drives a cabinet object directly. Ships with the product; tests and trainer use it."""

from __future__ import annotations

from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import Snapshot
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.cabinet.cabinet import Cabinet


class MemoryDriver:
    """Drives `cabinet`, whose owner steps it; never waits, since nobody else could step it meanwhile."""

    def __init__(self, cabinet: Cabinet) -> None:
        """Drive `cabinet`."""
        self._cabinet = cabinet

    def attach(self, boot_id: int) -> DriverFault | None:
        """As in `Driver`."""
        if not self._cabinet.attach(boot_id):
            return DriverFault(f"a newer agent than boot {boot_id} holds {self._cabinet.intersection.id}")
        return None

    def observe(self, after_step: int, timeout_s: float) -> Snapshot | DriverFault | None:  # noqa: ARG002 (never waits)
        """As in `Driver`."""
        snapshot = self._cabinet.snapshot()
        return snapshot if snapshot.step > after_step else None

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`."""
        return self._cabinet.command(command)

    def close(self) -> None:
        """Nothing is held."""
