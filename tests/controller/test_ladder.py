"""The ladder of degradation, over every condition and every standing."""

from __future__ import annotations

from itertools import product

import pytest

from phasemesh.controller.ladder import CLEAN_S, RUNGS, Conditions, Standing, allowed_rung, next_standing
from phasemesh.controller.telemetry.records import Rung

DRIVER_FAULT = "the cabinet does not answer"
POLICY_FAULT = "the policy is broken"
ALL_CONDITIONS = [
    Conditions(driver_fault, policy_fault, neighbours, fresh)
    for driver_fault, policy_fault in product(("", DRIVER_FAULT), ("", POLICY_FAULT))
    for neighbours in (0, 1, 4)
    for fresh in range(neighbours + 1)
]
CALM = Conditions("", "", 2, 2)
ALONE = Conditions("", "", 2, 0)
WITHOUT_POLICY = Conditions("", POLICY_FAULT, 2, 2)
WITHOUT_DRIVER = Conditions(DRIVER_FAULT, "", 2, 2)


def expected(conditions: Conditions) -> tuple[Rung, str]:
    """What the documentation says, told in another way."""
    rungs = {
        Rung.RELEASED: conditions.driver_fault,
        Rung.LOCAL: conditions.policy_fault,
        Rung.ISOLATED: f"none of {conditions.neighbours} neighbours is fresh"
        if conditions.neighbours > 0 and conditions.fresh_neighbours == 0
        else "",
    }
    return next(((rung, reason) for rung, reason in rungs.items() if reason), (Rung.COORDINATED, ""))


def test_the_rungs_are_in_order() -> None:
    """The first rung is the best and the last the worst."""
    assert RUNGS == (Rung.COORDINATED, Rung.ISOLATED, Rung.LOCAL, Rung.RELEASED)


@pytest.mark.parametrize("conditions", ALL_CONDITIONS, ids=str)
def test_the_worst_condition_settles_the_rung(conditions: Conditions) -> None:
    """The lowest rung that any condition demands is the highest that is allowed, with its reason."""
    assert allowed_rung(conditions) == expected(conditions)


@pytest.mark.parametrize("conditions", ALL_CONDITIONS, ids=str)
def test_the_first_tick_begins_where_it_may(conditions: Conditions) -> None:
    """An agent that has no past waits for nothing."""
    rung, reason = expected(conditions)

    assert next_standing(None, conditions, 10.0) == Standing(rung, reason, 10.0)


@pytest.mark.parametrize("after_s", [0.0, 1.0, CLEAN_S - 0.1, CLEAN_S, CLEAN_S + 100.0])
@pytest.mark.parametrize("before", RUNGS)
@pytest.mark.parametrize("conditions", ALL_CONDITIONS, ids=str)
def test_every_step_of_the_ladder(conditions: Conditions, before: Rung, after_s: float) -> None:
    """Down at once, up from LOCAL and RELEASED only after a clean period, between the upper two freely."""
    rung, reason = expected(conditions)
    standing = next_standing(Standing(before, "earlier trouble", 1000.0), conditions, 1000.0 + after_s)
    is_up = RUNGS.index(rung) < RUNGS.index(before)
    must_wait = is_up and before in {Rung.LOCAL, Rung.RELEASED} and after_s < CLEAN_S

    if must_wait:
        assert standing == Standing(before, "waiting for 30 s without trouble", 1000.0)
    else:
        assert standing == Standing(rung, reason, 1000.0 + after_s)


def run(*steps: tuple[float, Conditions]) -> list[Rung]:
    """The rungs of an agent that meets the conditions of `steps` at their times."""
    standing: Standing | None = None
    rungs = []
    for now_s, conditions in steps:
        standing = next_standing(standing, conditions, now_s)
        rungs.append(standing.rung)
    return rungs


def test_trouble_that_comes_and_goes_is_one_trouble() -> None:
    """A policy that fails every twenty seconds is not trusted in between."""
    steps = [(float(now_s), WITHOUT_POLICY if now_s % 20 == 0 else CALM) for now_s in range(0, 100, 5)]

    assert set(run(*steps)) == {Rung.LOCAL}


def test_trouble_that_ends_is_forgotten() -> None:
    """After a clean period the agent climbs to the top in one step."""
    rungs = run((0.0, WITHOUT_POLICY), (5.0, CALM), (29.0, CALM), (30.0, CALM), (35.0, CALM))

    assert rungs == [Rung.LOCAL, Rung.LOCAL, Rung.LOCAL, Rung.COORDINATED, Rung.COORDINATED]


def test_a_released_agent_climbs_no_further_than_it_may() -> None:
    """Once the driver works again, a policy that is still broken leaves the agent on LOCAL."""
    rungs = run((0.0, WITHOUT_DRIVER), (10.0, WITHOUT_POLICY), (30.0, WITHOUT_POLICY), (59.0, CALM), (60.0, CALM))

    assert rungs == [Rung.RELEASED, Rung.RELEASED, Rung.LOCAL, Rung.LOCAL, Rung.COORDINATED]


def test_neighbours_come_and_go_without_delay() -> None:
    """Being alone is no trouble of the agent's own, so nothing is waited for when they are back."""
    rungs = run((0.0, CALM), (5.0, ALONE), (10.0, CALM), (15.0, ALONE))

    assert rungs == [Rung.COORDINATED, Rung.ISOLATED, Rung.COORDINATED, Rung.ISOLATED]


def test_one_fresh_neighbour_is_company() -> None:
    """An agent is isolated only when nobody at all is heard."""
    assert allowed_rung(Conditions("", "", 4, 1))[0] is Rung.COORDINATED


def test_an_agent_without_neighbours_is_coordinated() -> None:
    """Whoever has nobody to talk to misses nothing."""
    assert allowed_rung(Conditions("", "", 0, 0))[0] is Rung.COORDINATED
