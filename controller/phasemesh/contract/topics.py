"""The topic table: everything that agents publish, with its struct, rate, deadline and age limit."""

from __future__ import annotations

import msgspec

from phasemesh.contract.messages import PeerMessage


class Topic(msgspec.Struct, frozen=True):
    """One row of the table.

    `prefix` opens every frame and is what subscribers filter on. `per_tick` is the number of messages a tick,
    `comm_deadline_ms` the last moment after the tick's start at which one counts, `stale_after_ticks` its age limit
    (invariant I22), `max_bytes` the longest frame that is accepted.
    """

    name: str
    prefix: bytes
    struct: type[msgspec.Struct]
    per_tick: int
    comm_deadline_ms: float
    stale_after_ticks: int
    max_bytes: int


PEER_STATE = Topic(
    name="peer_state",
    prefix=b"S",
    struct=PeerMessage,
    per_tick=1,
    comm_deadline_ms=200.0,
    stale_after_ticks=3,
    max_bytes=4096,
)
TOPICS: dict[str, Topic] = {topic.name: topic for topic in (PEER_STATE,)}
