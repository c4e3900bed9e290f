"""The learned policy that ships: the same in every process, and better than the rule that it was warmed up with."""

from __future__ import annotations

from pathlib import Path

import pytest
from city_runs import digest, run_city

from phasemesh.controller.policy.bundle import find_bundle, load_bundle
from phasemesh.controller.policy.trust import SHIPPED_KEYS, read_keys

BEST = "best"
RULE = "approach-lost-time"


def test_the_learned_policy_says_where_it_comes_from() -> None:
    """It is signed by a key that ships, and could be trained again; the maps that it is judged by had no part in it."""
    manifest = load_bundle(find_bundle(BEST), read_keys(SHIPPED_KEYS)).manifest
    training = manifest.provenance.training

    assert training is not None
    assert set(training.scenarios).isdisjoint({"cologne8", "ingolstadt21", "arterial4x4"})
    assert manifest.provenance.parity_changed_decisions == 0
    assert manifest.provenance.parity_recorded_ticks >= 1000
    assert not manifest.is_deterministic


@pytest.mark.sumo
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_learned_policy_gives_the_same_trips_in_processes_and_in_one(tmp_path: Path) -> None:
    """It listens to its neighbours through a drawn mask, and not a trip hangs on where an agent runs."""
    apart = run_city(tmp_path / "p", "cologne3", BEST, seconds=600.0, agents="processes", comm_deadline_ms=1000.0)
    run_city(tmp_path / "b", "cologne3", BEST, seconds=600.0)

    assert (apart.deadline_misses, apart.fallback_ticks, apart.monitor_trips) == (0, 0, 0)
    assert digest(tmp_path / "p") == digest(tmp_path / "b")


@pytest.mark.sumo
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_learned_policy_beats_the_rule_that_it_began_as(tmp_path: Path) -> None:
    """By more than a tenth on half an hour of one intersection; the whole comparison is in the benchmarks."""
    learned, rule = (run_city(tmp_path / name, "ingolstadt1", name, seconds=1800.0, seed=5) for name in (BEST, RULE))

    assert learned.delay_s < 0.9 * rule.delay_s
    assert (learned.monitor_trips, learned.collisions) == (0, 0)
