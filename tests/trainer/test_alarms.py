"""B15: a mask that collapses, or that looks at nothing, raises an alarm."""

from __future__ import annotations

import pytest

from phasemesh.trainer.alarms import WINDOW, Alarm, alarms_of
from phasemesh.trainer.learners.learner import Stats

pytestmark = pytest.mark.train


def make_stats(
    mask_mean: float = 0.4, mask_spread: float = 0.1, mask_entropy: float = 0.6, edges: float = 9.0
) -> Stats:
    """The figures of a healthy update but for the mask."""
    return Stats(
        policy_loss=0.0,
        value_loss=0.1,
        mask_loss=0.1,
        entropy=0.5,
        policy_kl=0.01,
        explained_variance=0.5,
        grad_norm=1.0,
        edges=edges,
        mask_mean=mask_mean,
        mask_spread=mask_spread,
        mask_entropy=mask_entropy,
    )


@pytest.mark.parametrize(
    ("mean", "is_alarm"), [(0.019, True), (0.02, False), (0.5, False), (0.98, False), (0.981, True)]
)
def test_b15_a_mask_that_is_always_shut_or_always_open_has_collapsed(mean: float, is_alarm: bool) -> None:
    """Below 2 % and above 98 %."""
    assert (Alarm.MASK_COLLAPSE in alarms_of([make_stats(mask_mean=mean)])) == is_alarm


def falling(spread: float, count: int = WINDOW) -> list[Stats]:
    """Updates in which the mask's entropy falls."""
    return [make_stats(mask_spread=spread, mask_entropy=0.6 - 0.01 * index) for index in range(count)]


def test_b15_a_mask_that_grows_sure_without_looking_is_blind() -> None:
    """Variance over contexts below 1e-4 while the entropy keeps falling."""
    assert alarms_of(falling(0.0099)) == (Alarm.MASK_BLIND,)
    assert alarms_of(falling(0.0101)) == ()


def test_b15_a_blind_mask_is_no_alarm_while_its_entropy_rests() -> None:
    """Nor before a whole window was seen."""
    assert alarms_of([make_stats(mask_spread=0.0)] * WINDOW) == ()
    assert alarms_of(falling(0.0, WINDOW - 1)) == ()


def test_a_city_without_neighbours_has_no_mask_to_collapse() -> None:
    """Whatever the figures say."""
    assert alarms_of([make_stats(mask_mean=0.0, edges=0.0)]) == ()
