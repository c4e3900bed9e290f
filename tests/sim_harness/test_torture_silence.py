"""How long a silence of neighbours may keep an agent apart: the judge's own count, held against the ladder's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tortured_runs import TICK_S, VICTIM, judged, leave_run

from phasemesh.contract.units import IntersectionId
from phasemesh.controller.ladder import FRESH, Raised, next_standing
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.telemetry.records import PeerInput, Rung
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.torture.silence import Silence
from record_factories import EAST
from strategies import brisk

SILENT = (Raised(LadderEvent.NEIGHBOURS_STALE, "nobody is fresh"),)
CUT = PlannedFault(fault="F4", means="message-delay", targets=(VICTIM,), start_s=40.0, length_s=30.0)


@brisk
@given(ticks=st.lists(st.tuples(st.booleans(), st.sampled_from((2.0, 28.0, 30.0, 60.0, 480.0, 900.0))), max_size=40))
def test_the_judge_counts_as_the_ladder_does(ticks: list[tuple[bool, float]]) -> None:
    """Written twice, from the documents alone, and of one opinion at every tick of any course."""
    silence, standing, now_s = Silence(), FRESH, 0.0
    for is_alone, after_s in ticks:
        now_s += after_s
        standing = next_standing(standing, SILENT if is_alone else (), now_s)
        until_s = silence.until_s(now_s, 1, is_alone=is_alone)

        assert bool(standing.in_force) == (is_alone or now_s < until_s)


def test_another_life_owes_nothing_for_the_one_before() -> None:
    """What a process had heard ended with it."""
    silence = Silence()
    for at_s, is_alone in ((0.0, False), (2.0, True)):
        silence.until_s(at_s, 1, is_alone=is_alone)

    assert silence.until_s(4.0, 2, is_alone=True) == 0.0


def left(folder: Path, *, silent: set[float], isolated: tuple[float, float], planned: PlannedFault = CUT) -> None:
    """Leave a run in which the victim heard nobody at the times of `silent` and was isolated between two times."""

    def changes(at_s: float, name: IntersectionId) -> dict[str, Any]:
        if name != VICTIM or at_s not in silent:
            return {}
        return {"peers": (PeerInput(EAST, 9, False, None, None),), "comm_misses": (EAST,)}

    rungs = {isolated[0]: Rung.ISOLATED, isolated[1]: Rung.COORDINATED}
    leave_run(folder, planned=planned, over_s=70.0, rungs=rungs, changes=changes)


def every(from_s: float, to_s: float) -> set[float]:
    """The times of all ticks from one to another."""
    return {from_s + TICK_S * tick for tick in range(int((to_s - from_s) / TICK_S) + 1)}


@pytest.mark.parametrize(
    ("silent", "back_s", "failures"),
    [
        (every(46.0, 70.0), 100.0, ()),
        (every(46.0, 70.0), 106.0, ("back in COORDINATED after 36 s, allowed are 32 s",)),
        (every(4.0, 8.0) | every(46.0, 70.0), 130.0, ()),
        (every(4.0, 8.0) | every(46.0, 70.0), 136.0, ("back in COORDINATED after 66 s, allowed are 60 s",)),
        (every(46.0, 80.0), 110.0, ("back in COORDINATED after 40 s, allowed are 32 s",)),
    ],
    ids=["in time", "too late", "the second silence", "too late after it", "silent for longer than the fault"],
)
def test_an_agent_is_back_when_its_clean_period_is_over(
    tmp_path: Path, silent: set[float], back_s: float, failures: tuple[str, ...]
) -> None:
    """The first silence costs 30 s, one that follows it twice as long, and one without a cause nothing."""
    left(tmp_path, silent=silent, isolated=(46.0, back_s))

    assert judged(tmp_path).verdicts[0].failures == failures


@pytest.mark.parametrize(("until_s", "is_sound"), [(64.0, True), (80.0, False)])
def test_waiting_for_an_earlier_silence_is_no_fall(tmp_path: Path, until_s: float, is_sound: bool) -> None:
    """A fault under which nobody may be isolated finds an agent that still is; but not for longer than it has to be."""
    jump = PlannedFault(fault="F19", means="dead-collector", targets=(VICTIM,), start_s=60.0, length_s=10.0)
    left(tmp_path, silent=every(30.0, 34.0), isolated=(30.0, until_s), planned=jump)
    failures = judged(tmp_path).verdicts[0].failures

    assert ("fell to ISOLATED, may fall to MISSES" not in failures) is is_sound
