"""The city as padded arrays."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from trainer_towns import LAYOUT, LINE, random_views

from phasemesh.contract.observation import stage_lanes
from phasemesh.trainer.layout import layout_of
from phasemesh.trainer.rollout import sight_of

pytestmark = pytest.mark.train


def test_shapes_are_those_of_the_widest() -> None:
    """Padding is told by masks, and holds nothing."""
    assert LAYOUT.stage_lanes.shape == (3, 4, 8, 2)
    assert LAYOUT.has_lane.sum(axis=1).tolist() == [4, 8, 4]
    assert LAYOUT.has_stage.sum(axis=1).tolist() == [2, 4, 2]
    for index, each in enumerate(LINE):
        shares = LAYOUT.stage_lanes[index]
        assert np.array_equal(shares[: len(each.stages), : len(each.lanes)], stage_lanes(each))
        assert shares.sum() == pytest.approx(float(stage_lanes(each).sum()))


def test_neighbours_are_positions_in_the_order_of_the_intersection() -> None:
    """As the rows of its messages are on the street."""
    assert LAYOUT.neighbours.tolist() == [[1, 0], [0, 2], [1, 0]]
    assert LAYOUT.has_neighbour.tolist() == [[True, False], [True, True], [True, False]]


def test_hops_count_the_way_from_neighbour_to_neighbour() -> None:
    """Along the line."""
    assert LAYOUT.hops.tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]


def test_a_single_intersection_has_room_for_one_neighbour_and_none_there() -> None:
    """No array is empty."""
    layout = layout_of((msgspec.structs.replace(LINE[0], neighbours=()),))

    assert layout.neighbours.tolist() == [[0]]
    assert layout.has_neighbour.tolist() == [[False]]


def test_views_are_padded_with_nothing() -> None:
    """What an agent sees stands in its row; the rest is zero and not legal."""
    views = random_views(np.random.default_rng(0))
    sight = sight_of(LAYOUT, views)

    for index, each in enumerate(LINE):
        view = views[each.id]
        assert np.array_equal(sight.lanes[index, : len(each.lanes)], view["lanes"])
        assert not sight.lanes[index, len(each.lanes) :].any()
        assert sight.legal[index, : len(each.stages)].tolist() == view["action_mask"].astype(bool).tolist()
        assert not sight.legal[index, len(each.stages) :].any()
        assert view["stage_state"][sight.current[index], 0] == 1.0
