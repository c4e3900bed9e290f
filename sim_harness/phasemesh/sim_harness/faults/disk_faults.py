"""Faults F16 to F18: power fails in the middle of a write, the disk is full, something wants to fill it."""

from __future__ import annotations

import resource
from pathlib import Path
from random import Random

from phasemesh.contract.errors import RecordError
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import TickRecord, read_records
from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.process_faults import Killed
from phasemesh.sim_harness.faults.stage import Stage

MAX_LOG_BYTES = 20_000
"""A few dozen lines, for whatever number of frames."""
TORN_BYTES = 150
"""More than the end of a record, less than the whole of one."""


class DiskFull(Injection):
    """Every write of the process fails with EFBIG, log and records alike; control must go on."""

    async def begin(self) -> None:
        """Let no file of the process grow."""
        for name in self.targets:
            self.stage.agents.limit_files(name, 0)

    async def end(self) -> None:
        """Let files grow again."""
        for name in self.targets:
            self.note("the process lives", is_good=self.stage.agents.is_alive(name))
            self.stage.agents.limit_files(name, resource.RLIM_INFINITY)


class LogFlood(Injection):
    """Garbage arrives by the hundred; whoever wrote a line for each frame would fill the disk."""

    def __init__(self, stage: Stage, planned: PlannedFault) -> None:
        """Remember how long the logs are."""
        super().__init__(stage, planned)
        self._before_bytes = self._log_bytes()

    def _log_bytes(self) -> int:
        logs = [self.stage.agents.log_of(name) for name in self.targets]
        return sum(log.stat().st_size for log in logs if log.exists())

    async def end(self) -> None:
        """Tell how much longer they are."""
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

    def _tear(self, name: IntersectionId, record: Path) -> None:
        before = _readable_ticks(record)
        content = bytearray(record.read_bytes())
        draws = Random(self.planned.seed)  # noqa: S311 (repeatable)
        torn = content[:-TORN_BYTES] + draws.randbytes(TORN_BYTES // 2)
        record.write_bytes(torn)
        lost = before - _readable_ticks(record)
        self.note(f"a torn end cost {name} {lost} of {before} records", is_good=0 <= lost <= 1)


def _readable_ticks(record: Path) -> int:
    try:
        return sum(isinstance(item, TickRecord) for item in read_records(record)[1])
    except RecordError:
        return 0
