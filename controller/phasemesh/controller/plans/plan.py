"""What every local plan is: a pure function from what the cabinet sees to the stage wanted now."""

from __future__ import annotations

from typing import Protocol

from phasemesh.contract.detection import Snapshot
from phasemesh.contract.history import ServiceHistory


class LocalPlan(Protocol):
    """Chooses stages without policy or neighbours; what it wants passes the guard like any other request."""

    def choose(self, snapshot: Snapshot, history: ServiceHistory, /) -> int:
        """The stage wanted now; in a running change, the stage that is being changed to."""
