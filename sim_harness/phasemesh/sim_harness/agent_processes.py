"""The real agents of a city: one process each, started through a forkserver, watched, and started again on request."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import ModuleType

import msgspec

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.process import AgentLaunch
from phasemesh.sim_harness.agent_child import run_child
from phasemesh.sim_harness.faults.planned import PlannedFault
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


class Outfit(msgspec.Struct, frozen=True):
    """What sets one agent apart: a site folder of its own with who may have signed it, and faults inside."""

    site_folder: Path
    site_keys: tuple[str, ...] = ()
    faults: tuple[PlannedFault, ...] = ()


class EndedLife(msgspec.Struct, frozen=True):
    """One life of an agent: the name of its record file, and its exit code, None where it has not ended."""

    agent: IntersectionId
    boot_id: int
    record: str
    exit_code: int | None


class Needs(msgspec.Struct, frozen=True):
    """What one process holds: proportional set size in megabytes, open descriptors, threads."""

    pss_mb: float
    descriptors: int
    threads: int


class AgentProcesses:
    """The processes of the agents of one site; `outfits` may change between two lives of an agent.

    `namespaces` are those network namespaces which agents enter before anything else.
    """

    def __init__(
        self,
        site_folder: Path,
        report: Path,
        names: Sequence[IntersectionId],
        *,
        keeps_records: bool,
        site_keys: tuple[str, ...] = (),
        memory_folder: Path | None = None,
    ) -> None:
        """Prepare the forkserver; nothing runs before `start`.

        `site_keys` and `memory_folder` are as in `AgentLaunch`.
        """
        self.memory_folder = memory_folder
        self.site_folder = site_folder
        self.site_keys = site_keys
        self.outfits: dict[IntersectionId, Outfit] = {}
        self.namespaces: dict[IntersectionId, Path] = {}
        self._report = report
        self._numbers = {name: number for number, name in enumerate(names)}
        self._boot_ids = dict.fromkeys(names, 0)
        self._keeps_records = keeps_records
        self._processes: dict[IntersectionId, ForkServerProcess] = {}
        self._lives: dict[tuple[IntersectionId, int], ForkServerProcess] = {}
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
        process = self._fork(name, self.records_of(name), self.log_of(name))
        self._processes[name] = self._lives[name, self._boot_ids[name]] = process
        return process

    def start_twin(self, name: IntersectionId) -> ForkServerProcess:
        """Start a second process for the present life of `name`, as a careless operator would; it is not counted."""
        return self._fork(name, None, self.twin_log_of(name))

    def _fork(self, name: IntersectionId, records: Path | None, log: Path) -> ForkServerProcess:
        outfit = self.outfits.get(name, Outfit(self.site_folder, self.site_keys))
        launch = AgentLaunch(
            site_folder=outfit.site_folder,
            intersection_id=name,
            boot_id=self._boot_ids[name],
            records=records,
            ends_with_parent=True,
            site_keys=outfit.site_keys,
            memory_folder=self.memory_folder,
        )
        process = self._context.Process(
            target=run_child,
            args=(launch, log, outfit.faults, self.namespaces.get(name)),
            name=f"agent-{self._numbers[name]}",
            daemon=True,
        )
        with _without_main_module():
            process.start()
        return process

    def kill(self, name: IntersectionId) -> None:
        """Kill -9, and wait for the end: what the process held is free when this returns."""
        self._processes[name].kill()
        self._processes[name].join(STOP_WAIT_S)

    def pause(self, name: IntersectionId) -> None:
        """Stop the process where it stands, as a machine does that hangs."""
        self._signal(name, signal.SIGSTOP)

    def resume(self, name: IntersectionId) -> None:
        """Let a paused process go on."""
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: IntersectionId, number: signal.Signals) -> None:
        if self.is_alive(name):
            os.kill(self._processes[name].pid or 0, number)

    def limit_files(self, name: IntersectionId, size_bytes: int) -> None:
        """Let the process write no file beyond `size_bytes`, or any file again (`resource.RLIM_INFINITY`).

        To the process it looks like a full disk: its writes fail, while those of everybody else go on.
        """
        if self.is_alive(name):
            _, hard = resource.prlimit(self._processes[name].pid or 0, resource.RLIMIT_FSIZE)
            resource.prlimit(self._processes[name].pid or 0, resource.RLIMIT_FSIZE, (size_bytes, hard))

    def boot_id_of(self, name: IntersectionId) -> int:
        """The present life of `name`."""
        return self._boot_ids[name]

    def exit_code_of(self, name: IntersectionId) -> int | None:
        """How the newest process of `name` ended; None while it lives, or before its first."""
        process = self._processes.get(name)
        return None if process is None else process.exitcode

    def is_alive(self, name: IntersectionId) -> bool:
        """Whether the process of `name` exists."""
        process = self._processes.get(name)
        return process is not None and process.is_alive()

    def log_of(self, name: IntersectionId) -> Path:
        """Where the output of the agent `name` goes."""
        return self._report / "logs" / f"{self._numbers[name]}.log"

    def twin_log_of(self, name: IntersectionId) -> Path:
        """Where the output of a second process for `name` goes."""
        return self.log_of(name).with_suffix(".twin.log")

    def records_of(self, name: IntersectionId) -> Path | None:
        """The flight record of the present life of `name`; None when records are not kept."""
        return records_path(self._report, self._numbers[name], self._boot_ids[name]) if self._keeps_records else None

    def record_files(self) -> list[Path]:
        """The record files of all lives of all agents, those that were set aside when they were full included."""
        return sorted((self._report / "records").glob("*.rec*")) if self._keeps_records else []

    def lives(self) -> Iterator[EndedLife]:
        """All lives that were ever started, in the order of their beginnings."""
        for (name, boot_id), process in self._lives.items():
            record = records_path(self._report, self._numbers[name], boot_id).name
            yield EndedLife(name, boot_id, record, process.exitcode)

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

    def needs(self) -> dict[IntersectionId, Needs]:
        """What each living agent holds now."""
        return {
            name: Needs(_pss_mb(process.pid), _descriptors(process.pid), _threads(process.pid))
            for name, process in self._processes.items()
            if process.is_alive()
        }


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


def _descriptors(pid: int | None) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def _threads(pid: int | None) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Keep children from running this program's main script again, which only costs them time and memory."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
