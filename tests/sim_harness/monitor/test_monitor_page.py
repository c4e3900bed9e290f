"""The page about the monitor says what the table of checks says."""

from __future__ import annotations

from pathlib import Path

from phasemesh.sim_harness.monitor.checks import CHECKS

PAGE = Path(__file__).parents[3] / "docs" / "monitor.md"


def test_every_check_has_its_row() -> None:
    """Name, function, rule, figure, source and whether it latches, in the order of the table and nothing besides."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]

    assert rows == [
        (
            check.name,
            f"`{check.breaches.__name__}`",
            check.rule,
            check.figure,
            check.source,
            "yes" if check.latches else "no",
        )
        for check in CHECKS
    ]
