"""What `/v1/memory` says: what is remembered, who decided, and what memory would have done at the newest tick."""

from __future__ import annotations

import msgspec

from phasemesh.contract.site import MemoryMode
from phasemesh.controller.decision import GATE
from phasemesh.controller.memory.memory_alarms import MemoryAlarm
from phasemesh.controller.memory.recall import Candidate, proposal
from phasemesh.controller.operator.snapshot import OperatorState
from phasemesh.controller.telemetry.memory_metrics import decisions_by_source, source_name
from phasemesh.controller.telemetry.records import TickRecord


class LookUpView(msgspec.Struct, frozen=True):
    """One look-up: the key as hexadecimal, what was found, the policy's record there, what memory would have done.

    `proposed_stage` is None where memory left the stage to the policy; it acts on it only where `may_act`.
    """

    key: str
    candidates: tuple[Candidate, ...]
    policy_n: int
    policy_mean: float
    may_act: bool
    proposed_stage: int | None
    proposed_by: str


class MemoryView(msgspec.Struct, frozen=True):
    """The memory of an agent after its newest tick; `source` is who decided it, `decisions` all of them since start.

    A source is `ltm`, `stm`, `policy` or `fallback`. `look_up` is None where nothing was looked up.
    """

    mode: MemoryMode
    source: str
    decisions: dict[str, int]
    ltm_keys: int
    stm_keys: int
    promoted_keys: int
    look_ups: int
    hits: int
    hit_rate: float
    promotions: int
    demotions: int
    alarms: tuple[MemoryAlarm, ...]
    has_store: bool
    store_fault: str
    unsaved_rows: int
    hub_answers: int | None
    look_up: LookUpView | None


def memory(state: OperatorState, record: TickRecord) -> MemoryView:
    """What is known of the memory of `state`; an agent without one has mode `off` and has decided nothing by it."""
    known = state.memory
    if known is None:
        return _without_memory(record)
    counts = known.counts
    return MemoryView(
        mode=known.mode,
        source=source_name(record.source),
        decisions=decisions_by_source(counts),
        ltm_keys=known.ltm,
        stm_keys=known.stm,
        promoted_keys=known.promoted,
        look_ups=counts.look_ups,
        hits=counts.hits,
        hit_rate=round(counts.hit_rate, 4),
        promotions=counts.promotions,
        demotions=counts.demotions,
        alarms=known.alarms,
        has_store=known.has_store,
        store_fault=known.store_fault,
        unsaved_rows=known.unsaved,
        hub_answers=known.hub_answers,
        look_up=_look_up(record),
    )


def _look_up(record: TickRecord) -> LookUpView | None:
    remembered = record.remembered
    if remembered is None:
        return None
    proposed = proposal(remembered, record.legal, GATE)
    return LookUpView(
        key=remembered.key.hex(),
        candidates=remembered.candidates,
        policy_n=remembered.policy_n,
        policy_mean=remembered.policy_mean,
        may_act=remembered.may_act,
        proposed_stage=proposed.stage if proposed else None,
        proposed_by=proposed.source if proposed else "",
    )


def _without_memory(record: TickRecord) -> MemoryView:
    return MemoryView(
        mode=MemoryMode.OFF,
        source=source_name(record.source),
        decisions={},
        ltm_keys=0,
        stm_keys=0,
        promoted_keys=0,
        look_ups=0,
        hits=0,
        hit_rate=0.0,
        promotions=0,
        demotions=0,
        alarms=(),
        has_store=False,
        store_fault="",
        unsaved_rows=0,
        hub_answers=None,
        look_up=None,
    )
