"""Step 3 of a tick: receive from the neighbours until all have spoken or the comm deadline has come."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from phasemesh.contract.units import NS_PER_MS, NS_PER_S, IntersectionId, MonoNs
from phasemesh.controller.peers.mailbox import Mailbox, PeerView
from phasemesh.controller.peers.transport import Transport


class Gathered(msgspec.Struct, frozen=True):
    """What a tick knows of its neighbours; `misses` are those that were expected but not waited for any longer."""

    views: tuple[PeerView, ...]
    is_complete: bool
    waited_ms: float
    misses: tuple[IntersectionId, ...]


def gather(
    transport: Transport,
    mailbox: Mailbox,
    tick: int,
    step: int | None,
    deadline_ns: int,
    clock: Callable[[], MonoNs],
    own_step: int | None = None,
) -> Gathered:
    """Begin `tick` and receive until every expected neighbour has a message of `step`, or until `deadline_ns`.

    What has already arrived is taken even after the deadline. `step` None waits for anything new, for neighbours
    whose clocks are not in step. A poll that brings nothing ends the wait: the transport has used up the time, or
    is one on which nothing can arrive meanwhile. `own_step` is that of the agent's own cabinet, by which the mailbox
    tells messages that come late.
    """
    started_ns = clock()
    mailbox.begin(tick, own_step)
    _accept_all(transport, mailbox, tick, 0.0, own_step)
    misses = mailbox.missing(step)
    while misses and (left_ns := deadline_ns - clock()) > 0:
        if not _accept_all(transport, mailbox, tick, left_ns / NS_PER_S, own_step):
            break
        misses = mailbox.missing(step)
    return Gathered(
        views=mailbox.views(tick),
        is_complete=not misses,
        waited_ms=(clock() - started_ns) / NS_PER_MS,
        misses=misses,
    )


def _accept_all(transport: Transport, mailbox: Mailbox, tick: int, timeout_s: float, own_step: int | None) -> bool:
    """Whether any frame arrived; those that are dropped are counted by the mailbox, and whoever lost its key is out."""
    arrivals = transport.poll(timeout_s)
    mailbox.forget(transport.dropped(), tick)
    for arrival in arrivals:
        mailbox.accept(arrival, tick, own_step)
    return bool(arrivals)
