"""Replay: every recorded tick can be re-run, and the first one that does not repeat itself is named."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from agent_factories import PAIR, STALE_AFTER_TICKS, STEPS_PER_TICK, TICK_S, WEST, BrokenPolicy, Town
from factories import make_timings
from phasemesh.contract.command import CommandKind
from phasemesh.contract.errors import RecordError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.schedule import ScheduleRow
from phasemesh.contract.site import PlanKind
from phasemesh.contract.tensors import PolicyFault
from phasemesh.contract.timing import UnitTiming
from phasemesh.controller.ladder import Trial
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.policy.bundle import LoadedBundle, find_bundle, load_bundle
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.controller.replay import Difference, Replayed, replay
from phasemesh.controller.safety.case import Finding, Reaction
from phasemesh.controller.safety.detectors import DetectorFault, DetectorFaultKind
from phasemesh.controller.telemetry.records import (
    END_MARK,
    RECORD_FORMAT,
    Gap,
    RecordHeader,
    RecordWriter,
    Rung,
    Source,
    TickRecord,
    read_records,
)
from phasemesh.controller.trouble import Circumstances

TICKS = 40


class Recording(NamedTuple):
    """A drive of the west beside its neighbour: the records and the policy that made them."""

    header: RecordHeader
    records: tuple[TickRecord, ...]
    policy: Policy


def load(name: str) -> LoadedBundle:
    """The shipped bundle of that name."""
    return load_bundle(find_bundle(name), trusted_keys())


def queues_veh(tick: int) -> tuple[float, float, float, float]:
    """Traffic that changes its mind: queues that grow and vanish on all four approaches."""
    return (float(tick % 7), float((3 * tick) % 11), float(tick % 4), float((5 * tick) % 6))


def drive(town: Town, ticks: int = TICKS) -> list[TickRecord]:
    """The records of the west in `ticks` ticks."""
    return [town.tick(queues_veh(tick))[WEST] for tick in range(ticks)]


def make_header(town: Town, bundle: LoadedBundle | None = None, **changes: Any) -> RecordHeader:
    """The header of the west's record."""
    intersection = town.residents[WEST].cabinet.intersection
    header = RecordHeader(
        format=RECORD_FORMAT,
        spec_hash=SPEC_HASH,
        intersection=intersection,
        timings=make_timings(intersection),
        tick_s=TICK_S,
        steps_per_tick=STEPS_PER_TICK,
        seed=7,
        stale_after_ticks=STALE_AFTER_TICKS,
        comm_deadline_ms=200.0,
        bundle=bundle.manifest.name if bundle else "none",
        bundle_digest=bundle.digest if bundle else "",
        plan=PlanKind.ACTUATED,
        boot_id=1,
    )
    return msgspec.structs.replace(header, **changes)


def write(path: Path, header: RecordHeader, records: list[TickRecord]) -> Path:
    """A file of the flight recorder with `records`."""
    writer = RecordWriter(path, header)
    for record in records:
        writer.write(record)
    writer.close()
    return path


@pytest.fixture(scope="module", params=["max-pressure", "approach-lost-time"])
def recording(request: pytest.FixtureRequest) -> Recording:
    """A few dozen ticks under each of the shipped bundles."""
    bundle = load(request.param)
    town = Town(PAIR, lambda: bundle.policy(0))
    return Recording(make_header(town, bundle), tuple(drive(town)), bundle.policy(0))


@pytest.fixture(scope="module")
def pressure() -> Recording:
    """The drive under max-pressure, with neighbours that come and go."""
    bundle = load("max-pressure")
    town = Town(PAIR, lambda: bundle.policy(0), is_deterministic=False)
    records = [town.tick(queues_veh(tick), absent=("east",) if 10 <= tick < 20 else ())[WEST] for tick in range(TICKS)]
    return Recording(make_header(town, bundle), tuple(records), bundle.policy(0))


