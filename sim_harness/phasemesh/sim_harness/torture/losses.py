"""What is missing in the records of a run, judged by what cabinets and harness saw of each life, not by its own word.

A life that its cabinet heard must have a file. Its ticks are numbered from 0 and every hole is declared by a gap of
just that size or lies at a damaged spot. Every step at which the cabinet got a command has its record: a command is
sent before it is recorded, so that a life which did not end in order may lack the last one. One that ended in order
has an end mark. Whatever else is missing was lost in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from phasemesh.contract.errors import RecordError
from phasemesh.controller.telemetry.records import Gap, RecordItem, TickRecord, has_end_mark, read_records
from phasemesh.sim_harness.faults.attack import Life

IN_FLIGHT = 1
"""Records that a life may owe which was cut off: the command was heard, the record not written."""


class LostRecords(msgspec.Struct, frozen=True):
    """Records that are missing: those that a file declares, by a gap or a damaged spot, and those that it does not.

    `undeclared` also counts what is declared and not missing, or wrong with a file as a whole; `findings` say where.
    """

    declared: int = 0
    undeclared: int = 0
    findings: tuple[str, ...] = ()

    def __add__(self, other: LostRecords) -> LostRecords:
        return LostRecords(
            self.declared + other.declared, self.undeclared + other.undeclared, self.findings + other.findings
        )


class _Hole(msgspec.Struct, frozen=True):
    """A place between two ticks of a file, or at its end: `missing` is None where no number tells how many."""

    missing: int | None
    declared: int
    damaged: int


def lost_records(folder: Path, lives: Iterable[Life]) -> LostRecords:
    """What is missing in the records of a run whose agents had `lives`."""
    return sum((_of_life(folder / "records", life) for life in lives), LostRecords())


def _of_life(folder: Path, life: Life) -> LostRecords:
    """The losses of one life, whose first file was set aside if it outgrew its limit."""
    paths = [path for path in (folder / f"{life.record}.1", folder / life.record) if path.exists()]
    if not paths:
        return _silent(life, 1, "there is no file of it") if life.has_spoken else LostRecords()
    try:
        items = [item for path in paths for item in read_records(path)[1]]
    except RecordError as error:
        return _silent(life, 1, str(error))
    lost = sum((_of_hole(life, hole) for hole in _holes(items)), LostRecords())
    lost += _of_commands(life, items, lost.declared)
    if life.is_orderly and not has_end_mark(paths[-1]):
        lost += _silent(life, 1, "it ended in order and its file has no end mark")
    return lost


def _silent(life: Life, count: int, why: str) -> LostRecords:
    return LostRecords(undeclared=count, findings=(f"{life.agent}, life {life.boot_id}: {why}",))


def _holes(items: Iterable[RecordItem]) -> Iterator[_Hole]:
    expected = declared = damaged = 0
    for item in items:
        if isinstance(item, TickRecord):
            yield _Hole(item.tick - expected, declared, damaged)
            expected, declared, damaged = item.tick + 1, 0, 0
        elif isinstance(item, Gap):
            declared += item.count
        else:
            damaged += 1
    yield _Hole(None, declared, damaged)


def _of_hole(life: Life, hole: _Hole) -> LostRecords:
    """A gap has to say exactly what is missing; a damaged spot holds one record or more, or the beginning of one."""
    if hole.missing is None:
        return LostRecords(hole.declared + hole.damaged)
    told = min(hole.missing, hole.declared + hole.damaged)
    silent = hole.missing - told
    if not hole.damaged:
        silent += max(0, hole.declared - hole.missing)
    if not silent:
        return LostRecords(told)
    why = f"{hole.missing} ticks are missing in one place and {hole.declared} are declared"
    return LostRecords(told) + _silent(life, silent, why)


def _of_commands(life: Life, items: Iterable[RecordItem], declared: int) -> LostRecords:
    """Commands that the cabinet heard and no record knows of, beyond what is `declared`."""
    recorded = {item.step for item in items if isinstance(item, TickRecord)}
    unknown = sum(step not in recorded for step in life.steps)
    in_flight = 0 if life.is_orderly else min(IN_FLIGHT, unknown)
    silent = unknown - declared - in_flight
    if silent <= 0:
        return LostRecords()
    return _silent(life, silent, f"{unknown} of its {len(life.steps)} commands have no record, {declared} are declared")
