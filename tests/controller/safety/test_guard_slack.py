"""The slack of comparisons: what falls short by the slack and no more still counts as reached."""

from __future__ import annotations

import math

import pytest
from detector_watch import EMPTY, NORTH, PEOPLE, kinds, look
from guard_cases import Scene

from factories import make_reading
from phasemesh.contract.command import TIME_EPSILON_S
from phasemesh.contract.detection import ControlMode
from phasemesh.controller.safety.case import ApprovalCase, LeaseCase, ModeCase, ReadbackCase, StartupCase
from phasemesh.controller.safety.detectors import CLEAN_S, MINUTE_S, empty_health
from phasemesh.controller.safety.duty import has_reached
from phasemesh.controller.safety.request_rules import is_fresh
from phasemesh.controller.safety.unit_rules import (
    READBACK_S,
    approved,
    lease_sound,
    readback_agrees,
    startup_over,
    unit_commandable,
)


def test_times_between_agent_and_unit_may_fall_short_by_the_slack():
    """I11, I12, I14: sums of steps that end a rounding error early are long enough."""
    assert unit_commandable(ModeCase(ControlMode.AGENT, 60.0 - TIME_EPSILON_S, 60.0)) is None
    assert startup_over(StartupCase(10.0 - TIME_EPSILON_S, 10.0)) is None
    assert lease_sound(LeaseCase(15.0 - TIME_EPSILON_S, 5.0)) is None


def test_a_read_back_is_overdue_by_the_slack_too():
    """I16: a unit has its two seconds and not a rounding error more."""
    assert readback_agrees(ReadbackCase(False, READBACK_S - TIME_EPSILON_S, 0)) is not None


@pytest.mark.parametrize(("approved_s", "now_s"), [(TIME_EPSILON_S, 0.0), (0.0, 2.0 + TIME_EPSILON_S)])
def test_an_approval_may_be_early_or_late_by_the_slack(approved_s, now_s):
    """I25: clocks that differ by a rounding error stop no command."""
    assert approved(ApprovalCase(approved_s, now_s, 2.0)) is None


def test_the_clean_period_may_fall_short_by_the_slack():
    """I21: a detector is believed again after its clean seconds, a rounding error aside."""
    broken = look(empty_health(PEOPLE, 0.0), {NORTH: make_reading(math.nan)}, now_s=0.0)

    assert kinds(look(broken, {NORTH: EMPTY}, now_s=CLEAN_S - 2 * TIME_EPSILON_S)) == ["out_of_range"]
    assert kinds(look(broken, {NORTH: EMPTY}, now_s=CLEAN_S - TIME_EPSILON_S)) == []


def test_a_minute_may_fall_short_by_the_slack():
    """I21: arrivals are counted by minutes of whole steps, whatever those add up to."""
    assert look(empty_health(PEOPLE, 0.0), {}, now_s=MINUTE_S - TIME_EPSILON_S).minute_s == MINUTE_S - TIME_EPSILON_S


@pytest.mark.parametrize(
    ("duration_s", "is_reached"),
    [(0.0, True), (-TIME_EPSILON_S, True), (-2 * TIME_EPSILON_S, False), (math.nan, False)],
)
def test_a_limit_is_reached_a_rounding_error_early(duration_s, is_reached):
    """I5, I6, I7, I8, I10, I15: whatever must last for a while may fall short of it by the slack."""
    assert has_reached(duration_s, 0.0) is is_reached


@pytest.mark.parametrize(("now_s", "decided_s"), [(0.0, TIME_EPSILON_S), (1.0 + TIME_EPSILON_S, 0.0)])
def test_a_request_may_be_early_or_late_by_the_slack(now_s, decided_s):
    """I13: clocks that differ by a rounding error drop no request."""
    assert is_fresh(Scene(now_s=now_s, age_s=now_s - decided_s, max_age_s=1.0).case())
