"""What a row of the table of faults is made of."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import msgspec


class Depth(IntEnum):
    """How far an agent is from coordinated control, worst last."""

    COORDINATED = 0
    MISSES = 1
    """Coordinated, but a message that was expected did not come in time."""
    ISOLATED = 2
    LOCAL = 3
    RELEASED = 4
    """The cabinet follows its own plan, whether its agent let go, is silent or is dead."""
    FLASH = 5


class Reach(StrEnum):
    """Who has to survive a fault."""

    ONE = "one agent"
    LINKED = "one agent that has neighbours"
    READERS = "all neighbours of one agent"
    DIRECTION = "one agent, from one neighbour"
    HALVES = "both halves of the city"


class Variant(msgspec.Struct, frozen=True):
    """One way to inject a fault: its means and strength, and the least depth by which the targets must show it.

    `deepest` is how far they may fall where that is less than the row allows. What `needs_namespaces` is left out of
    the plan where agents have no network namespaces of their own. What takes a `length_s` of its own, longer than an
    hour, has no turn: it is injected once in a run that is long enough, beside all others. What `needs_day` shows only
    by day, when an empty street is no usual sight.
    """

    means: str
    strength: float = 0.0
    least: Depth = Depth.COORDINATED
    deepest: Depth | None = None
    needs_namespaces: bool = False
    length_s: float | None = None
    needs_day: bool = False


class Fault(msgspec.Struct, frozen=True):
    """One row.

    `required` is what the targets have to do, `deepest` how far they may fall, `clean_s` how long after the end of
    the fault they may need beyond one control interval. The plan takes one of `variants` an hour, in turn. `proof`
    names the files of tests that prove the row.
    """

    id: str
    title: str
    required: str
    variants: tuple[Variant, ...]
    length_s: float
    deepest: Depth
    proof: tuple[str, ...]
    reach: Reach = Reach.ONE
    clean_s: float = 30.0


LONG_S = 300.0
"""A fault that lasts longer runs beside the others, on an agent that is spared by them."""
