"""A transport that loses, delays, reorders, replays, garbles and forges what arrives, by schedule and seed.

Messages are disturbed behind the socket and not on the wire: TCP loses no part of a stream, and CURVE closes a
connection whose bytes were altered, so that below them nothing but a whole link can fail, which is what `relay` does.
An agent meets a lost or altered message exactly here, and every draw depends on seed, link and count alone.
"""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.transport import Arrival, Transport
from phasemesh.sim_harness.faults.messages import MESSAGE_TROUBLES
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.schedule import Schedule

DELAY = "message-delay"
TRANSPORT_MEANS = frozenset({DELAY, *MESSAGE_TROUBLES})
PAST_FRAMES = 3
"""How many frames of a link that were delivered are kept to be replayed."""


class LinkClock(Protocol):
    """The time of delayed messages, in seconds; `is_patient` says whether time passes while somebody waits."""

    is_patient: bool

    def sent_s(self) -> float:
        """When a message that arrives at this poll was sent."""

    def reached_s(self) -> float:
        """Messages that are due by then may be delivered at this poll."""


class LockstepLinks:
    """Cabinet time, in which a tick is one moment; within it a message may take as long as the comm deadline.

    A delay below the deadline costs nothing. A longer one moves a message into the first tick whose deadline it keeps.
    """

    is_patient = False

    def __init__(self, schedule: Schedule, comm_deadline_s: float) -> None:
        """Go by the time that `schedule` was told."""
        self._schedule = schedule
        self._comm_deadline_s = comm_deadline_s

    def sent_s(self) -> float:
        """As in `LinkClock`."""
        return self._schedule.now_s

    def reached_s(self) -> float:
        """As in `LinkClock`."""
        return self._schedule.now_s + self._comm_deadline_s


class WallLinks:
    """The monotonic clock, `speed` times as fast."""

    is_patient = True

    def __init__(self, speed: float) -> None:
        """Count `speed` seconds in a second."""
        self._speed = speed

    def sent_s(self) -> float:
        """As in `LinkClock`."""
        return time.monotonic() * self._speed

    def reached_s(self) -> float:
        """As in `LinkClock`."""
        return time.monotonic() * self._speed


class _Held(msgspec.Struct, frozen=True):
    due_s: float
    arrival: Arrival


class FaultyTransport:
    """Passes everything of `inner` on, except what the faults of `schedule` do to it."""

    def __init__(self, inner: Transport, schedule: Schedule, links: LinkClock) -> None:
        """Disturb what `inner` brings to the agent of `schedule`."""
        self._inner = inner
        self._schedule = schedule
        self._links = links
        self._held: list[_Held] = []
        self._counts: Counter[IntersectionId] = Counter()
        self._past: dict[IntersectionId, deque[bytes]] = {}
        self._arrived: set[IntersectionId] = set()
        self._dropped: set[IntersectionId] = set()

    def publish(self, frame: bytes) -> None:
        """As in `Transport`: a message is disturbed where it arrives."""
        self._arrived.clear()
        self._inner.publish(frame)

    def poll(self, timeout_s: float) -> Sequence[Arrival]:
        """As in `Transport`; a frame that is lost does not end the wait for the others.

        Nobody is waited for whose frame of this tick was lost or is held back, where no time passes by waiting.
        """
        end_s = time.monotonic() + (0.0 if self._is_vain() else timeout_s)
        while True:
            arrived = self._inner.poll(max(0.0, end_s - time.monotonic()))
            self._drop(self._inner.dropped())
            self._arrived.update(arrival.peer for arrival in arrived)
            kept = [*self._released(), *(each for arrival in arrived for each in self._disturbed(arrival))]
            if kept or not arrived or self._is_vain():
                return kept

    def dropped(self) -> frozenset[IntersectionId]:
        """As in `Transport`; what is held back of them is dropped too."""
        dropped = frozenset(self._dropped)
        self._dropped.clear()
        return dropped

    def _drop(self, peers: frozenset[IntersectionId]) -> None:
        self._dropped |= peers
        self._held = [held for held in self._held if held.arrival.peer not in peers]

    def close(self) -> None:
        """As in `Transport`."""
        self._inner.close()

    def _is_vain(self) -> bool:
        """Whether waiting brings nothing: every known peer has spoken since this agent spoke last."""
        return not self._links.is_patient and bool(self._counts) and self._arrived >= self._counts.keys()

    def _active(self, peer: IntersectionId) -> list[PlannedFault]:
        faults = self._schedule.active(TRANSPORT_MEANS)
        return [fault for fault in faults if not fault.peers or peer in fault.peers]

    def _disturbed(self, arrival: Arrival) -> list[Arrival]:
        """What arrives in place of `arrival`, oldest first; a delayed frame is kept for later."""
        peer, frames = arrival.peer, [arrival.frame]
        past = self._past.setdefault(peer, deque(maxlen=PAST_FRAMES))
        self._counts[peer] += 1
        for fault in self._active(peer):
            draws = self._draws(fault, peer)
            if fault.means == DELAY:
                self._hold(peer, frames, fault.strength)
                frames = []
            else:
                trouble = MESSAGE_TROUBLES[fault.means]
                frames = [each for frame in frames for each in trouble(frame, tuple(past), draws, fault.strength)]
        if arrival.frame in frames:
            past.append(arrival.frame)
        return [*self._released(), *(Arrival(peer, frame) for frame in frames)]

    def _hold(self, peer: IntersectionId, frames: list[bytes], delay_s: float) -> None:
        due_s = self._links.sent_s() + delay_s
        self._held.extend(_Held(due_s, Arrival(peer, frame)) for frame in frames)

    def _released(self) -> list[Arrival]:
        if not self._held:
            return []
        reached_s = self._links.reached_s()
        released = [held.arrival for held in self._held if held.due_s <= reached_s]
        self._held = [held for held in self._held if held.due_s > reached_s]
        return released

    def _draws(self, fault: PlannedFault, peer: IntersectionId) -> random.Random:
        """Draws of this very frame, the same in every run of a seed."""
        name = f"{fault.seed}/{fault.means}/{self._schedule.own_id}/{peer}/{self._counts[peer]}"
        return random.Random(name)  # noqa: S311 (faults must be repeatable, not secret)
