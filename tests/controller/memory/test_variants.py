"""The architectures of the paper come from one table, each once."""

from __future__ import annotations

import pytest

from phasemesh.contract.errors import InputError
from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules
from phasemesh.controller.memory.equivalence import Abstraction
from phasemesh.controller.memory.layout import layout_of
from phasemesh.controller.memory.qtable import QTable
from phasemesh.controller.memory.variants import (
    BASELINES,
    PAPER_VARIANTS,
    VARIANTS,
    TableKind,
    build_table,
    find_variant,
)
from phasemesh.sim_harness.eight_stages import eight_stage_crossing

LAYOUT = layout_of(eight_stage_crossing())


def test_d12_there_are_24_variants_and_three_baselines() -> None:
    """All distinct, by value and by name."""
    assert len(PAPER_VARIANTS) == len(set(PAPER_VARIANTS)) == 24
    assert len(BASELINES) == 3
    assert not set(BASELINES) & set(PAPER_VARIANTS)
    assert len(VARIANTS) == 36


@pytest.mark.parametrize("name", VARIANTS)
def test_d12_every_name_builds_what_it_says(name: str) -> None:
    """The factory gives table and relation of the row."""
    variant = find_variant(name)
    table = build_table(variant, LAYOUT, DualMemoryRules(capacity=7))

    assert table.equivalence.abstraction is variant.abstraction
    assert isinstance(table, DualMemory if variant.kind is TableKind.DUAL else QTable)
    assert not isinstance(table, DualMemory) or table.rules.capacity == 7


def test_an_unknown_variant_is_refused_with_the_known_ones() -> None:
    """One clear line."""
    with pytest.raises(InputError, match="dual-complex-entropy"):
        find_variant("dual-magic")


def test_the_baselines_have_no_abstraction() -> None:
    """Their column is called "No Memory": plain tables of their own situations."""
    assert {variant.abstraction for variant in BASELINES} == {Abstraction.NONE}
