"""Faults F3, F7, F20, F21 and F28 on real sockets: links that freeze, are cut, or do not fit each other's keys."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import numpy as np
import pytest

from phasemesh.contract.messages import compose, encode_message
from phasemesh.contract.observation import HIDDEN_SIZE, SUMMARY_SIZE
from phasemesh.contract.site import PeerAddress
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import KeyPair, generate_keypair
from phasemesh.controller.peers.zmq_transport import ZmqTransport
from phasemesh.sim_harness.faults.relay import Link, LinkState, RelayBoard
from phasemesh.sim_harness.provision import free_ports

NAMES = tuple(map(IntersectionId, ("a", "b", "c", "d")))
SOON_S = 8.0
"""Longest wall time within which sockets must find each other: reconnects take up to 2 s, handshakes up to 3 s."""
SILENCE_S = 0.8


class Mesh:
    """Four agents' transports, everyone the neighbour of everyone, each link through a relay of its own."""

    def __init__(self) -> None:
        """Open all relays and transports."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._resources = ExitStack()
        self.keys = {name: generate_keypair() for name in NAMES}
        self._ports = dict(zip(NAMES, free_ports(len(NAMES)), strict=True))
        self.relays = RelayBoard(lambda name: ("127.0.0.1", self._ports[name]))
        self.links = [Link(name, peer) for name in NAMES for peer in NAMES if peer != name]
        self._run(self.relays.start(self.links))
        self.transports = {name: self.join(name, self.keys[name]) for name in NAMES}
        self._seq = 0

    def join(self, name: IntersectionId, keypair: KeyPair) -> ZmqTransport:
        """The transport of `name`, which proves `keypair` and hears the others through its relays."""
        addresses = {
            peer: PeerAddress(self.relays.endpoint(Link(name, peer)) or "", self.keys[peer].public, 0)
            for peer in NAMES
            if peer != name
        }
        listeners = {peer: key.public for peer, key in self.keys.items() if peer != name}
        endpoint = f"tcp://127.0.0.1:{self._ports[name]}"
        transport = ZmqTransport(name, endpoint, keypair, addresses, listeners, rejoin_after_s=2.0)
        self._resources.callback(transport.close)
        return transport

    def set_state(self, links: list[Link], state: LinkState) -> None:
        """Open, freeze or cut `links`."""
        self._loop.call_soon_threadsafe(self.relays.set_state, links, state)
        time.sleep(0.05)

    def between(self, readers: str, peers: str) -> list[Link]:
        """The links by which `readers` hear `peers`."""
        return [link for link in self.links if link.reader in readers and link.peer in peers]

    def heard(self, seconds: float, *, until: Callable[[set[Link]], bool] = lambda _heard: False) -> set[Link]:
        """Everybody speaks and listens for `seconds`, or until it is enough: over which links anything came."""
        heard: set[Link] = set()
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not until(heard):
            self._seq += 1
            for name, transport in self.transports.items():
                transport.publish(_frame(name, self._seq))
            time.sleep(0.02)
            for name, transport in self.transports.items():
                heard |= {Link(name, arrival.peer) for arrival in transport.poll(0.0)}
        return heard

    def all_hear(self, links: list[Link], seconds: float = SOON_S) -> bool:
        """Whether something comes over every one of `links` within `seconds`."""
        return set(links) <= self.heard(seconds, until=lambda heard: set(links) <= heard)

    def close(self) -> None:
        """Close everything."""
        self._resources.close()
        self._run(self.relays.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)


def _frame(name: IntersectionId, seq: int) -> bytes:
    zeros = np.zeros(max(SUMMARY_SIZE, HIDDEN_SIZE), dtype=np.float32)
    message = compose(name, 1, seq, seq, summary=zeros[:SUMMARY_SIZE], policy=zeros[:2], hidden=zeros[:HIDDEN_SIZE])
    return encode_message(message)


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    """A mesh in which everybody hears everybody."""
    mesh = Mesh()
    try:
        assert mesh.all_hear(mesh.links)
        yield mesh
    finally:
        mesh.close()


def test_f3_a_silent_neighbour_is_heard_again(mesh: Mesh) -> None:
    """Its links freeze without a word; nobody else misses anything; when they thaw it is heard soon."""
    silent = mesh.between("bcd", "a")
    mesh.set_state(silent, LinkState.FROZEN)
    mesh.heard(0.1)

    heard = mesh.heard(SILENCE_S)
    mesh.set_state(silent, LinkState.OPEN)

    assert heard == set(mesh.links) - set(silent)
    assert mesh.all_hear(silent)


@pytest.mark.slow
def test_f3_a_link_that_was_dead_for_long_comes_back(mesh: Mesh) -> None:
    """Heartbeats fail and handshakes time out meanwhile; the link must not stay in any of these states."""
    mesh.set_state(mesh.links, LinkState.FROZEN)
    mesh.heard(7.0)
    mesh.set_state(mesh.links, LinkState.OPEN)

    assert mesh.all_hear(mesh.links)


def test_f20_both_halves_go_on_and_find_each_other(mesh: Mesh) -> None:
    """Over the border nothing comes, within each half everything; afterwards all links live."""
    border = [*mesh.between("ab", "cd"), *mesh.between("cd", "ab")]
    mesh.set_state(border, LinkState.CUT)
    mesh.heard(0.1)

    heard = mesh.heard(SILENCE_S)
    mesh.set_state(border, LinkState.OPEN)

    assert heard == set(mesh.links) - set(border)
    assert mesh.all_hear(border)


def test_f21_a_link_may_fail_in_one_direction(mesh: Mesh) -> None:
    """A hears b, b does not hear a."""
    deaf = mesh.between("b", "a")
    mesh.set_state(deaf, LinkState.CUT)
    mesh.heard(0.1)

    heard = mesh.heard(SILENCE_S)

    assert Link(NAMES[0], NAMES[1]) in heard
    assert Link(NAMES[1], NAMES[0]) not in heard


def test_f28_a_key_of_which_nobody_knows_cuts_its_owner_off_until_the_keys_agree(mesh: Mesh) -> None:
    """With the new key it neither hears nor is heard; with the old one both, without anybody else doing anything."""
    own = [link for link in mesh.links if "a" in link]
    mesh.transports.pop(NAMES[0]).close()
    mesh.transports[NAMES[0]] = mesh.join(NAMES[0], generate_keypair())
    heard = mesh.heard(2 * SILENCE_S)
    mesh.transports.pop(NAMES[0]).close()
    mesh.transports[NAMES[0]] = mesh.join(NAMES[0], mesh.keys[NAMES[0]])

    assert heard & set(own) == set()
    assert mesh.all_hear(own)


def test_f7_a_stranger_hears_nothing_and_is_counted(mesh: Mesh) -> None:
    """A key that is not in the directory passes no handshake."""
    stranger = ZmqTransport(
        IntersectionId("stranger"),
        "tcp://127.0.0.1:*",
        generate_keypair(),
        {NAMES[0]: PeerAddress(mesh.relays.endpoint(Link(NAMES[1], NAMES[0])) or "", mesh.keys[NAMES[0]].public, 0)},
        {},
    )
    mesh.heard(SILENCE_S)
    arrivals = stranger.poll(0.0)
    stranger.close()

    assert arrivals == ()
    assert mesh.transports[NAMES[0]].refused > 0


def test_a_relay_changes_nothing_while_its_link_is_open(mesh: Mesh) -> None:
    """Bytes pass, and no link is lost, over many messages."""
    for _ in range(10):
        assert mesh.all_hear(mesh.links, 2.0)