def test_a_drive_replays_without_a_difference(recording: Recording, tmp_path: Path) -> None:
    """Every tick under a shipped bundle comes out bit for bit as it was recorded."""
    path = write(tmp_path / "west.rec", recording.header, list(recording.records))

    assert replay(path, recording.policy) == Replayed(ticks=TICKS, missing=0, difference=None)
    assert len({record.stage for record in recording.records}) == 2


def test_missing_neighbours_replay(pressure: Recording, tmp_path: Path) -> None:
    """Ticks with fresh, stale and missing neighbours and with sampled noise repeat themselves too."""
    path = write(tmp_path / "west.rec", pressure.header, list(pressure.records))

    assert {record.rung for record in pressure.records} == {Rung.COORDINATED, Rung.ISOLATED}
    assert replay(path, pressure.policy).difference is None


def test_a_part_of_a_drive_replays(pressure: Recording, tmp_path: Path) -> None:
    """A file that begins in the middle of a life is as good as a whole one."""
    path = write(tmp_path / "west.rec", pressure.header, list(pressure.records[17:]))

    assert replay(path, pressure.policy) == Replayed(TICKS - 17, 0, None)


def test_ticks_may_be_missing(pressure: Recording, tmp_path: Path) -> None:
    """Each tick carries all that it needs, so that what follows a hole replays as well; the hole is named."""
    path = write(tmp_path / "west.rec", pressure.header, [*pressure.records[:5], *pressure.records[30:]])

    assert replay(path, pressure.policy) == Replayed(
        15, 25, None, "25 ticks before tick 30 are missing, and no gap says so"
    )


def test_an_empty_record_replays(pressure: Recording, tmp_path: Path) -> None:
    """An agent that never ticked has nothing to differ in."""
    assert replay(write(tmp_path / "west.rec", pressure.header, []), pressure.policy) == Replayed(0, 0, None)


def frames_of(path: Path) -> list[bytes]:
    """The frames of a record file, header first."""
    data, frames = path.read_bytes(), []
    while data:
        size = 8 + int.from_bytes(data[:4], "big")
        frames.append(data[:size])
        data = data[size:]
    return frames


def test_declared_gaps_are_counted(pressure: Recording, tmp_path: Path) -> None:
    """Records that were lost on a full disk are told, and the rest replays."""
    path = write(tmp_path / "west.rec", pressure.header, list(pressure.records))
    frames = frames_of(path)
    writer_of_gap = write(tmp_path / "gap.rec", pressure.header, [])
    gap = msgspec.msgpack.encode(Gap(7))
    frame = len(gap).to_bytes(4, "big") + zlib.crc32(gap).to_bytes(4, "big") + gap
    writer_of_gap.write_bytes(b"".join([*frames[:11], frame, *frames[18:]]))

    assert replay(writer_of_gap, pressure.policy) == Replayed(TICKS - 7, 7, None)


def test_a_damaged_spot_costs_only_itself(pressure: Recording, tmp_path: Path) -> None:
    """A flipped byte is one missing record, whose place is named; all others replay."""
    path = write(tmp_path / "west.rec", pressure.header, list(pressure.records))
    frames = frames_of(path)
    offset, size = sum(len(frame) for frame in frames[:12]), len(frames[12])
    frames[12] = frames[12][:100] + bytes([frames[12][100] ^ 0xFF]) + frames[12][101:]
    path.write_bytes(b"".join(frames))

    assert replay(path, pressure.policy) == Replayed(
        TICKS - 1, 1, None, f"the checksum does not match, at byte {offset} ({size} bytes)"
    )


def test_a_torn_end_is_one_missing_record(pressure: Recording, tmp_path: Path) -> None:
    """An agent that was killed while it wrote loses its last tick and nothing else."""
    path = write(tmp_path / "west.rec", pressure.header, list(pressure.records))
    path.write_bytes(path.read_bytes().removesuffix(END_MARK)[:-10])
    found = replay(path, pressure.policy)

    assert (found.ticks, found.missing, found.difference, found.has_end) == (TICKS - 1, 1, None, False)
    assert found.damage.startswith("torn: the file ends inside a record, at byte ")


