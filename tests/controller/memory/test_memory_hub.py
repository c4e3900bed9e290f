"""The memory hub and its agents over real sockets: CURVE on both ends, nobody waits, everybody lives without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from agent_factories import EAST, WEST, free_ports, make_site
from factories import make_intersection, make_timings
from memory_factories import IDENTITY, make_entries
from phasemesh.contract.errors import EndpointError, SiteError
from phasemesh.contract.site import HubAddress, MemoryMode
from phasemesh.controller.memory.aggregate import Aggregate
from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.keeper import identity_of, open_memory
from phasemesh.controller.memory.street_reward import RewardRule
from phasemesh.controller.memory.sync_client import SyncClient, open_line
from phasemesh.controller.memory.sync_hub import MemoryHub
from phasemesh.controller.memory.sync_wire import kin_of
from phasemesh.controller.peers.keys import KeyPair, generate_keypair, write_secret
from phasemesh.controller.site_folder import HUB_KEY_FILE, KEYS, read_hub_keypair, read_site, write_site

PATIENCE_S = 20.0
KEY, LATER = bytes(12), b"\x01" * 12


def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


class Parlour:
    """A hub on a thread of the test, its keys, and those of two agents."""

    def __init__(self, port: int | None = None) -> None:
        """Serve west and east."""
        self.port = port or free_ports(1)[0]
        self.keypair, self.agents = generate_keypair(), {WEST: generate_keypair(), EAST: generate_keypair()}
        self._clients: list[SyncClient] = []
        self.open()

    def open(self, number: int = 7) -> None:
        """Begin a life of the hub."""
        listeners = {name: keypair.public for name, keypair in self.agents.items()}
        self.hub = MemoryHub(f"tcp://127.0.0.1:{self.port}", self.keypair, listeners, Aggregate(number))
        self._is_stopping = False
        self._thread = threading.Thread(target=self.hub.serve, args=(lambda: self._is_stopping, 0.02), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._is_stopping = True
        self._thread.join(PATIENCE_S)
        self.hub.close()
        self.hub.close()

    def client(self, keypair: KeyPair, hub_key: str | None = None) -> SyncClient:
        """An agent's line that turns to the hub twenty times a second."""
        made = SyncClient(
            f"tcp://127.0.0.1:{self.port}",
            hub_key or self.keypair.public,
            keypair,
            kin_of(IDENTITY),
            key_bytes=12,
            stages=8,
            every_s=0.05,
        )
        self._clients.append(made)
        return made

    def close(self) -> None:
        """End everything."""
        for client in self._clients:
            client.close()
        self.stop()


@pytest.fixture
def parlour() -> Iterator[Parlour]:
    """A hub that serves."""
    made = Parlour()
    yield made
    made.close()


def _collected(client: SyncClient, found: dict[bytes, LtmEntry]) -> dict[bytes, LtmEntry]:
    found.update(client.take())
    return found


def test_d11_agents_learn_from_each_other_over_the_hub(parlour: Parlour) -> None:
    """1 and 3 become 2 on both, and what one alone knows reaches the other."""
    west, east = (parlour.client(parlour.agents[name]) for name in (WEST, EAST))
    west.put({KEY: LtmEntry(0, 1.0, n=4), LATER: LtmEntry(3, -5.0, n=2)})
    east.put({KEY: LtmEntry(0, 3.0, n=4)})
    found: tuple[dict[bytes, LtmEntry], dict[bytes, LtmEntry]] = ({}, {})
    _until(
        lambda: all(
            {key: entry.q for key, entry in _collected(client, kept).items()} == {KEY: 2.0, LATER: -5.0}
            for client, kept in zip((west, east), found, strict=True)
        )
    )

    assert west.answers > 0
    assert (west.faults, east.faults, parlour.hub.dropped) == (0, 0, 0)


def test_a_whole_memory_fits_one_exchange(parlour: Parlour) -> None:
    """Five thousand entries go out and come back."""
    west, east = (parlour.client(parlour.agents[name]) for name in (WEST, EAST))
    entries = make_entries(5000)
    west.put(entries)
    found: dict[bytes, LtmEntry] = {}
    _until(lambda: len(_collected(east, found)) == len(entries))

    assert found == entries


