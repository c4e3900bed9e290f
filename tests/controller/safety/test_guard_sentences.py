"""What findings say: a sentence for people that names the figures, readable in a log without the code beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from guard_cases import CONFLICTING, CROSSING, PARTS, PEOPLE, Scene, changing, history_of, timings_of, with_timing

from phasemesh.contract.command import Interval, start
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.intersection import Stage
from phasemesh.controller.safety.case import (
    ClockCase,
    DeadlineCase,
    Finding,
    NeighbourCase,
    PolicyCase,
    Reaction,
)
from phasemesh.controller.safety.guard import Guard
from phasemesh.controller.safety.input_rules import clock_steady, deadline_kept, neighbour_usable, policy_usable

INPUT_SENTENCES = (
    (policy_usable, PolicyCase(True, 3, 4), "3 logits for 4 stages"),
    (policy_usable, PolicyCase(False, 4, 4), "an output is not finite"),
    (neighbour_usable, NeighbourCase(0.0, 3, 5, 5, is_key_known=False), "its key is unknown"),
    (neighbour_usable, NeighbourCase(0.0, 3, 4, 9, is_key_known=True), "number 4 comes after 9"),
    (neighbour_usable, NeighbourCase(3.5, 3, 5, 5, is_key_known=True), "3.5 ticks old, at most 3 are allowed"),
    (
        deadline_kept,
        DeadlineCase(120.0, 300.0, 700.0, misses_before=1),
        "miss 2 in a row: inference 120 of 100 ms, receiving 300 of 250 ms, command 700 of 500 ms",
    ),
    (clock_steady, ClockCase(3600.5, 0.25), "the wall clock jumped by 3600.250 s"),
)


@pytest.mark.parametrize(("check", "case", "sentence"), INPUT_SENTENCES, ids=[row[-1] for row in INPUT_SENTENCES])
def test_findings_about_inputs_name_the_figures(
    check: Callable[[Any], Finding | None], case: Any, sentence: str
) -> None:
    """I20, I22, I23, I24: what was found, and what is allowed."""
    finding = check(case)

    assert finding is not None
    assert finding.detail == sentence


WALKING_VEHICLES = msgspec.structs.replace(PEOPLE, stages=(*PEOPLE.stages, Stage("wrong", (1, 5, 7))))
"""A crossing whose third stage lets people walk over two arms before vehicles."""
BARRED = msgspec.structs.replace(
    PARTS, concurrency=("1000", "0100", "0010", "0001"), stages=(*PARTS.stages, Stage("three", (0, 1, 2)))
)
"""No two movements may run together, though some stages serve two or three."""
REOPENING = msgspec.structs.replace(
    PEOPLE,
    stages=(Stage("north", (0,)), Stage("north-south and people", (0, 2, 5)), Stage("east-west", (1, 3))),
)
"""The second stage opens people and the south at once while the north stays green."""

REQUEST_SENTENCES = (
    (Scene(now_s=float("nan")), Finding("I17", Reaction.REJECT, "the signal or its times cannot be read")),
    (Scene(kind="flash"), Finding("I17", Reaction.REJECT, "unknown kind 'flash'")),
    (Scene(stage=0.5), Finding("I17", Reaction.REJECT, "stage 0.5 is not a whole number")),
    (Scene(stage=2), Finding("I17", Reaction.REJECT, "there is no stage 2")),
    (Scene(stage=-1), Finding("I17", Reaction.REJECT, "there is no stage -1")),
    (Scene(age_s=2.5), Finding("I13", Reaction.REJECT, "decided 2.500 s ago, at most 1.000 s are allowed")),
    (
        Scene(mode=ControlMode.PREEMPT),
        Finding("I11", Reaction.REJECT, "the cabinet is in preempt"),
    ),
    (
        Scene(WALKING_VEHICLES, stage=2),
        Finding("I1", Reaction.REJECT, "stage 2: movements 1 and 5, 1 and 7 conflict"),
    ),
    (
        Scene(CONFLICTING, signal=start(2, 0.0), stage=0),
        Finding("I1", Reaction.LATCH, "shown now: movements 0 and 1 conflict"),
    ),
    (
        Scene(BARRED, stage=3),
        Finding("I9", Reaction.REJECT, "stage 3: movements 0 and 2 are not concurrent"),
    ),
    (
        Scene(BARRED, stage=4),
        Finding(
            "I9",
            Reaction.REJECT,
            "stage 4: movements 0 and 1 are not concurrent, movements 0 and 2 are not concurrent,"
            " movements 1 and 2 are not concurrent",
        ),
    ),
    (
        Scene(timings=timings_of(CROSSING, yellow_s=1.0)),
        Finding("I3", Reaction.REJECT, "stage 0: yellow_s of 1.0 s is outside 2.0 to 6.0 s"),
    ),
    (
        Scene(timings=with_timing(timings_of(CROSSING), 1, red_clearance_s=7.5)),
        Finding("I4", Reaction.REJECT, "stage 1: red_clearance_s of 7.5 s is outside 0.0 to 6.0 s"),
    ),
    (
        Scene(PEOPLE, timings_of(PEOPLE, walk_s=61.0), now_s=90.0),
        Finding("I8", Reaction.REJECT, "stage 0: walk_s of 61.0 s is outside 0.0 to 60.0 s"),
    ),
    (
        Scene(PEOPLE, with_timing(timings_of(PEOPLE), 1, walk_s=-1.0, ped_clearance_s=61.0), now_s=90.0),
        Finding(
            "I8",
            Reaction.REJECT,
            "stage 1: walk_s of -1.0 s is outside 0.0 to 60.0 s, ped_clearance_s of 61.0 s is outside 0.0 to 60.0 s,"
            " walk_s: -1.0 s is below 4.0 s (MUTCD 4E.06)",
        ),
    ),
    (
        Scene(PEOPLE, signal=changing(1, 0, Interval.PED_CLEARANCE)),
        Finding("I8", Reaction.HOLD, "people are clearing a crossing of stage 1"),
    ),
    (Scene(PEOPLE, now_s=5.5), Finding("I8", Reaction.HOLD, "walk for 5.5 s of at least 8.0 s")),
    (Scene(signal=changing(0, 1), stage=0), Finding("I2", Reaction.HOLD, "the change to stage 1 is running")),
    (Scene(now_s=4.0), Finding("I5", Reaction.HOLD, "green for 4.0 s of at least 5.0 s")),
    (Scene(now_s=0.25), Finding("I15", Reaction.HOLD, "the stage in force began 0.2 s ago, at least 1 s")),
    (
        Scene(PARTS, history=history_of(PARTS, movement_green={2: 7.5}), stage=3),
        Finding("I10", Reaction.HOLD, "movement 2 closed 2.5 s ago, it opens after 5.0 s at the earliest"),
    ),
    (
        Scene(signal=start(0, 90.0), history=history_of(CROSSING, {3: 60.0}), stage=0, now_s=100.0),
        Finding("I7", Reaction.LOG, "movement 3 has waited 40.0 s of at most 45.0 s"),
    ),
    (
        Scene(signal=start(0, 90.0), history=history_of(CROSSING, {1: 60.0, 3: 50.0}), stage=0, now_s=100.0),
        Finding("I7", Reaction.FORCE, "a called movement has waited 50.0 s, its maximum wait is over", 1),
    ),
    (
        Scene(
            REOPENING,
            signal=start(0, 90.0),
            history=history_of(REOPENING, {5: 0.0}, movement_green={2: 96.0}),
            stage=1,
            now_s=100.0,
        ),
        Finding(
            "I7",
            Reaction.FORCE,
            "a called movement has waited 100.0 s, its maximum wait is over;"
            " stage 1 follows as soon as its red is over",
            0,
        ),
    ),
    (
        Scene(history=history_of(CROSSING, {1: 12.0}), stage=0, now_s=25.0),
        Finding(
            "I6",
            Reaction.FORCE,
            "stage 0 has been green for 25.0 s, its maximum green is over while others call",
            1,
        ),
    ),
    (
        Scene(signal=start(1, 5.0), stage=1, now_s=45.0),
        Finding("I6", Reaction.FORCE, "stage 1 has been green for 40.0 s, its absolute maximum green is over", 0),
    ),
)


@pytest.mark.parametrize(
    ("scene", "finding"),
    REQUEST_SENTENCES,
    ids=[f"{finding.rule} {finding.detail}" for _, finding in REQUEST_SENTENCES],
)
def test_findings_about_requests_name_the_figures(scene: Scene, finding: Finding) -> None:
    """What a guard objects to is told in a sentence that names stage, movement, time and limit."""
    case = scene.case()

    verdict = Guard(case.intersection, case.timings).judge(case)

    assert finding in verdict.findings
