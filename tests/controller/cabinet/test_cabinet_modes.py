"""Operators, preemptions, transit priority and approval: whom a unit obeys while it shows stages."""

from __future__ import annotations

import pytest
from unit_factories import STAGES_OF_FOUR, WALKED, Unit, busy, shape

from factories import make_intersection, make_reading
from phasemesh.contract.command import Command, CommandKind
from phasemesh.contract.detection import INVALID_READING, ControlMode
from phasemesh.contract.site import PlanKind, config_digest
from phasemesh.contract.timing import STREET, stage_timings
from phasemesh.controller.cabinet.arbiter import OverrideKind
from phasemesh.controller.cabinet.bodies import CabinetFault
from phasemesh.controller.cabinet.cabinet import TRANSIT_RULE, Cabinet
from phasemesh.controller.plans.table import PLANS

CROSSING = make_intersection()
FLASH = "oooo"
RED = "rrrr"
"""Under the street profile: minimum green 7 s, maximum 60 s, absolute 120 s, yellow 4 s, red 1 s, maximum wait 180 s;
with crossings walk 7 s and a clearance of 10 s for people."""


def test_a_stopped_time_freezes_the_green() -> None:
    """The green neither ends nor grows older, whatever the plan wants; then it goes on from where it was."""
    unit = Unit(CROSSING)
    unit.run(15)
    unit.override(OverrideKind.STOP_TIME, ttl_s=300.0)
    frozen = unit.run(299)
    green_s = unit.now_s - unit.cabinet.snapshot().signal.since_s
    mode = unit.cabinet.mode
    after = unit.run(10)

    assert set(frozen) == {"GrGr"}
    assert (mode, green_s) == (ControlMode.STOP_TIME, 15.0)
    assert shape(after) == [("GrGr", 4), ("yryr", 4), (RED, 1), ("rGrG", 1)]


def test_a_stopped_time_suspends_the_duties_and_they_come_back() -> None:
    """Who waited beyond the maximum meanwhile is served as soon as time goes on."""
    unit = Unit(CROSSING)
    unit.override(OverrideKind.STOP_TIME, ttl_s=300.0)
    frozen = unit.run(299, busy(CROSSING))
    unit.run(8, busy(CROSSING))

    assert set(frozen) == {"GrGr"}
    assert unit.cabinet.lights == "yryr"


@pytest.mark.parametrize("into_the_change_s", [1, 3, 4])
def test_no_yellow_is_ever_frozen(into_the_change_s: int) -> None:
    """A change that is running when the time is stopped ends first; its green is frozen."""
    unit = Unit(CROSSING)
    unit.run(7)
    unit.ask(1)
    unit.run(into_the_change_s)
    unit.override(OverrideKind.STOP_TIME, ttl_s=60.0)
    unit.run(50)

    assert shape(unit.seen)[1:3] == [("yryr", 4), (RED, 1)]
    assert unit.seen[-1] == "rGrG"


def test_a_held_stage_is_kept_within_the_limits_of_the_guard() -> None:
    """The hand of an operator brings its stage and keeps it, but not beyond the absolute maximum."""
    unit = Unit(CROSSING, plan=PlanKind.ACTUATED)
    unit.run(10)
    unit.override(OverrideKind.MANUAL, stage=1, ttl_s=400.0)
    begun_s = unit.now_s
    mode = unit.cabinet.mode
    shown = shape(unit.run(300))

    assert mode is ControlMode.MANUAL
    assert shown[:4] == [("yryr", 3), (RED, 1), ("rGrG", 120), ("ryry", 4)]
    assert ("GrGr", 7) in shown
    assert begun_s == 10.0


def test_a_held_stage_does_not_starve_others() -> None:
    """With calls on the other street the maximum green counts, operator or not."""
    unit = Unit(CROSSING)
    unit.run(7, busy(CROSSING))
    unit.override(OverrideKind.MANUAL, stage=0, ttl_s=400.0)
    shown = shape(unit.run(120, busy(CROSSING)))

    assert shown[0] == ("GrGr", 52)
    assert ("rGrG", 7) in shown


