"""The noise of the ego-graph mask: an input of the graph, so that every tick can be replayed bit for bit."""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from phasemesh.contract.observation import FloatArray

_WORD = 2**64 - 1
"""The bits of a word."""
_STEPS = 2**23
"""Steps of the noise; their midpoints are exact in single precision and lie strictly inside (0, 1)."""


def mask_noise(seed: int, intersection_id: str, step: int, count: int) -> FloatArray:
    """Uniform noise in (0, 1), float32 [count], a pure function of its arguments.

    The counter-based generator Philox4x64 (Salmon et al., SC 2011) keyed by seed and intersection, counted by step:
    no state to keep, and no two ticks share a number. A longer answer begins with the shorter one.
    """
    keys = _round_keys(seed, intersection_id)
    blocks = range(1, (count + 3) // 4 + 1)
    words = [word for block in blocks for word in _philox(block, step & _WORD, keys)]
    return np.array([((word >> 41) + 0.5) / _STEPS for word in words[:count]], dtype=np.float32)


@functools.lru_cache(maxsize=1024)
def _round_keys(seed: int, intersection_id: str) -> tuple[tuple[int, int], ...]:
    """The keys of the ten rounds, which are the same at every tick."""
    name = int.from_bytes(hashlib.sha256(intersection_id.encode()).digest()[:8], "little")
    return tuple(
        ((seed + round_ * 0x9E3779B97F4A7C15) & _WORD, (name + round_ * 0xBB67AE8584CAA73B) & _WORD)
        for round_ in range(10)
    )


def _philox(low: int, high: int, keys: tuple[tuple[int, int], ...]) -> tuple[int, int, int, int]:
    """The four words of Philox4x64-10 at the counter `low`, 0, 0, `high`.

    As `numpy.random.Philox` has them, whose set-up for the few words of a tick takes several times as long.
    """
    first, second, third, fourth = low, 0, 0, high
    for first_key, second_key in keys:
        left, right = first * 0xD2E7470EE14C6C93, third * 0xCA5A826395121157
        first, second = (right >> 64) ^ second ^ first_key, right & _WORD
        third, fourth = (left >> 64) ^ fourth ^ second_key, left & _WORD
    return first, second, third, fourth


def deterministic_noise(count: int) -> FloatArray:
    """The constant 0.5, float32 [count], at which the mask holds the neighbours that are more likely than not."""
    return np.full(count, 0.5, dtype=np.float32)
