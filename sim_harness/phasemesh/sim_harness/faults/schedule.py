"""The part of a plan that one agent carries inside its own process, and the time that it goes by."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.planned import PlannedFault


class Schedule:
    """The faults of the agent `own_id`, in cabinet time; the time is told by whoever sees a snapshot."""

    def __init__(self, own_id: IntersectionId, faults: Iterable[PlannedFault]) -> None:
        """Keep those of `faults` that hit `own_id`; nothing is active before the first `tell`."""
        self.own_id = own_id
        self.now_s = float("-inf")
        self._faults = tuple(fault for fault in faults if own_id in fault.targets)

    def tell(self, now_s: float) -> None:
        """It is `now_s`."""
        self.now_s = now_s

    def active(self, means: Collection[str]) -> list[PlannedFault]:
        """The faults at work that are injected by one of `means`, in the order of the plan."""
        return [fault for fault in self._faults if fault.means in means and fault.is_active(self.now_s)]
