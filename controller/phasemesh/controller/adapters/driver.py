"""The one interface between an agent and whatever runs its signal; every adapter passes the same contract suite."""

from __future__ import annotations

from typing import Protocol

import msgspec

from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.detection import Snapshot


class DriverFault(msgspec.Struct, frozen=True):
    """Why a driver gave no answer; a value, since control goes on without it."""

    reason: str


class Driver(Protocol):
    """Observes and commands one intersection.

    A driver that reaches its signal through a network knows the tick of its agent and answers within it: whoever does
    not answer in time is a `DriverFault`, however slowly the answer trickles, so that no signal holds up an agent.
    """

    def attach(self, boot_id: int) -> DriverFault | None:
        """Take the lease of the intersection for the agent's life `boot_id`; a newer life displaces an older one."""

    def observe(self, after_step: int, timeout_s: float) -> Snapshot | DriverFault | None:
        """The newest snapshot with a step above `after_step`, waiting at most `timeout_s`; None when there is none."""

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """Ask for a stage; the answer is what was really done, and a fault when it does not come within the tick."""

    def close(self) -> None:
        """Let go; calling it again does nothing."""
