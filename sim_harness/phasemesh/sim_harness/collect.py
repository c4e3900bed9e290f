"""Sums up what agents recorded, tick by tick."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from phasemesh.controller.telemetry.records import Source, TickRecord, read_records


class TickTotals:
    """Totals over the ticks of any number of agents."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.ticks = 0
        self.deadline_misses = 0
        self.lost_records = 0
        self.sources: Counter[str] = Counter()
        self.guard_rejections: Counter[str] = Counter()
        self.tick_ms: list[float] = []
        self.tick_cpu_ms: list[float] = []
        self.rungs: dict[str, str] = {}

    @property
    def plan_ticks(self) -> int:
        """Ticks that the local plan of an agent decided."""
        return self.sources[Source.PLAN.value]

    def note(self, record: TickRecord) -> None:
        """Add one tick; its wall time leaves out the wait for the neighbours, the third of the nine steps."""
        self.ticks += 1
        self.deadline_misses += len(record.comm_misses)
        self.sources[record.source.value] += 1
        if record.stage != record.wanted_stage:
            self.guard_rejections[record.rule] += 1
        if record.applied is not None and not record.applied.is_accepted:
            self.guard_rejections[f"cabinet {record.applied.rule}"] += 1
        self.tick_ms.append(sum(record.step_ms) - record.step_ms[2])
        self.tick_cpu_ms.append(record.cpu_ms)
        self.rungs[record.snapshot.intersection_id] = record.rung

    def note_file(self, path: Path) -> None:
        """Add all ticks of a record file; damaged parts and declared gaps count as lost."""
        _, items = read_records(path)
        for item in items:
            if isinstance(item, TickRecord):
                self.note(item)
            else:
                self.lost_records += getattr(item, "count", 1)
