"""How large the memories of the dual-memory paper may become: exact ratios, and streams that reach them.

The ratio zeta is that of the numbers in a plain table to those in a dual memory: stages a key against three a long-term
key and stages a short-term key. Source: DMIL, section V, with its recursion repaired (m_s[t] = m_s[t-1](1 - I[t]) + 1).
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np

from phasemesh.controller.memory.dual import DualMemory, DualMemoryRules, StageWhen
from phasemesh.controller.memory.equivalence import Abstraction, Equivalence
from phasemesh.sim_harness.dmil.play import LAYOUT, STAGES
from phasemesh.sim_harness.eight_stages import MOVEMENTS

NUMBERS_A_LONG_TERM_KEY = 3


def worst_after(stagings: int, period: int, kappa: Fraction, stages: int = STAGES) -> Fraction:
    """Zeta just after the `stagings`-th staging when no situation ever recurs."""
    staged = NUMBERS_A_LONG_TERM_KEY * kappa * stagings * period
    return (stagings * period + 1) * stages / (stages + staged)


def worst_before(stagings: int, kappa: Fraction, stages: int = STAGES) -> Fraction:
    """Zeta just before the `stagings`-th staging when no situation ever recurs; the period cancels."""
    return stagings * stages / (stages + NUMBERS_A_LONG_TERM_KEY * kappa * (stagings - 1))


def worst_limit(kappa: Fraction, stages: int = STAGES) -> Fraction:
    """What both tend to."""
    return stages / (NUMBERS_A_LONG_TERM_KEY * kappa)


def best_case(classes: int, in_short_term: int, stages: int = STAGES) -> Fraction:
    """Zeta when `classes` classes are all in the long term and the short term holds `in_short_term` of them."""
    return Fraction(classes * stages, stages * in_short_term + NUMBERS_A_LONG_TERM_KEY * classes)


def classes_needed(period: int, stages: int = STAGES) -> Fraction:
    """From how many classes on zeta is at least 1 with a full short term; lemma V.4 of the paper needs this."""
    return Fraction(period * stages, stages - NUMBERS_A_LONG_TERM_KEY)


def measured_ratios(visits: Iterable[int], period: int, kappa: float) -> list[Fraction]:
    """Ratios of a real memory, visit by visit, over a stream of classes by number, each far from all others.

    Values are drawn anew at each visit, so that every class is staged sooner or later.
    """
    values = np.random.default_rng(0)
    relation = Equivalence(LAYOUT, Abstraction.SIMPLE)
    memory = DualMemory(relation, DualMemoryRules(capacity=period, kappa=kappa, stage_when=StageWhen.PERIOD))
    met: set[int] = set()
    ratios = []
    for at, number in enumerate(visits):
        met.add(number)
        q = float(values.random())
        memory.insert(relation.situation(_apart(number)), 0, q, q, float(at))
        ratios.append(Fraction(STAGES * len(met), memory.size().numbers(STAGES)))
    return ratios


def uniform_visits(classes: int, count: int, seed: int) -> list[int]:
    """A stream of `count` visits, each to any class alike."""
    drawn: list[int] = np.random.default_rng(seed).integers(0, classes, count).tolist()
    return drawn


def _apart(number: int) -> tuple[int, ...]:
    """The `number`-th of situations no two of which are within one shift."""
    return (3 * (number % 80), 3 * (number // 80), *[0] * (MOVEMENTS - 2))
