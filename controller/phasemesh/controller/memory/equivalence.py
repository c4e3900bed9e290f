"""Which situations count as one: shift by a vehicle, scale, rotation; the canonical key and the frame of a situation.

A situation is a count of vehicles a movement. Its key is the least of its rotations after scaling; its frame is the
rotation that leads there. Stages are stored in the frame of the key and carried back when they are read. A shift is a
tolerance and no equivalence (0 ~ 1 and 1 ~ 2, but not 0 ~ 2), so it is applied when keys are looked up, before scale
and rotation: keys themselves never depend on what was stored before. Source: DMIL, section IV-A.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from functools import cache, cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from phasemesh.contract.errors import InputError
from phasemesh.controller.memory.entries import MOST_COUNT
from phasemesh.controller.memory.layout import Layout

Counts = NDArray[np.int64]
SCALE_LEVELS = 4
"""What the largest count becomes under `ScaleMode.MAXNORM_Q`."""


class Abstraction(StrEnum):
    """What is taken for the same situation: nothing else, a shift, or shift, scale and rotation."""

    NONE = "none"
    SIMPLE = "simple"
    COMPLEX = "complex"


class ShiftMetric(StrEnum):
    """What one shift may change: one movement by one vehicle, every movement by one, or all by the same one."""

    L1 = "l1"
    LINF = "linf"
    UNIFORM = "uniform"


class ScaleMode(StrEnum):
    """How proportional situations become one: not at all, by the greatest common divisor, or by rough shares."""

    OFF = "off"
    GCD = "gcd"
    MAXNORM_Q = "maxnorm_q"


class Match(msgspec.Struct, frozen=True):
    """A key that a situation may be looked up by, and how far it was shifted to reach it.

    `frame` is the rotation that leads to the key, by which stages are carried back. `frames` holds, as bits, all
    rotations that the symmetries of situation and key make equal to it.
    """

    key: bytes
    frame: int
    frames: int
    distance: int = 0


class Situation(msgspec.Struct, frozen=True):
    """Counts of the movements [M] and the keys they may be looked up by, the nearest and then the least first."""

    counts: tuple[int, ...]
    candidates: tuple[Match, ...]

    @property
    def own(self) -> Match:
        """The key under which the situation itself is stored."""
        return self.candidates[0]


class Equivalence(msgspec.Struct, frozen=True, dict=True):
    """The relation of one memory. Raises InputError for a pair of shift and scale that has no look-up."""

    layout: Layout
    abstraction: Abstraction = Abstraction.COMPLEX
    shift: ShiftMetric = ShiftMetric.L1
    scale: ScaleMode = ScaleMode.GCD

    def __post_init__(self) -> None:
        if self.shift is ShiftMetric.LINF and self.scale is ScaleMode.MAXNORM_Q:
            raise InputError("shift linf: is looked up by whole multiples of keys; take scale gcd or off")

    @cached_property
    def _movement_sources(self) -> NDArray[np.intp]:
        """For each rotation the movement whose count each movement takes over, [G, M]."""
        maps = self.layout.movement_maps if self.abstraction is Abstraction.COMPLEX else self.layout.movement_maps[:1]
        return np.argsort(np.array(maps, dtype=np.intp), axis=1)

    @cached_property
    def _shifts(self) -> Counts:
        """The shifts that are tried, the zero shift first, [K, M]."""
        size = self.layout.movements
        none = np.zeros((1, size), dtype=np.int64)
        if self.abstraction is Abstraction.NONE or self.shift is ShiftMetric.LINF:
            return none
        one = np.eye(size, dtype=np.int64) if self.shift is ShiftMetric.L1 else np.ones((1, size), dtype=np.int64)
        return np.concatenate((none, one, -one))

    def canonical(self, counts: Counts) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Keys [N, M] and frames [N] of situations [N, M]; counts above `MOST_COUNT` are read as it."""
        scaled = self._scaled(np.minimum(counts, MOST_COUNT)).astype(np.uint8)
        turned = scaled[:, self._movement_sources]
        ranks = _packed(turned)
        keys = turned[:, 0]
        frames = np.ones(len(keys), dtype=np.int64)
        best = [words[:, 0] for words in ranks]
        for element in range(1, turned.shape[1]):
            words = [word[:, element] for word in ranks]
            is_less, is_same = _compared(words, best)
            frames = np.where(is_less, 1 << element, np.where(is_same, frames | 1 << element, frames))
            keys = np.where(is_less[:, None], turned[:, element], keys)
            best = [np.where(is_less, word, least) for word, least in zip(words, best, strict=True)]
        return keys, frames

    def _scaled(self, counts: Counts) -> Counts:
        if self.abstraction is not Abstraction.COMPLEX or self.scale is ScaleMode.OFF:
            return counts
        if self.scale is ScaleMode.GCD:
            divisors: Counts = np.maximum(np.gcd.reduce(counts, axis=1), 1)
            return np.floor_divide(counts, divisors[:, None])
        largest: Counts = np.maximum(counts.max(axis=1), 1)[:, None]
        rounded: Counts = np.floor_divide(2 * SCALE_LEVELS * counts + largest, 2 * largest)
        return rounded

    def situations(self, counts: Counts) -> list[Situation]:
        """The situations of counts [N, M] with all keys that they may be looked up by.

        Shifts come before scale: one vehicle of a scaled situation may be many.
        """
        shifts, size = self._shifts, counts.shape[1]
        shifted = counts[:, None, :] + shifts
        keys, frames = self.canonical(np.maximum(shifted, 0).reshape(-1, size))
        text, bits = keys.tobytes(), frames.tolist()
        possible = (shifted >= 0).all(axis=2).ravel().tolist()
        found = []
        for row, own in enumerate(counts.tolist()):
            places = range(row * len(shifts), (row + 1) * len(shifts))
            reached = [(text[at * size : (at + 1) * size], bits[at]) for at in places if possible[at]]
            found.append(Situation(tuple(own), self._candidates(*reached[0], reached[1:])))
        return found

    def situation(self, counts: Sequence[int]) -> Situation:
        """The situation of one vector of counts [M]."""
        return self.situations(np.array([counts], dtype=np.int64))[0]

    def _candidates(self, own: bytes, bits: int, reached: Sequence[tuple[bytes, int]]) -> tuple[Match, ...]:
        if len(self._movement_sources) == 1:
            others = {key for key, _turned in reached} - {own}
            return (Match(own, 0, 1), *[Match(key, 0, 1, 1) for key in sorted(others)])
        turns: dict[bytes, int] = {}
        symmetries: dict[bytes, int] = {}
        for key, turned in reached:
            turns[key] = turns.get(key, 0) | turned
            symmetries[key] = turned >> lowest_of(turned)
        turns.pop(own, None)
        near = [self.match_of(bits, key, turns[key], symmetries[key]) for key in sorted(turns)]
        return (Match(own, lowest_of(bits), bits), *near)

    def match_of(self, own_frames: int, key: bytes, frames: int, symmetries: int) -> Match:
        """The match at distance 1 of a situation with own rotations `own_frames` and a key reached by `frames`.

        Of several rotations that lead to the key by different shifts, the one nearest after the own one is taken: that
        choice turns with the situation, which the order of shifts does not. `symmetries` leave the key as it is.
        """
        frame, alike = _chosen_frames(self.layout.order, own_frames, frames, symmetries)
        return Match(key, frame, alike, 1)

    def match(self, situation: Situation, keys: Collection[bytes]) -> Match | None:
        """The nearest of `keys`, of several at one distance the least; None where all are too far."""
        if self.shift is ShiftMetric.LINF and self.abstraction is not Abstraction.NONE:
            return self._nearest(situation, keys)
        for candidate in situation.candidates:
            if candidate.key in keys:
                return candidate
        return None

    def _nearest(self, situation: Situation, keys: Collection[bytes]) -> Match | None:
        """As `match`, by looking at all keys, for shifts that are too many to enumerate (3^12 for 12 movements)."""
        if situation.own.key in keys:
            return situation.own
        ordered = sorted(keys)
        counts = np.minimum(np.array(situation.counts), MOST_COUNT)
        is_near = is_within_one(counts[self._movement_sources], ordered, self._may_scale)
        for row in np.flatnonzero(is_near.any(axis=1)):
            key = ordered[row]
            bits = sum(1 << int(element) for element in np.flatnonzero(is_near[row]))
            _keys, turned = self.canonical(np.frombuffer(key, dtype=np.uint8)[None].astype(np.int64))
            return self.match_of(situation.own.frames, key, bits, int(turned[0]))
        return None

    @property
    def _may_scale(self) -> bool:
        return self.abstraction is Abstraction.COMPLEX and self.scale is not ScaleMode.OFF

    def carried(self, match: Match, stage: int) -> int:
        """The stage in the frame of the key: of stages that a symmetry makes equal, the least."""
        return _stage_images(self.layout, match.frames)[stage]

    def carried_back(self, match: Match, stage: int) -> int:
        """A stage in the frame of the key as a stage of the intersection."""
        return self.layout.stage_maps[self.layout.inverse(match.frame)][stage]


