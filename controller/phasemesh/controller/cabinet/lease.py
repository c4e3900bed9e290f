"""Whose commands a cabinet hears: one life of one agent, approved by its guard, and only while nobody outranks it."""

from __future__ import annotations

import msgspec

from phasemesh.contract.command import Command, CommandKind
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.safety.case import ApprovalCase, Finding, ModeCase, WriterCase
from phasemesh.controller.safety.unit_rules import approved, single_writer, unit_commandable

WHITELIST_RULE = "I17"
"""In an `AppliedCommand`: the command is for another intersection."""


class Lease(msgspec.Struct, frozen=True):
    """The agent's life that may command, its latest sequence number, and until when in cabinet time."""

    boot_id: int
    seq: int
    until_s: float


class Hearing(msgspec.Struct, frozen=True):
    """What decides whether a command is heard; `max_age_s` is one tick, and so is the longest step of a cabinet."""

    intersection_id: IntersectionId
    lease: Lease | None
    mode: ControlMode
    now_s: float
    max_age_s: float


def may_attach(lease: Lease | None, boot_id: int) -> bool:
    """Whether the life `boot_id` may announce itself: no newer one is known (invariant I18)."""
    return lease is None or single_writer(WriterCase(boot_id, lease.seq + 1, lease.boot_id, lease.seq)) is None


def refusal(command: Command, hearing: Hearing) -> str:
    """The rule for which `command` is not even judged, or an empty text; a refused command renews no lease.

    Letting go needs nobody's approval and is possible in every mode.
    """
    if command.intersection_id != hearing.intersection_id:
        return WHITELIST_RULE
    finding = _usurpation(command, hearing.lease)
    if finding is None and command.kind is not CommandKind.RELEASE:
        mode = ModeCase(hearing.mode, clear_s=0.0, resume_s=0.0)
        finding = _disapproval(command, hearing) or unit_commandable(mode)
    return finding.rule if finding else ""


def _usurpation(command: Command, lease: Lease | None) -> Finding | None:
    holder = (None, -1) if lease is None else (lease.boot_id, lease.seq)
    return single_writer(WriterCase(command.boot_id, command.seq, *holder))


def _disapproval(command: Command, hearing: Hearing) -> Finding | None:
    """I25; cabinet time stands still between steps, so that an approval may be ahead of it by the longest step."""
    now_s, approved_s = hearing.now_s, command.approved_s
    if approved_s is not None and now_s < approved_s <= now_s + hearing.max_age_s:
        now_s = approved_s
    return approved(ApprovalCase(approved_s, now_s, hearing.max_age_s))
