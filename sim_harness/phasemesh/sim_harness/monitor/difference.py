"""Two successive states of a signal, taken apart by their letters alone; pure."""

from __future__ import annotations

from functools import lru_cache

import msgspec

GREEN, YELLOW, RED, UNKNOWN = "green", "yellow", "red", "unknown"
KINDS = {"G": GREEN, "g": GREEN, "y": YELLOW, "r": RED}
"""What a letter of SUMO means for a movement; any other says nothing that can be judged."""
ACTIVE = frozenset("Ggy")
"""Letters that let somebody in: the walk of a crossing and the greens and yellow of vehicles."""
NOBODY_SAW = "?"
"""Stands for a letter that nobody saw."""

Indices = tuple[int, ...]


class Difference(msgspec.Struct, frozen=True):
    """Which movements changed, by index.

    `new` show another letter, `greens`, `yellows` and `reds` have ended and another kind of light follows; what turns
    unknown is in none of the three. `weakened` lost the protection of a green that goes on, `opened` turn green or get
    protected, `entered` let somebody in who, or with a right of way that, was not there before.
    """

    new: Indices
    greens: Indices
    yellows: Indices
    reds: Indices
    weakened: Indices
    opened: Indices
    entered: Indices


# The changes of a city repeat: 97 % of those of ingolstadt21 were seen before.
@lru_cache(maxsize=8192)
def difference(before: str, letters: str) -> Difference:
    """The difference between two states with one letter a movement."""
    pairs = [(index, old, new) for index, (old, new) in enumerate(zip(before, letters, strict=True)) if old != new]
    turned = [(index, KINDS[old]) for index, old, new in pairs if _is_turn(old, new)]
    return Difference(
        new=tuple(index for index, _, _ in pairs),
        greens=tuple(index for index, kind in turned if kind == GREEN),
        yellows=tuple(index for index, kind in turned if kind == YELLOW),
        reds=tuple(index for index, kind in turned if kind == RED),
        weakened=tuple(index for index, old, new in pairs if old + new == "Gg"),
        opened=tuple(index for index, old, new in pairs if new == "G" or (new == "g" and old != "G")),
        entered=tuple(index for index, old, new in pairs if new == "G" or (new in ACTIVE and old not in ACTIVE)),
    )


def _is_turn(old: str, new: str) -> bool:
    return old in KINDS and new in KINDS and KINDS[old] != KINDS[new]