@pytest.mark.parametrize("kind", [OverrideKind.RAIL, OverrideKind.FIRE])
def test_a_preemption_gets_its_stage_through_the_guard(kind: OverrideKind) -> None:
    """Minimum green, yellow and red are what they always are; then its stage stays for as long as it is asked for."""
    unit = Unit(CROSSING)
    unit.run(3, busy(CROSSING))
    unit.override(kind, stage=1)
    mode = unit.cabinet.mode
    shown = shape(unit.run(400, busy(CROSSING)))

    assert mode is ControlMode.PREEMPT
    assert shown == [("GrGr", 3), ("yryr", 4), (RED, 1), ("rGrG", 392)]


def test_a_preemption_begins_in_the_moment_it_is_asked_for() -> None:
    """Where nothing is in its way, it does not wait for the next step."""
    unit = Unit(CROSSING)
    unit.run(7)
    unit.override(OverrideKind.RAIL, stage=1)

    assert unit.cabinet.lights == "yryr"


def test_a_preemption_never_cuts_the_time_of_people() -> None:
    """Walk and clearance are whole, even for a train."""
    unit = Unit(WALKED)
    unit.run(1)
    unit.override(OverrideKind.RAIL, stage=1)
    unit.run(25)

    assert shape(unit.seen) == [
        ("GrGrrGrG", 7),
        ("GrGrrrrr", 10),
        ("yryrrrrr", 4),
        ("r" * 8, 1),
        ("rGrGGrGr", 5),
    ]


def test_a_preemption_turns_a_change_round_only_after_its_end() -> None:
    """A change away from the stage of the train is finished, and its green lasts its minimum."""
    unit = Unit(CROSSING)
    unit.run(7)
    unit.ask(1)
    unit.run(1)
    unit.override(OverrideKind.RAIL, stage=0)
    unit.run(24)

    assert shape(unit.seen)[1:] == [("yryr", 4), (RED, 1), ("rGrG", 7), ("ryry", 4), (RED, 1), ("GrGr", 9)]


def test_after_a_preemption_the_duties_are_back() -> None:
    """Who waited beyond the maximum is served next."""
    unit = Unit(STAGES_OF_FOUR)
    unit.override(OverrideKind.FIRE, stage=0, ttl_s=250.0)
    unit.run(250, busy(STAGES_OF_FOUR))

    assert set(unit.seen[:-1]) == {"GgrrGgrr"}
    assert unit.seen[-1] != "GgrrGgrr"


def test_a_train_comes_before_a_fire_engine() -> None:
    """Both ask for another stage: the train gets its own, then the fire engine."""
    unit = Unit(CROSSING)
    unit.override(OverrideKind.RAIL, stage=1, ttl_s=60.0)
    unit.override(OverrideKind.FIRE, stage=0, ttl_s=120.0)
    unit.run(59)
    during = unit.cabinet.lights
    unit.run(20)

    assert (during, unit.cabinet.lights) == ("rGrG", "GrGr")


def test_a_preemption_ends_the_flash_of_an_operator() -> None:
    """It leads through red and the first stage; when it is over, the flash is back."""
    unit = Unit(CROSSING)
    unit.override(OverrideKind.FLASH, ttl_s=600.0)
    unit.run(30)
    unit.override(OverrideKind.RAIL, stage=1, ttl_s=100.0)
    shown = shape(unit.run(140))

    assert [letters for letters, _ in shown] == [RED, "GrGr", "yryr", RED, "rGrG", "ryry", RED, FLASH]


def test_whoever_outranks_the_agent_ends_its_lease() -> None:
    """In the same moment, so that nothing of the agent comes back by itself when the preemption is over."""
    unit = Unit(CROSSING)
    unit.ask(0)
    unit.run(1)
    unit.override(OverrideKind.FIRE, stage=0, ttl_s=5.0)
    refused = unit.ask(1)
    snapshot = unit.cabinet.snapshot()
    unit.run(5)
    after = unit.cabinet.mode
    taken = unit.ask(0)

    assert (refused.is_accepted, refused.rule) == (False, "I11")
    assert snapshot.lease_until_s == snapshot.now_s
    assert after is ControlMode.OWN_PLAN
    assert taken.is_accepted
    assert unit.cabinet.mode is ControlMode.AGENT


