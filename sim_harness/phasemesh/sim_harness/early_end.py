"""The report of a run that did not come to its end: what it told last, and what its agents recorded."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from phasemesh.contract.errors import RecordError
from phasemesh.sim_harness.collect import TickTotals
from phasemesh.sim_harness.report.run_report import write_run_report
from phasemesh.sim_harness.result import RESULT_NAME, RunResult


def bury(folder: Path, net_file: Path, told: RunResult, why: str) -> Path:
    """Write the result `told` last, which ended early for the reason `why`, into `folder`, and its page; its path.

    Raises:
        InputError: The page cannot be written.
    """
    result = _with_records(folder, msgspec.structs.replace(told, is_complete=False, why_incomplete=why))
    (folder / RESULT_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    return write_run_report(folder, result, (), net_file, tick_ms=())


def _with_records(folder: Path, result: RunResult) -> RunResult:
    """`result` with what the records add, as far as they can be read."""
    totals = TickTotals()
    for path in sorted((folder / "records").glob("*.rec*")):
        with contextlib.suppress(RecordError):
            totals.note_file(path)
    return msgspec.structs.replace(
        result,
        ticks=totals.ticks,
        deadline_misses=totals.deadline_misses,
        fallback_ticks=result.fallback_ticks + totals.plan_ticks,
        sources=dict(sorted(totals.sources.items())),
        guard_rejections=dict(sorted(totals.guard_rejections.items())),
    )