@cache
def _stage_images(layout: Layout, frames: int) -> tuple[int, ...]:
    """What becomes of each stage under the rotations `frames`."""
    maps = [layout.stage_maps[element] for element in elements_of(frames)]
    return tuple(min(images) for images in zip(*maps, strict=True))


def elements_of(bits: int) -> list[int]:
    """The numbers of the bits that are set."""
    return [element for element in range(bits.bit_length()) if bits >> element & 1]


def lowest_of(bits: int) -> int:
    """The number of the lowest bit that is set. Rotations to one key are a coset: less its lowest, a subgroup."""
    return (bits & -bits).bit_length() - 1


@cache
def _chosen_frames(order: int, own_frames: int, frames: int, symmetries: int) -> tuple[int, int]:
    """The frame by which stages are carried back, and all that are equal to it (as bits), as in `match_of`."""
    own = elements_of(own_frames)
    turn = min((frame - mine) % order for frame in elements_of(frames) for mine in own)
    alike = {(mine + turn + symmetry) % order for mine in own for symmetry in elements_of(symmetries)}
    return (own[0] + turn) % order, sum(1 << frame for frame in alike)


def is_within_one(counts: Counts, keys: Sequence[bytes], may_scale: bool) -> NDArray[np.bool_]:
    """Which of `keys` [K], or a multiple of it, is at most one vehicle a movement from which of `counts` [G, M]."""
    table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), -1).astype(np.int64)
    if not may_scale:
        return np.asarray(np.abs(counts[None] - table[:, None]).max(axis=2) <= 1)
    largest = table.argmax(axis=1)
    rough = counts[:, largest].T // np.maximum(table.max(axis=1), 1)[:, None]
    is_near = np.zeros(rough.shape, dtype=np.bool_)
    for more in (-1, 0, 1):
        times = np.maximum(rough + more, 1)[:, :, None]
        is_near |= np.abs(counts[None] - times * table[:, None]).max(axis=2) <= 1
    return is_near


def _packed(states: NDArray[np.uint8]) -> list[NDArray[np.uint64]]:
    """States [N, G, M] as words whose order, word by word, is that of the bytes."""
    size = states.shape[2]
    padded = np.zeros((*states.shape[:2], -(-size // 8) * 8), dtype=np.uint8)
    padded[:, :, :size] = states
    words = padded.view(">u8").astype(np.uint64)
    return [words[:, :, at] for at in range(words.shape[2])]


def _compared(
    first: Sequence[NDArray[np.uint64]], second: Sequence[NDArray[np.uint64]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where `first` comes before `second`, and where both are the same."""
    is_less = np.zeros(first[0].shape, dtype=np.bool_)
    is_same = ~is_less
    for word, other in zip(first, second, strict=True):
        is_less |= is_same & (word < other)
        is_same &= word == other
    return is_less, is_same
