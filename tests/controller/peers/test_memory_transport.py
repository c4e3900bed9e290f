"""The in-process transport."""

from __future__ import annotations

import pytest
from peer_factories import CENTRE, NORTH, SOUTH
from transport_suite import TransportSuite

from phasemesh.controller.peers.memory_transport import MemoryExchange, MemoryTransport
from phasemesh.controller.peers.transport import Arrival


class MemoryNetwork:
    """Transports on one exchange."""

    def __init__(self) -> None:
        self._exchange = MemoryExchange()

    def join(self, own_id, neighbours) -> MemoryTransport:
        """An open transport of `own_id` that hears `neighbours`."""
        return self._exchange.transport(own_id, neighbours)


@pytest.fixture
def network() -> MemoryNetwork:
    """An empty exchange."""
    return MemoryNetwork()


class TestMemoryTransport(TransportSuite):
    """The in-process transport keeps the contract."""


def test_arrivals_come_in_the_order_of_the_neighbours() -> None:
    """Who published first makes no difference, so that every run of a simulation is the same."""
    exchange = MemoryExchange()
    north, south = exchange.transport(NORTH, []), exchange.transport(SOUTH, [])
    listener = exchange.transport(CENTRE, [SOUTH, NORTH])
    north.publish(b"n")
    south.publish(b"s")

    assert listener.poll(0.0) == (Arrival(SOUTH, b"s"), Arrival(NORTH, b"n"))


def test_a_frame_is_heard_without_waiting() -> None:
    """A frame can be read as soon as `publish` has returned."""
    exchange = MemoryExchange()
    speaker, listener = exchange.transport(NORTH, []), exchange.transport(CENTRE, [NORTH])
    speaker.publish(b"now")

    assert listener.poll(0.0) == (Arrival(NORTH, b"now"),)


def test_a_long_timeout_is_not_waited_for() -> None:
    """Nothing can arrive while the only thread polls, so an endless timeout returns at once."""
    listener = MemoryExchange().transport(CENTRE, [NORTH])

    assert listener.poll(float("inf")) == ()
