"""The contract of `Transport`: one class of tests that every transport passes, given a fixture `network`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Protocol

import pytest
from peer_factories import CENTRE, NORTH, SOUTH

from phasemesh.contract.errors import EndpointError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.transport import Arrival, Transport

PATIENCE_S = 10.0
"""How long a test waits for what must come; generous, since only failing tests ever wait so long."""


class Network(Protocol):
    """Makes transports that can reach each other, and closes all of them in the end."""

    def join(self, own_id: IntersectionId, neighbours: Iterable[IntersectionId]) -> Transport:
        """An open transport of `own_id` that hears `neighbours`."""


def hear(speaker: Transport, frame: bytes, listener: Transport) -> list[Arrival]:
    """Repeat `frame` until `listener` hears something (connections take time), or give up with what was heard."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        speaker.publish(frame)
        if arrivals := listener.poll(0.05):
            return list(arrivals)
    return []


def flush(listener: Transport) -> None:
    """Read until nothing more is on its way."""
    while listener.poll(0.2):
        pass


class TransportSuite:
    """What an agent may rely on, whichever transport it was given."""

    def test_a_published_frame_reaches_the_neighbour(self, network: Network) -> None:
        """A frame arrives unaltered, under the name of its sender."""
        speaker, listener = network.join(NORTH, []), network.join(CENTRE, [NORTH])

        assert hear(speaker, b"\x00hello\xff", listener) == [Arrival(NORTH, b"\x00hello\xff")]

    def test_frames_flow_both_ways(self, network: Network) -> None:
        """Two neighbours hear each other."""
        north, centre = network.join(NORTH, [CENTRE]), network.join(CENTRE, [NORTH])

        assert hear(north, b"from north", centre) == [Arrival(NORTH, b"from north")]
        assert hear(centre, b"from centre", north) == [Arrival(CENTRE, b"from centre")]

    def test_the_newest_frame_wins(self, network: Network) -> None:
        """Of several unread frames only the last is delivered, once."""
        speaker, listener = network.join(NORTH, []), network.join(CENTRE, [NORTH])
        hear(speaker, b"first", listener)
        flush(listener)
        for number in range(5):
            speaker.publish(b"%d" % number)
        time.sleep(0.3)

        assert list(listener.poll(PATIENCE_S)) == [Arrival(NORTH, b"4")]
        assert not listener.poll(0.0)

    def test_each_neighbour_has_its_own_newest_frame(self, network: Network) -> None:
        """A talkative neighbour does not displace the frame of a quiet one."""
        north, south = network.join(NORTH, []), network.join(SOUTH, [])
        listener = network.join(CENTRE, [NORTH, SOUTH])
        hear(north, b"first", listener)
        hear(south, b"first", listener)
        flush(listener)
        south.publish(b"quiet")
        for number in range(5):
            north.publish(b"%d" % number)
        time.sleep(0.3)
        arrivals = listener.poll(PATIENCE_S)

        assert sorted((arrival.peer, arrival.frame) for arrival in arrivals) == [(NORTH, b"4"), (SOUTH, b"quiet")]

    def test_only_neighbours_are_heard(self, network: Network) -> None:
        """A frame of an intersection that is no neighbour does not arrive."""
        stranger, listener = network.join(SOUTH, []), network.join(CENTRE, [NORTH])
        for _ in range(5):
            stranger.publish(b"hello")

        assert not listener.poll(0.2)

    def test_nobody_hears_itself(self, network: Network) -> None:
        """A published frame does not come back to its sender."""
        network.join(NORTH, [CENTRE])
        speaker = network.join(CENTRE, [NORTH])
        speaker.publish(b"hello")

        assert not speaker.poll(0.2)

    def test_publishing_to_nobody_is_no_fault(self, network: Network) -> None:
        """An agent without any living neighbour publishes and polls as ever."""
        alone = network.join(CENTRE, [NORTH])
        for _ in range(100):
            alone.publish(bytes(1000))

        assert not alone.poll(0.0)

    def test_a_silent_neighbour_does_not_block(self, network: Network) -> None:
        """A poll that nobody answers ends with its timeout."""
        listener = network.join(CENTRE, [NORTH, SOUTH])
        started_s = time.monotonic()
        arrivals = listener.poll(0.1)
        waited_s = time.monotonic() - started_s

        assert not arrivals
        assert waited_s < 1.0

    def test_a_timeout_in_the_past_takes_what_is_there(self, network: Network) -> None:
        """A late tick polls without waiting and still gets the frame that has arrived."""
        speaker, listener = network.join(NORTH, []), network.join(CENTRE, [NORTH])
        hear(speaker, b"first", listener)
        flush(listener)
        speaker.publish(b"second")
        time.sleep(0.3)

        assert list(listener.poll(-1.0)) == [Arrival(NORTH, b"second")]

    def test_a_neighbour_that_restarts_is_heard_again(self, network: Network) -> None:
        """The listener does nothing to hear the next life of a neighbour."""
        speaker, listener = network.join(NORTH, []), network.join(CENTRE, [NORTH])
        hear(speaker, b"first life", listener)
        speaker.close()
        flush(listener)

        assert hear(network.join(NORTH, []), b"second life", listener) == [Arrival(NORTH, b"second life")]

    def test_closing_twice_does_nothing(self, network: Network) -> None:
        """A second close is harmless, and a closed transport neither sends nor hears."""
        speaker, listener = network.join(NORTH, []), network.join(CENTRE, [NORTH])
        hear(speaker, b"first", listener)
        listener.close()
        listener.close()
        listener.publish(b"too late")
        speaker.publish(b"too late")

        assert not listener.poll(0.0)
        assert not speaker.poll(0.0)

    def test_a_second_transport_of_one_intersection_is_refused(self, network: Network) -> None:
        """Two agents of one intersection cannot run at once: the second learns why at start-up."""
        network.join(NORTH, [])

        with pytest.raises(EndpointError, match="'north'"):
            network.join(NORTH, [])
