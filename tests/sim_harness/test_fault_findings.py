"""What faults find out by themselves: the reaction that is required is told as good, its absence as bad."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import prometheus_client
import pytest
from fault_endpoints import Endpoints
from tortured_runs import cut_end_mark

from agent_factories import make_cabinet
from factories import make_intersection
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import RecordWriter
from phasemesh.sim_harness.faults.cabinet_faults import TWIN_SAYS, SecondDaemon
from phasemesh.sim_harness.faults.counters import Counted
from phasemesh.sim_harness.faults.disk_faults import MAX_LOG_BYTES, DiskFull, LogFlood, PowerCut
from phasemesh.sim_harness.faults.injection import Injection
from phasemesh.sim_harness.faults.messages import FLOOD_FRAMES
from phasemesh.sim_harness.faults.start_faults import LopsidedConflicts, ShortYellow
from record_factories import make_header, make_record


class Twin:
    """A process that has ended."""

    def __init__(self, exitcode: int | None) -> None:
        """It ended with `exitcode`, or still lives."""
        self.exitcode = exitcode
        self.was_killed = False

    def join(self, _timeout: float) -> None:
        """There is nothing to wait for."""

    def is_alive(self) -> bool:
        """Whether it lives."""
        return self.exitcode is None

    def kill(self) -> None:
        """End it."""
        self.was_killed = True


class Processes:
    """Processes of agents that nobody started; `exit_code` is that of the newest life and of every twin."""

    def __init__(self, folder: Path) -> None:
        """Keep logs and record in `folder`."""
        self.log, self.twin_log, self.record = folder / "0.log", folder / "0.twin.log", folder / "0-1.rec"
        self.exit_code: int | None = 2
        self.limits: list[int] = []
        self.log.write_text("begun\n")
        self.twin_log.write_text("")

    def log_of(self, _name: IntersectionId) -> Path:
        """As in `AgentProcesses`."""
        return self.log

    def twin_log_of(self, _name: IntersectionId) -> Path:
        """As in `AgentProcesses`."""
        return self.twin_log

    def records_of(self, _name: IntersectionId) -> Path:
        """As in `AgentProcesses`."""
        return self.record

    def boot_id_of(self, _name: IntersectionId) -> int:
        """As in `AgentProcesses`."""
        return 1

    def exit_code_of(self, _name: IntersectionId) -> int | None:
        """As in `AgentProcesses`."""
        return self.exit_code

    def is_alive(self, _name: IntersectionId) -> bool:
        """As in `AgentProcesses`."""
        return self.exit_code is None

    def kill(self, _name: IntersectionId) -> None:
        """As in `AgentProcesses`."""

    def limit_files(self, _name: IntersectionId, size_bytes: int) -> None:
        """As in `AgentProcesses`."""
        self.limits.append(size_bytes)

    def start_twin(self, _name: IntersectionId) -> Twin:
        """As in `AgentProcesses`."""
        return Twin(self.exit_code)


class Sites:
    """Folders that nobody spoiled."""

    def restore(self, _name: IntersectionId) -> None:
        """As in `AgentSites`."""


@pytest.fixture
def processes(tmp_path: Path) -> Processes:
    """The processes of the city."""
    return Processes(tmp_path)


@pytest.fixture
def city(tmp_path: Path, processes: Processes) -> Iterator[Endpoints]:
    """The endpoints of one agent, with its processes."""
    made = Endpoints(tmp_path / "site", agents=processes)
    made.stage.start = lambda _name: None
    made.stage.sites = Sites()  # type: ignore[assignment] # all of it that the faults here use
    yield made
    made.server.close()


def _goods(injection: Injection) -> list[bool]:
    return [outcome.is_good for outcome in injection.outcomes]


def _counter(city: Endpoints, name: str, *labels: str) -> prometheus_client.Counter:
    return prometheus_client.Counter(name, "As in the metrics.", labels, registry=city.metrics)


@pytest.mark.parametrize(
    ("exit_code", "says", "goods"),
    [
        (2, TWIN_SAYS, [True, True, True]),
        (2, "no bundle", [True, True, False]),
        (1, TWIN_SAYS, [True, False, True]),
        (None, "", [True, False, False]),
    ],
)
def test_f22_the_second_daemon_ends_and_knows_why(
    city: Endpoints, processes: Processes, exit_code: int | None, says: str, goods: list[bool]
) -> None:
    """Any other end of it is as bad as none; an older life is refused as such."""
    processes.exit_code = exit_code
    processes.twin_log.write_text(says)
    cabinet = make_cabinet(make_intersection(city.name))
    cabinet.attach(1)
    city.stage.cabinets = {city.name: cabinet}
    injection = SecondDaemon(city.stage, city.planned("second-daemon"))
    city.suffer(injection)

    assert _goods(injection) == goods, injection.outcomes


def test_f22_an_older_life_that_is_obeyed_is_found(city: Endpoints, processes: Processes) -> None:
    """A cabinet that does not know of the newer life obeys the older one."""
    processes.twin_log.write_text(TWIN_SAYS)
    city.stage.cabinets = {city.name: make_cabinet(make_intersection(city.name))}
    injection = SecondDaemon(city.stage, city.planned("second-daemon"))
    city.suffer(injection)

    assert not injection.outcomes[0].is_good, injection.outcomes


@pytest.mark.parametrize(
    ("kind", "last", "exit_code", "goods"),
    [
        (ShortYellow, "timings[0].yellow_s: 0.5 is outside 3 to 6", 2, [True, True]),
        (ShortYellow, "cannot publish: Address already in use", 2, [True, False]),
        (ShortYellow, "", None, [False, False]),
        (LopsidedConflicts, "the matrix must be symmetric", 2, [True, True]),
        (LopsidedConflicts, "the matrix must be symmetric", 1, [False, True]),
    ],
)
def test_f26_a_refused_start_names_its_reason(
    city: Endpoints, processes: Processes, kind: type[ShortYellow], last: str, exit_code: int | None, goods: list[bool]
) -> None:
    """A start that fails for another reason, or not at all, is no refusal of the configuration."""
    processes.exit_code = exit_code
    processes.log.write_text(f"begun\n{last}\n")
    injection = kind(city.stage, city.planned("config-yellow"))
    injection.spoil = lambda _name: None  # type: ignore[method-assign] # there is no folder to spoil
    city.suffer(injection)

    assert _goods(injection) == goods, injection.outcomes


@pytest.mark.parametrize(
    ("drops", "log_bytes", "goods"),
    [(FLOOD_FRAMES, 100, [True, True]), (3, 100, [False, True]), (FLOOD_FRAMES, MAX_LOG_BYTES + 1, [True, False])],
)
def test_f18_a_flood_is_counted_and_not_written_down(
    city: Endpoints, processes: Processes, drops: int, log_bytes: int, goods: list[bool]
) -> None:
    """A flood that nobody counted never came, and one that fills the log is what the fault is about."""
    counter = _counter(city, "tsc_neighbour_messages_dropped", "reason")

    def flood() -> None:
        counter.labels("garbled").inc(drops)
        processes.log.write_text("begun\n" + "x" * log_bytes)

    injection = LogFlood(city.stage, city.planned("message-flood"))
    city.suffer(injection, meanwhile=flood)

    assert _goods(injection) == goods, injection.outcomes


@pytest.mark.parametrize(("lost", "exit_code", "goods"), [(31, None, [True, True]), (0, None, [False, True])])
def test_f17_what_a_full_disk_costs_is_counted(
    city: Endpoints, processes: Processes, lost: int, exit_code: int | None, goods: list[bool]
) -> None:
    """An agent that counts no loss has lost in silence, or had room."""
    counter = _counter(city, "tsc_store_write_errors")
    processes.exit_code = exit_code
    injection = DiskFull(city.stage, city.planned("disk-full"))
    city.suffer(injection, meanwhile=lambda: counter.inc(lost))

    assert _goods(injection) == goods, injection.outcomes
    assert processes.limits == [0, -1]


def test_f7_a_stranger_that_nobody_turned_away_proves_nothing(city: Endpoints) -> None:
    """That nothing was heard may also be because nobody knocked."""

    class Knocks(Counted):
        metric, what = "tsc_peer_handshakes_refused_total", "handshakes refused"

    injection = Knocks(city.stage, city.planned("stranger"))
    city.suffer(injection)

    assert _goods(injection) == [False]


@pytest.mark.parametrize(("ticks", "goods"), [(5, [True]), (0, [False])])
def test_f16_a_torn_end_costs_one_record(city: Endpoints, processes: Processes, ticks: int, goods: list[bool]) -> None:
    """A file without a record to tear proves nothing."""
    writer = RecordWriter(processes.record, make_header())
    for tick in range(ticks):
        writer.write(make_record(tick=tick))
    writer.close()
    cut_end_mark(processes.record)
    injection = PowerCut(city.stage, city.planned("power-cut"))
    city.suffer(injection)

    assert _goods(injection) == goods, injection.outcomes


def test_f16_a_life_without_a_record_is_found(city: Endpoints) -> None:
    """There is nothing to tear where nothing was written."""
    injection = PowerCut(city.stage, city.planned("power-cut"))
    city.suffer(injection)

    assert _goods(injection) == [False]
