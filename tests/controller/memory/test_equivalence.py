"""Canonical keys, frames and shifts: which situations are one, and how stages travel between them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_intersection
from phasemesh.contract.errors import InputError
from phasemesh.controller.memory.equivalence import Abstraction, Equivalence, Match, ScaleMode, ShiftMetric, Situation
from phasemesh.controller.memory.layout import layout_of
from phasemesh.sim_harness.eight_stages import eight_stage_crossing

PAPER = layout_of(eight_stage_crossing())
COMPLEX = Equivalence(PAPER)
SIMPLE = Equivalence(PAPER, Abstraction.SIMPLE)
FOUR_LANES = layout_of(make_intersection())
counts_12 = st.lists(st.integers(0, 12), min_size=12, max_size=12).map(tuple)
turns = st.integers(0, 3)


def _turned(counts: tuple[int, ...], element: int) -> tuple[int, ...]:
    moved = dict(zip(PAPER.movement_maps[element], counts, strict=True))
    return tuple(moved[index] for index in range(12))


def _key(equivalence: Equivalence, counts: tuple[int, ...]) -> bytes:
    return equivalence.situation(counts).own.key


@pytest.mark.parametrize("mode", [ScaleMode.GCD, ScaleMode.MAXNORM_Q])
@given(counts=counts_12, element=turns, times=st.integers(1, 9))
def test_d3_turned_and_scaled_situations_have_one_key(
    mode: ScaleMode, counts: tuple[int, ...], element: int, times: int
) -> None:
    """canon(rho^g(c x)) = canon(x) for every turn g and every whole c."""
    relation = Equivalence(PAPER, scale=mode)
    scaled = tuple(times * count for count in counts)

    assert _key(relation, _turned(scaled, element)) == _key(relation, counts)


@pytest.mark.parametrize(
    ("most", "states", "rotations", "with_scale"), [(2, 81, 24, 19), (3, 256, 70, 60), (5, 1296, 336, 303)]
)
def test_d3_classes_of_four_lanes_are_as_many_as_counted_by_hand(
    most: int, states: int, rotations: int, with_scale: int
) -> None:
    """Counts 0..most on four lanes: all states, classes of rotation, classes of rotation and scale."""
    counts = np.array(list(product(range(most + 1), repeat=4)))
    relations = (
        Equivalence(FOUR_LANES, Abstraction.SIMPLE),
        Equivalence(FOUR_LANES, scale=ScaleMode.OFF),
        Equivalence(FOUR_LANES),
    )

    sizes = [len({key.tobytes() for key in relation.canonical(counts)[0]}) for relation in relations]

    assert sizes == [states, rotations, with_scale]


@given(counts=counts_12)
def test_d3_a_key_is_its_own_key(counts: tuple[int, ...]) -> None:
    """The canonical form of a canonical form is itself, reached without a turn."""
    own = COMPLEX.situation(counts).own
    again = COMPLEX.situation(tuple(own.key)).own

    assert again.key == own.key
    assert again.frame == 0


@given(counts=counts_12)
def test_d3_the_frame_leads_to_the_key(counts: tuple[int, ...]) -> None:
    """Turning the situation by its frame and dividing by what its counts share gives the key, the least of all four."""
    own = COMPLEX.situation(counts).own
    divisor = max(int(np.gcd.reduce(counts)), 1)
    turned = [bytes(count // divisor for count in _turned(counts, element)) for element in range(4)]

    assert own.key == turned[own.frame] == min(turned)
    assert [element for element in range(4) if turned[element] == own.key] == [
        element for element in range(4) if own.frames >> element & 1
    ]


def test_d3_rough_shares_merge_what_the_divisor_keeps_apart() -> None:
    """(5, 2) is nearly (4, 2): equal rough shares, no common divisor."""
    nearly, exactly = (5, 2, *[0] * 10), (4, 2, *[0] * 10)

    assert _key(COMPLEX, nearly) != _key(COMPLEX, exactly)
    rough = Equivalence(PAPER, scale=ScaleMode.MAXNORM_Q)
    assert _key(rough, nearly) == _key(rough, exactly)


def _shifted(counts: tuple[int, ...], lane: int, by: int) -> tuple[int, ...]:
    return (*counts[:lane], counts[lane] + by, *counts[lane + 1 :])


@given(counts=st.lists(st.integers(1, 9), min_size=12, max_size=12).map(tuple), lane=st.integers(0, 11))
def test_d4_one_vehicle_more_or_less_is_found_and_two_are_not(counts: tuple[int, ...], lane: int) -> None:
    """25 candidates; a key at distance 1 hits, one at distance 2 misses."""
    situation = SIMPLE.situation(counts)

    assert len(situation.candidates) == 25
    for by in (-1, 1):
        near, far = _key(SIMPLE, _shifted(counts, lane, by)), _shifted(counts, lane, 2 * by)
        found = SIMPLE.match(situation, {near})
        assert found is not None
        assert found.distance == 1
        assert min(far) < 0 or SIMPLE.match(situation, {_key(SIMPLE, far)}) is None


def test_d4_a_lane_cannot_hold_less_than_nothing() -> None:
    """An empty crossing has itself and one vehicle more on each of twelve lanes."""
    assert len(SIMPLE.situation((0,) * 12).candidates) == 13


@given(counts=counts_12)
def test_d4_no_abstraction_knows_the_same_situation_alone(counts: tuple[int, ...]) -> None:
    """A plain table is looked up by the counts themselves."""
    plain = Equivalence(PAPER, Abstraction.NONE).situation(counts)

    assert plain.candidates == (Match(bytes(counts), 0, 1),)


def test_d4_the_nearest_key_is_taken_and_of_equals_the_least() -> None:
    """The situation itself comes before its neighbours, a smaller key before a larger one, in whatever order stored."""
    counts = (3,) * 12
    less, more = bytes(_shifted(counts, 0, -1)), bytes(_shifted(counts, 0, 1))
    situation = SIMPLE.situation(counts)

    for keys in ([more, less], [less, more]):
        found = SIMPLE.match(situation, dict.fromkeys(keys))
        assert found is not None
        assert found.key == less
    assert SIMPLE.match(situation, {less, bytes(counts), more}) == situation.own


@given(counts=counts_12)
def test_d4_complex_candidates_are_the_keys_of_all_shifts(counts: tuple[int, ...]) -> None:
    """Shift first, then scale and turn; at most 25 keys, each once."""
    shifts = [_shifted(counts, lane, by) for lane in range(12) for by in (-1, 1) if counts[lane] + by >= 0]
    expected = {_key(COMPLEX, each) for each in (counts, *shifts)}

    found = [match.key for match in COMPLEX.situation(counts).candidates]

    assert set(found) == expected
    assert len(found) == len(expected) <= 25


def test_d4_a_uniform_shift_adds_one_vehicle_to_every_lane() -> None:
    """Three candidates, two where a lane is empty."""
    uniform = Equivalence(PAPER, Abstraction.SIMPLE, ShiftMetric.UNIFORM)

    assert len(uniform.situation((2,) * 12).candidates) == 3
    assert len(uniform.situation((0, *[2] * 11)).candidates) == 2
    assert uniform.match(uniform.situation((2,) * 12), {bytes([3] * 12)}) is not None


@given(counts=counts_12, steps=st.lists(st.integers(-1, 1), min_size=12, max_size=12), element=turns)
def test_d4_the_chebyshev_shift_finds_every_lane_off_by_one(
    counts: tuple[int, ...], steps: list[int], element: int
) -> None:
    """All 3^12 neighbours are found without enumerating them, turned and scaled ones too."""
    linf = Equivalence(PAPER, Abstraction.COMPLEX, ShiftMetric.LINF)
    near = tuple(max(count + step, 0) for count, step in zip(counts, steps, strict=True))
    key = _key(linf, _turned(near, element))

    found = linf.match(linf.situation(counts), {key: None, bytes([250, *[0] * 11]): None})

    assert found is not None
    assert found.key == key


@given(counts=counts_12, lane=st.integers(0, 11))
def test_d4_the_chebyshev_shift_misses_a_lane_off_by_two(counts: tuple[int, ...], lane: int) -> None:
    """Without scale and turns, two vehicles more on one lane are another situation."""
    linf = Equivalence(PAPER, Abstraction.SIMPLE, ShiftMetric.LINF)

    assert linf.match(linf.situation(counts), {_key(linf, _shifted(counts, lane, 2))}) is None


def test_the_chebyshev_shift_takes_no_rough_shares() -> None:
    """A relation without a look-up is refused with a line that says which."""
    with pytest.raises(InputError, match="linf"):
        Equivalence(PAPER, shift=ShiftMetric.LINF, scale=ScaleMode.MAXNORM_Q)


def _stored(relation: Equivalence, situation: Situation, keys: dict[bytes, None]) -> Match:
    """Where Algorithm 1 would write: the match if there is one, the own key otherwise."""
    return relation.match(situation, keys) or situation.own


@pytest.mark.parametrize("shift", [ShiftMetric.L1, ShiftMetric.UNIFORM, ShiftMetric.LINF])
@given(
    counts=st.lists(st.integers(0, 3), min_size=12, max_size=12).map(tuple),
    others=st.lists(st.lists(st.integers(0, 3), min_size=12, max_size=12).map(tuple), max_size=5),
    element=turns,
    stage=st.integers(0, 7),
)
def test_d2_a_turned_situation_with_the_turned_stage_is_the_same_cell(
    shift: ShiftMetric, counts: tuple[int, ...], others: list[tuple[int, ...]], element: int, stage: int
) -> None:
    """Q(rho x, rho a) = Q(x, a) whatever was stored before: both lead to one key and one stage."""
    relation = Equivalence(PAPER, shift=shift)
    keys = {_key(relation, other): None for other in (*others, _shifted(counts, 0, 1))}
    situation, turned = relation.situation(counts), relation.situation(_turned(counts, element))
    first, second = _stored(relation, situation, keys), _stored(relation, turned, keys)

    assert second.key == first.key
    assert relation.carried(second, PAPER.stage_maps[element][stage]) == relation.carried(first, stage)


@given(counts=counts_12, stage=st.integers(0, 7), other=st.integers(0, 7))
def test_d2_what_is_carried_there_and_back_serves_alike(counts: tuple[int, ...], stage: int, other: int) -> None:
    """A stage comes back as itself, or as one that a symmetry of the situation makes equal to it."""
    own = COMPLEX.situation(counts).own
    back = COMPLEX.carried_back(own, COMPLEX.carried(own, stage))
    symmetries = [element for element in range(4) if _turned(counts, element) == counts]

    assert back in {PAPER.stage_maps[element][stage] for element in symmetries}
    if len(symmetries) == 1:
        assert back == stage
        assert (COMPLEX.carried(own, stage) == COMPLEX.carried(own, other)) == (stage == other)


def test_d2_stages_that_a_symmetry_makes_equal_are_one() -> None:
    """Where all four approaches look alike, the four stages of one approach are learned as one."""
    own = COMPLEX.situation((1, 5, 2) * 4).own

    assert {COMPLEX.carried(own, stage) for stage in (4, 5, 6, 7)} == {4}
    assert {COMPLEX.carried(own, stage) for stage in (0, 2)} == {0}


def test_counts_beyond_a_byte_are_read_as_its_largest() -> None:
    """A key has one byte a movement."""
    assert _key(SIMPLE, (300, *[0] * 11)) == bytes([255, *[0] * 11])


@given(rows=st.lists(counts_12, min_size=1, max_size=5))
def test_many_situations_at_once_are_what_they_are_alone(rows: list[tuple[int, ...]]) -> None:
    """A whole city is looked up in one call."""
    assert COMPLEX.situations(np.array(rows)) == [COMPLEX.situation(row) for row in rows]
