"""Which stages may be asked for: in every state exactly those that a request for would be granted."""

from __future__ import annotations

import dataclasses

import pytest
from guard_cases import LEFTS, PARTS, Scene, changing, history_of, timings_of

from phasemesh.contract.command import Interval, start
from phasemesh.controller.safety.guard import Guard

YOUNG = Scene(LEFTS, signal=start(2, 90.0), now_s=94.9)
DUE = Scene(LEFTS, signal=start(0, 90.0), history=history_of(LEFTS, {2: 40.0, 3: 40.0}), now_s=100.0)
"""The east has waited too long, its left turns as well; one stage serves both."""
REVERTING = Scene(PARTS, timings_of(PARTS, min_green_s=1.0), history=history_of(PARTS, movement_green={2: 9.0}))
"""The south has just closed; the last stage would open it at once."""

LEGAL = (
    (YOUNG, {2}),
    (dataclasses.replace(YOUNG, now_s=95.0), {0, 1, 2, 3}),
    (dataclasses.replace(YOUNG, signal=changing(0, 1, Interval.YELLOW, since_s=90.0), now_s=99.0), {1}),
    (dataclasses.replace(YOUNG, signal=start(4, 0.0)), set()),
    (dataclasses.replace(YOUNG, signal=changing(0, -1)), set()),
    (dataclasses.replace(YOUNG, now_s=float("inf")), set()),
    (DUE, {2}),
    (dataclasses.replace(DUE, now_s=84.9, signal=start(0, 79.0)), {0, 1, 2, 3}),
    (REVERTING, {0, 1, 2}),
)
"""Scenes, and the stages that may be asked for in each."""


@pytest.mark.parametrize(("scene", "legal"), LEGAL)
def test_the_stages_that_may_be_asked_for_are_those_that_are_granted(scene: Scene, legal: set[int]) -> None:
    """A young green, a change, a duty and a red after a yellow leave fewer stages, a signal beyond reading none."""
    case = scene.case()
    guard = Guard(case.intersection, case.timings)
    stages = range(len(case.timings))

    found = guard.legal_stages(case.signal, case.history, case.now_s)

    assert found == tuple(stage in legal for stage in stages)
    assert found == tuple(guard.judge(dataclasses.replace(scene, stage=stage).case()).is_accepted for stage in stages)
