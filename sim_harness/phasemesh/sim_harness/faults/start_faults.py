"""Faults F13, F14, F26 and F28: an agent comes up with a spoiled bundle, description or key."""

from __future__ import annotations

from pathlib import Path
from random import Random

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.agent_child import EXIT_REFUSED
from phasemesh.sim_harness.faults.process_faults import Killed


class SpoiledStart(Killed):
    """The agent is killed, its belongings are spoiled, and it is started; at the end it comes up as it should."""

    def spoil(self, name: IntersectionId) -> None:
        """Spoil what the agent `name` starts from."""
        raise NotImplementedError

    async def begin(self) -> None:
        """Kill, spoil and start."""
        for name in self.targets:
            self.stage.agents.kill(name)
            self.spoil(name)
            self.stage.start(name)

    async def end(self) -> None:
        """Kill, restore and start."""
        for name in self.targets:
            if self.stage.agents.is_alive(name):
                self.stage.agents.kill(name)
            self.stage.sites.restore(name)
        await super().end()


class BundleMissing(SpoiledStart):
    """The graph is not there."""

    def spoil(self, name: IntersectionId) -> None:
        """Remove the graph."""
        self._graph(name).unlink()

    def _graph(self, name: IntersectionId) -> Path:
        return next(self.stage.sites.bundle_of(name).rglob("*.onnx"))


class BundleTruncated(BundleMissing):
    """Half of the graph is there."""

    def spoil(self, name: IntersectionId) -> None:
        """Cut the graph in half."""
        graph = self._graph(name)
        graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])


class BundleAltered(BundleMissing):
    """One bit of the graph is another, which alone would load and decide differently."""

    def spoil(self, name: IntersectionId) -> None:
        """Flip one bit, drawn by the seed."""
        graph = self._graph(name)
        content, draws = bytearray(graph.read_bytes()), Random(self.planned.seed)  # noqa: S311 (repeatable)
        content[draws.randrange(len(content))] ^= 1 << draws.randrange(8)
        graph.write_bytes(content)


class ShortYellow(SpoiledStart):
    """The description asks for a yellow that nobody could react to; the agent must not start, and must say why."""

    says = "yellow_s"
    """What the log of the refused start names."""

    def spoil(self, name: IntersectionId) -> None:
        """Sign a yellow of half a second."""
        entry = self.stage.sites.entry_of(name)
        timings = tuple(msgspec.structs.replace(timing, yellow_s=0.5) for timing in entry.timings)
        self.stage.sites.spoil_entry(name, msgspec.structs.replace(entry, timings=timings))

    async def end(self) -> None:
        """Tell how the start was refused, then start as it should be."""
        for name in self.targets:
            code = self.stage.agents.exit_code_of(name)
            self.note(f"start refused with exit code {code}", is_good=code == EXIT_REFUSED)
            last = (self.stage.agents.log_of(name).read_text().splitlines() or [""])[-1]
            self.note(f"it said: {last}", is_good=self.says in last)
        await super().end()


class LopsidedConflicts(ShortYellow):
    """The conflict matrix is not symmetric; the agent must not start, and must say why."""

    says = "must be symmetric"

    def spoil(self, name: IntersectionId) -> None:
        """Sign a matrix in which one movement conflicts with another but not the other way round."""
        entry = self.stage.sites.entry_of(name)
        rows = [list(row) for row in entry.intersection.conflicts]
        rows[0][-1] = "1" if rows[0][-1] == "0" else "0"
        conflicts = tuple("".join(row) for row in rows)
        intersection = msgspec.structs.replace(entry.intersection, conflicts=conflicts)
        self.stage.sites.spoil_entry(name, msgspec.structs.replace(entry, intersection=intersection))


class KeyRotatedFirst(SpoiledStart):
    """An agent has a new key before its neighbours know of it: nobody hears it, and it hears nobody."""

    def spoil(self, name: IntersectionId) -> None:
        """Give it a new key."""
        self.stage.sites.rotate_key(name)
