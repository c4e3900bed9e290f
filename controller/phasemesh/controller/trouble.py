"""From what a tick found out to the events of the ladder: one pure function, so that replay raises the same events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from phasemesh.contract.detection import ControlMode, Snapshot
from phasemesh.contract.tensors import PolicyFault, PolicyOutput
from phasemesh.controller.ladder import Raised
from phasemesh.controller.ladder_table import ROWS, Ending, LadderEvent
from phasemesh.controller.peers.mailbox import PeerView
from phasemesh.controller.safety.case import Finding, Reaction

FLASHING_MODES = frozenset({ControlMode.FLASH, ControlMode.STARTUP})
EVENTS_OF_RULES: dict[str, LadderEvent] = {
    row.rule: row.event for row in ROWS.values() if row.rule in {"I1", "I12", "I14", "I16", "I19", "I21"}
} | {"I11": LadderEvent.UNIT_TAKEN}
"""The event that a finding raises unless it only tells."""
ORDERS = frozenset(row.event for row in ROWS.values() if row.ending is Ending.OPERATOR)
"""The events by which an operator may keep an agent down."""


class Circumstances(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a tick depends on beside snapshot and messages; recorded, since no replay can find it out again.

    `driver_fault` is what kept the driver from observing or commanding since the tick before, `is_outranked` whether
    the cabinet refused the last command in favour of a newer life; both are settled before the tick. `late` is what
    rule I23 says of the tick, `orders` are those of operators in force, and `latch_is_reset` whether one reset what is
    latched. `clock_step_s` is how far the wall clock jumped since the tick before, for the log only.
    """

    driver_fault: str = ""
    is_outranked: bool = False
    late: Finding | None = None
    orders: tuple[LadderEvent, ...] = ()
    latch_is_reset: bool = False
    clock_step_s: float = 0.0


def raised_events(
    snapshot: Snapshot,
    findings: Sequence[Finding],
    output: PolicyOutput | PolicyFault,
    views: Sequence[PeerView],
    circumstances: Circumstances,
) -> tuple[Raised, ...]:
    """All events of one tick; `findings` are those about the unit and its detectors."""
    return (
        *_of_unit(snapshot, findings),
        *_of_circumstances(circumstances),
        *_of_policy(output),
        *neighbour_events(views),
    )


def _of_unit(snapshot: Snapshot, findings: Sequence[Finding]) -> Iterator[Raised]:
    if snapshot.mode in FLASHING_MODES:
        yield Raised(LadderEvent.UNIT_FLASHING, f"the cabinet is in {snapshot.mode}")
    for finding in findings:
        if finding.reaction is not Reaction.LOG and (event := EVENTS_OF_RULES.get(finding.rule)) is not None:
            yield Raised(event, finding.detail)


def _of_circumstances(circumstances: Circumstances) -> Iterator[Raised]:
    if circumstances.driver_fault:
        yield Raised(LadderEvent.CABINET_SILENT, circumstances.driver_fault)
    if circumstances.is_outranked:
        yield Raised(LadderEvent.OUTRANKED, ROWS[LadderEvent.OUTRANKED].sentence)
    if circumstances.late is not None and circumstances.late.reaction is Reaction.REPLACE:
        yield Raised(LadderEvent.DECISIONS_LATE, circumstances.late.detail)
    for order in circumstances.orders:
        yield Raised(order, ROWS[order].sentence)


def _of_policy(output: PolicyOutput | PolicyFault) -> Iterator[Raised]:
    if isinstance(output, PolicyFault):
        yield Raised(LadderEvent.POLICY_FAULTY, output.reason)


def neighbour_events(views: Sequence[PeerView]) -> Iterator[Raised]:
    """The event that none of the neighbours is fresh, if there are any."""
    if views and not any(view.is_fresh for view in views):
        yield Raised(LadderEvent.NEIGHBOURS_STALE, f"none of {len(views)} neighbours is fresh")
