"""What every injected fault is: it begins, has its turn at every step, ends, and may tell what it found."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.stage import Stage


class Outcome(msgspec.Struct, frozen=True):
    """Something that a fault found out by itself, and whether it is as required."""

    text: str
    is_good: bool


class Injection:
    """A fault that acts inside the agents alone, by the schedule that they carry; others override what they need."""

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """Prepare `planned` on `stage`; nothing happens yet."""
        self.stage = stage
        self.planned = planned
        self.outcomes: list[Outcome] = []

    @property
    def targets(self) -> tuple[IntersectionId, ...]:
        """The agents that have to survive it."""
        return self.planned.targets

    async def begin(self) -> None:
        """Do what the fault does at its beginning."""

    async def turn(self) -> None:
        """Do what the fault does at every step while it lasts."""

    async def end(self) -> None:
        """Undo what can be undone."""

    @property
    def is_over(self) -> bool:
        """After `end`: whether everything that the fault took away is there again."""
        return True

    def note(self, text: str, *, is_good: bool) -> None:
        """Tell what was found."""
        self.outcomes.append(Outcome(text, is_good))

    def starting(self) -> Iterator[IntersectionId]:
        """The targets whose processes are coming up."""
        return (name for name in self.targets if self.stage.is_starting(name))
