"""What is summed up from the records of many agents."""

from __future__ import annotations

from pathlib import Path

import pytest

from phasemesh.controller.telemetry.records import RecordWriter, Rung, Source
from phasemesh.sim_harness.collect import TickTotals
from record_factories import EAST, WEST, make_header, make_record


def test_totals_begin_with_nothing() -> None:
    """No ticks, no faults and no measurements."""
    totals = TickTotals()

    assert (totals.ticks, totals.deadline_misses, totals.plan_ticks, totals.lost_records) == (0, 0, 0, 0)
    assert totals.tick_ms == totals.tick_cpu_ms == []


def test_every_missing_neighbour_is_a_missed_deadline() -> None:
    """A tick in which two neighbours came too late counts twice."""
    totals = TickTotals()
    for misses in ((), (WEST,), (EAST, WEST)):
        totals.note(make_record(comm_misses=misses))

    assert (totals.ticks, totals.deadline_misses) == (3, 3)


def test_only_ticks_of_the_local_plan_count_as_plan_ticks() -> None:
    """A memory that overrules the policy is no fall-back."""
    totals = TickTotals()
    for source in Source:
        totals.note(make_record(source=source))

    assert (totals.ticks, totals.plan_ticks) == (len(Source), 1)


def test_guard_rejections_are_counted_by_rule() -> None:
    """Only a request that the guard changed counts, under the rule that changed it."""
    totals = TickTotals()
    totals.note(make_record(wanted_stage=1, stage=0, rule="I4"))
    totals.note(make_record(wanted_stage=1, stage=0, rule="I4"))
    totals.note(make_record(wanted_stage=0, stage=1, rule="I9"))
    totals.note(make_record(wanted_stage=1, stage=1, rule=""))

    assert totals.guard_rejections == {"I4": 2, "I9": 1}


def test_the_time_of_a_tick_leaves_out_the_wait_for_the_neighbours() -> None:
    """Of the nine steps the third only waits."""
    totals = TickTotals()
    totals.note(make_record(step_ms=(1.0, 1.0, 150.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0), cpu_ms=2.5))

    assert totals.tick_ms == pytest.approx([8.0])
    assert totals.tick_cpu_ms == [2.5]


def test_the_last_rung_of_each_agent_is_kept() -> None:
    """What counts at the end is where an agent stands then."""
    totals = TickTotals()
    for rung in (Rung.COORDINATED, Rung.LOCAL, Rung.ISOLATED):
        totals.note(make_record(rung=rung))

    assert totals.rungs == {"crossing": "ISOLATED"}


def test_files_are_summed_up_like_ticks(tmp_path: Path) -> None:
    """A record file adds all its ticks, and only those it has: a second file goes on where the first ended."""
    totals = TickTotals()
    for number in range(2):
        path = tmp_path / f"{number}.rec"
        _write(path, ticks=3)
        totals.note_file(path)

    assert (totals.ticks, totals.deadline_misses, totals.lost_records) == (6, 6, 0)


@pytest.mark.parametrize(("cut_bytes", "ticks"), [(10, 3), (30, 2)])
def test_damage_counts_as_lost_records(tmp_path: Path, cut_bytes: int, ticks: int) -> None:
    """A file that was cut in its end mark, or in its last record, has lost one and keeps the others."""
    path = tmp_path / "cut.rec"
    _write(path, ticks=3)
    path.write_bytes(path.read_bytes()[:-cut_bytes])
    totals = TickTotals()

    totals.note_file(path)

    assert (totals.ticks, totals.lost_records) == (ticks, 1)


def _write(path: Path, *, ticks: int) -> None:
    writer = RecordWriter(path, make_header())
    for tick in range(ticks):
        writer.write(make_record(tick))
    writer.close()