def test_a_stranger_is_not_let_in(parlour: Parlour) -> None:
    """A key that is not in the directory reaches nothing, and is counted."""
    stranger = parlour.client(generate_keypair())
    stranger.put({KEY: LtmEntry(0, 1.0, n=4)})
    _until(lambda: parlour.hub.refused > 0)

    assert parlour.hub.aggregate.union(kin_of(IDENTITY)) == {}
    assert stranger.answers == 0


def test_a_false_hub_hears_nothing(parlour: Parlour) -> None:
    """An agent speaks only to whoever proves the hub's key."""
    agent = parlour.client(parlour.agents[WEST], hub_key=generate_keypair().public)
    agent.put({KEY: LtmEntry(0, 1.0, n=4)})
    time.sleep(0.3)

    assert agent.answers == 0
    assert parlour.hub.aggregate.union(kin_of(IDENTITY)) == {}


def test_an_agent_lives_without_a_hub_and_finds_it_later(parlour: Parlour) -> None:
    """Nobody waits; what was put meanwhile is offered when the hub is back, all of it to a hub that knows nothing."""
    west = parlour.client(parlour.agents[WEST])
    west.put({KEY: LtmEntry(0, 1.0, n=4)})
    _until(lambda: KEY in parlour.hub.aggregate.union(kin_of(IDENTITY)))
    parlour.stop()
    started_s = time.monotonic()
    west.put({LATER: LtmEntry(0, 2.0, n=4)})
    west.take()
    took_s = time.monotonic() - started_s
    parlour.open(number=8)
    _until(lambda: set(parlour.hub.aggregate.union(kin_of(IDENTITY))) == {KEY, LATER})

    assert took_s < 0.5


def test_a_revoked_agent_is_dropped_and_forgotten(parlour: Parlour) -> None:
    """Its connection ends with its key, and what it offered leaves the union; others come back by themselves."""
    west, east = (parlour.client(parlour.agents[name]) for name in (WEST, EAST))
    west.put({KEY: LtmEntry(0, 1.0, n=4)})
    east.put({LATER: LtmEntry(0, 3.0, n=4)})
    _until(lambda: set(parlour.hub.aggregate.union(kin_of(IDENTITY))) == {KEY, LATER})
    parlour.hub.admit({WEST: "", EAST: parlour.agents[EAST].public})
    _until(lambda: set(parlour.hub.aggregate.union(kin_of(IDENTITY))) == {LATER})
    west.put({KEY: LtmEntry(0, 5.0, n=4)})
    answers = east.answers
    _until(lambda: east.answers > answers + 2)

    assert set(parlour.hub.aggregate.union(kin_of(IDENTITY))) == {LATER}


def test_a_directory_with_a_doubled_key_is_not_taken_up(parlour: Parlour) -> None:
    """Whoever was let in before still is."""
    west = parlour.client(parlour.agents[WEST])
    double = parlour.agents[WEST].public
    parlour.hub.admit({WEST: double, EAST: double})
    west.put({KEY: LtmEntry(0, 1.0, n=4)})
    _until(lambda: KEY in parlour.hub.aggregate.union(kin_of(IDENTITY)))


def test_garbage_is_dropped_and_counted(parlour: Parlour) -> None:
    """From an agent that proves its key, in one frame or in many; the next offer is answered."""
    keypair = parlour.agents[WEST]
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.curve_secretkey, socket.curve_publickey = keypair.secret.encode(), keypair.public.encode()
    socket.curve_serverkey = parlour.keypair.public.encode()
    socket.connect(f"tcp://127.0.0.1:{parlour.port}")
    socket.send(b"garbage")
    socket.send_multipart([b"two", b"frames"])
    _until(lambda: parlour.hub.dropped == 2)
    socket.close()
    context.term()
    east = parlour.client(parlour.agents[EAST])

    _until(lambda: east.answers > 0)


