"""One agent's ear: a transport that is disturbed by plan, with the mailbox behind it, and a neighbour that speaks."""

from __future__ import annotations

import time

import numpy as np

from phasemesh.contract.messages import compose, encode_message
from phasemesh.contract.observation import HIDDEN_SIZE, SUMMARY_SIZE
from phasemesh.contract.topics import PEER_STATE
from phasemesh.contract.units import IntersectionId, MonoNs
from phasemesh.controller.peers.gather import Gathered, gather
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.memory_transport import MemoryExchange
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.schedule import Schedule
from phasemesh.sim_harness.faults.transport import FaultyTransport, LockstepLinks

EAR = IntersectionId("ear")
MOUTH = IntersectionId("mouth")
TICK_S = 2.0
COMM_DEADLINE_S = 0.2


def fault_of(means: str, *, start_s: float = 10.0, length_s: float = 20.0, strength: float = 0.0) -> PlannedFault:
    """A fault by `means` at the agent EAR."""
    return PlannedFault(
        fault="F0", means=means, targets=(EAR,), start_s=start_s, length_s=length_s, strength=strength, seed=3
    )


class Conversation:
    """MOUTH speaks once a tick, EAR listens through `faults`; the schedule goes by the tick."""

    def __init__(self, *faults: PlannedFault) -> None:
        """Begin at tick 0."""
        exchange = MemoryExchange()
        self.schedule = Schedule(EAR, faults)
        self._mouth = exchange.transport(MOUTH, ())
        links = LockstepLinks(self.schedule, COMM_DEADLINE_S)
        self.transport = FaultyTransport(exchange.transport(EAR, (MOUTH,)), self.schedule, links)
        self.mailbox = Mailbox((MOUTH,), PEER_STATE.stale_after_ticks, int(TICK_S))
        self.tick = 0

    def turn(self) -> Gathered:
        """One tick: MOUTH speaks of this step, EAR gathers."""
        now_s = self.tick * TICK_S
        self.schedule.tell(now_s)
        self.transport.publish(b"")
        self._mouth.publish(frame_of(self.tick + 1, int(now_s)))
        deadline_ns = time.monotonic_ns()
        gathered = gather(self.transport, self.mailbox, self.tick, int(now_s), deadline_ns, _mono_ns, int(now_s))
        self.tick += 1
        return gathered

    def until(self, now_s: float) -> list[Gathered]:
        """All ticks up to and without `now_s`."""
        return [self.turn() for _ in range(self.tick, int(now_s / TICK_S))]

    def dropped(self) -> dict[str, int]:
        """Frames that were dropped, by kind."""
        return {kind: count for (_, kind), count in self.mailbox.faults.items()}


def frame_of(seq: int, step: int) -> bytes:
    """A sound frame of MOUTH."""
    zeros = np.zeros(max(SUMMARY_SIZE, HIDDEN_SIZE), dtype=np.float32)
    message = compose(MOUTH, 1, seq, step, summary=zeros[:SUMMARY_SIZE], policy=zeros[:2], hidden=zeros[:HIDDEN_SIZE])
    return encode_message(message)


def _mono_ns() -> MonoNs:
    return MonoNs(time.monotonic_ns())
