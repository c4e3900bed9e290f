"""One injected fault as plain values, which reach other processes as they are."""

from __future__ import annotations

import msgspec

from phasemesh.contract.units import IntersectionId


class PlannedFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One fault at one time.

    `fault` is its row of the table, `means` how it is injected. `start_s` counts from the beginning of the run, in
    simulated seconds; inside an agent, where there is no such beginning, in cabinet time. `targets` are the agents
    that have to survive it. `peers` are the senders whose messages are disturbed, empty for all of them. `strength`
    is what the means takes: a share, a delay or a jump in seconds.
    """

    fault: str
    means: str
    targets: tuple[IntersectionId, ...]
    start_s: float
    length_s: float
    peers: tuple[IntersectionId, ...] = ()
    strength: float = 0.0
    seed: int = 0

    @property
    def end_s(self) -> float:
        """When it ends, on the same clock as `start_s`."""
        return self.start_s + self.length_s

    def is_active(self, now_s: float) -> bool:
        """Whether it is at work at `now_s`."""
        return self.start_s <= now_s < self.end_s
