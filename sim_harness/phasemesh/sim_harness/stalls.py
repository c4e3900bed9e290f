"""What a machine and its agents look like from outside during a long run: needs of processes, stalls of the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.agent_processes import Needs

NEEDS_NAME = "needs.json"


class Sample(msgspec.Struct, frozen=True):
    """What every agent held `wall_s` after the beginning of the run."""

    wall_s: float
    needs: dict[IntersectionId, Needs]


class Stalls(msgspec.Struct, frozen=True):
    """How often and how long the machine let a sleeping thread wait, in seconds of wall time."""

    count: int
    total_s: float
    longest_s: float


class LongRun(msgspec.Struct, frozen=True):
    """What a long run leaves behind for its report."""

    samples: tuple[Sample, ...]
    stalls: Stalls


class StallWatch:
    """Watches the machine from a process of its own until `close`."""

    def __init__(self) -> None:
        """Begin to watch."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "phasemesh.sim_harness.machine_stalls"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> Stalls:
        """End, and tell what was seen."""
        count, total_s, longest_s = self._process.communicate()[0].split()
        return Stalls(int(count), float(total_s), float(longest_s))


def write_long_run(folder: Path, samples: list[Sample], stalls: Stalls) -> None:
    """Write down what was seen into the folder of the run."""
    (folder / NEEDS_NAME).write_bytes(msgspec.json.encode(LongRun(tuple(samples), stalls)))


def read_long_run(folder: Path) -> LongRun:
    """What `write_long_run` wrote."""
    return msgspec.json.decode((folder / NEEDS_NAME).read_bytes(), type=LongRun)
