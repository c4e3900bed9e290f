"""Revocation: whoever lost its key is dropped while it is connected, and refused when it comes back."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from transport_suite import PATIENCE_S

from agent_factories import Site, make_site
from command_line import free_ports
from phasemesh.contract.site import SiteFile
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.signing import own_key
from phasemesh.controller.peers.directory import DirectoryWatch, WatchedTransport
from phasemesh.controller.peers.keys import KeyPair, generate_keypair, write_secret
from phasemesh.controller.peers.transport import Transport
from phasemesh.controller.peers.zmq_transport import ZmqTransport
from phasemesh.controller.site_folder import NO_KEY, change_key, read_site, secret_path

ROW = {
    IntersectionId("west"): (IntersectionId("middle"),),
    IntersectionId("middle"): (IntersectionId("west"), IntersectionId("east")),
    IntersectionId("east"): (IntersectionId("middle"),),
}
WEST, MIDDLE, EAST = ROW
LOOK_EVERY_S = 0.05


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration folder of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Three crossings in a row on free ports."""
    return make_site(tmp_path / "site", ROW, ports=free_ports(3))


def join(site: Site, name: IntersectionId, file: SiteFile | None = None) -> WatchedTransport:
    """The transport of `name`, which follows the directory closely."""
    number = list(ROW).index(name)
    return WatchedTransport(site.folder, file or site.file, site.entries[number], look_every_s=LOOK_EVERY_S)


