"""When a training ends, and how far it is."""

from __future__ import annotations

import pytest

from phasemesh.trainer.limits import Limits

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("limits", "iteration", "elapsed_s", "share"),
    [
        (Limits(minutes=2.0), 900, 30.0, 0.25),
        (Limits(iterations=8), 2, 9000.0, 0.25),
        (Limits(minutes=2.0, iterations=8), 6, 30.0, 0.75),
        (Limits(minutes=2.0, iterations=8), 1, 500.0, 1.0),
        (Limits(minutes=0.0), 0, 0.0, 1.0),
        (Limits(), 10, 10.0, 0.0),
    ],
)
def test_the_nearest_limit_counts(limits: Limits, iteration: int, elapsed_s: float, share: float) -> None:
    """A training without a limit never ends; one of no minutes does not begin."""
    assert limits.share_done(iteration, elapsed_s) == share
    assert limits.are_reached(iteration, elapsed_s) == (share == 1.0)
