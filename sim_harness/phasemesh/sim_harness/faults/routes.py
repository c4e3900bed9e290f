"""Faults F3, F20 and F21 by the routes of the network itself, where every agent has a namespace of its own.

No relay is needed: what a peer sends from the port at which it publishes is dropped on its way to one reader. Frozen
and cut links are the same here, since nothing on the way answers for a peer that cannot be reached.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.relay import Link, LinkState
from phasemesh.sim_harness.namespace_network import NamespaceNetwork


class RouteBoard:
    """The links of a city of namespaces, all open at first."""

    def __init__(self, network: NamespaceNetwork, endpoint_of: Callable[[IntersectionId], tuple[str, int]]) -> None:
        """Act on `network`; `endpoint_of` names the host and port at which an agent publishes."""
        self._network = network
        self._endpoint_of = endpoint_of
        self._silent: set[Link] = set()

    async def start(self, links: Iterable[Link]) -> None:
        """Nothing has to be ready for `links`: they are those of the network."""

    def endpoint(self, _link: Link) -> str | None:
        """None: readers connect to their peers themselves."""
        return None

    def set_state(self, links: Iterable[Link], state: LinkState) -> None:
        """Open or silence `links`; raises InputError when `ip` refuses."""
        asked, is_silent = set(links), state is not LinkState.OPEN
        changed = asked - self._silent if is_silent else asked & self._silent
        by_peer: dict[IntersectionId, list[IntersectionId]] = defaultdict(list)
        for reader, peer in sorted(changed):
            by_peer[peer].append(reader)
        for peer, readers in by_peer.items():
            self._network.silence(peer, self._endpoint_of(peer)[1], readers, is_silent=is_silent)
        self._silent = self._silent | changed if is_silent else self._silent - changed

    async def close(self) -> None:
        """Open all links."""
        self.set_state(tuple(self._silent), LinkState.OPEN)
