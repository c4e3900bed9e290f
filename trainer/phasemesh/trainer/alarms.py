"""Alarms: ways in which a training goes wrong without its curves of delay telling so."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from phasemesh.trainer.learners.learner import Stats

COLLAPSED_BELOW = 0.02
COLLAPSED_ABOVE = 0.98
"""Mean probability of an edge beyond which the mask is one constant."""
BLIND_SPREAD = 1e-2
"""Spread of the edge posterior over contexts (variance 1e-4) below which the mask does not look at them."""
WINDOW = 5
"""Iterations over which the mask's entropy must have fallen for a blind mask to be an alarm."""


EVEN_ABOVE = 0.99
"""Entropy of the hyper-action, as a share of the greatest, above which it tells no intersection from another."""
ONE_HOT_BELOW = 0.01
"""Likewise below which one head is all that it takes."""
ALIKE_ABOVE = 0.98
"""Mean correlation of two heads above which they are one head."""


class Alarm(StrEnum):
    """What is wrong."""

    MASK_COLLAPSE = "mask collapse"
    MASK_BLIND = "context-blind mask"
    HYPER_UNIFORM = "uniform hyper-action"
    HYPER_ONE_HOT = "one-hot hyper-action"
    HEADS_IDENTICAL = "identical heads"


def hyper_alarms_of(history: Sequence[Stats]) -> tuple[Alarm, ...]:
    """What is wrong with the hyper-action after the newest of `history`: for a whole window, since it begins even."""
    recent = history[-WINDOW:]
    if len(recent) < WINDOW or history[-1].heads < 2.0:
        return ()
    found = (
        (Alarm.HYPER_UNIFORM, all(each.hyper_evenness > EVEN_ABOVE for each in recent)),
        (Alarm.HYPER_ONE_HOT, all(each.hyper_evenness < ONE_HOT_BELOW for each in recent)),
        (Alarm.HEADS_IDENTICAL, all(each.head_likeness > ALIKE_ABOVE for each in recent)),
    )
    return tuple(alarm for alarm, is_raised in found if is_raised)


def alarms_of(history: Sequence[Stats]) -> tuple[Alarm, ...]:
    """The alarms after the newest of `history`, oldest first; a city without neighbours raises none."""
    newest = history[-1]
    if not newest.edges:
        return ()
    is_collapsed = not COLLAPSED_BELOW <= newest.mask_mean <= COLLAPSED_ABOVE
    is_blind = newest.mask_spread < BLIND_SPREAD and _falls([each.mask_entropy for each in history[-WINDOW:]])
    found = ((Alarm.MASK_COLLAPSE, is_collapsed), (Alarm.MASK_BLIND, is_blind))
    return tuple(alarm for alarm, is_raised in found if is_raised)


def _falls(values: Sequence[float]) -> bool:
    """Whether a full window of values fell at every step."""
    return len(values) == WINDOW and all(after < before for before, after in pairwise(values))
