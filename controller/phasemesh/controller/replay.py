"""Re-runs recorded ticks and reports the first difference: the decision is a pure function of what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.observation import FloatArray
from phasemesh.contract.tensors import PolicyFault, PolicyOutput
from phasemesh.controller.decision import Decider, Mind
from phasemesh.controller.memory.recall import NoMemory
from phasemesh.controller.peers.mailbox import PeerView
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.telemetry.records import Damage, RecordHeader, Rung, Source, TickRecord, read_records


class Difference(msgspec.Struct, frozen=True):
    """The first tick that did not repeat itself: which of its values, what was recorded and what came out now."""

    tick: int
    what: str
    recorded: str
    replayed: str


class Replayed(msgspec.Struct, frozen=True):
    """How many ticks were re-run, how many were missing from the file, and the first difference, if any."""

    ticks: int
    missing: int
    difference: Difference | None


def replay(path: Path, policy: Policy | PolicyFault) -> Replayed:
    """Re-run every tick of `path` with `policy`; raises RecordError when the file is no record."""
    header, items = read_records(path)
    decider = _decider(header, policy)
    expected: tuple[int, Mind] | None = None
    ticks = missing = 0
    for item in items:
        if not isinstance(item, TickRecord):
            missing += 1 if isinstance(item, Damage) else item.count
            continue
        ticks += 1
        outcome = _rerun(decider, item, expected)
        if isinstance(outcome, Difference):
            return Replayed(ticks, missing, outcome)
        expected = item.tick + 1, outcome
    return Replayed(ticks, missing, None)


def _decider(header: RecordHeader, policy: Policy | PolicyFault) -> Decider:
    return Decider(
        header.intersection,
        header.timings,
        policy=policy,
        plan=PLANS[header.plan](header.intersection, header.timings),
        memory=NoMemory(),
        tick_s=header.tick_s,
        steps_per_tick=header.steps_per_tick,
    )


def _rerun(decider: Decider, record: TickRecord, expected: tuple[int, Mind] | None) -> Mind | Difference:
    """The mind after `record`; `expected` is the tick that follows the last one re-run, and the mind before it."""
    mind = Mind(
        history=record.history_before,
        hidden=np.frombuffer(record.hidden_before, dtype="<f4"),
        policy=np.zeros(len(decider.intersection.stages), dtype=np.float32),
        step=record.step_before,
    )
    observed = decider.observe(mind, record.snapshot)
    noise = np.frombuffer(record.mask_noise, dtype="<f4")
    output = decider.infer(decider.mask(observed, tuple(_views(record)), noise))
    may_use_policy = record.rung in (Rung.COORDINATED, Rung.ISOLATED)
    was_late = record.source is Source.HOLD
    choice = decider.hold(observed) if was_late else decider.recall(observed, output, may_use_policy=may_use_policy)
    verdict = decider.guard(observed, choice.stage, record.now_s)
    pairs: dict[str, tuple[object, object]] = {
        **_carried_pairs(record, expected),
        "legal": (record.legal, observed.legal),
        **_output_pairs(record, output),
        "source": (str(record.source), choice.source),
        "wanted_stage": (record.wanted_stage, choice.stage),
        "stage": (record.stage, verdict.stage),
        "rule": (record.rule, verdict.rule),
        "is_accepted": (record.is_accepted, verdict.is_accepted),
    }
    for what, (recorded, replayed) in pairs.items():
        if recorded != replayed:
            return Difference(record.tick, what, _text(recorded), _text(replayed))
    return decider.next_mind(mind, observed, output)


def _carried_pairs(record: TickRecord, expected: tuple[int, Mind] | None) -> dict[str, tuple[object, object]]:
    if expected is None or expected[0] != record.tick:
        return {}
    mind = expected[1]
    return {
        "history_before": (record.history_before, mind.history),
        "hidden_before": (record.hidden_before, _bytes(mind.hidden)),
        "step_before": (record.step_before, mind.step),
    }


def _views(record: TickRecord) -> Iterator[PeerView]:
    for peer in record.peers:
        message = peer.message
        yield PeerView(
            peer=peer.peer,
            age_ticks=peer.age_ticks,
            step=message.step if message else None,
            boot_id=message.boot_id if message else None,
            seq=message.seq if message else None,
            message=message,
            is_fresh=peer.is_fresh,
        )


def _output_pairs(record: TickRecord, output: PolicyOutput | PolicyFault) -> dict[str, tuple[object, object]]:
    if isinstance(output, PolicyFault):
        return {"logits": (record.logits, b"")}
    return {
        "logits": (record.logits, _bytes(output.stage_logits)),
        "mask": (record.mask, _bytes(output.mask)),
        "mask_probability": (record.mask_probability, _bytes(output.mask_probability)),
        "hyper_action": (record.hyper_action, _bytes(output.hyper_action)),
    }


def _bytes(values: FloatArray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


def _text(value: object) -> str:
    return str(np.frombuffer(value, dtype="<f4").tolist()) if isinstance(value, bytes) else str(value)
