"""The benchmark of a memory measures a memory that is full and found: its figures are for people."""

from __future__ import annotations

import pytest

from phasemesh.sim_harness.memory_costs import LOOK_UPS, memory_costs

pytestmark = pytest.mark.sumo


def test_d18_a_full_memory_is_looked_up_in_ram_and_small_on_disk() -> None:
    """About half of the look-ups find something, the median keeps the promise, and a row takes at most 60 bytes."""
    costs = memory_costs(rows=5000)

    assert costs.hits > 0.45 * LOOK_UPS
    assert costs.p50_ms < 1.0
    assert costs.row_bytes <= 60.0
