"""The architectures of the dual-memory paper as rows of one product, and the factory that builds their tables.

Source: DMIL, table I: two ways of learning together, two agents, two relations, three rewards; its table II compares
them with SARSA without any relation.
"""

from __future__ import annotations

from enum import StrEnum
from itertools import product

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules
from phasemesh.controller.memory.equivalence import Abstraction, Equivalence
from phasemesh.controller.memory.layout import Layout
from phasemesh.controller.memory.qtable import QTable
from phasemesh.controller.memory.rewards import RewardKind


class TableKind(StrEnum):
    """What an agent learns into: a table of values, or short-term and long-term memory."""

    SARSA = "sarsa"
    DUAL = "dual"


class Variant(msgspec.Struct, frozen=True):
    """One architecture."""

    kind: TableKind
    abstraction: Abstraction
    reward: RewardKind
    is_communicating: bool = False

    @property
    def name(self) -> str:
        """Its parts, joined: `dual-complex-entropy-communicating`."""
        parts = (self.kind, self.abstraction, self.reward)
        return "-".join((*parts, "communicating") if self.is_communicating else parts)


_COMBINATIONS = tuple(
    Variant(kind, abstraction, reward, is_communicating)
    for is_communicating, kind, abstraction, reward in product((False, True), TableKind, Abstraction, RewardKind)
)
VARIANTS: dict[str, Variant] = {each.name: each for each in _COMBINATIONS}
"""All 36 combinations by name, those without any relation included."""
PAPER_VARIANTS = tuple(each for each in _COMBINATIONS if each.abstraction is not Abstraction.NONE)
"""The 24 of the paper's table I."""
BASELINES = tuple(Variant(TableKind.SARSA, Abstraction.NONE, reward) for reward in RewardKind)
"""The column "No Memory" of the paper's table II."""


def find_variant(name: str) -> Variant:
    """The variant of that name. Raises InputError with all names when there is none."""
    if name not in VARIANTS:
        raise InputError(f"variant {name!r}: known are {', '.join(VARIANTS)}")
    return VARIANTS[name]


def build_table(variant: Variant, layout: Layout, rules: DualMemoryRules | None = None) -> QTable | DualMemory:
    """The empty table of one agent of `variant` at an intersection of `layout`."""
    relation = Equivalence(layout, variant.abstraction)
    return DualMemory(relation, rules) if variant.kind is TableKind.DUAL else QTable(relation)
