"""Step 6 of the tick: what memory would do in this situation; an agent without memory always trusts its policy."""

from __future__ import annotations

from typing import Protocol

import msgspec

from phasemesh.contract.observation import Observation


class Recollection(msgspec.Struct, frozen=True):
    """A stage that memory proposes, and which memory it was (`ltm` or `stm`)."""

    stage: int
    source: str


class Memory(Protocol):
    """Looks a situation up before the policy is trusted."""

    def look_up(self, observation: Observation, legal: tuple[bool, ...]) -> Recollection | None:
        """The remembered stage for this situation, or None to trust the policy."""


class NoMemory:
    """The memory of an agent that remembers nothing."""

    def look_up(self, observation: Observation, legal: tuple[bool, ...]) -> Recollection | None:  # noqa: ARG002 (protocol)
        """As in `Memory`."""
        return None
