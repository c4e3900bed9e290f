"""Faults F16 to F18: power fails in the middle of a write, the disk is full, something wants to fill it."""

from __future__ import annotations

import resource
from pathlib import Path
from random import Random

from phasemesh.contract.errors import RecordError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import TickRecord, read_records
from phasemesh.sim_harness.faults.counters import STORE_METRIC, Counted, DroppedMessages
from phasemesh.sim_harness.faults.messages import FLOOD_FRAMES
from phasemesh.sim_harness.faults.process_faults import Killed

MAX_LOG_BYTES = 20_000
"""A few dozen lines, for whatever number of frames."""
TORN_BYTES = 150
"""More than the end of a record, less than the whole of one."""


class DiskFull(Counted):
    """Every write of the process fails with EFBIG, log and records alike; control goes on and losses are counted."""

    metric = STORE_METRIC
    what = "records lost and counted"

    async def begin(self) -> None:
        """Let no file of the process grow."""
        await super().begin()
        for name in self.targets:
            self.stage.agents.limit_files(name, 0)

    async def end(self) -> None:
        """Let files grow again, and tell what was counted meanwhile."""
        await super().end()
        for name in self.targets:
            self.note("the process lives", is_good=self.stage.agents.is_alive(name))
            self.stage.agents.limit_files(name, resource.RLIM_INFINITY)


class LogFlood(DroppedMessages):
    """Garbage arrives by the hundred; whoever wrote a line for each frame would fill the disk."""

    least = float(FLOOD_FRAMES)

    async def begin(self) -> None:
        """Remember how long the logs are."""
        await super().begin()
        self._before_bytes = self._log_bytes()

    def _log_bytes(self) -> int:
        logs = [self.stage.agents.log_of(name) for name in self.targets]
        return sum(log.stat().st_size for log in logs if log.exists())

    async def end(self) -> None:
        """Tell how much longer they are."""
        await super().end()
        grown = self._log_bytes() - self._before_bytes
        self.note(f"the log grew by {grown} bytes", is_good=grown <= MAX_LOG_BYTES)


class PowerCut(Killed):
    """The agent is killed and the end of its record torn off, as a power cut leaves it; the next life begins anew."""

    async def begin(self) -> None:
        """Kill and tear."""
        await super().begin()
        for name in self.targets:
            record = self.stage.agents.records_of(name)
            if record is not None and record.exists():
                self._tear(name, record)
            else:
                self.note(f"{name} had no record to tear", is_good=False)

    def _tear(self, name: IntersectionId, record: Path) -> None:
        before = _readable_ticks(record)
        content = bytearray(record.read_bytes())
        draws = Random(self.planned.seed)  # noqa: S311 (repeatable)
        torn = content[:-TORN_BYTES] + draws.randbytes(TORN_BYTES // 2)
        record.write_bytes(torn)
        lost = before - _readable_ticks(record)
        self.note(f"a torn end cost {name} {lost} of {before} records", is_good=lost == 1)


def _readable_ticks(record: Path) -> int:
    try:
        return sum(isinstance(item, TickRecord) for item in read_records(record)[1])
    except RecordError:
        return 0
