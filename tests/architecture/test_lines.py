"""The contract and the controller are tested at least as much as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from source_tree import PORTIONS, ROOT, line_count


def _lines(folder: Path) -> int:
    return sum(line_count(path) for path in folder.rglob("*.py"))


@pytest.mark.parametrize("room", ["contract", "controller"])
def test_a_room_has_as_many_lines_of_tests_as_of_source(room: str) -> None:
    """The tests of what runs on the street are no shorter than what they test."""
    tests, source = _lines(ROOT / "tests" / room), _lines(PORTIONS[room])

    assert source > 0
    assert tests >= source, f"{tests} lines of tests for {source} lines of source"
