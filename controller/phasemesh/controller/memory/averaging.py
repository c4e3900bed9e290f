"""The paper's communication: tables of several agents become one, by the mean over those that hold an entry.

Division by the number of all agents would drag what few have seen towards zero. Source: DMIL, sections IV-D and VI-A.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from phasemesh.controller.memory.entries import Estimate, LtmEntry, ltm_entry
from phasemesh.controller.memory.sarsa import Row

Held = TypeVar("Held")


def averaged_rows(tables: Sequence[Mapping[bytes, Row]]) -> dict[bytes, Row]:
    """The union of all keys and stages, each with the mean over its holders."""
    return {key: rows[0] if _is_one_object(rows) else _averaged_row(rows) for key, rows in _by_key(tables).items()}


def averaged_ltm(tables: Sequence[Mapping[bytes, LtmEntry]]) -> dict[bytes, LtmEntry]:
    """The union of all keys: the mean a (key, stage) over its holders, then the stage of the largest mean.

    An entry is as new as the newest that went into it.
    """
    return {key: entries[0] if _is_one_object(entries) else _best(entries) for key, entries in _by_key(tables).items()}


def _by_key(tables: Sequence[Mapping[bytes, Held]]) -> dict[bytes, list[Held]]:
    held: dict[bytes, list[Held]] = {}
    for table in tables:
        for key, each in table.items():
            held.setdefault(key, []).append(each)
    return held


def _is_one_object(held: Sequence[object]) -> bool:
    """Whether nobody changed it since the last exchange, which spares most of the work."""
    return all(each is held[0] for each in held)


def _averaged_row(rows: Sequence[Row]) -> Row:
    return {stage: _mean([row[stage] for row in rows if stage in row]) for stage in sorted(set().union(*rows))}


def _best(entries: Sequence[LtmEntry]) -> LtmEntry:
    row = _averaged_row([{entry.stage: entry.estimate} for entry in entries])
    stage = min(row, key=lambda each: (-row[each].q, each))
    return ltm_entry(stage, row[stage], max(entry.updated_at_s for entry in entries))


def _mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean value with the visits of the busiest holder: sums would grow with every exchange of the same visits."""
    busiest = max(estimates, key=lambda each: each.n)
    return Estimate(_average(each.q for each in estimates), busiest.n, busiest.mean, busiest.m2)


def _average(values: Iterable[float]) -> float:
    numbers = sorted(values)
    return sum(numbers) / len(numbers)
