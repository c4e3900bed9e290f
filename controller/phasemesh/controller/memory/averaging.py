"""The paper's communication: tables of several agents become one, by the mean over those that hold an entry.

Division by the number of all agents would drag what few have seen towards zero. Source: DMIL, sections IV-D and VI-A.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from phasemesh.controller.memory.entries import Estimate, LtmEntry, ltm_entry
from phasemesh.controller.memory.sarsa import Row


def averaged_rows(tables: Sequence[Mapping[bytes, Row]]) -> dict[bytes, Row]:
    """The union of all keys and stages, each with the mean over its holders."""
    held: dict[bytes, dict[int, list[Estimate]]] = {}
    for table in tables:
        for key, row in table.items():
            stages = held.setdefault(key, {})
            for stage, estimate in row.items():
                stages.setdefault(stage, []).append(estimate)
    return {key: {stage: _mean(estimates) for stage, estimates in stages.items()} for key, stages in held.items()}


def averaged_ltm(tables: Sequence[Mapping[bytes, LtmEntry]]) -> dict[bytes, LtmEntry]:
    """The union of all keys: the mean a (key, stage) over its holders, then the stage of the largest mean.

    An entry is as new as the newest that went into it.
    """
    rows = averaged_rows([{key: {entry.stage: entry.estimate} for key, entry in table.items()} for table in tables])
    newest: dict[bytes, float] = {}
    for table in tables:
        for key, entry in table.items():
            newest[key] = max(newest.get(key, entry.updated_at_s), entry.updated_at_s)
    return {key: _best(row, newest[key]) for key, row in rows.items()}


def _best(row: Row, at_s: float) -> LtmEntry:
    stage = min(row, key=lambda each: (-row[each].q, each))
    return ltm_entry(stage, row[stage], at_s)


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean value with the visits of the busiest holder: sums would grow with every exchange of the same visits."""
    busiest = max(estimates, key=lambda each: each.n)
    return Estimate(_average(each.q for each in estimates), busiest.n, busiest.mean, busiest.m2)


def _average(values: Iterable[float]) -> float:
    numbers = sorted(values)
    return sum(numbers) / len(numbers)
