"""The noise of the ego-graph mask: an input of the graph, so that every tick can be replayed bit for bit."""

from __future__ import annotations

import hashlib

import numpy as np

from phasemesh.contract.observation import FloatArray

_WORD = 2**64
_STEPS = 2**23
"""Steps of the noise; their midpoints are exact in single precision and lie strictly inside (0, 1)."""


def mask_noise(seed: int, intersection_id: str, step: int, count: int) -> FloatArray:
    """Uniform noise in (0, 1), float32 [count], a pure function of its arguments.

    The counter-based generator Philox4x64 (Salmon et al., SC 2011) keyed by seed and intersection, counted by step:
    no state to keep, and no two ticks share a number. A longer answer begins with the shorter one.
    """
    name = int.from_bytes(hashlib.sha256(intersection_id.encode()).digest()[:8], "little")
    key = np.array([seed % _WORD, name], dtype=np.uint64)
    counter = np.array([0, 0, 0, step % _WORD], dtype=np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(count)
    noise: FloatArray = (((words >> np.uint64(41)) + 0.5) / _STEPS).astype(np.float32)
    return noise


def deterministic_noise(count: int) -> FloatArray:
    """The constant 0.5, float32 [count], at which the mask holds the neighbours that are more likely than not."""
    return np.full(count, 0.5, dtype=np.float32)
