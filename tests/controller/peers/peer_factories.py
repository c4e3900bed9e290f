"""Messages and a clock for the tests of the peers."""

from __future__ import annotations

import numpy as np

from phasemesh.contract.messages import PeerMessage, compose, encode_message
from phasemesh.contract.observation import HIDDEN_SIZE, SUMMARY_SIZE
from phasemesh.contract.units import NS_PER_MS, IntersectionId, MonoNs
from phasemesh.controller.peers.transport import Arrival

NORTH = IntersectionId("north")
SOUTH = IntersectionId("south")
CENTRE = IntersectionId("centre")


def make_message(sender: IntersectionId = NORTH, *, boot_id: int = 1, seq: int = 1, step: int = 0) -> PeerMessage:
    """A usable message of `sender`, all zeros."""
    return compose(
        sender,
        boot_id,
        seq,
        step,
        summary=np.zeros(SUMMARY_SIZE, dtype=np.float32),
        policy=np.zeros(2, dtype=np.float32),
        hidden=np.zeros(HIDDEN_SIZE, dtype=np.float32),
    )


def make_frame(sender: IntersectionId = NORTH, *, boot_id: int = 1, seq: int = 1, step: int = 0) -> bytes:
    """The wire form of `make_message`."""
    return encode_message(make_message(sender, boot_id=boot_id, seq=seq, step=step))


def make_arrival(peer: IntersectionId = NORTH, *, boot_id: int = 1, seq: int = 1, step: int = 0) -> Arrival:
    """An honest frame of `peer` as it arrived."""
    return Arrival(peer, make_frame(peer, boot_id=boot_id, seq=seq, step=step))


class SteppedClock:
    """A monotonic clock that moves on by `step_ms` each time it is read."""

    def __init__(self, step_ms: float = 0.0) -> None:
        self.now_ns = 0
        self._step_ns = int(step_ms * NS_PER_MS)

    def __call__(self) -> MonoNs:
        """The present stamp."""
        stamp = MonoNs(self.now_ns)
        self.now_ns += self._step_ns
        return stamp
