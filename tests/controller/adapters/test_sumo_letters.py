"""The letters that SUMO shows: a yellow keeps the right of way of the green before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.adapters.sumo_letters import from_sumo, to_sumo

LETTERS = st.text("GgyrsuoO", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("before", "letters", "shown"),
    [
        ("GGgr", "yyyr", "YYyr"),
        ("YYyr", "yyyr", "YYyr"),
        ("YYyr", "rrrr", "rrrr"),
        ("GgrG", "ygrG", "YgrG"),
        ("yyyy", "yyyy", "yyyy"),
        ("rrrr", "GgrG", "GgrG"),
    ],
)
def test_a_yellow_after_a_protected_green_keeps_its_right_of_way(before: str, letters: str, shown: str) -> None:
    """And to its end; one after a permissive green never had it, and nothing else is altered."""
    assert to_sumo(letters, before) == shown


@given(LETTERS, st.data())
def test_what_is_shown_reads_back_as_what_was_asked(letters: str, data: st.DataObject) -> None:
    """Whatever was shown before: guard, monitor and records know one yellow."""
    before = data.draw(st.text("GgyYrsuoO", min_size=len(letters), max_size=len(letters)))
    assert from_sumo(to_sumo(letters, before)) == letters
