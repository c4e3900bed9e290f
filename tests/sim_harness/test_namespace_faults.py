"""Faults F3, F11, F20 and F21 where every agent has a network of its own: by routes and devices, without any relay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from namespace_city import NEEDS_NAMESPACES

from phasemesh.contract.errors import InputError
from phasemesh.contract.messages import compose, encode_message
from phasemesh.contract.observation import HIDDEN_SIZE, SUMMARY_SIZE
from phasemesh.contract.site import PeerAddress
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import generate_keypair
from phasemesh.controller.peers.zmq_transport import ZmqTransport
from phasemesh.sim_harness.agent_child import enter_namespace
from phasemesh.sim_harness.city import City
from phasemesh.sim_harness.faults.means import MEANS, Place
from phasemesh.sim_harness.faults.plan import plan_faults
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.relay import Link, LinkState
from phasemesh.sim_harness.faults.routes import RouteBoard
from phasemesh.sim_harness.faults.table import FAULTS, UNPLUGGED
from phasemesh.sim_harness.namespace_network import opened_network
from phasemesh.sim_harness.request import RunRequest, resolve

NAMES = tuple(map(IntersectionId, ("a", "b", "c", "d")))
PORT = 5000
SOON_S = 8.0
"""Longest wall time within which sockets must find each other: reconnects take up to 2 s, handshakes up to 3 s."""
SILENCE_S = 0.8
"""Wall time in which an open link brings something for certain."""


class Streets:
    """Four agents' transports, everyone the neighbour of everyone, each in a namespace with a thread of its own."""

    def __init__(self) -> None:
        """Make the network and open all transports."""
        self._resources = ExitStack()
        self.network = self._resources.enter_context(opened_network(NAMES, pytest.fail))
        self.routes = RouteBoard(self.network, lambda _name: ("", PORT))
        self.links = [Link(name, peer) for name in NAMES for peer in NAMES if peer != name]
        self._keys = {name: generate_keypair() for name in NAMES}
        self._crews = {name: self._resources.enter_context(self._crew(name)) for name in NAMES}
        self._transports = {name: self._crews[name].submit(self._join, name).result() for name in NAMES}
        self._seq = 0

    def _crew(self, name: IntersectionId) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, initializer=enter_namespace, initargs=(self.network.namespace_of(name),))

    def _endpoint(self, name: IntersectionId) -> str:
        return f"tcp://{self.network.plan.homes[name].address}:{PORT}"

    def _join(self, name: IntersectionId) -> ZmqTransport:
        others = {peer: key.public for peer, key in self._keys.items() if peer != name}
        addresses = {peer: PeerAddress(self._endpoint(peer), public, 0) for peer, public in others.items()}
        return ZmqTransport(name, self._endpoint(name), self._keys[name], addresses, others, rejoin_after_s=2.0)

    def between(self, readers: str, peers: str) -> list[Link]:
        """The links by which `readers` hear `peers`."""
        return [link for link in self.links if link.reader in readers and link.peer in peers]

    def heard(self, seconds: float, *, until: Callable[[set[Link]], bool] = lambda _heard: False) -> set[Link]:
        """Everybody speaks and listens for `seconds`, or until it is enough: over which links anything came."""
        heard: set[Link] = set()
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not until(heard):
            self._seq += 1
            for name in NAMES:
                self._crews[name].submit(self._transports[name].publish, _frame(name, self._seq)).result()
            time.sleep(0.02)
            for name in NAMES:
                arrivals = self._crews[name].submit(self._transports[name].poll, 0.0).result()
                heard |= {Link(name, arrival.peer) for arrival in arrivals}
        return heard

    def all_hear(self, links: list[Link]) -> bool:
        """Whether something comes over every one of `links` soon."""
        return set(links) <= self.heard(SOON_S, until=lambda heard: set(links) <= heard)

    def close(self) -> None:
        """Close everything."""
        for name, transport in self._transports.items():
            self._crews[name].submit(transport.close).result()
        self._resources.close()


