"""What the sequencer shows, step by step, is what the reference reads from stages and times."""

from __future__ import annotations

from random import Random

import pytest
from random_junctions import random_layout, random_times
from reference_guard import ReferenceGuard

from phasemesh.contract.command import Interval, SignalState, advance, lights, request_stage, start

STEP_S = 0.25
CHANGES = 6


@pytest.mark.parametrize("seed", range(60))
def test_every_letter_of_a_change_is_the_one_that_is_due(seed: int) -> None:
    """Clearance of people, yellow and red last as the stage that is left says, whatever is asked for meanwhile."""
    random = Random(seed)  # noqa: S311 (repeatable)
    whole = random_layout(random)
    times = random_times(random, whole)
    reference, stages, stage = ReferenceGuard(whole, times), range(len(whole.stages)), 0
    for _ in range(CHANGES):
        target = random.choice(stages)
        signal = request_stage(whole, start(stage, 0.0), target, 0.0)
        for step in range(int((times[stage].ped_clearance_s + 14.0) / STEP_S)):
            since_s = step * STEP_S
            signal = advance(signal, times, since_s)
            if signal.interval != "green":
                signal = request_stage(whole, signal, random.choice(stages), since_s)

            assert lights(whole, signal) == reference.letters(stage, target, since_s)
        stage = target


@pytest.mark.parametrize("interval", [Interval.PED_CLEARANCE, Interval.YELLOW, Interval.RED_CLEARANCE])
def test_a_change_of_a_stage_to_itself_is_all_red(interval: Interval) -> None:
    """While a unit starts or flashes nobody has green, whatever the stage."""
    whole = random_layout(Random(5))  # noqa: S311 (repeatable)

    assert lights(whole, SignalState(0, 0, interval, 0.0)) == "r" * len(whole.movements)
