"""Faults F7, F19 and F27 from outside: strangers on the wire, a collector that is dead, requests nobody may make."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

import httpx

from phasemesh.contract.site import PeerAddress
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.keys import generate_keypair
from phasemesh.controller.peers.zmq_transport import ZmqTransport
from phasemesh.sim_harness.faults.counters import (
    HANDSHAKES_METRIC,
    PATIENCE_S,
    REQUESTS_METRIC,
    Counted,
    read_counter,
)
from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.stage import Stage

STRANGER = IntersectionId("a stranger")
CONNECTIONS = 16
"""Connections that a dead collector leaves open at one agent."""


class Request(NamedTuple):
    """A request that nobody may make without credentials; `is_known` says whether there is such an endpoint."""

    method: str
    path: str
    body: bytes = b""
    is_known: bool = True


WRITES: tuple[Request, ...] = (
    Request("POST", "/v1/orders", b'{"kind": "release", "reason": "torture", "ttl_s": 60}'),
    Request("POST", "/v1/orders", b'{"kind": "local", "reason": "torture", "ttl_s": 60}'),
    Request("PUT", "/v1/plan", is_known=False),
    Request("DELETE", "/v1/phase", is_known=False),
    Request("GET", "/../../etc/passwd", is_known=False),
    Request("POST", "/v1/phase", is_known=False),
)
"""What an agent would obey if an operator asked for it, and what it does not know at all."""
CABINET_WRITES: tuple[Request, ...] = (
    Request("POST", "/override", b'{"kind": "flash", "ttl_s": 60, "reason": "torture"}'),
    Request("POST", "/preempt", b'{"kind": "fire", "ttl_s": 60, "stage": 0, "reason": "torture"}'),
    Request("POST", "/lease", b'{"boot_id": 1000000}'),
    Request("POST", "/faults/I1/reset", b'{"reason": "torture"}'),
)
"""What a cabinet would obey."""
REFUSALS = frozenset({401, 403, 429})
UNKNOWN = REFUSALS | {404, 405}


class StrangeListener(Counted):
    """Somebody with a key that nobody knows asks the targets for their messages, and is turned away."""

    metric = HANDSHAKES_METRIC
    what = "handshakes refused"

    async def begin(self) -> None:
        """Connect with a fresh key."""
        await super().begin()
        site = self.stage.sites.site
        addresses = {
            name: PeerAddress(site.directory[name].endpoint, site.directory[name].public_key, 0)
            for name in self.targets
        }
        self._transport = ZmqTransport(STRANGER, "tcp://127.0.0.1:*", generate_keypair(), addresses, {})

    async def end(self) -> None:
        """Tell what was heard, and that somebody knocked at all."""
        await super().end()
        heard = len(self._transport.poll(0.0))
        self._transport.close()
        self.note(f"a stranger heard {heard} messages", is_good=heard == 0)


class DeadCollector(Injection):
    """A collector of metrics opens connections, asks for half a page and never reads on; others are still answered."""

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
        """Ask as a living collector would, then drop the dead ones."""
        opened, wanted = len(self._writers), CONNECTIONS * len(self.targets)
        self.note(f"{opened} of {wanted} connections left open", is_good=opened == wanted)
        for name in self.targets:
            is_told = await read_counter(self.stage, name, REQUESTS_METRIC) is not None
            self.note(f"{name} answered others {'as ever' if is_told else 'no longer'}", is_good=is_told)
        for writer in self._writers:
            writer.transport.abort()


class UnlawfulRequests(Counted):
    """Requests without credentials to the targets and their cabinets, lawful in all else; each has to be refused."""

    metric = REQUESTS_METRIC
    what = "requests refused"

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """Nothing was asked yet."""
        super().__init__(stage, planned)
        self._asked: Counter[int] = Counter()
        self._granted: set[str] = set()

    async def begin(self) -> None:
        """Ask the cabinets, which write a line for each refusal, once."""
        await super().begin()
        for name in self.targets:
            await self._ask_all(CABINET_WRITES, f"{self.stage.cabinet_url}/v1/cabinets/{quote(name, safe='')}")

    async def turn(self) -> None:
        """Make every request to the targets once."""
        for name in self.targets:
            await self._ask_all(WRITES, f"http://{self.stage.operators[name]}")

    async def _ask_all(self, requests: Sequence[Request], base: str) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
            for request in requests:
                await self._ask(client, request, base)

    async def _ask(self, client: httpx.AsyncClient, request: Request, base: str) -> None:
        with contextlib.suppress(httpx.HTTPError):
            answer = await client.request(request.method, f"{base}{request.path}", content=request.body)
            self._asked[answer.status_code] += 1
            if answer.status_code not in (REFUSALS if request.is_known else UNKNOWN):
                self._granted.add(f"{request.method} {request.path}: {answer.status_code}")

    async def end(self) -> None:
        """Tell what was granted."""
        await super().end()
        granted = "; ".join(sorted(self._granted)) or "none was granted"
        is_asked = self._asked[httpx.codes.UNAUTHORIZED] > 0
        self.note(
            f"{self._asked.total()} requests without credentials: {granted}", is_good=not self._granted and is_asked
        )
