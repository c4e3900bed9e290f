"""THE RULE TABLE: every invariant that the guard keeps, one row and one function each.

A new invariant is a row here and a function in the file of its scope. Rules that judge requests also need their place
in `PRECEDENCE`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from phasemesh.contract.timing import TIMING_RANGES
from phasemesh.controller.safety import input_rules, request_rules
from phasemesh.controller.safety.case import (
    ClockCase,
    DeadlineCase,
    Finding,
    NeighbourCase,
    PolicyCase,
    Reaction,
    Scope,
)
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


def _range_text(name: str) -> str:
    allowed = TIMING_RANGES[name]
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
        allowed=_range_text("yellow_s"),
        source=TIMING_RANGES["yellow_s"].source,
        check=request_rules.yellow_in_range,
    ),
    Rule(
        id="I4",
        title="Red clearance lasts exactly as configured, inside its range",
        scope=Scope.REQUEST,
        reaction=Reaction.REJECT,
        default="1 s",
        allowed=_range_text("red_clearance_s"),
        source=TIMING_RANGES["red_clearance_s"].source,
        check=request_rules.clearance_in_range,
    ),
    Rule(
        id="I5",
        title="A green lasts at least its minimum",
        scope=Scope.REQUEST,
        reaction=Reaction.HOLD,
        default="7 s, left turns 5 s",
        allowed=_range_text("min_green_s"),
        source=TIMING_RANGES["min_green_s"].source,
        check=request_rules.min_green_over,
    ),
    Rule(
        id="I6",
        title="A green ends at its maximum when others call, at its absolute maximum in any case",
        scope=Scope.REQUEST,
        reaction=Reaction.FORCE,
        default="60 s, absolute 120 s",
        allowed=_range_text("max_green_s"),
        source=f"{TIMING_RANGES['max_green_s'].source}; absolute maximum: engineering choice",
        check=request_rules.max_green_kept,
    ),
    Rule(
        id="I7",
        title="A called movement that has waited its maximum is served next",
        scope=Scope.REQUEST,
        reaction=Reaction.FORCE,
        default="180 s",
        allowed=_range_text("max_wait_s"),
        source=TIMING_RANGES["max_wait_s"].source,
        check=request_rules.max_wait_kept,
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
        default="inference 100 ms, comm deadline 200 ms, command 500 ms, 3 misses",
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

RULES = (*REQUEST_RULES, *POLICY_RULES, *NEIGHBOUR_RULES, *DEADLINE_RULES, *CLOCK_RULES)

PRECEDENCE = ("I17", "I13", "I1", "I3", "I4", "I2", "I5", "I7", "I6")
"""The order in which the findings on a request are listed; a force decides, then the first that rejects or holds."""