def test_an_agent_may_let_go_whenever_it_likes() -> None:
    """A release is taken in every mode and without anybody's approval."""
    unit = Unit(CROSSING)
    unit.ask(0)
    unit.override(OverrideKind.MANUAL, stage=0)
    applied = unit.cabinet.command(Command(CROSSING.id, 1, 9, 0, 0.0, CommandKind.RELEASE, 0))

    assert applied.is_accepted
    assert unit.cabinet.mode is ControlMode.MANUAL


def test_transit_priority_replaces_the_wish_of_the_agent() -> None:
    """The agent stays in charge and is told; the bus gets its stage by the same guard."""
    unit = Unit(CROSSING)
    unit.run(7)
    unit.override(OverrideKind.TRANSIT, stage=1, ttl_s=60.0)
    applied = unit.ask(0)
    agreed = unit.ask(1)

    assert (applied.is_accepted, applied.rule) == (False, TRANSIT_RULE)
    assert (applied.requested_stage, applied.stage, applied.signal.stage) == (0, 1, 1)
    assert agreed.is_accepted
    assert unit.cabinet.mode is ControlMode.AGENT


def test_transit_priority_makes_no_command_of_nonsense() -> None:
    """A request that the guard would not even hear is refused, bus or not, and renews nothing."""
    unit = Unit(CROSSING)
    unit.override(OverrideKind.TRANSIT, stage=1)

    assert (unit.ask(9).rule, unit.cabinet.mode) == ("I17", ControlMode.OWN_PLAN)


def test_transit_priority_replaces_the_wish_of_the_own_plan() -> None:
    """A bus is served without an agent as well."""
    unit = Unit(CROSSING)
    unit.override(OverrideKind.TRANSIT, stage=1, ttl_s=100.0)
    unit.run(30)

    assert shape(unit.seen)[:4] == [("GrGr", 7), ("yryr", 4), (RED, 1), ("rGrG", 19)]


def test_transit_priority_ends_at_the_maximum_green() -> None:
    """A bus does not keep others waiting longer than anybody else may."""
    unit = Unit(CROSSING)
    unit.run(7, busy(CROSSING))
    unit.override(OverrideKind.TRANSIT, stage=1, ttl_s=300.0)
    shown = shape(unit.run(120, busy(CROSSING)))

    assert ("rGrG", 60) in shown
    assert ("GrGr", 7) in shown


def test_an_override_that_is_not_admitted_alters_nothing() -> None:
    """The answer is one line."""
    unit = Unit(CROSSING)
    before = unit.cabinet.snapshot()
    answer = unit.cabinet.override(OverrideKind.RAIL, 7, 60.0, reason="", who="")

    assert answer == CabinetFault("stage: there is no stage 7")
    assert (unit.cabinet.snapshot(), unit.cabinet.overrides) == (before, ())


def test_an_override_remembers_who_asked_and_ends_by_itself() -> None:
    """Nobody needs to remember to end it."""
    unit = Unit(CROSSING)
    unit.run(5)
    override = unit.override(OverrideKind.MANUAL, stage=0, ttl_s=10.0)
    unit.run(9)
    before = unit.cabinet.overrides
    unit.run(1)

    assert (override.asked_s, override.expires_s, override.who, override.reason) == (5.0, 15.0, "tester", "a test")
    assert (before, unit.cabinet.overrides) == ((override,), ())
    assert unit.cabinet.mode is ControlMode.OWN_PLAN


