"""The one interface between an agent and its neighbours; every transport passes the same contract suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from phasemesh.contract.units import IntersectionId


class Arrival(msgspec.Struct, frozen=True):
    """One frame as it arrived, without its topic prefix; `peer` is proven by the connection's key, not claimed."""

    peer: IntersectionId
    frame: bytes


class Transport(Protocol):
    """Sends frames to all neighbours and receives the newest frame of each."""

    def publish(self, frame: bytes) -> None:
        """Send `frame` to whoever listens; never blocks."""

    def poll(self, timeout_s: float) -> Sequence[Arrival]:
        """The newest unread frame of each neighbour, waiting at most `timeout_s` for the first one."""

    def dropped(self) -> frozenset[IntersectionId]:
        """The neighbours that lost the key by which they were heard since the last call: nothing of theirs counts."""

    def close(self) -> None:
        """Let go of sockets and threads; calling it again does nothing."""
