"""Faults F1, F23, F24 and F29 of whole processes: killed, stopped, killed again and again or mid-change, hung."""

from __future__ import annotations

import asyncio

import httpx

from phasemesh.contract.command import Interval
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.stage import Stage

FIRST_PAUSE_S = 2.0
"""Simulated seconds until a dead agent is started again, doubled every time, as a supervisor does."""
LIVENESS_EVERY_S = 0.5
"""Wall time between two questions of the supervisor."""


class Killed(Injection):
    """Kill -9 at the beginning, a new life at the end."""

    async def begin(self) -> None:
        """Kill."""
        for name in self.targets:
            self.stage.agents.kill(name)

    async def end(self) -> None:
        """Start again."""
        for name in self.targets:
            self.stage.start(name)

    @property
    def is_over(self) -> bool:
        """Whether the new lives have taken their leases."""
        return all(self.stage.is_up(name) for name in self.targets)


class Stopped(Injection):
    """SIGSTOP at the beginning, SIGCONT at the end: to the network the process looks alive."""

    async def begin(self) -> None:
        """Stop."""
        for name in self.targets:
            self.stage.agents.pause(name)
            self.stage.leave(name)

    async def end(self) -> None:
        """Go on."""
        for name in self.targets:
            self.stage.agents.resume(name)


class RestartStorm(Killed):
    """Every new life is killed before it has done anything; it is started again later and later."""

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """Begin with the shortest pause."""
        super().__init__(stage, planned)
        self._pause_s = FIRST_PAUSE_S
        self._start_s = 0.0
        self._lives = 0

    async def begin(self) -> None:
        """Kill the life that is there."""
        await super().begin()
        self._start_s = self.stage.elapsed_s + self._pause_s

    async def turn(self) -> None:
        """Kill what lives; start what is dead once its pause is over."""
        (name,) = self.targets
        if self.stage.is_up(name):
            self.stage.agents.kill(name)
            self._pause_s *= 2.0
            self._start_s = self.stage.elapsed_s + self._pause_s
        elif not self.stage.agents.is_alive(name) and self.stage.elapsed_s >= self._start_s:
            self._lives += 1
            self.stage.start(name)

    async def end(self) -> None:
        """Leave a life alone."""
        self.note(f"{self._lives} lives were ended before they could command", is_good=self._lives > 0)
        (name,) = self.targets
        if not self.stage.agents.is_alive(name):
            self.stage.start(name)


class KilledMidChange(Killed):
    """Kill -9 while the signal is yellow, and a new life at once, which must not assume anything."""

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """Wait for a yellow."""
        super().__init__(stage, planned)
        self._is_done = False

    async def begin(self) -> None:
        """Nothing before the signal is yellow."""

    async def turn(self) -> None:
        """Kill and start at the first yellow."""
        (name,) = self.targets
        signal = self.stage.cabinets[name].snapshot().signal
        if not self._is_done and signal.interval is Interval.YELLOW:
            self._is_done = True
            self.stage.agents.kill(name)
            self.stage.start(name)

    async def end(self) -> None:
        """Tell whether there was a yellow at all."""
        self.note("killed while the signal was yellow" if self._is_done else "never yellow", is_good=self._is_done)


class DeadLoop(Killed):
    """The decision loop of a living process stands still; a supervisor asks /livez and starts the agent again.

    The schedule inside the agent catches the loop; this part is the supervisor.
    """

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """Watch the targets."""
        super().__init__(stage, planned)
        self._found: set[IntersectionId] = set()

    async def begin(self) -> None:
        """Do not wait for who will not answer."""
        for name in self.targets:
            self.stage.leave(name)

    async def turn(self) -> None:
        """Ask, and start again what no longer turns or has ended itself."""
        for name in self.targets:
            if name not in self._found and not await self._is_live(name):
                self._found.add(name)
                self.stage.agents.kill(name)
                self.stage.start(name)

    async def _is_live(self, name: IntersectionId) -> bool:
        if not self.stage.agents.is_alive(name):
            return False
        return await _says_live(self.stage.operators[name], self.stage.proofs[name])

    async def end(self) -> None:
        """Start again whatever the supervisor missed."""
        for name in self.targets:
            self.note(f"the dead loop of {name} was found", is_good=name in self._found)
            if name not in self._found:
                self.stage.agents.kill(name)
                self.stage.start(name)


async def _says_live(address: str, proof: dict[str, str]) -> bool:
    """What a supervisor concludes from /livez; a process that answers nothing is left to its other checks."""
    await asyncio.sleep(LIVENESS_EVERY_S)
    async with httpx.AsyncClient(timeout=2.0, trust_env=False, headers=proof) as client:
        try:
            return (await client.get(f"http://{address}/livez")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return True