def nudged(data: bytes) -> bytes:
    """Single precision numbers of which the first is a little larger."""
    values = np.frombuffer(data, dtype="<f4").copy()
    values[0] += np.float32(0.25)
    return values.tobytes()


def altered_history(record: TickRecord) -> dict[str, object]:
    """A history in which the first stage was green earlier."""
    history = record.history_before
    earlier = (history.stage_green_s[0] - 1.0, *history.stage_green_s[1:])
    return {"history_before": msgspec.structs.replace(history, stage_green_s=earlier)}


def altered_detectors(record: TickRecord) -> dict[str, object]:
    """A health in which the first lane had counted one vehicle more."""
    lanes = record.detectors_before.lanes
    first = msgspec.structs.replace(lanes[0], arrivals_veh=lanes[0].arrivals_veh + 1.0)
    return {"detectors_before": msgspec.structs.replace(record.detectors_before, lanes=(first, *lanes[1:]))}


def altered_standing(record: TickRecord) -> dict[str, object]:
    """A standing that remembers old trouble of which the drive knew nothing."""
    trial = Trial(LadderEvent.POLICY_FAULTY, record.snapshot.now_s - 500.0, 30.0)
    return {"standing_before": msgspec.structs.replace(record.standing_before, trials=(trial,))}


ALTERATIONS: dict[str, Callable[[TickRecord], dict[str, object]]] = {
    "logits": lambda record: {"logits": nudged(record.logits)},
    "mask": lambda record: {"mask": nudged(record.mask)},
    "mask_probability": lambda record: {"mask_probability": nudged(record.mask_probability)},
    "hyper_action": lambda record: {"hyper_action": nudged(record.hyper_action)},
    "legal": lambda record: {"legal": tuple(not legal for legal in record.legal)},
    "wanted_stage": lambda record: {"wanted_stage": 1 - record.wanted_stage},
    "stage": lambda record: {"stage": 1 - record.stage},
    "rule": lambda _record: {"rule": "I7"},
    "is_accepted": lambda record: {"is_accepted": not record.is_accepted},
    "source": lambda _record: {"source": Source.LTM},
    "hidden_before": lambda record: {"hidden_before": nudged(record.hidden_before)},
    "history_before": altered_history,
    "step_before": lambda record: {"step_before": record.step_before - 1},
    "detectors_before": altered_detectors,
    "unit_before": lambda record: {"unit_before": msgspec.structs.replace(record.unit_before, valid_since_s=1.5)},
    "standing_before": altered_standing,
    "rung": lambda _record: {"rung": Rung.LOCAL},
    "reason": lambda _record: {"reason": "because"},
    "in_force": lambda _record: {"in_force": (LadderEvent.STARTING,)},
    "kind": lambda _record: {"kind": CommandKind.RELEASE},
    "findings": lambda _record: {"findings": (Finding("I16", Reaction.LOG, "late"),)},
    "detector_faults": lambda record: {
        "detector_faults": (DetectorFault(record.detectors_before.lanes[0].lane, DetectorFaultKind.FLUTTER, 1.0),)
    },
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_the_first_difference_is_named(what: str, pressure: Recording, tmp_path: Path) -> None:
    """A record that was altered is found in its tick, by the name of the value."""
    records = list(pressure.records)
    records[23] = msgspec.structs.replace(records[23], **ALTERATIONS[what](records[23]))
    records[31] = msgspec.structs.replace(records[31], wanted_stage=1 - records[31].wanted_stage)
    found = replay(write(tmp_path / "west.rec", pressure.header, records), pressure.policy)

    assert found.ticks == 24
    assert found.difference is not None
    assert (found.difference.tick, found.difference.what) == (23, what)
    assert found.difference.recorded != found.difference.replayed


def test_an_altered_input_makes_another_output(pressure: Recording, tmp_path: Path) -> None:
    """A queue that was not there shows in the scores."""
    records = list(pressure.records)
    reading = msgspec.structs.replace(records[8].snapshot.readings[0], vehicles_150m_veh=33.0, queue_veh=33.0)
    snapshot = msgspec.structs.replace(records[8].snapshot, readings=(reading, *records[8].snapshot.readings[1:]))
    records[8] = msgspec.structs.replace(records[8], snapshot=snapshot)
    found = replay(write(tmp_path / "west.rec", pressure.header, records), pressure.policy).difference

    assert isinstance(found, Difference)
    assert (found.tick, found.what) == (8, "logits")


def test_another_bundle_differs(pressure: Recording, tmp_path: Path) -> None:
    """What one bundle decided does not come out of another."""
    path = write(tmp_path / "west.rec", pressure.header, list(pressure.records))
    found = replay(path, load("approach-lost-time").policy(0)).difference

    assert found is not None
    assert found.what == "logits"


def test_numbers_are_readable(pressure: Recording, tmp_path: Path) -> None:
    """A difference of tensors is told in numbers, not in bytes."""
    records = [msgspec.structs.replace(pressure.records[0], logits=np.array([1.5, -2.0], dtype="<f4").tobytes())]
    found = replay(write(tmp_path / "west.rec", pressure.header, records), pressure.policy).difference

    assert found is not None
    assert found.recorded == "[1.5, -2.0]"


def test_ticks_under_the_plan_replay(tmp_path: Path) -> None:
    """Ticks in which the policy failed, and the plan decided, come out the same without a policy."""
    town = Town(PAIR, BrokenPolicy)
    records = drive(town)
    path = write(tmp_path / "west.rec", make_header(town), records)

    assert {(record.source, record.rung) for record in records} == {(Source.PLAN, Rung.LOCAL)}
    assert len({record.stage for record in records}) == 2
    assert replay(path, PolicyFault("the policy of that time is gone")) == Replayed(TICKS, 0, None)


def test_a_plan_that_differs_is_found(tmp_path: Path) -> None:
    """The plan is part of what is re-run: another one wants other stages."""
    town = Town(PAIR, BrokenPolicy)
    path = write(tmp_path / "west.rec", make_header(town, plan=PlanKind.FIXED), drive(town))
    found = replay(path, BrokenPolicy()).difference

    assert found is not None
    assert found.what == "wanted_stage"


def test_ticks_after_trouble_replay(tmp_path: Path) -> None:
    """A driver that failed, and the thirty seconds on lower rungs after it, replay with the policy of the drive."""
    bundle = load("max-pressure")
    town = Town(PAIR, lambda: bundle.policy(0))
    records = drive(town, 5)
    town.residents[WEST].driver.fault = "no answer"
    records += drive(town, 2)
    town.residents[WEST].driver.fault = ""
    records += drive(town, 20)
    path = write(tmp_path / "west.rec", make_header(town, bundle), records)

    assert {record.rung for record in records} == {Rung.COORDINATED, Rung.RELEASED}
    assert {record.source for record in records} == {Source.POLICY, Source.RELEASE}
    assert replay(path, bundle.policy(0)) == Replayed(27, 0, None)


def test_the_ladder_is_climbed_again(pressure: Recording, tmp_path: Path) -> None:
    """The rung is decided anew from what was recorded: without the driver's fault there is no reason to let go."""
    bundle = load("max-pressure")
    town = Town(PAIR, lambda: bundle.policy(0))
    records = drive(town, 5)
    town.residents[WEST].agent.note_driver_fault("no answer")
    records += drive(town, 3)
    altered = [*records[:5], msgspec.structs.replace(records[5], circumstances=Circumstances()), *records[6:]]
    header = make_header(town, bundle)
    found = replay(write(tmp_path / "altered.rec", header, altered), bundle.policy(0)).difference

    assert replay(write(tmp_path / "west.rec", header, records), bundle.policy(0)).difference is None
    assert found == Difference(5, "rung", "RELEASED", "COORDINATED")
    assert pressure.header.format == RECORD_FORMAT


def test_a_window_of_states_replays(tmp_path: Path) -> None:
    """Rules between agent and unit are judged again with the times of the header."""
    bundle = load("max-pressure")
    town = Town(PAIR, lambda: bundle.policy(0))
    path = write(tmp_path / "west.rec", make_header(town, bundle, unit=UnitTiming()), drive(town))
    found = replay(path, bundle.policy(0)).difference

    assert found is not None
    assert (found.tick, found.what) == (0, "findings")


def test_a_gap_that_declares_too_little_is_named(pressure: Recording, tmp_path: Path) -> None:
    """Records that vanished beside a declared gap are not excused by it."""
    path = write(tmp_path / "west.rec", pressure.header, list(pressure.records))
    frames = frames_of(path)
    gap = msgspec.msgpack.encode(Gap(2))
    frame = len(gap).to_bytes(4, "big") + zlib.crc32(gap).to_bytes(4, "big") + gap
    path.write_bytes(b"".join([*frames[:11], frame, *frames[18:]]))

    assert replay(path, pressure.policy) == Replayed(
        TICKS - 7, 7, None, "5 ticks before tick 17 are missing, and no gap says so"
    )


def test_late_decisions_replay(pressure: Recording, tmp_path: Path) -> None:
    """The time at which the guard judged is an input, so a tick that was too late is too late again."""
    record = next(each for each in pressure.records if each.wanted_stage != each.snapshot.signal.stage)
    late = msgspec.structs.replace(
        record, now_s=record.now_s + 6.0, stage=record.snapshot.signal.stage, rule="I13", is_accepted=False
    )
    on_time = msgspec.structs.replace(late, now_s=record.now_s)

    assert replay(write(tmp_path / "late.rec", pressure.header, [late]), pressure.policy).difference is None
    assert replay(write(tmp_path / "lie.rec", pressure.header, [on_time]), pressure.policy).difference is not None


def test_what_is_no_record_is_refused(tmp_path: Path) -> None:
    """Another file, an empty one and a missing one are named in one line."""
    for name, content in (("text", b"hello, this is no record at all"), ("empty", b"")):
        path = tmp_path / name
        path.write_bytes(content)

        with pytest.raises(RecordError, match=f"{name}: is not a record"):
            replay(path, BrokenPolicy())

    with pytest.raises(RecordError, match="missing: cannot be read: No such file"):
        replay(tmp_path / "missing", BrokenPolicy())


def test_the_file_holds_what_was_recorded(pressure: Recording, tmp_path: Path) -> None:
    """Reading the file again gives the header and every record, value for value."""
    header, items = read_records(write(tmp_path / "west.rec", pressure.header, list(pressure.records)))

    assert header == pressure.header
    assert tuple(items) == pressure.records


def test_a_plan_by_the_clock_replays(tmp_path: Path) -> None:
    """The schedule of fixed time stands in the header; without it the plan would want other stages."""
    schedule = (ScheduleRow(0.0, greens_s=(10.0, 30.0)),)
    town = Town(PAIR, BrokenPolicy, plan=PlanKind.FIXED, schedule=schedule)
    records = drive(town)
    header = make_header(town, plan=PlanKind.FIXED, schedule=schedule)
    found = replay(
        write(tmp_path / "no-schedule.rec", msgspec.structs.replace(header, schedule=()), records), BrokenPolicy()
    )

    assert replay(write(tmp_path / "west.rec", header, records), BrokenPolicy()) == Replayed(TICKS, 0, None)
    assert found.difference is not None
    assert found.difference.what == "wanted_stage"
