"""Faults F3, F20 and F21: a relay below ZeroMQ, one a directed link, that can freeze or cut the connection.

It sees opaque bytes: keys, handshakes, heartbeats and framing are between the two agents. A frozen link is what a dead
radio makes of it: nothing is closed and nothing arrives, and what the kernels still hold comes late if the connection
lives to see it. A cut link is what a router makes of it: connections are reset and new ones are turned away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple, Protocol

from phasemesh.contract.units import IntersectionId

CHUNK_BYTES = 65_536
LOOPBACK = "127.0.0.1"


class LinkState(StrEnum):
    """What a relay does with its connections."""

    OPEN = "open"
    FROZEN = "frozen"
    CUT = "cut"


class Link(NamedTuple):
    """One direction: `reader` hears `peer`."""

    reader: IntersectionId
    peer: IntersectionId


class LinkBoard(Protocol):
    """The links of a city, as far as faults disturb them: by relays, or by the routes of a network."""

    async def start(self, links: Iterable[Link]) -> None:
        """Be ready to disturb `links`."""

    def endpoint(self, link: Link) -> str | None:
        """Where `link.reader` finds `link.peer`; None where the site says it."""

    def set_state(self, links: Iterable[Link], state: LinkState) -> None:
        """Open, freeze or cut `links`."""

    async def close(self) -> None:
        """Let go of all links."""


class Relay:
    """Listens on a port of loopback and passes every connection on to `host:port` while the link is open."""

    def __init__(self, host: str, port: int) -> None:
        """Prepare; `start` opens the port."""
        self._target = (host, port)
        self._state = LinkState.OPEN
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0
        self.bytes = 0

    @property
    def state(self) -> LinkState:
        """What becomes of connections now."""
        return self._state

    async def start(self) -> None:
        """Listen on a free port, which `port` then names."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def set_state(self, state: LinkState) -> None:
        """Open, freeze or cut the link from now on."""
        self._state = state
        if state is LinkState.CUT:
            for writer in tuple(self._writers):
                writer.transport.abort()
        if state is LinkState.OPEN:
            self._is_open.set()
        else:
            self._is_open.clear()

    async def close(self) -> None:
        """Close the port and all connections."""
        self.set_state(LinkState.CUT)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the agent that hears; a frozen link takes it and says nothing."""
        self._writers.add(writer)
        try:
            if self._state is LinkState.CUT:
                return
            await self._is_open.wait()
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(*self._target)
                self._writers.add(far_writer)
                await self._join(reader, writer, far_reader, far_writer)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        """Pump both directions until one of them ends."""
        pumps = [asyncio.ensure_future(self._pump(*pair)) for pair in ((reader, far_writer), (far_reader, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.discard(far_writer)
            far_writer.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                await self._is_open.wait()
                self.bytes += len(chunk)
                sink.write(chunk)
                await sink.drain()


class RelayBoard:
    """The relays of a city, by link."""

    def __init__(self, endpoint_of: Callable[[IntersectionId], tuple[str, int]]) -> None:
        """`endpoint_of` names the host and port at which an agent publishes."""
        self._endpoint_of = endpoint_of
        self._relays: dict[Link, Relay] = {}

    async def start(self, links: Iterable[Link]) -> None:
        """Open a relay for each of `links`."""
        for link in links:
            self._relays[link] = Relay(*self._endpoint_of(link.peer))
            await self._relays[link].start()

    def endpoint(self, link: Link) -> str | None:
        """Where `link.reader` finds `link.peer`; None for a link without a relay."""
        relay = self._relays.get(link)
        return None if relay is None else f"tcp://{LOOPBACK}:{relay.port}"

    def set_state(self, links: Iterable[Link], state: LinkState) -> None:
        """Open, freeze or cut `links`."""
        for link in links:
            self._relays[link].set_state(state)

    async def close(self) -> None:
        """Close all relays."""
        for relay in self._relays.values():
            await relay.close()
