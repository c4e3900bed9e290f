"""The process of a cabinet dies or hangs (F11): its agent lets go, says so, and takes the signal again by itself."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent_factories import WEST, make_site
from agent_runs import Alone
from command_line import PATIENCE_S, eventually, fetch, free_ports, start_phasemesh
from phasemesh.contract.command import CommandKind
from phasemesh.contract.detection import Snapshot
from phasemesh.contract.site import Pace
from phasemesh.controller.access.tokens import read_agent_token
from phasemesh.controller.adapters.http import HttpDriver
from phasemesh.controller.ladder_table import LadderEvent, Rung
from phasemesh.controller.process import AgentLaunch
from phasemesh.controller.telemetry.records import TickRecord

SPEED = 10.0
"""Simulated seconds a second, so that thirty clean seconds take three."""


def _is_obeyed(tick: TickRecord) -> bool:
    return tick.kind is CommandKind.STAGE and tick.applied is not None and tick.applied.is_accepted


class Corner:
    """A cabinet as a process of its own, and the agent that commands it."""

    def __init__(self, folder: Path) -> None:
        """Start both, and wait until the agent is obeyed."""
        self._port, operator = free_ports(2)
        url = f"http://127.0.0.1:{self._port}"
        self._operator = f"127.0.0.1:{operator}"
        self._site = folder / "site"
        make_site(self._site, {WEST: ()}, cabinet=url, operator=self._operator, pace=Pace.REALTIME, speed=SPEED)
        self._driver = HttpDriver(url, WEST, read_agent_token(self._site, 0))
        self.cabinet = self.start_cabinet()
        launch = AgentLaunch(site_folder=self._site, intersection_id=WEST, boot_id=5, records=folder / "west.rec")
        self._agent = Alone(launch)
        assert eventually(lambda: self.is_obeyed(after=0))

    def start_cabinet(self) -> subprocess.Popen[str]:
        """A cabinet that already serves."""
        self.cabinet = start_phasemesh("cabinet", "--site", str(self._site), "--port", str(self._port))
        assert eventually(lambda: isinstance(self._driver.observe(-1, 0.0), Snapshot))
        return self.cabinet

    def kill_cabinet(self) -> None:
        """Kill -9."""
        self.cabinet.kill()
        self.cabinet.communicate(timeout=PATIENCE_S)

    def ticks(self) -> list[TickRecord]:
        """The ticks of the agent so far."""
        return self._agent.ticks()

    def is_obeyed(self, *, after: int) -> bool:
        """Whether the cabinet accepted a stage in a tick of that number or a later one."""
        return any(map(_is_obeyed, self.ticks()[after:]))

    def is_released(self) -> bool:
        """Whether the agent tells operators that it has let go of a cabinet that it cannot reach."""
        return b'"rung":"RELEASED"' in (self._told("/v1/phase") or b"").replace(b" ", b"")

    def releases(self) -> float:
        """How often the agent counted that it let go."""
        page = (self._told("/metrics") or b"").decode()
        found = re.search(r'^tsc_ladder_changes_total\{to="RELEASED"\} (\S+)$', page, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def _told(self, path: str) -> bytes | None:
        return fetch(f"http://{self._operator}{path}", read_agent_token(self._site, 0))

    def close(self) -> None:
        """Leave no process behind."""
        self._agent.close()
        self._driver.close()
        if self.cabinet.poll() is None:
            self.cabinet.send_signal(signal.SIGCONT)
            self.kill_cabinet()


@pytest.fixture
def corner(tmp_path: Path) -> Iterator[Corner]:
    """A cabinet whose agent has command."""
    with closing(Corner(tmp_path)) as made:
        yield made


def _killed(corner: Corner) -> None:
    corner.kill_cabinet()


def _started_again(corner: Corner) -> None:
    corner.start_cabinet()


def _stopped(corner: Corner) -> None:
    corner.cabinet.send_signal(signal.SIGSTOP)


def _resumed(corner: Corner) -> None:
    corner.cabinet.send_signal(signal.SIGCONT)


@pytest.mark.parametrize(
    ("take", "give_back"), [(_killed, _started_again), (_stopped, _resumed)], ids=["kill -9", "SIGSTOP"]
)
def test_f11_the_process_of_a_cabinet_dies_or_hangs(
    corner: Corner, take: Callable[[Corner], None], give_back: Callable[[Corner], None]
) -> None:
    """The agent stands on RELEASED and counts it, waits for clean time once it is answered, and is obeyed again."""
    before = corner.releases()
    take(corner)
    assert eventually(corner.is_released)
    ticks_before = len(corner.ticks())
    give_back(corner)
    assert eventually(lambda: corner.is_obeyed(after=ticks_before))

    after = corner.ticks()[ticks_before:]
    first_obeyed = next(filter(_is_obeyed, after))
    waiting = after[: after.index(first_obeyed)]
    assert waiting
    assert {tick.rung for tick in waiting} == {Rung.RELEASED}
    assert all(LadderEvent.CABINET_SILENT in tick.in_force for tick in waiting)
    assert LadderEvent.CABINET_SILENT not in first_obeyed.in_force
    assert corner.releases() >= before + 1
