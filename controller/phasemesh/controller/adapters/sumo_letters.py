"""SUMO's letters for lights: a yellow says whether its movement still has the right of way."""

from __future__ import annotations

_YELLOW = "y"
_YELLOW_WITH_PRIORITY = "Y"
_WITH_PRIORITY = frozenset("GY")


def to_sumo(letters: str, before: str) -> str:
    """`letters` as SUMO is to show them after `before`, what it has shown until now.

    A yellow after a protected green is `Y`. SUMO's `y` takes the right of way from everybody in the same instant, so
    that a left turn that has yielded until then drives into those who cannot stop any more.
    """
    return "".join(
        _YELLOW_WITH_PRIORITY if letter == _YELLOW and old in _WITH_PRIORITY else letter
        for letter, old in zip(letters, before, strict=True)
    )


def from_sumo(letters: str) -> str:
    """What SUMO shows in the letters of the contract, whose yellow is one."""
    return letters.replace(_YELLOW_WITH_PRIORITY, _YELLOW)
