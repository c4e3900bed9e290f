"""What a run under attack leaves behind, made by hand: records of two agents, evidence, collisions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from result_factories import make_result

from phasemesh.contract.detection import ControlMode
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.telemetry.records import END_MARK, PeerInput, RecordWriter, Rung
from phasemesh.sim_harness.faults.attack import EVIDENCE_NAME, Evidence, Happened, Life, ModeChange
from phasemesh.sim_harness.faults.injection import Outcome
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.torture.collisions import COLLISIONS_NAME
from phasemesh.sim_harness.torture.judge import Judgement, judge
from record_factories import EAST, make_header, make_message, make_record

VICTIM, OTHER = IntersectionId("victim"), IntersectionId("other")
TICK_S, TICKS, BEGIN_S = 2.0, 100, 1000.0
KILL = PlannedFault(fault="F1", means="kill", targets=(VICTIM,), start_s=40.0, length_s=20.0)

Modes = tuple[tuple[float, ControlMode], ...]
Changes = Callable[[float, IntersectionId], dict[str, Any]]
"""What a tick at a time of an agent is beside a plain one."""


def plain(_at_s: float, _name: IntersectionId) -> dict[str, Any]:
    """Nothing."""
    return {}


def leave_run(
    folder: Path,
    *,
    planned: PlannedFault = KILL,
    over_s: float = 60.0,
    rungs: dict[float, Rung] | None = None,
    modes: Modes = (),
    other: Modes = (),
    changes: Changes = plain,
    **told: Any,
) -> None:
    """Leave behind what a run of 200 s leaves, in which the victim stands on `rungs` from their time on.

    Of a kill it leaves two lives. `told` is what else is known of the fault, such as its outcomes.
    """
    times_s = [tick * TICK_S for tick in range(TICKS)]
    before_s, after_s = (planned.start_s, planned.end_s) if planned.means == "kill" else (times_s[-1] + TICK_S,) * 2
    write = _Records(folder, rungs or {}, changes).write
    lives = [
        write(OTHER, "1-1.rec", times_s, is_orderly=True),
        write(VICTIM, "0-1.rec", [at_s for at_s in times_s if at_s < before_s], is_orderly=planned.means != "kill"),
    ]
    if planned.means == "kill":
        lives.append(write(VICTIM, "0-2.rec", [at_s for at_s in times_s if at_s >= after_s], is_orderly=True))
    evidence = Evidence(
        BEGIN_S,
        (Happened(planned, planned.start_s, over_s, **told),),
        {VICTIM: _changes(modes), OTHER: _changes(other)},
        tuple(lives),
    )
    (folder / EVIDENCE_NAME).write_bytes(msgspec.json.encode(evidence))
    leave_collisions(folder)
    leave_collisions(calm_folder(folder))


def _changes(modes: Modes) -> tuple[ModeChange, ...]:
    return (ModeChange(0.0, ControlMode.AGENT), *(ModeChange(*change) for change in modes))


class _Records:
    """Writes the record files of a run."""

    def __init__(self, folder: Path, rungs: dict[float, Rung], changes: Changes) -> None:
        """Write into the folder of a run."""
        self._folder, self._rungs, self._changes = folder / "records", rungs, changes

    def write(self, name: IntersectionId, record: str, times_s: list[float], *, is_orderly: bool) -> Life:
        """One life with ticks at `times_s`, and how its cabinet saw it."""
        boot_id = int(record.partition("-")[2].partition(".")[0])
        writer = RecordWriter(self._folder / record, make_header(boot_id=boot_id))
        for tick, at_s in enumerate(times_s):
            since = [begin_s for begin_s in self._rungs if begin_s <= at_s and name == VICTIM]
            rung = self._rungs[max(since)] if since else Rung.COORDINATED
            step = int(at_s / TICK_S)
            fresh = (PeerInput(EAST, 1, True, True, make_message(step=step)),)
            made = make_record(
                **{
                    "tick": tick,
                    "step": step,
                    "rung": rung,
                    "comm_misses": (),
                    "peers": fresh,
                    **self._changes(at_s, name),
                }
            )
            snapshot = msgspec.structs.replace(made.snapshot, intersection_id=name, now_s=BEGIN_S + at_s)
            writer.write(msgspec.structs.replace(made, snapshot=snapshot))
        writer.close()
        if not is_orderly:
            cut_end_mark(self._folder / record)
        return Life(name, boot_id, record, True, is_orderly, tuple(int(at_s / TICK_S) for at_s in times_s))


def cut_end_mark(path: Path) -> None:
    """The file as a life leaves it that was killed."""
    path.write_bytes(path.read_bytes().removesuffix(END_MARK))


def calm_folder(folder: Path) -> Path:
    """Where the run without faults left its files."""
    made = folder / "without"
    made.mkdir(exist_ok=True)
    return made


def leave_collisions(folder: Path, *, street: int = 0, crashes: int = 0, overlaps: int = 0) -> None:
    """The file in which SUMO tells of so many collisions."""
    kinds = ([("road_0", 0.0)] * street) + ([(":centre_1_0", 8.0)] * crashes) + ([(":centre_1_0", 0.1)] * overlaps)
    rows = [
        f'<collision time="1" type="junction" lane="{lane}" colliderSpeed="9.00" victimSpeed="{speed:.2f}"/>'
        for lane, speed in kinds
    ]
    (folder / COLLISIONS_NAME).write_text("\n".join(["<collisions>", *rows, "</collisions>"]))


def judged(folder: Path, **changes: Any) -> Judgement:
    """The judgement of the run in `folder`, whose result differs by `changes` from that of the calm run."""
    calm = make_result(tick_s=TICK_S)
    return judge(folder, msgspec.structs.replace(calm, **changes), calm_folder(folder), calm)


def bad(text: str) -> tuple[Outcome, ...]:
    """What a fault tells that found something wrong."""
    return (Outcome(text, is_good=False),)
