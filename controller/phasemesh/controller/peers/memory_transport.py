"""Frames between agents of one process: deterministic, never waits; for simulations, tests and first steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from phasemesh.contract.errors import EndpointError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.transport import Arrival


class MemoryExchange:
    """The medium that in-process transports share; belongs to one thread."""

    def __init__(self) -> None:
        self._transports: dict[IntersectionId, MemoryTransport] = {}

    def transport(self, own_id: IntersectionId, neighbours: Iterable[IntersectionId]) -> MemoryTransport:
        """The transport of `own_id`, which hears `neighbours`; EndpointError while it has an open one already."""
        if own_id in self._transports:
            raise EndpointError(f"{own_id!r} already has an open transport on this exchange; close that one first")
        transport = MemoryTransport(self, own_id, tuple(neighbours))
        self._transports[own_id] = transport
        return transport

    def deliver(self, arrival: Arrival) -> None:
        """Hand `arrival` to every open transport that hears its peer."""
        for transport in self._transports.values():
            transport.receive(arrival)

    def leave(self, own_id: IntersectionId) -> None:
        """Forget the transport of `own_id`."""
        del self._transports[own_id]


class MemoryTransport:
    """A `Transport` over a `MemoryExchange`; `poll` answers in the order of its neighbours."""

    def __init__(
        self, exchange: MemoryExchange, own_id: IntersectionId, neighbours: tuple[IntersectionId, ...]
    ) -> None:
        self._exchange = exchange
        self._own_id = own_id
        self._newest: dict[IntersectionId, Arrival | None] = dict.fromkeys(neighbours)
        self._is_closed = False

    def publish(self, frame: bytes) -> None:
        """Replace whatever unread frame of this agent its neighbours hold by `frame`."""
        if not self._is_closed:
            self._exchange.deliver(Arrival(self._own_id, frame))

    def receive(self, arrival: Arrival) -> None:
        """Keep `arrival` until polled, if it is of a neighbour; called by the exchange."""
        if arrival.peer in self._newest:
            self._newest[arrival.peer] = arrival

    def poll(self, timeout_s: float) -> Sequence[Arrival]:  # noqa: ARG002 - the protocol has it; nothing to wait for
        """The newest unread frame of each neighbour; nothing else can arrive meanwhile, so it does not wait."""
        arrivals = tuple(arrival for arrival in self._newest.values() if arrival is not None)
        self._newest = dict.fromkeys(self._newest)
        return arrivals

    def dropped(self) -> frozenset[IntersectionId]:
        """Nobody: there are no keys within a process."""
        return frozenset()

    def close(self) -> None:
        """Leave the exchange; unread frames are lost."""
        if not self._is_closed:
            self._is_closed = True
            self._newest = dict.fromkeys(self._newest)
            self._exchange.leave(self._own_id)