def _frame(name: IntersectionId, seq: int) -> bytes:
    zeros = np.zeros(max(SUMMARY_SIZE, HIDDEN_SIZE), dtype=np.float32)
    message = compose(name, 1, seq, seq, summary=zeros[:SUMMARY_SIZE], policy=zeros[:2], hidden=zeros[:HIDDEN_SIZE])
    return encode_message(message)


@pytest.fixture
def streets() -> Iterator[Streets]:
    """A network in which everybody hears everybody."""
    streets = Streets()
    try:
        assert streets.all_hear(streets.links)
        yield streets
    finally:
        streets.close()


@NEEDS_NAMESPACES
@pytest.mark.parametrize(
    ("reader_names", "peer_names"),
    [
        pytest.param("bcd", "a", id="F3"),
        pytest.param("b", "a", id="F21"),
    ],
)
def test_f3_f21_a_link_may_fail_in_one_direction_by_routes(
    streets: Streets, reader_names: str, peer_names: str
) -> None:
    """Only those links are silent, however often they are said to be, and they live soon after."""
    silent = streets.between(reader_names, peer_names)
    for _ in range(2):
        streets.routes.set_state(silent, LinkState.FROZEN)
    streets.heard(0.1)

    heard = streets.heard(SILENCE_S)
    for _ in range(2):
        streets.routes.set_state(silent, LinkState.OPEN)

    assert heard == set(streets.links) - set(silent)
    assert streets.all_hear(silent)


@NEEDS_NAMESPACES
def test_f20_the_network_is_split_by_routes_and_healed_when_the_board_closes(streets: Streets) -> None:
    """Over the border nothing comes, within each half everything; no rule outlasts the board."""
    border = [*streets.between("ab", "cd"), *streets.between("cd", "ab")]
    streets.routes.set_state(border, LinkState.CUT)
    streets.heard(0.1)

    heard = streets.heard(SILENCE_S)
    asyncio.run(streets.routes.close())

    assert heard == set(streets.links) - set(border)
    assert streets.all_hear(border)


@NEEDS_NAMESPACES
def test_f11_an_agent_without_network_is_neither_heard_nor_hears(streets: Streets) -> None:
    """The other three go on; once it is plugged in everybody hears everybody."""
    own = [link for link in streets.links if NAMES[0] in link]
    streets.network.plug(NAMES[0], is_in=False)
    streets.heard(0.1)

    heard = streets.heard(SILENCE_S)
    streets.network.plug(NAMES[0], is_in=True)

    assert heard == set(streets.links) - set(own)
    assert streets.all_hear(own)


def test_f11_an_agent_loses_its_network_only_where_it_has_one() -> None:
    """The plan takes that variant in its turn with namespaces, and never without."""
    city = {IntersectionId("a"): (), IntersectionId("b"): ()}
    planned = {
        has_namespaces: {
            plan_faults(seed, city, 3600.0, ("F11",), has_namespaces=has_namespaces)[0].means for seed in range(12)
        }
        for has_namespaces in (False, True)
    }

    assert planned[True] - planned[False] == {UNPLUGGED}
    assert len(planned[False]) == 3


def test_what_needs_namespaces_is_what_takes_hold_of_a_network() -> None:
    """The table of faults and that of means agree."""
    needing = {variant.means for fault in FAULTS for variant in fault.variants if variant.needs_namespaces}

    assert needing == {name for name, means in MEANS.items() if means.place is Place.NETWORK} == {UNPLUGGED}


@pytest.mark.sumo
def test_a_network_that_is_shared_cannot_be_lost(tmp_path: Path) -> None:
    """A run that asks for it is refused in one line, before anything is written."""
    fault = PlannedFault(fault="F11", means=UNPLUGGED, targets=(IntersectionId("a"),), start_s=1.0, length_s=1.0)
    request = RunRequest(
        scenario="cologne1",
        controller="bundle:approach-lost-time",
        report=str(tmp_path / "r"),
        agents="processes",
        faults=(fault,),
    )

    with pytest.raises(InputError, match="network-gone: only an agent in a namespace can lose its network"):
        City(resolve(request))
