"""The safety case: every cell says something, every figure stands there, and every proof that is named runs."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

import pytest
from source_tree import ROOT, files_of_tests

HAZARDS = ("hazard", "rule", "reaction", "limit", "tests")
"""The first columns of a table of hazards."""
PLACEHOLDER = re.compile(
    r"\b(?:todo|tbd|fixme|pending|placeholder|not yet measured|measured in)\b"
    r"|\bto be (?:measured|counted|written|done|added)\b"
    r"|^\W*$|^\[[^\]]*\]\([^)]*\)$"
    r"|^(?:see|n/a|none)\b\.?(?: [\w/]+\.md)?$",
    re.IGNORECASE,
)
"""What stands for a figure or a word that somebody still has to write, a link alone included."""


class Row(NamedTuple):
    """One row of a table, the header of that table, and where it stands."""

    line: int
    header: tuple[str, ...]
    cells: tuple[str, ...]


def cells_of(line: str) -> tuple[str, ...]:
    """The cells of one line of a table."""
    return tuple(cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|"))


def rows_of(text: str) -> list[Row]:
    """The rows of every table in `text`."""
    rows: list[Row] = []
    header: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith("|"):
            header = ()
        elif not header:
            header = cells_of(line)
        elif not line.startswith("|---"):
            rows.append(Row(number, header, cells_of(line)))
    return rows


def hollow(row: Row) -> list[str]:
    """The columns of `row` that say nothing; one that is missing counts as well."""
    if len(row.cells) != len(row.header):
        return [f"line {row.line}: {len(row.cells)} cells under {len(row.header)} columns"]
    return [
        f"line {row.line}: {column}: {cell!r}"
        for column, cell in zip(row.header, row.cells, strict=True)
        if PLACEHOLDER.search(cell)
    ]


@cache
def case_rows() -> tuple[Row, ...]:
    """All rows of the safety case."""
    return tuple(rows_of((ROOT / "docs" / "safety-case.md").read_text(encoding="utf-8")))


@cache
def existing_tests() -> frozenset[str]:
    """The names of all tests of the repository."""
    sources = [path.read_text(encoding="utf-8") for path in files_of_tests()]
    return frozenset(name for text in sources for name in re.findall(r"^ *def (test_\w+)\(", text, re.MULTILINE))


def hazard_rows() -> list[Row]:
    """The rows about hazards."""
    return [row for row in case_rows() if row.header[: len(HAZARDS)] == HAZARDS]


def test_no_cell_is_empty_or_a_placeholder() -> None:
    """Whoever reads the case finds what it says in it, figures included."""
    assert [fault for row in case_rows() for fault in hollow(row)] == []


def test_every_hazard_has_a_proof_that_runs() -> None:
    """Each row names tests, and all of them exist."""
    wrong = {
        row.line: named - existing_tests()
        for row in hazard_rows()
        if not (named := set(re.findall(r"`(test_\w+)`", row.cells[4]))) or named - existing_tests()
    }

    assert wrong == {}
    assert {row.cells[1] for row in hazard_rows()} == {f"I{number}" for number in range(1, 26)}


def test_every_proof_has_a_figure() -> None:
    """What is shown by volume says how much, in the case itself."""
    rows = [row for row in case_rows() if row.header == ("what", "how", "figure")]

    assert len(rows) >= 8
    assert [row.line for row in rows if not re.search(r"\d|\bno (?:breach|fault)\b", row.cells[2])] == []


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "-",
        "...",
        "TBD",
        "todo: count",
        "measured in docs/benchmarks.md",
        "trips: measured in docs/benchmarks.md",
        "[proof](proof.md)",
        "see proof.md",
        "n/a",
        "to be measured",
    ],
)
def test_placeholders_are_told_from_words(cell: str) -> None:
    """As the search would miss them otherwise; a row that lost a cell is found as well."""
    table = f"| what | figure |\n|---|---|\n| fuzzing | {cell} |\n"

    assert len([fault for row in rows_of(table) for fault in hollow(row)]) == 1
    assert hollow(rows_of("| a | b |\n|---|---|\n| 1 |\n")[0]) != []
    assert hollow(rows_of("| a | b |\n|---|---|\n| 1 | nobody else |\n")[0]) == []
