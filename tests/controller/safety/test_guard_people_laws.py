"""Laws of the guard for people on foot, rings and repeated changes, over random drives."""

from __future__ import annotations

import itertools

from guard_drives import LAWS, drive_of, drives, runs_of, vehicles_of
from hypothesis import given

from phasemesh.contract.command import Interval
from phasemesh.contract.intersection import GREEN_LETTERS, concurrency_faults, crossing_length_m
from phasemesh.contract.timing import MIN_WALK_S, PED_BUFFER_S, RED_REVERT_S, WALKING_SPEED_MPS


@LAWS
@given(drives())
def test_nothing_that_conflicts_opens_while_people_may_be_on_a_crossing(drive):
    """I1, I8: from the walk until people are across and the buffer is over, no vehicle is let in that conflicts.

    Vehicles that yield to people may go on. The way takes 1.07 m/s, the buffer 3 s; the guard's own tables are not
    asked.
    """
    seconds, intersection = drive_of(drive), drive.intersection
    for movement, at, length in runs_of(seconds, "r"):
        if not intersection.movements[movement].is_crossing:
            continue
        needed_s = crossing_length_m(intersection, movement) / WALKING_SPEED_MPS + PED_BUFFER_S
        for before, after in itertools.pairwise(seconds[at - 1 : at + length]):
            if after.now_s - seconds[at].now_s >= needed_s:
                break
            opened = [
                index
                for index in vehicles_of(intersection)
                if after.letters[index] in GREEN_LETTERS and before.letters[index] not in GREEN_LETTERS
            ]
            assert [index for index in opened if intersection.conflicts[index][movement] == "1"] == []


@LAWS
@given(drives())
def test_people_always_get_their_walk(drive):
    """I8: no walk that was begun and ended is shorter than the least walk of any crossing."""
    seconds = drive_of(drive)
    walks_s = [
        length for movement, _, length in runs_of(seconds, "G") if drive.intersection.movements[movement].is_crossing
    ]

    assert [walk_s for walk_s in walks_s if walk_s < MIN_WALK_S] == []


@LAWS
@given(drives())
def test_the_clearance_of_people_is_never_cut(drive):
    """I8: between the end of a walk and the yellow lies the whole clearance of the closing stage."""
    seconds = drive_of(drive)
    for before, after in itertools.pairwise(seconds):
        if before.signal.interval is Interval.PED_CLEARANCE and after.signal != before.signal:
            clearance_s = drive.timings[before.signal.from_stage].ped_clearance_s
            assert after.signal.interval is not Interval.PED_CLEARANCE
            assert after.now_s - before.signal.since_s >= clearance_s


@LAWS
@given(drives())
def test_only_concurrent_movements_are_green_together(drive):
    """I9: no stage is ever in force that the table of concurrency forbids."""
    stages = drive.intersection.stages

    shown = {second.signal.stage for second in drive_of(drive)}

    assert [stage for stage in shown if concurrency_faults(drive.intersection, stages[stage])] == []


@LAWS
@given(drives())
def test_no_movement_opens_too_soon_after_its_yellow(drive):
    """I10: every red between a yellow and the next green lasts 2 s, unless a protected turn goes on permissively."""
    seconds = drive_of(drive)
    for movement, at, length in runs_of(seconds, "r"):
        before, after = seconds[at - 1].letters[movement], seconds[at + length]
        lost_protection = movement in drive.intersection.stages[after.signal.from_stage].protected
        if before == "y" and not (lost_protection and after.letters[movement] == "g"):
            assert length >= RED_REVERT_S


@LAWS
@given(drives())
def test_changes_begin_at_most_once_a_second(drive):
    """I15: two changes never begin within one second, and never before the minimum green between them."""
    began = [
        after.now_s
        for before, after in itertools.pairwise(drive_of(drive))
        if before.signal.stage != after.signal.stage
    ]

    assert all(late - early >= 1.0 for early, late in itertools.pairwise(began))
