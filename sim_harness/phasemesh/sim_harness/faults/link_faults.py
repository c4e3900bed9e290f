"""Faults F3, F20 and F21 of whole links, by relays below ZeroMQ or the routes of namespaces, and F11 by a dead port."""

from __future__ import annotations

from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.relay import Link, LinkState


class LinksFrozen(Injection):
    """What `targets` should hear of `peers` stays on the way; nothing is closed."""

    state = LinkState.FROZEN

    def links(self) -> list[Link]:
        """The links of the fault: all from `peers` to `targets`, where they are neighbours."""
        neighbours = {name: self.stage.cabinets[name].intersection.neighbours for name in self.targets}
        return [Link(name, peer) for name in self.targets for peer in self.planned.peers if peer in neighbours[name]]

    async def begin(self) -> None:
        """Disturb the links."""
        self.stage.links.set_state(self.links(), self.state)

    async def end(self) -> None:
        """Open them again."""
        self.stage.links.set_state(self.links(), LinkState.OPEN)


class LinksCut(LinksFrozen):
    """Connections from `targets` to `peers` are reset, and new ones turned away."""

    state = LinkState.CUT


class Partition(LinksCut):
    """No link between `peers`, which are one half of the city, and the other half works in either direction."""

    def links(self) -> list[Link]:
        """All links across the border."""
        half = frozenset(self.planned.peers)
        return [
            Link(name, peer)
            for name in self.targets
            for peer in self.stage.cabinets[name].intersection.neighbours
            if (name in half) != (peer in half)
        ]


class Unplugged(Injection):
    """The network of the targets is gone: neighbours, cabinet and operators at once; loopback is all that is left."""

    async def begin(self) -> None:
        """Take their devices down."""
        self._plug(is_in=False)
        for name in self.targets:
            self.stage.leave(name)
            self.stage.forget(name)

    async def end(self) -> None:
        """Take them up again."""
        self._plug(is_in=True)

    @property
    def is_over(self) -> bool:
        """Whether the targets have reached their cabinets again: TCP tries anew at its own pace (RFC 6298)."""
        return all(self.stage.is_up(name) for name in self.targets)

    def _plug(self, *, is_in: bool) -> None:
        for name in self.targets:
            self.stage.network_of_namespaces().plug(name, is_in=is_in)
