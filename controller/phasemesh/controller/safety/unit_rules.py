"""The rules between an agent and its controller unit: who may command, when, and whether it has any effect."""

from __future__ import annotations

import math

from phasemesh.contract.command import TIME_EPSILON_S
from phasemesh.contract.detection import COMMANDABLE_MODES
from phasemesh.controller.safety.case import (
    ApprovalCase,
    ConfigCase,
    Finding,
    LeaseCase,
    ModeCase,
    Reaction,
    ReadbackCase,
    StartupCase,
    WriterCase,
)

MIN_LEASE_S = 10.0
LEASE_TICKS = 3
READBACK_S = 2.0
"""Time in which a cabinet must show what it accepted, beside the time of a running change (I16)."""
MAX_STRIKES = 3
"""Read-backs in a row that may disagree before the agent lets go (I16)."""


def least_lease_s(tick_s: float) -> float:
    """How long one command must keep a cabinet obedient at least, in seconds (I14)."""
    return max(MIN_LEASE_S, LEASE_TICKS * tick_s)


def unit_commandable(case: ModeCase) -> Finding | None:
    """I11: no commands during preemption, manual control, stop time or flash, nor for a while after them."""
    if case.mode not in COMMANDABLE_MODES:
        return Finding("I11", Reaction.RELEASE, f"the cabinet is in {case.mode}")
    if case.clear_s >= case.resume_s - TIME_EPSILON_S:
        return None
    return Finding("I11", Reaction.RELEASE, f"the cabinet is free since {case.clear_s:.1f} s of {case.resume_s:.1f} s")


def startup_over(case: StartupCase) -> Finding | None:
    """I12: an agent reads valid states for a whole window before its first command."""
    if case.valid_s >= case.window_s - TIME_EPSILON_S:
        return None
    return Finding("I12", Reaction.RELEASE, f"valid states for {case.valid_s:.1f} s of {case.window_s:.1f} s")


def lease_sound(case: LeaseCase) -> Finding | None:
    """I14: no control of a cabinet that would obey for ever, or not long enough for the next command."""
    least_s = least_lease_s(case.tick_s)
    if math.isfinite(case.lease_s) and case.lease_s >= least_s - TIME_EPSILON_S:
        return None
    detail = f"the cabinet obeys a command for {case.lease_s} s, at least {least_s:.0f} s and an end are needed"
    return Finding("I14", Reaction.RELEASE, detail)


def single_writer(case: WriterCase) -> Finding | None:
    """I18: one life of one agent commands; an older life or an older command is refused."""
    if case.holder_boot_id is None or (case.boot_id, case.seq) > (case.holder_boot_id, case.holder_seq):
        return None
    detail = (
        f"boot {case.boot_id} seq {case.seq} is not after boot {case.holder_boot_id} seq {case.holder_seq},"
        " which the cabinet obeys"
    )
    return Finding("I18", Reaction.REJECT, detail)


def readback_agrees(case: ReadbackCase) -> Finding | None:
    """I16: a cabinet shows in time what it accepted; the third time in a row that it does not, the agent lets go."""
    if case.is_as_commanded or case.overdue_s < READBACK_S - TIME_EPSILON_S:
        return None
    reaction = Reaction.RELEASE if case.strikes_before + 1 >= MAX_STRIKES else Reaction.LOG
    return Finding("I16", reaction, f"the cabinet does not show what it accepted {case.overdue_s:.1f} s ago")


def config_agrees(case: ConfigCase) -> Finding | None:
    """I19: agent and cabinet follow the same intersection, times and conflicts; to name none is to follow another."""
    if case.reported == case.expected:
        return None
    reported = f"configuration {case.reported[:12]}" if case.reported else "a configuration that it does not name"
    detail = f"the cabinet follows {reported}, the agent {case.expected[:12]}"
    return Finding("I19", Reaction.LATCH, detail)


def approved(case: ApprovalCase) -> Finding | None:
    """I25: nothing is obeyed that the guard of the agent has not let pass just now."""
    if case.approved_s is None:
        return Finding("I25", Reaction.REJECT, "no guard has let this command pass")
    age_s = case.now_s - case.approved_s
    if -TIME_EPSILON_S <= age_s <= case.max_age_s + TIME_EPSILON_S:
        return None
    return Finding("I25", Reaction.REJECT, f"the guard let this command pass {age_s:.3f} s ago")