def test_unusable_endpoints_are_told_in_one_line(parlour: Parlour) -> None:
    """A second hub, an address that is none, and a key that is none."""
    with pytest.raises(EndpointError, match="stop the other process that holds it"):
        MemoryHub(f"tcp://127.0.0.1:{parlour.port}", generate_keypair(), {}, Aggregate(1))
    with pytest.raises(EndpointError, match="correct it in the site"):
        SyncClient("nowhere", parlour.keypair.public, parlour.agents[WEST], b"", key_bytes=1, stages=1)
    with pytest.raises(SiteError, match="the public key of the memory hub"):
        SyncClient("tcp://127.0.0.1:1", "short", parlour.agents[WEST], b"", key_bytes=1, stages=1)


def test_a_memory_offers_what_it_learned_and_keeps_what_it_was_told(parlour: Parlour, tmp_path: Path) -> None:
    """From the store of one to the store of the other; what was told is not offered again as one's own."""
    crossing = make_intersection()
    identity = identity_of(crossing, make_timings(crossing), RewardRule(), 5.0)
    address = HubAddress(f"tcp://127.0.0.1:{parlour.port}", parlour.keypair.public, every_s=0.05)
    entry = LtmEntry(1, -2.0, n=30, mean=-2.0, m2=1.0, updated_at_s=5.0)
    keepers = []
    for name in (WEST, EAST):
        own = msgspec.structs.replace(identity, intersection=name)
        line = open_line(address, parlour.agents[name], own, crossing)
        path = tmp_path / f"{name}.sqlite"
        keepers.append(open_memory(crossing, MemoryMode.LIVE, RewardRule(), identity=own, path=path, line=line))
    west, east = keepers
    west.memory.take_shared({bytes(4): entry})
    west.note_tick()
    _until(lambda: east.note_tick().ltm == 1)
    state = east.note_tick()
    for keeper in keepers:
        keeper.close()
    again = open_memory(
        crossing,
        MemoryMode.LIVE,
        RewardRule(),
        identity=msgspec.structs.replace(identity, intersection=EAST),
        path=tmp_path / f"{EAST}.sqlite",
    )
    again.close()

    assert state.hub_answers is not None
    assert state.hub_answers > 0
    assert again.memory.table.ltm == {bytes(4): entry}
    assert len(parlour.hub.aggregate._tables[kin_of(identity)][EAST]) == 0


def _site_with_hub(folder: Path) -> tuple[Path, KeyPair, int]:
    site = make_site(folder)
    port, hub = free_ports(1)[0], generate_keypair()
    file = msgspec.structs.replace(
        site.file, memory=MemoryMode.LIVE, memory_hub=HubAddress(f"tcp://127.0.0.1:{port}", hub.public, 1.0)
    )
    write_site(folder, file, site.entries, site.keypairs)
    write_secret(folder / KEYS / HUB_KEY_FILE, hub.secret)
    return folder, hub, port


def test_the_command_serves_a_site_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """`phasemesh memory-hub`, with the keys of the site, and an orderly end."""
    folder, hub, port = _site_with_hub(tmp_path / "site")
    with subprocess.Popen(
        [sys.executable, "-m", "phasemesh.controller", "memory-hub", "--site", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as child:
        site = read_site(folder)
        keypair = KeyPair(
            public=site.directory[WEST].public_key,
            secret=(folder / KEYS / f"{site.directory[WEST].number}.secret").read_text().strip(),
        )
        client = SyncClient(f"tcp://127.0.0.1:{port}", hub.public, keypair, b"kin", key_bytes=12, stages=8, every_s=0.1)
        client.put({KEY: LtmEntry(0, 1.0, n=4)})
        try:
            _until(lambda: client.answers > 0)
        finally:
            client.close()
            os.kill(child.pid, signal.SIGTERM)
        assert child.wait(PATIENCE_S) == 0


def test_a_site_without_a_hub_or_with_another_secret_is_refused(tmp_path: Path) -> None:
    """One line says what to do."""
    plain = make_site(tmp_path / "plain").folder
    folder, _, _ = _site_with_hub(tmp_path / "site")
    assert read_hub_keypair(folder, read_site(folder)).public

    with pytest.raises(SiteError, match="names no memory hub"):
        read_hub_keypair(plain, read_site(plain))
    write_secret(folder / KEYS / HUB_KEY_FILE, generate_keypair().secret)
    with pytest.raises(SiteError, match="is not the secret of memory_hub"):
        read_hub_keypair(folder, read_site(folder))
