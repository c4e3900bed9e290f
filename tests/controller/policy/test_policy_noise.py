"""The noise of the ego-graph mask: pure, uniform, and different wherever it should differ."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.policy.noise import deterministic_noise, mask_noise

SEEDS = st.integers(-(2**63), 2**64 - 1)
STEPS = st.integers(0, 2**63)


@given(SEEDS, st.text(max_size=20), STEPS, st.integers(0, 12))
def test_noise_is_a_function_of_its_arguments_inside_the_open_interval(
    seed: int, name: str, step: int, count: int
) -> None:
    """The same call gives the same float32 numbers, none of them 0 or 1."""
    noise = mask_noise(seed, name, step, count)

    assert noise.shape == (count,)
    assert noise.dtype == np.float32
    assert ((noise > 0) & (noise < 1)).all()
    np.testing.assert_array_equal(noise, mask_noise(seed, name, step, count))


def test_noise_is_the_same_on_every_machine() -> None:
    """Recorded ticks must replay: these numbers may never change."""
    np.testing.assert_array_equal(mask_noise(7, "crossing", 3, 3), np.array(GOLDEN, dtype=np.float32))


@given(SEEDS, st.text(max_size=20), STEPS, st.integers(0, 12))
def test_noise_is_that_of_the_generator_of_numpy(seed: int, name: str, step: int, count: int) -> None:
    """Philox4x64-10 keyed by seed and name, counted by step: the upper 23 bits of each word, midway."""
    digest = hashlib.sha256(name.encode()).digest()
    key = np.array([seed % 2**64, int.from_bytes(digest[:8], "little")], dtype=np.uint64)
    counter = np.array([0, 0, 0, step], dtype=np.uint64)

    words = np.random.Philox(key=key, counter=counter).random_raw(count)

    expected = (((words >> np.uint64(41)) + 0.5) / 2**23).astype(np.float32)
    np.testing.assert_array_equal(mask_noise(seed, name, step, count), expected, strict=True)


def test_noise_differs_with_seed_intersection_and_step() -> None:
    """No two of them share a number."""
    calls = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a", 2)]

    numbers = np.concatenate([mask_noise(*call, 8) for call in calls])

    assert len(np.unique(numbers)) == len(numbers)


def test_one_more_neighbour_leaves_the_others_their_noise() -> None:
    """A longer answer begins with the shorter one."""
    np.testing.assert_array_equal(mask_noise(1, "a", 5, 9)[:4], mask_noise(1, "a", 5, 4))


def test_noise_is_uniform() -> None:
    """Mean, variance and every tenth of the interval over 20,000 steps are those of a uniform distribution."""
    noise = np.concatenate([mask_noise(0, "crossing", step, 4) for step in range(20_000)])

    shares = np.histogram(noise, bins=10, range=(0, 1))[0] / len(noise)
    assert abs(noise.mean() - 0.5) < 0.005
    assert abs(noise.var() - 1 / 12) < 0.002
    assert np.abs(shares - 0.1).max() < 0.005


def test_deterministic_noise_is_one_half() -> None:
    """The value at which the mask keeps what is more likely than not."""
    np.testing.assert_array_equal(deterministic_noise(3), np.full(3, 0.5, dtype=np.float32), strict=True)


GOLDEN = [0.13272196054458618, 0.5913072228431702, 0.2965964674949646]