class Street:
    """All three agents, each of which says its name over and over."""

    def __init__(self, site: Site) -> None:
        """Open all transports."""
        self.agents: dict[IntersectionId, Transport] = {name: join(site, name) for name in ROW}

    def turn(self) -> set[tuple[IntersectionId, IntersectionId]]:
        """Everybody says its name and listens: who heard whom."""
        for name, transport in self.agents.items():
            transport.publish(name.encode())
        pairs = {(name, arrival.peer) for name, agent in self.agents.items() for arrival in agent.poll(0.005)}
        time.sleep(0.005)
        return pairs

    def turn_until(self, condition: Callable[[set[tuple[IntersectionId, IntersectionId]]], bool]) -> bool:
        """Whether what was heard in the last half second comes to fulfil `condition`."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            if condition(self.heard(0.5)):
                return True
        return False

    def heard(self, duration_s: float) -> set[tuple[IntersectionId, IntersectionId]]:
        """Who hears whom during `duration_s`."""
        until_s, pairs = time.monotonic() + duration_s, set()
        while time.monotonic() < until_s:
            pairs |= self.turn()
        return pairs

    def close(self) -> None:
        """Close all transports."""
        for transport in self.agents.values():
            transport.close()


ALL = {(WEST, MIDDLE), (MIDDLE, WEST), (MIDDLE, EAST), (EAST, MIDDLE)}
WITHOUT_EAST = {(WEST, MIDDLE), (MIDDLE, WEST)}


@pytest.fixture
def street(site: Site) -> Iterator[Street]:
    """The three agents, all in touch with their neighbours."""
    with closing(Street(site)) as street:
        assert street.turn_until(lambda heard: heard == ALL)
        yield street


def test_a_revoked_peer_is_dropped_while_it_is_connected(site: Site, street: Street) -> None:
    """Neither heard nor let hear, though its own agent still runs with the old directory; the others go on."""
    street.agents[EAST].close()
    street.agents[EAST] = _stubborn(site)
    assert street.turn_until(lambda heard: heard == ALL)
    change_key(site.folder, EAST, NO_KEY, own_key())

    assert street.turn_until(lambda heard: heard == WITHOUT_EAST)
    assert street.heard(1.0) == WITHOUT_EAST


def test_an_agent_learns_once_whose_messages_no_longer_count(site: Site, street: Street) -> None:
    """Of the one that was revoked and nobody else, and with the very poll from which on it is not heard."""
    middle = street.agents[MIDDLE]
    assert middle.dropped() == frozenset()
    change_key(site.folder, EAST, NO_KEY, own_key())
    told: list[frozenset[IntersectionId]] = []

    def is_told() -> bool:
        heard = {arrival.peer for arrival in middle.poll(0.0)}
        told.append(middle.dropped())
        assert not (EAST in heard and any(told))
        return bool(told[-1])

    assert _until(is_told)
    assert told[-1] == {EAST}
    assert middle.dropped() == frozenset()


def test_a_revoked_peer_is_refused_when_it_comes_back(site: Site, street: Street) -> None:
    """It keeps its secret and knows every address, and its handshakes are refused and counted."""
    change_key(site.folder, EAST, NO_KEY, own_key())
    assert street.turn_until(lambda heard: heard == WITHOUT_EAST)
    street.agents[EAST].close()
    street.agents[EAST] = _stubborn(site)
    middle = street.agents[MIDDLE]
    assert isinstance(middle, WatchedTransport)
    before = middle.refused

    assert street.heard(1.0) == WITHOUT_EAST
    assert middle.refused > before


def test_a_peer_with_a_new_key_is_heard_again(site: Site, street: Street) -> None:
    """Once it has the secret of the key that the directory names."""
    change_key(site.folder, EAST, NO_KEY, own_key())
    assert street.turn_until(lambda heard: heard == WITHOUT_EAST)
    keypair = generate_keypair()
    write_secret(secret_path(site.folder, change_key(site.folder, EAST, keypair.public, own_key())), keypair.secret)
    street.agents[EAST].close()
    street.agents[EAST] = join(site, EAST, read_site(site.folder))

    assert street.turn_until(lambda heard: heard == ALL)


def test_a_signal_makes_an_agent_look_again(site: Site) -> None:
    """Told to look, it takes up the directory with its next look, changed or not."""
    seen: list[SiteFile] = []
    with closing(DirectoryWatch(site.folder, seen.append, look_every_s=LOOK_EVERY_S)) as watch:
        time.sleep(4 * LOOK_EVERY_S)
        quiet = list(seen)
        watch.look_now()
        _until(lambda: bool(seen))

    assert (quiet, seen[:1]) == ([], [site.file])


@pytest.mark.parametrize("harm", ["unsigned", "altered", "gone", "garbage"])
def test_a_directory_that_nobody_signed_is_not_taken_up(site: Site, street: Street, harm: str) -> None:
    """Whoever can write into the folder of a box cannot let anybody in, nor cut the box off."""
    path = site.folder / ("site.sig" if harm in {"unsigned", "garbage"} else "site.json")
    if harm in {"gone", "unsigned"}:
        path.unlink()
    elif harm == "garbage":
        path.write_bytes(b"x" * 64)
    else:
        path.write_bytes(path.read_bytes().replace(b'"seed": 7', b'"seed": 8'))
    time.sleep(4 * LOOK_EVERY_S)

    assert street.heard(0.6) == ALL


def test_a_revoked_neighbour_is_left_out_at_the_start(site: Site) -> None:
    """An agent that starts with such a directory hears the others and lets nobody in without a key."""
    change_key(site.folder, EAST, NO_KEY, own_key())
    file = read_site(site.folder)
    with closing(join(site, WEST, file)) as west, closing(join(site, MIDDLE, file)) as middle:
        assert _until(lambda: _says(middle, west))


def test_a_publisher_that_was_closed_comes_back_whoever_holds_its_port_meanwhile(site: Site, street: Street) -> None:
    """Nothing raises while the port is taken, the agent goes on hearing, and speaks again once it is free."""
    middle = street.agents[MIDDLE]
    port = int(site.file.directory[MIDDLE].endpoint.rpartition(":")[2])
    change_key(site.folder, EAST, NO_KEY, own_key())
    time.sleep(4 * LOOK_EVERY_S)
    middle.poll(0.0)
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            thief.bind(("127.0.0.1", port))
            thief.listen()
        street.heard(0.3)

    assert street.turn_until(lambda heard: heard == WITHOUT_EAST)


def test_closing_ends_the_thread_of_the_watch(site: Site) -> None:
    """No thread outlives the transport, however slow its looks are."""
    before = threading.active_count()
    transport = WatchedTransport(site.folder, site.file, site.entries[0], look_every_s=60.0)
    during = threading.active_count()
    transport.close()
    transport.close()

    assert during == before + 2
    assert threading.active_count() == before


def test_a_directory_with_one_key_for_two_changes_nothing(site: Site) -> None:
    """A revision that the gate cannot tell apart leaves everybody as they were."""
    folder = Path(tempfile.mkdtemp(prefix="peers"))
    keys = {name: generate_keypair() for name in ROW}
    try:
        with closing(_bare(folder, keys)) as transport:
            same = dict.fromkeys((WEST, EAST), keys[EAST].public)
            transport.revise({}, same)
            transport.publish(b"still here")

            assert transport.refused == 0
    finally:
        shutil.rmtree(folder)


def _bare(folder: Path, keys: dict[IntersectionId, KeyPair]) -> ZmqTransport:
    listeners = {name: keys[name].public for name in (WEST, EAST)}
    return ZmqTransport(MIDDLE, f"ipc://{folder}/middle", keys[MIDDLE], {}, listeners)


def _stubborn(site: Site) -> ZmqTransport:
    """The east with the key and the directory that it had at first, whatever the site says by now."""
    directory = site.file.directory
    return ZmqTransport(
        EAST,
        directory[EAST].endpoint,
        site.keypairs[EAST],
        {MIDDLE: directory[MIDDLE]},
        {MIDDLE: directory[MIDDLE].public_key},
        rejoin_after_s=1.0,
    )


def _says(speaker: Transport, listener: Transport) -> bool:
    speaker.publish(b"hello")
    return bool(listener.poll(0.02))


def _until(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if condition():
            return True
        time.sleep(0.01)
    return False
