"""Faults F7, F19 and F27 from outside: strangers on the wire, a collector that is dead, requests nobody may make."""

from __future__ import annotations

import asyncio
import contextlib

import httpx

from phasemesh.contract.site import PeerAddress
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import generate_keypair
from phasemesh.controller.peers.zmq_transport import ZmqTransport
from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.stage import Stage

STRANGER = IntersectionId("a stranger")
CONNECTIONS = 16
"""Connections that a dead collector leaves open at one agent."""
WRITES: tuple[tuple[str, str], ...] = (
    ("POST", "/v1/override"),
    ("POST", "/v1/mode"),
    ("POST", "/v1/faults/1/reset"),
    ("PUT", "/v1/plan"),
    ("DELETE", "/v1/phase"),
    ("GET", "/../../etc/passwd"),
    ("POST", "/v1/phase"),
)
"""Requests that change something or should not exist, made without any credentials."""
REFUSALS = range(400, 500)


class StrangeListener(Injection):
    """Somebody with a key that nobody knows asks the targets for their messages."""

    async def begin(self) -> None:
        """Connect with a fresh key."""
        site = self.stage.sites.site
        addresses = {
            name: PeerAddress(site.directory[name].endpoint, site.directory[name].public_key, 0)
            for name in self.targets
        }
        self._transport = ZmqTransport(STRANGER, "tcp://127.0.0.1:*", generate_keypair(), addresses, {})

    async def end(self) -> None:
        """Tell what was heard."""
        heard = len(self._transport.poll(0.0))
        self._transport.close()
        self.note(f"a stranger heard {heard} messages", is_good=heard == 0)


class DeadCollector(Injection):
    """A collector of metrics opens connections, asks for half a page and never reads on."""

    async def begin(self) -> None:
        """Open the connections."""
        self._writers: list[asyncio.StreamWriter] = []
        for name in self.targets:
            host, _, port = self.stage.operators[name].rpartition(":")
            for _ in range(CONNECTIONS):
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(host, int(port))
                    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
                    self._writers.append(writer)

    async def end(self) -> None:
        """Drop them all."""
        for writer in self._writers:
            writer.transport.abort()
        self.note(f"{len(self._writers)} connections left open", is_good=bool(self._writers))


class UnlawfulRequests(Injection):
    """Requests without credentials to the endpoints of the targets; each has to be refused."""

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """Nothing was asked yet."""
        super().__init__(stage, planned)
        self._asked = 0
        self._granted: list[str] = []

    async def turn(self) -> None:
        """Make every request once."""
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            for name in self.targets:
                for method, path in WRITES:
                    await self._ask(client, method, f"http://{self.stage.operators[name]}{path}")

    async def _ask(self, client: httpx.AsyncClient, method: str, url: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            answer = await client.request(method, url, content=b'{"ttl_s": 1e9}')
            self._asked += 1
            if answer.status_code not in REFUSALS:
                self._granted.append(f"{method} {url}: {answer.status_code}")

    async def end(self) -> None:
        """Tell what was granted."""
        granted = "; ".join(sorted(set(self._granted))) or "none was granted"
        self.note(
            f"{self._asked} requests without credentials: {granted}", is_good=not self._granted and self._asked > 0
        )
