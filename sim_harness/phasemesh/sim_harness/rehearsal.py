"""The kills and restarts that a run was asked for on the command line."""

from __future__ import annotations

from collections.abc import Iterator

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.options import RunOptions


class Rehearsal:
    """The kills and restarts of a run, in the order of their time."""

    def __init__(self, options: RunOptions) -> None:
        """Read them from `options`."""
        deaths = [(at_s, "kill", IntersectionId(name)) for name, at_s, _ in options.kills]
        births = [(back_s, "start", IntersectionId(name)) for name, _, back_s in options.kills if back_s is not None]
        self._events = sorted(deaths + births)

    def due(self, elapsed_s: float) -> Iterator[tuple[str, IntersectionId]]:
        """What has to happen now; each event is told once."""
        while self._events and self._events[0][0] <= elapsed_s:
            _, what, name = self._events.pop(0)
            yield what, name