@pytest.mark.parametrize(("approved_s", "is_taken"), [(None, False), (2.1, False), (2.0, True), (0.0, True)])
def test_no_command_is_obeyed_that_no_guard_has_just_approved(approved_s: float | None, *, is_taken: bool) -> None:
    """Neither unapproved nor with an approval of more than a tick ago, and then it takes no lease."""
    unit = Unit(CROSSING)
    unit.run(10)
    applied = unit.ask(1, approved_s=approved_s)

    assert (applied.is_accepted, applied.rule) == (is_taken, "" if is_taken else "I25")
    assert (unit.cabinet.snapshot().lease_boot_id is not None) is is_taken
    assert (unit.cabinet.mode is ControlMode.AGENT) is is_taken


@pytest.mark.parametrize(("ahead_s", "is_taken"), [(0.4, True), (2.0, True), (2.1, False), (float("nan"), False)])
def test_an_approval_may_be_ahead_of_the_step(ahead_s: float, *, is_taken: bool) -> None:
    """The time of a cabinet stands still between its steps while the agent's goes on, but never by more than a tick."""
    unit = Unit(CROSSING)
    unit.run(10)

    assert unit.ask(1, approved_s=-ahead_s).is_accepted is is_taken


def test_an_unapproved_command_renews_no_lease() -> None:
    """An agent whose guard is dead loses the signal like a silent one."""
    unit = Unit(CROSSING)
    until_s = unit.ask(0).lease_until_s
    unit.run(5)
    applied = unit.ask(0, approved_s=None)

    assert applied.lease_until_s == until_s


def test_a_snapshot_names_the_configuration_and_the_lease() -> None:
    """An agent can compare both with its own."""
    unit = Unit(CROSSING)
    snapshot = unit.cabinet.snapshot()

    assert snapshot.config_digest == config_digest(CROSSING, unit.times)
    assert snapshot.lease_s == 10.0


def test_the_time_of_day_is_that_of_the_owner() -> None:
    """It is shown in every snapshot; without a source, cabinet time began at midnight."""
    times = stage_timings(CROSSING, STREET)
    plan = PLANS[PlanKind.FIXED](CROSSING, times)
    clock = {"day_s": 100.0}
    cabinet = Cabinet(CROSSING, times, plan, tick_s=2.0, now_s=0.0, day_s=lambda _now_s: clock["day_s"])
    seen = [cabinet.snapshot().day_s]
    clock["day_s"] = 50_000.0
    seen.append(cabinet.snapshot().day_s)

    assert seen == [100.0, 50_000.0]
    assert Unit(CROSSING).cabinet.snapshot().day_s == 0.0
    assert Cabinet(CROSSING, times, plan, tick_s=2.0, now_s=90_000.0).snapshot().day_s == 3600.0


def test_a_jump_of_the_wall_clock_touches_no_running_interval() -> None:
    """A change goes on for exactly its time while the time of day leaps back and forth."""
    times = stage_timings(CROSSING, STREET)
    cabinet = Cabinet(
        CROSSING,
        times,
        PLANS[PlanKind.ACTUATED](CROSSING, times),
        tick_s=2.0,
        now_s=0.0,
        day_s=lambda now_s: (now_s * 7919.0) % 86_400.0,
    )
    shown = []
    for second in range(1, 200):
        cabinet.step(second, float(second), busy(CROSSING))
        shown.append(cabinet.lights)
    runs = shape(shown)

    assert {seconds for letters, seconds in runs if "y" in letters} == {4}
    assert {seconds for letters, seconds in runs if letters == RED} == {1}


def test_a_detector_that_is_stuck_calls_for_the_own_plan() -> None:
    """The plan sees a constant call, the snapshot what was received."""
    unit = Unit(CROSSING, plan=PlanKind.ACTUATED)
    stuck = make_reading(0.0, arrivals_veh=30.0)
    readings = (make_reading(), stuck, make_reading(), make_reading())
    unit.run(10, readings)
    shown = unit.run(60, readings)

    assert unit.cabinet.snapshot().readings == readings
    assert "rGrG" in shown


def test_readings_that_cannot_be_are_received_as_invalid() -> None:
    """Nothing that is not finite leaves the cabinet."""
    unit = Unit(CROSSING)
    unit.run(1, (make_reading(float("nan")), *[make_reading()] * 3))

    assert unit.cabinet.snapshot().readings[0] == INVALID_READING
