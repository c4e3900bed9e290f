"""How a run under attack is judged: what went wrong is found, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tortured_runs import OTHER, TICK_S, VICTIM, bad, calm_folder, judged, leave_collisions, leave_run

from phasemesh.contract.detection import ControlMode
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import PeerInput, Rung
from phasemesh.sim_harness.faults.attack import EVIDENCE_NAME, Evidence, ModeChange
from phasemesh.sim_harness.faults.fault import Depth
from phasemesh.sim_harness.faults.injection import Outcome
from phasemesh.sim_harness.faults.messages import OLD_VERSION
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.torture.pages import depth_spans, total_rows, verdict_rows, write_torture_report
from phasemesh.sim_harness.torture.timeline import Moment, Timeline
from record_factories import make_record

OWN_PLAN = ((50.0, ControlMode.OWN_PLAN), (75.0, ControlMode.AGENT))


def test_a_fault_that_went_as_required(tmp_path: Path) -> None:
    """The cabinet fell back, the agent came back in time, and nobody else noticed."""
    leave_run(tmp_path, modes=OWN_PLAN)

    (verdict,) = judged(tmp_path).verdicts

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
        ({"modes": OWN_PLAN, "is_given_up": True}, "given up at 60 s"),
        ({"modes": OWN_PLAN, "outcomes": bad("it would not die")}, "it would not die"),
    ],
)
def test_what_is_not_as_required_is_found(tmp_path: Path, left: dict[str, Any], says: str) -> None:
    """Each requirement has its own line."""
    leave_run(tmp_path, **left)

    judgement = judged(tmp_path)

    assert any(says in failure for failure in judgement.all_failures), judgement.all_failures


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"monitor_trips": 1, "monitor_findings": ("conflict at x",)}, "monitor tripped 1 times: conflict at x"),
        ({"is_complete": False}, "interrupted: Ctrl-C"),
        ({"is_complete": False, "why_incomplete": "SUMO stopped: no route"}, "interrupted: SUMO stopped: no route"),
        ({"lost_agents": ("victim",)}, "lost for good: victim"),
        ({"latched_faults": ("victim: I1",)}, "in flash at the end"),
    ],
)
def test_the_run_as_a_whole_is_judged(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """One line each for what may never happen, whatever the fault."""
    leave_run(tmp_path, modes=OWN_PLAN)

    (failure,) = judged(tmp_path, **changes).all_failures

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

    def changes(at_s: float, name: IntersectionId) -> dict[str, Any]:
        is_deaf = is_told and name == OTHER and 48.0 <= at_s <= 62.0
        return {"peers": _of_neighbour(at_s, peer=VICTIM if name == OTHER else OTHER, hears_us=not is_deaf)}

    leave_run(tmp_path, planned=planned, rungs={48.0: Rung.ISOLATED, 62.0: Rung.COORDINATED}, changes=changes)

    assert judged(tmp_path).verdicts[0].failures == (
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

    def changes(at_s: float, _name: IntersectionId) -> dict[str, Any]:
        (peer,) = _of_neighbour(at_s)
        message = msgspec.structs.replace(peer.message, version=version)
        return {"peers": (msgspec.structs.replace(peer, message=message),)}

    leave_run(tmp_path, planned=planned, rungs=rungs, changes=changes)

    assert judged(tmp_path).verdicts[0].failures == failures


@pytest.mark.parametrize(
    ("left", "says"),
    [
        ({"street": 1}, "1 collisions on the street, 0 without faults"),
        ({"crashes": 10}, "10 crashes inside junctions, 0 without faults: more than by chance"),
        ({"overlaps": 40}, "40 overlaps inside junctions"),
        ({"crashes": 4, "overlaps": 4}, ""),
    ],
)
def test_collisions_count_where_they_happen(tmp_path: Path, left: dict[str, int], says: str) -> None:
    """One more on the street is one too many; inside junctions the difference has to be more than chance."""
    leave_run(tmp_path, modes=OWN_PLAN)
    leave_collisions(tmp_path, **left)
    leave_collisions(calm_folder(tmp_path), overlaps=12)
    judgement = judged(tmp_path)

    assert [says in failure for failure in judgement.all_failures] == [True] * bool(says)
    assert any(f"{left.get('overlaps', 0)} with faults, 12 without" in text for _, text in total_rows(judgement))


def test_a_fault_that_never_began_is_a_failure(tmp_path: Path) -> None:
    """What the end of the run came before was not survived."""
    leave_run(tmp_path, modes=OWN_PLAN)
    path = tmp_path / EVIDENCE_NAME
    evidence = msgspec.json.decode(path.read_bytes(), type=Evidence)
    late = PlannedFault(fault="F3", means="links-frozen", targets=(VICTIM,), start_s=300.0, length_s=20.0)
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(evidence, never_begun=(late,))))

    assert judged(tmp_path).all_failures == ("F3 was due at 300 s and never began",)


def test_a_fault_that_tells_nothing_of_what_it_found_failed(tmp_path: Path) -> None:
    """Silence of a fault that has to judge the reaction itself is no proof."""
    planned = PlannedFault(fault="F27", means="unlawful-requests", targets=(VICTIM,), start_s=40.0, length_s=20.0)
    leave_run(tmp_path, planned=planned)

    assert judged(tmp_path).verdicts[0].failures == ("told nothing of what it found",)


def test_every_target_has_to_notice(tmp_path: Path) -> None:
    """That one of two neighbours was isolated says nothing about the other."""
    planned = PlannedFault(
        fault="F3", means="links-frozen", targets=(VICTIM, OTHER), start_s=40.0, length_s=20.0, peers=(VICTIM,)
    )
    leave_run(tmp_path, planned=planned, rungs={48.0: Rung.ISOLATED, 62.0: Rung.COORDINATED})

    assert judged(tmp_path).verdicts[0].failures == ("fell only to COORDINATED: the fault had no effect",)


def test_a_calm_run_beside_an_equal_one_has_nothing_to_tell(tmp_path: Path) -> None:
    """As many collisions as without faults are no failure."""
    leave_run(tmp_path, modes=OWN_PLAN)

    assert judged(tmp_path).all_failures == ()


def test_the_page_tells_everything(tmp_path: Path) -> None:
    """Every fault has its row, every failure its banner, and there is a picture."""
    leave_run(tmp_path, outcomes=(Outcome("it ended with 2", is_good=True),))
    judgement = judged(tmp_path)

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


def test_the_last_depth_is_drawn_to_the_end_of_the_run() -> None:
    """An agent that stays as it is does not look as if it had ended with its last change."""
    points = [(0.0, Depth.COORDINATED), (2.0, Depth.LOCAL)]

    assert depth_spans(points, 10.0) == [(0.0, 2.0, Depth.COORDINATED), (2.0, 8.0, Depth.LOCAL)]
    assert depth_spans([], 10.0) == []
