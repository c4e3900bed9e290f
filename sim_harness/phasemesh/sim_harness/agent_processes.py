"""The real agents of a city: one process each, started through a forkserver, watched, and started again on request."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.process import AgentLaunch
from phasemesh.sim_harness.agent_child import run_child
from phasemesh.sim_harness.inprocess import records_path

STOP_WAIT_S = 5.0
CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
EDGE_ENVIRONMENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}
"""What every agent's process has in its environment before anything is imported."""


class AgentProcesses:
    """The processes of the agents of one site."""

    def __init__(
        self, site_folder: Path, report: Path, names: Sequence[IntersectionId], *, keeps_records: bool
    ) -> None:
        """Prepare the forkserver; nothing runs before `start`."""
        self._site_folder = site_folder
        self._report = report
        self._numbers = {name: number for number, name in enumerate(names)}
        self._boot_ids = dict.fromkeys(names, 0)
        self._keeps_records = keeps_records
        self._processes: dict[IntersectionId, ForkServerProcess] = {}
        (report / "logs").mkdir(parents=True, exist_ok=True)
        os.environ.update(EDGE_ENVIRONMENT)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["phasemesh.sim_harness.agent_child"])

    @property
    def names(self) -> tuple[IntersectionId, ...]:
        """All agents, alive or not."""
        return tuple(self._numbers)

    def start(self, name: IntersectionId) -> ForkServerProcess:
        """Start a new life of the agent `name`."""
        self._boot_ids[name] += 1
        boot_id, number = self._boot_ids[name], self._numbers[name]
        launch = AgentLaunch(
            site_folder=self._site_folder,
            intersection_id=name,
            boot_id=boot_id,
            records=records_path(self._report, number, boot_id) if self._keeps_records else None,
            ends_with_parent=True,
        )
        log = self._report / "logs" / f"{number}.log"
        process = self._context.Process(target=run_child, args=(launch, log), name=f"agent-{number}", daemon=True)
        with _without_main_module():
            process.start()
        self._processes[name] = process
        return process

    def kill(self, name: IntersectionId) -> None:
        """Kill -9."""
        self._processes[name].kill()

    def is_alive(self, name: IntersectionId) -> bool:
        """Whether the process of `name` exists."""
        process = self._processes.get(name)
        return process is not None and process.is_alive()

    def log_of(self, name: IntersectionId) -> Path:
        """Where the output of the agent `name` goes."""
        return self._report / "logs" / f"{self._numbers[name]}.log"

    def record_files(self) -> list[Path]:
        """The record files of all lives of all agents."""
        return sorted((self._report / "records").glob("*.rec")) if self._keeps_records else []

    def stop(self) -> None:
        """Ask all agents to end, then make them."""
        living = [process for process in self._processes.values() if process.is_alive()]
        for process in living:
            os.kill(process.pid or 0, signal.SIGCONT)
            process.terminate()
        for process in living:
            process.join(STOP_WAIT_S)
            if process.is_alive():
                process.kill()
                process.join()

    def cpu_s(self) -> float:
        """CPU time of all living agents so far, in seconds."""
        return sum(_cpu_s(process.pid) for process in self._processes.values() if process.is_alive())

    def mean_pss_mb(self) -> float:
        """Mean proportional set size of the living agents, in megabytes; 0 without any."""
        sizes = [size for process in self._processes.values() if (size := _pss_mb(process.pid)) > 0]
        return sum(sizes) / len(sizes) if sizes else 0.0


def _cpu_s(pid: int | None) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS_PER_S


def _pss_mb(pid: int | None) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    kilobytes = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return next(kilobytes, 0) * 1024 / 1e6


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Keep children from running this program's main script again, which only costs them time and memory."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
