"""How a run under attack is judged: what went wrong is found, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from result_factories import make_result

from phasemesh.contract.detection import ControlMode
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import PeerInput, RecordWriter, Rung
from phasemesh.sim_harness.faults.attack import EVIDENCE_NAME, Evidence, Happened, ModeChange
from phasemesh.sim_harness.faults.injection import Outcome
from phasemesh.sim_harness.faults.messages import OLD_VERSION
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.table import Depth
from phasemesh.sim_harness.torture.judge import Judgement, judge
from phasemesh.sim_harness.torture.pages import verdict_rows, write_torture_report
from phasemesh.sim_harness.torture.timeline import Moment, Timeline
from record_factories import make_header, make_record

VICTIM, OTHER = IntersectionId("victim"), IntersectionId("other")
TICK_S = 2.0
KILL = PlannedFault(fault="F1", means="kill", targets=(VICTIM,), start_s=40.0, length_s=20.0)


def _play(
    folder: Path,
    *,
    planned: PlannedFault = KILL,
    over_s: float = 60.0,
    rungs: dict[float, Rung] | None = None,
    modes: tuple[tuple[float, ControlMode], ...] = (),
    outcomes: tuple[Outcome, ...] = (),
    other: tuple[tuple[float, ControlMode], ...] = (),
    peers: Callable[[float, IntersectionId], tuple[PeerInput, ...]] | None = None,
) -> None:
    """Leave behind what a run of 200 s leaves: records of the victim, which stands on `rungs` from their time on.

    `peers` is what each agent knows of its neighbours at each time.
    """
    rungs = rungs or {}
    for number, name in enumerate((VICTIM, OTHER)):
        writer = RecordWriter(folder / "records" / f"{number}-1.rec", make_header())
        rung = Rung.COORDINATED
        for tick in range(100):
            at_s = tick * TICK_S
            rung = rungs.get(at_s, rung) if name == VICTIM else rung
            known = {} if peers is None else {"peers": peers(at_s, name)}
            record = make_record(tick=tick, rung=rung, comm_misses=(), **known)
            snapshot = msgspec.structs.replace(record.snapshot, intersection_id=name, now_s=1000.0 + at_s)
            writer.write(msgspec.structs.replace(record, snapshot=snapshot))
        writer.close()
    agent = ModeChange(0.0, ControlMode.AGENT)
    evidence = Evidence(
        1000.0,
        (Happened(planned, planned.start_s, over_s, outcomes),),
        {
            VICTIM: (agent, *(ModeChange(*change) for change in modes)),
            OTHER: (agent, *(ModeChange(*change) for change in other)),
        },
    )
    (folder / EVIDENCE_NAME).write_bytes(msgspec.json.encode(evidence))


def _judge(folder: Path, **changes: Any) -> Judgement:
    calm = make_result(tick_s=TICK_S, collisions=1)
    return judge(folder, msgspec.structs.replace(calm, **changes), calm)


OWN_PLAN = ((50.0, ControlMode.OWN_PLAN), (75.0, ControlMode.AGENT))


def test_a_fault_that_went_as_required(tmp_path: Path) -> None:
    """The cabinet fell back, the agent came back in time, and nobody else noticed."""
    _play(tmp_path, modes=OWN_PLAN)

    (verdict,) = _judge(tmp_path).verdicts

    assert verdict.failures == ()
    assert verdict.deepest == "RELEASED"
    assert verdict.recovered_s == 16.0
    assert verdict.allowed_s == 32.0


@pytest.mark.parametrize(
    ("left", "says"),
    [
        ({}, "no effect"),
        ({"modes": ((50.0, ControlMode.OWN_PLAN),)}, "did not come back"),
        ({"modes": ((50.0, ControlMode.OWN_PLAN), (97.0, ControlMode.AGENT))}, "after 38 s, allowed are 32 s"),
        ({"modes": OWN_PLAN, "rungs": {62.0: Rung.LOCAL, 110.0: Rung.COORDINATED}}, "after 50 s"),
        ({"modes": ((50.0, ControlMode.FLASH), (75.0, ControlMode.AGENT))}, "fell to FLASH"),
        ({"modes": OWN_PLAN, "other": OWN_PLAN}, "took other along"),
        ({"modes": OWN_PLAN, "outcomes": (Outcome("it would not die", is_good=False),)}, "it would not die"),
    ],
)
def test_what_is_not_as_required_is_found(tmp_path: Path, left: dict[str, Any], says: str) -> None:
    """Each requirement has its own line."""
    _play(tmp_path, **left)

    judgement = _judge(tmp_path)

    assert any(says in failure for failure in judgement.all_failures), judgement.all_failures


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"monitor_trips": 1, "monitor_findings": ("conflict at x",)}, "monitor tripped 1 times: conflict at x"),
        ({"collisions": 2}, "2 collisions, 1 without faults"),
        ({"is_complete": False}, "interrupted"),
        ({"lost_agents": ("victim",)}, "lost for good: victim"),
        ({"latched_faults": ("victim: I1",)}, "in flash at the end"),
    ],
)
def test_the_run_as_a_whole_is_judged(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """One line each for what may never happen, whatever the fault."""
    _play(tmp_path, modes=OWN_PLAN)

    (failure,) = _judge(tmp_path, **changes).all_failures

    assert says in failure


def _of_neighbour(at_s: float, **changes: Any) -> tuple[PeerInput, ...]:
    """A fresh neighbour that differs from a plain one by `changes`, from the message of this very step on."""
    (peer, _) = make_record(tick=int(at_s / TICK_S)).peers
    return (msgspec.structs.replace(peer, **changes),)


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "not told"])
def test_f21_whoever_is_not_heard_has_to_tell(tmp_path: Path, is_told: bool) -> None:
    """The deaf side fell as it must; the other one must have known of it, in time and by name."""
    planned = PlannedFault(
        fault="F21", means="links-cut", targets=(VICTIM,), start_s=40.0, length_s=20.0, peers=(OTHER,)
    )

    def peers(at_s: float, name: IntersectionId) -> tuple[PeerInput, ...]:
        is_deaf = is_told and name == OTHER and 48.0 <= at_s <= 62.0
        return _of_neighbour(at_s, peer=VICTIM if name == OTHER else OTHER, hears_us=not is_deaf)

    _play(tmp_path, planned=planned, rungs={48.0: Rung.ISOLATED, 62.0: Rung.COORDINATED}, peers=peers)

    assert _judge(tmp_path).verdicts[0].failures == (
        () if is_told else ("other did not tell that victim does not hear it",)
    )


@pytest.mark.parametrize(
    ("version", "rungs", "failures"),
    [
        (1, {}, ()),
        (2, {}, ("victim used no message of version 1",)),
        (1, {50.0: Rung.ISOLATED, 62.0: Rung.COORDINATED}, ("fell to ISOLATED, may fall to MISSES",)),
    ],
    ids=["used", "not sent", "isolated"],
)
def test_f30_the_version_before_must_be_used(
    tmp_path: Path, version: int, rungs: dict[float, Rung], failures: tuple[str, ...]
) -> None:
    """No rung is lost to an old message, and it must have been one."""
    planned = PlannedFault(fault="F30", means=OLD_VERSION, targets=(VICTIM,), start_s=40.0, length_s=20.0)

    def peers(at_s: float, _name: IntersectionId) -> tuple[PeerInput, ...]:
        (peer,) = _of_neighbour(at_s)
        return (msgspec.structs.replace(peer, message=msgspec.structs.replace(peer.message, version=version)),)

    _play(tmp_path, planned=planned, rungs=rungs, peers=peers)

    assert _judge(tmp_path).verdicts[0].failures == failures


def test_a_calm_run_beside_an_equal_one_has_nothing_to_tell(tmp_path: Path) -> None:
    """As many collisions as without faults are no failure."""
    _play(tmp_path, modes=OWN_PLAN)

    assert _judge(tmp_path).all_failures == ()


def test_the_page_tells_everything(tmp_path: Path) -> None:
    """Every fault has its row, every failure its banner, and there is a picture."""
    _play(tmp_path, outcomes=(Outcome("it ended with 2", is_good=True),))
    judgement = _judge(tmp_path)

    text = write_torture_report(tmp_path, judgement, tmp_path).read_text()

    assert "no effect" in text
    assert "it ended with 2" in text
    assert "data:image/png;base64," in text
    assert len(verdict_rows(judgement)) == 1
    assert (tmp_path / "torture.json").is_file()


def test_a_timeline_knows_the_worse_of_agent_and_cabinet() -> None:
    """Whoever stands lower counts, and both ends of a span belong to it."""
    moments = [Moment(0.0, Depth.COORDINATED, is_fallback=False), Moment(2.0, Depth.LOCAL, is_fallback=True)]
    timeline = Timeline(moments, [ModeChange(0.0, ControlMode.AGENT), ModeChange(4.0, ControlMode.OWN_PLAN)])

    assert timeline.deepest(0.0, 1.0) is Depth.COORDINATED
    assert timeline.deepest(0.0, 2.0) is Depth.LOCAL
    assert timeline.deepest(3.0, 4.0) is Depth.RELEASED
    assert timeline.fallback_ticks(0.0, 10.0, 2.0) == 1 + 3
    assert timeline.recovered_s(1.0) is None
    assert timeline.points() == [(0.0, Depth.COORDINATED), (2.0, Depth.LOCAL), (4.0, Depth.RELEASED)]
