"""THE RULE TABLE: every invariant of the street, one row and one function each.

A new invariant is a row here and a function in the file of its scope. Whatever judges a request also needs its place
in `PRECEDENCE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from phasemesh.contract.timing import MIN_WALK_S, RED_REVERT_S, TIMING_RANGES, UNIT_RANGES, WALK_S, TimingRange
from phasemesh.controller.safety import detectors, input_rules, request_rules, unit_rules
from phasemesh.controller.safety.case import (
    ApprovalCase,
    ClockCase,
    ConfigCase,
    DeadlineCase,
    Finding,
    LeaseCase,
    ModeCase,
    NeighbourCase,
    PolicyCase,
    Reaction,
    ReadbackCase,
    Scope,
    StartupCase,
    WriterCase,
)
from phasemesh.controller.safety.detectors import DetectorHealth
from phasemesh.controller.safety.junction import MIN_CHANGE_S
from phasemesh.controller.safety.request_rules import Situation

CaseT = TypeVar("CaseT")


class Rule(msgspec.Struct, Generic[CaseT], frozen=True):
    """One invariant; `default` and `allowed` are values with their units, `source` is the authority behind them."""

    id: str
    title: str
    scope: Scope
    reaction: Reaction
    default: str
    allowed: str
    source: str
    check: Callable[[CaseT], Finding | None]


def _range_text(allowed: TimingRange) -> str:
    low, high = allowed.street
    low_simulation, high_simulation = allowed.simulation
    return f"{low:g} to {high:g} s on the street, {low_simulation:g} to {high_simulation:g} s in simulation"


REQUEST_RULES: tuple[Rule[Situation], ...] = (
    Rule(
        id="I1",
        title="Conflicting movements are never let in together",
        scope=Scope.REQUEST,
        reaction=Reaction.REJECT,
        default="no conflicting pair",
        allowed="none",
        source="conflict monitors: NEMA TS 2; Reno MMU2-1600G manual, conflict within 300 ms",
        check=request_rules.without_conflict,
    ),
    Rule(
        id="I2",
        title="Green, yellow, red and no other order; a running change is finished",
        scope=Scope.REQUEST,
        reaction=Reaction.REJECT,
        default="every green that ends shows yellow",
        allowed="none",
        source="MUTCD 4D.26",
        check=request_rules.in_order,
    ),
    Rule(
        id="I3",
        title="Yellow lasts exactly as configured, inside its range",
        scope=Scope.REQUEST,
        reaction=Reaction.REJECT,
        default="4 s",
        allowed=_range_text(TIMING_RANGES["yellow_s"]),
        source=TIMING_RANGES["yellow_s"].source,
        check=request_rules.yellow_in_range,
    ),
    Rule(
        id="I4",
        title="Red clearance lasts exactly as configured, inside its range",
        scope=Scope.REQUEST,
        reaction=Reaction.REJECT,
        default="1 s",
        allowed=_range_text(TIMING_RANGES["red_clearance_s"]),
        source=TIMING_RANGES["red_clearance_s"].source,
        check=request_rules.clearance_in_range,
    ),
    Rule(
        id="I5",
        title="A green lasts at least its minimum",
        scope=Scope.REQUEST,
        reaction=Reaction.HOLD,
        default="7 s, left turns 5 s",
        allowed=_range_text(TIMING_RANGES["min_green_s"]),
        source=TIMING_RANGES["min_green_s"].source,
        check=request_rules.min_green_over,
    ),
    Rule(
        id="I6",
        title="A green ends at its maximum when others call, at its absolute maximum in any case",
        scope=Scope.REQUEST,
        reaction=Reaction.FORCE,
        default="60 s, absolute 120 s",
        allowed=_range_text(TIMING_RANGES["max_green_s"]),
        source=f"{TIMING_RANGES['max_green_s'].source}; absolute maximum: engineering choice",
        check=request_rules.max_green_kept,
    ),
    Rule(
        id="I7",
        title="A called movement that has waited its maximum is served next; two thirds of it are told",
        scope=Scope.REQUEST,
        reaction=Reaction.FORCE,
        default="180 s, told from 120 s on",
        allowed=_range_text(TIMING_RANGES["max_wait_s"]),
        source=TIMING_RANGES["max_wait_s"].source,
        check=request_rules.max_wait_kept,
    ),
    Rule(
        id="I8",
        title="People get their walk and the time to finish it; their clearance is never cut",
        scope=Scope.REQUEST,
        reaction=Reaction.HOLD,
        default=f"walk {WALK_S:g} s, clearance of the longest crossing at 1.07 m/s, 3 s before conflicting green",
        allowed=f"walk at least {MIN_WALK_S:g} s, clearance at least the way across",
        source="MUTCD 4E.06",
        check=request_rules.people_kept,
    ),
    Rule(
        id="I9",
        title="Only movements that the table of concurrency lists together are green together",
        scope=Scope.REQUEST,
        reaction=Reaction.REJECT,
        default="no table: no rings",
        allowed="the table of the site",
        source="NTCIP 1202 phaseConcurrency",
        check=request_rules.rings_kept,
    ),
    Rule(
        id="I10",
        title="A movement that has closed stays red for a while before it opens again",
        scope=Scope.REQUEST,
        reaction=Reaction.HOLD,
        default=f"{RED_REVERT_S:g} s of red",
        allowed="none",
        source="NEMA TS 2 red revert; NTCIP 1202 unitRedRevert",
        check=request_rules.red_revert_over,
    ),
    Rule(
        id="I13",
        title="A late request is dropped, never granted late",
        scope=Scope.REQUEST,
        reaction=Reaction.REJECT,
        default="1 tick",
        allowed="0 s to 1 tick old",
        source="engineering choice; late commands ended control in carma-streets 271",
        check=request_rules.fresh,
    ),
    Rule(
        id="I15",
        title="A signal begins at most one change a second, however short its minimum greens are",
        scope=Scope.REQUEST,
        reaction=Reaction.HOLD,
        default=f"{MIN_CHANGE_S:g} s",
        allowed="none",
        source="engineering choice",
        check=request_rules.rate_kept,
    ),
    Rule(
        id="I17",
        title="Only known kinds, existing stages and finite numbers are requests",
        scope=Scope.REQUEST,
        reaction=Reaction.REJECT,
        default="kinds stage and release",
        allowed="stages of the intersection",
        source="transmit whitelist of opendbc",
        check=request_rules.whitelisted,
    ),
)

MODE_RULES: tuple[Rule[ModeCase], ...] = (
    Rule(
        id="I11",
        title="No commands during preemption, manual control, stop time or flash, nor for a while after them",
        scope=Scope.UNIT,
        reaction=Reaction.RELEASE,
        default="60 s after",
        allowed=_range_text(UNIT_RANGES["resume_s"]),
        source=f"NTCIP 1202 unitControlStatus; {UNIT_RANGES['resume_s'].source}",
        check=unit_rules.unit_commandable,
    ),
)

STARTUP_RULES: tuple[Rule[StartupCase], ...] = (
    Rule(
        id="I12",
        title="An agent reads valid states for a whole window before its first command",
        scope=Scope.UNIT,
        reaction=Reaction.RELEASE,
        default="10 s",
        allowed=_range_text(UNIT_RANGES["startup_window_s"]),
        source=UNIT_RANGES["startup_window_s"].source,
        check=unit_rules.startup_over,
    ),
)

LEASE_RULES: tuple[Rule[LeaseCase], ...] = (
    Rule(
        id="I14",
        title="A command is obeyed for a while and no longer; a cabinet without an end to it is not commanded",
        scope=Scope.UNIT,
        reaction=Reaction.RELEASE,
        default=f"the longer of {unit_rules.MIN_LEASE_S:g} s and {unit_rules.LEASE_TICKS} ticks",
        allowed="finite and at least the default",
        source="NTCIP 1202 unitBackupTime, which 0 switches off; values: engineering choice",
        check=unit_rules.lease_sound,
    ),
)

READBACK_RULES: tuple[Rule[ReadbackCase], ...] = (
    Rule(
        id="I16",
        title="A cabinet shows in time what it accepted, or the agent lets go",
        scope=Scope.UNIT,
        reaction=Reaction.RELEASE,
        default=f"{unit_rules.READBACK_S:g} s beside the running change, {unit_rules.MAX_STRIKES} strikes in a row",
        allowed="none",
        source="engineering choice",
        check=unit_rules.readback_agrees,
    ),
)

WRITER_RULES: tuple[Rule[WriterCase], ...] = (
    Rule(
        id="I18",
        title="One life of one agent commands",
        scope=Scope.UNIT,
        reaction=Reaction.REJECT,
        default="the newest boot id, numbers that rise",
        allowed="none",
        source="engineering choice: fencing token",
        check=unit_rules.single_writer,
    ),
)

CONFIG_RULES: tuple[Rule[ConfigCase], ...] = (
    Rule(
        id="I19",
        title="Agent and cabinet follow the same conflicts, stages and times",
        scope=Scope.UNIT,
        reaction=Reaction.LATCH,
        default="equal SHA-256 of intersection and times",
        allowed="none",
        source="engineering choice; conflict monitors have a soldered program card",
        check=unit_rules.config_agrees,
    ),
)

POLICY_RULES: tuple[Rule[PolicyCase], ...] = (
    Rule(
        id="I20",
        title="A policy output is finite and has one logit a stage",
        scope=Scope.POLICY,
        reaction=Reaction.REPLACE,
        default="all finite",
        allowed="1 logit a stage",
        source="measured: onnxruntime answers NaN with NaN and no error, so that argmax is stage 0",
        check=input_rules.policy_usable,
    ),
)

DETECTOR_RULES: tuple[Rule[DetectorHealth], ...] = (
    Rule(
        id="I21",
        title="A broken detector calls constantly; without a single sound one the policy gives way",
        scope=Scope.DETECTOR,
        reaction=Reaction.REPLACE,
        default=(
            f"unchanged for {detectors.STUCK_ON_S:g} s, silent by day for {detectors.STUCK_OFF_S:g} s,"
            f" over {detectors.FLUTTER_VEH:g} arrivals a minute; clean for {detectors.CLEAN_S:g} s"
        ),
        allowed="values within the plausible range",
        source="NTCIP 1202 MaxPresence, NoActivity, ErraticCounts; values: engineering choice",
        check=detectors.no_detector_trusted,
    ),
)

NEIGHBOUR_RULES: tuple[Rule[NeighbourCase], ...] = (
    Rule(
        id="I22",
        title="A neighbour counts with a known key, an unreplayed number and a young message",
        scope=Scope.NEIGHBOUR,
        reaction=Reaction.MASK,
        default="3 ticks",
        allowed="0 to 3 ticks old",
        source="engineering choice; openpilot allows 10 periods",
        check=input_rules.neighbour_usable,
    ),
)

DEADLINE_RULES: tuple[Rule[DeadlineCase], ...] = (
    Rule(
        id="I23",
        title="A missed deadline holds the stage in force, the third in a row replaces the policy",
        scope=Scope.DEADLINE,
        reaction=Reaction.HOLD,
        default="inference 100 ms, comm deadline 200 ms, command out and answered 500 ms, 3 misses",
        allowed=f"receiving may end {input_rules.COMM_SLACK_MS:g} ms after the comm deadline",
        source="engineering choice",
        check=input_rules.deadline_kept,
    ),
)

CLOCK_RULES: tuple[Rule[ClockCase], ...] = (
    Rule(
        id="I24",
        title="Intervals follow the monotonic clock; a jump of the wall clock is only told",
        scope=Scope.CLOCK,
        reaction=Reaction.LOG,
        default=f"{input_rules.CLOCK_TOLERANCE_S:g} s",
        allowed="at most 1 s between two looks",
        source="high-resolution event 181 as read by the atspm package",
        check=input_rules.clock_steady,
    ),
)

APPROVAL_RULES: tuple[Rule[ApprovalCase], ...] = (
    Rule(
        id="I25",
        title="Nothing is obeyed that the guard of the agent has not let pass just before",
        scope=Scope.UNIT,
        reaction=Reaction.REJECT,
        default="1 tick",
        allowed="0 s to 1 tick old",
        source="engineering choice; the TC bit of British outstations",
        check=unit_rules.approved,
    ),
)

RULES: tuple[Rule[Any], ...] = tuple(
    sorted(
        (
            *REQUEST_RULES,
            *MODE_RULES,
            *STARTUP_RULES,
            *LEASE_RULES,
            *READBACK_RULES,
            *WRITER_RULES,
            *CONFIG_RULES,
            *POLICY_RULES,
            *DETECTOR_RULES,
            *NEIGHBOUR_RULES,
            *DEADLINE_RULES,
            *CLOCK_RULES,
            *APPROVAL_RULES,
        ),
        key=lambda rule: int(rule.id[1:]),
    )
)

REQUEST_CHECKS: dict[str, Callable[[Situation], Finding | None]] = {
    **{rule.id: rule.check for rule in REQUEST_RULES},
    "I11": request_rules.commandable,
}
"""What the guard asks of a request, by rule; I11 is a rule between agent and unit that also refuses every request."""

PRECEDENCE = ("I17", "I13", "I11", "I1", "I9", "I3", "I4", "I8", "I2", "I5", "I15", "I10", "I7", "I6")
"""The order in which the findings on a request are listed; a force decides, then the first that rejects or holds."""
