"""The barrier of lockstep: simulated time goes on when every live agent has answered for this step."""

from __future__ import annotations

import asyncio

from phasemesh.contract.units import IntersectionId

SILENCE_S = 5.0
"""Wall time after which a silent agent is left out until it answers again."""


class Barrier:
    """Knows who is waited for; an agent joins with its first lease and leaves by dying or by silence."""

    def __init__(self) -> None:
        """Begin with nobody to wait for."""
        self._present: set[IntersectionId] = set()
        self._missing: set[IntersectionId] = set()
        self._step = -1
        self._done = asyncio.Event()

    @property
    def present(self) -> frozenset[IntersectionId]:
        """The agents that are waited for."""
        return frozenset(self._present)

    def join(self, name: IntersectionId) -> None:
        """Wait for `name` from the next step on."""
        self._present.add(name)

    def leave(self, name: IntersectionId) -> None:
        """Do not wait for `name` any longer."""
        self._present.discard(name)
        self._missing.discard(name)
        self._wake()

    def begin(self, step: int) -> None:
        """Everyone present has to answer for `step`."""
        self._step = step
        self._missing = set(self._present)
        self._done.clear()
        self._wake()

    def answer(self, name: IntersectionId, step: int) -> None:
        """`name` answered for `step`; whoever answers at all is present again."""
        self._present.add(name)
        if step >= self._step:
            self._missing.discard(name)
        self._wake()

    async def wait(self, timeout_s: float = SILENCE_S) -> frozenset[IntersectionId]:
        """Wait until all have answered; returns those who were silent too long, who are left out from now on."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._done.wait()
        except TimeoutError:
            silent = frozenset(self._missing)
            self._present -= silent
            self._missing.clear()
            return silent
        return frozenset()

    def interrupt(self) -> None:
        """End a wait at once."""
        self._missing.clear()
        self._wake()

    def _wake(self) -> None:
        if not self._missing:
            self._done.set()
