"""When a fault counts as over: when what it took is there again, and never because nobody wanted to wait."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import msgspec
import pytest

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.agent_processes import AgentProcesses, EndedLife, Outfit
from phasemesh.sim_harness.faults.attack import EVIDENCE_NAME, GIVE_UP_S, Attack, Evidence
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.relay import RelayBoard
from phasemesh.sim_harness.faults.stage import Stage

NAME = IntersectionId("victim")
KILL = PlannedFault(fault="F1", means="kill", targets=(NAME,), start_s=10.0, length_s=20.0)
LATER = msgspec.structs.replace(KILL, start_s=900.0)


class Processes:
    """An agent whose next life may or may not come up."""

    def __init__(self) -> None:
        """It lives."""
        self.is_up = True
        self.outfits: dict[IntersectionId, Outfit] = {}

    def kill(self, _name: IntersectionId) -> None:
        """As in `AgentProcesses`."""
        self.is_up = False

    def is_alive(self, _name: IntersectionId) -> bool:
        """As in `AgentProcesses`."""
        return self.is_up

    def boot_id_of(self, _name: IntersectionId) -> int:
        """As in `AgentProcesses`."""
        return 1

    def lives(self) -> list[EndedLife]:
        """As in `AgentProcesses`."""
        return [EndedLife(NAME, 1, "0-1.rec", -9), EndedLife(NAME, 2, "0-2.rec", 0)]


class Sites:
    """Folders that nobody needs here."""

    site_key = "key"

    def folder_of(self, _name: IntersectionId) -> Path:
        """As in `AgentSites`."""
        return Path("site")


def _evidence(folder: Path, *, comes_back_at_s: float) -> Evidence:
    """What is written down of a kill whose next life is up from that time on, in a run of 300 s."""
    processes = Processes()
    stage = Stage(cast("AgentProcesses", processes), {}, {}, start=lambda _name: None, leave=pytest.fail)
    stage.sites = Sites()  # type: ignore[assignment] # all of it that a kill needs
    stage.links = RelayBoard(lambda _name: ("", 0))
    attack = Attack(stage, [KILL, LATER], begin_s=0.0, report=folder)

    async def play() -> None:
        attack.note_lease(NAME, 1)
        for elapsed_s in range(0, 300, 2):
            processes.is_up = processes.is_up or elapsed_s >= comes_back_at_s
            await attack.turn(float(elapsed_s))
        await attack.close()
        attack.write()

    asyncio.run(play())
    return msgspec.json.decode((folder / EVIDENCE_NAME).read_bytes(), type=Evidence)


def test_a_fault_is_over_when_what_it_took_is_back(tmp_path: Path) -> None:
    """Not at its planned end, but when the next life is up."""
    (happened,) = _evidence(tmp_path, comes_back_at_s=40.0).happened

    assert (happened.over_s, happened.is_given_up) == (40.0, False)


def test_a_fault_that_nobody_waits_for_any_longer_is_given_up(tmp_path: Path) -> None:
    """After two minutes the next one has its turn, and this one is not taken for ended."""
    (happened,) = _evidence(tmp_path, comes_back_at_s=1e9).happened

    assert happened.is_given_up
    assert happened.over_s == KILL.end_s + GIVE_UP_S + 2.0


def test_what_never_began_and_who_lived_is_written_down(tmp_path: Path) -> None:
    """A fault whose time did not come, and every life with how it ended and whether its cabinet heard of it."""
    evidence = _evidence(tmp_path, comes_back_at_s=40.0)

    assert evidence.never_begun == (LATER,)
    assert [(life.record, life.has_spoken, life.is_orderly) for life in evidence.lives] == [
        ("0-1.rec", True, False),
        ("0-2.rec", False, True),
    ]
