"""Re-runs recorded ticks and reports the first difference: the decision is a pure function of what was recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from phasemesh.contract.tensors import PolicyFault, PolicyOutput
from phasemesh.controller.decision import Decider, Mind, Observed
from phasemesh.controller.ladder import Standing
from phasemesh.controller.peers.mailbox import PeerView
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.recording import as_bytes
from phasemesh.controller.safety.detectors import detector_faults
from phasemesh.controller.telemetry.records import (
    Damage,
    Gap,
    RecordHeader,
    RecordItem,
    TickRecord,
    has_end_mark,
    read_records,
)

Pairs = dict[str, tuple[object, object]]
"""Values of a tick by name: as recorded, and as they came out of the replay."""


class Difference(msgspec.Struct, frozen=True):
    """The first tick that did not repeat itself: which of its values, what was recorded and what came out now."""

    tick: int
    what: str
    recorded: str
    replayed: str


class Replayed(msgspec.Struct, frozen=True):
    """How many ticks were re-run, how many were missing from the file, and the first difference, if any.

    `damage` names the first place where the file is torn or altered, or where records are missing without a gap that
    says so; it is empty for a file that is whole or that declares what it lost. `has_end` says whether its writer came
    to an orderly end; without that the last records may be missing, as those of an agent that was killed.
    """

    ticks: int
    missing: int
    difference: Difference | None
    damage: str = ""
    has_end: bool = True


class Inventory:
    """Counts the ticks of a file that are not in it, and remembers the first place that nothing explains."""

    def __init__(self) -> None:
        """Nothing has been read."""
        self.missing = 0
        self.damage = ""
        self._next_tick: int | None = None
        self._declared = 0
        self._torn = 0

    def note(self, item: RecordItem) -> None:
        """Take the next item of the file."""
        if isinstance(item, Gap):
            self._declared += item.count
        elif isinstance(item, Damage):
            self._torn += 1
            self._find(f"{item.reason}, at byte {item.offset} ({item.size_bytes} bytes)")
        else:
            self._note_tick(item.tick)

    def end(self) -> None:
        """The file is over: what was announced after the last tick is missing too."""
        self.missing += self._declared + self._torn
        self._declared = self._torn = 0

    def _note_tick(self, tick: int) -> None:
        if self._next_tick is None:
            self.missing += self._declared + self._torn
        else:
            hole = max(0, tick - self._next_tick)
            self.missing += hole
            if hole > self._declared and not self._torn:
                self._find(f"{hole - self._declared} ticks before tick {tick} are missing, and no gap says so")
        self._next_tick = tick + 1
        self._declared = self._torn = 0

    def _find(self, place: str) -> None:
        self.damage = self.damage or place


def replay(path: Path, policy: Policy | PolicyFault) -> Replayed:
    """Re-run every tick of `path` with `policy`; raises RecordError when the file is no record."""
    header, items = read_records(path)
    decider = _decider(header, policy)
    inventory = Inventory()
    expected: tuple[int, Mind] | None = None
    ticks = 0
    for item in items:
        inventory.note(item)
        if not isinstance(item, TickRecord):
            continue
        ticks += 1
        outcome = _rerun(decider, header, item, expected)
        if isinstance(outcome, Difference):
            return Replayed(ticks, inventory.missing, outcome, inventory.damage, has_end_mark(path))
        expected = item.tick + 1, outcome
    inventory.end()
    return Replayed(ticks, inventory.missing, None, inventory.damage, has_end_mark(path))


def _decider(header: RecordHeader, policy: Policy | PolicyFault) -> Decider:
    return Decider(
        header.intersection,
        header.timings,
        policy=policy,
        plan=PLANS[header.plan](header.intersection, header.timings, header.schedule),
        tick_s=header.tick_s,
        steps_per_tick=header.steps_per_tick,
        unit=header.unit,
    )


def _rerun(
    decider: Decider, header: RecordHeader, record: TickRecord, expected: tuple[int, Mind] | None
) -> Mind | Difference:
    """The mind after `record`; `expected` is the tick that follows the last one re-run, and the mind before it."""
    mind = _mind_before(decider, record)
    views = tuple(_views(record))
    observed = decider.observe(mind, record.snapshot)
    output = decider.infer(decider.mask(mind, observed, views, np.frombuffer(record.mask_noise, dtype="<f4")))
    if isinstance(output, PolicyFault):
        # The words of a fault are those of its time: the policy that spoke them may be gone.
        output = PolicyFault(record.policy_fault)
    standing = decider.stand(mind, observed, output, views, record.circumstances)
    choice = decider.choose(observed, output, standing.rung, record.circumstances.late, record.remembered)
    verdict = decider.guard(observed, choice, record.now_s)
    pairs: Pairs = {
        **_carried_pairs(record, mind, expected),
        **_observed_pairs(record, observed),
        **_output_pairs(record, output),
        **_standing_pairs(record, standing),
        "source": (str(record.source), choice.source),
        "wanted_stage": (record.wanted_stage, choice.stage),
        "kind": (record.kind, choice.kind),
        "stage": (record.stage, verdict.stage),
        "rule": (record.rule, verdict.rule),
        "is_accepted": (record.is_accepted, verdict.is_accepted),
    }
    for what, (recorded, replayed) in pairs.items():
        if recorded != replayed:
            return Difference(record.tick, what, _text(recorded), _text(replayed))
    unit = decider.note_answer(observed, choice, record.applied, record.now_s, header.boot_id)
    return decider.next_mind(observed, output, standing, unit)


def _mind_before(decider: Decider, record: TickRecord) -> Mind:
    return Mind(
        history=record.history_before,
        hidden=np.frombuffer(record.hidden_before, dtype="<f4"),
        policy=np.zeros(len(decider.intersection.stages), dtype=np.float32),
        step=record.step_before,
        detectors=record.detectors_before,
        unit=record.unit_before,
        standing=record.standing_before,
    )


def _carried_pairs(record: TickRecord, before: Mind, expected: tuple[int, Mind] | None) -> Pairs:
    if expected is None or expected[0] != record.tick:
        return {}
    mind = expected[1]
    return {
        "history_before": (before.history, mind.history),
        "hidden_before": (record.hidden_before, as_bytes(mind.hidden)),
        "step_before": (before.step, mind.step),
        "detectors_before": (before.detectors, mind.detectors),
        "unit_before": (before.unit, mind.unit),
        "standing_before": (before.standing, mind.standing),
    }


def _observed_pairs(record: TickRecord, observed: Observed) -> Pairs:
    return {
        "legal": (record.legal, observed.legal),
        "findings": (record.findings, observed.findings),
        "detector_faults": (record.detector_faults, detector_faults(observed.detectors)),
    }


def _standing_pairs(record: TickRecord, standing: Standing) -> Pairs:
    return {
        "rung": (record.rung, standing.rung),
        "reason": (record.reason, standing.reason),
        "in_force": (record.in_force, standing.in_force),
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


def _output_pairs(record: TickRecord, output: PolicyOutput | PolicyFault) -> Pairs:
    if isinstance(output, PolicyFault):
        return {"logits": (record.logits, b""), "policy_fault": (bool(record.policy_fault), True)}
    return {
        "logits": (record.logits, as_bytes(output.stage_logits)),
        "mask": (record.mask, as_bytes(output.mask)),
        "mask_probability": (record.mask_probability, as_bytes(output.mask_probability)),
        "hyper_action": (record.hyper_action, as_bytes(output.hyper_action)),
    }


def _text(value: object) -> str:
    return str(np.frombuffer(value, dtype="<f4").tolist()) if isinstance(value, bytes) else str(value)
