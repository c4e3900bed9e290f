"""Cities whose agents have a network namespace each: the same trips, the same safety, and nothing left afterwards."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from city_runs import digest, run_city
from namespace_city import NEEDS_NAMESPACES, is_gone, rests_of, run_apart_in_namespaces, start_apart

from command_line import eventually
from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.faults.table import UNPLUGGED
from phasemesh.sim_harness.namespace_network import opened_network
from phasemesh.sim_harness.torture.collisions import junction_arguments
from phasemesh.sim_harness.torture.judge import judge

pytestmark = [NEEDS_NAMESPACES, pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(300)]

BUNDLE = "bundle:approach-lost-time"
WEST, MIDDLE, EAST = map(IntersectionId, ("360082", "360086", "GS_cluster_2415878664_254486231_359566_359576"))
"""The signals of cologne3, which stand in a row."""


def test_the_trips_are_those_of_a_run_without_namespaces(tmp_path: Path) -> None:
    """Vehicle by vehicle, with all agents coordinated and no message missed."""
    apart = run_apart_in_namespaces(tmp_path / "apart", "cologne3", BUNDLE, seconds=100.0)
    run_city(tmp_path / "together", "cologne3", BUNDLE, seconds=100.0, agents="processes")

    assert apart.is_complete
    assert (apart.ticks, apart.deadline_misses, apart.lost_agents) == (150, 0, ())
    assert {each.final_rung for each in apart.intersections.values()} == {"COORDINATED"}
    assert digest(tmp_path / "apart") == digest(tmp_path / "together")


def test_a_city_survives_faults_of_the_network_itself(tmp_path: Path) -> None:
    """One agent loses its network while routes split the other two: each falls as far as it must and comes back."""
    begin_s, length_s = 20.0, 24.0
    faults = (
        PlannedFault("F11", UNPLUGGED, (WEST,), begin_s, length_s),
        PlannedFault("F20", "partition", (MIDDLE, EAST), begin_s, length_s, peers=(EAST,)),
    )
    looking = junction_arguments(tmp_path)
    result = run_apart_in_namespaces(tmp_path, "cologne3", BUNDLE, seconds=100.0, faults=faults, sumo_args=looking)
    judgement = judge(tmp_path, result, tmp_path, result)
    fell = {verdict.fault: (verdict.deepest, verdict.recovered_s is not None) for verdict in judgement.verdicts}

    assert fell == {"F11": ("RELEASED", True), "F20": ("ISOLATED", True)}
    assert judgement.failures == ()
    assert [verdict.failures for verdict in judgement.verdicts] == [(), ()]
    assert result.lost_agents == ()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_was_ended_early(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C removes everything; after kill -9 the agents end by themselves and the next start removes the rest."""
    process = start_apart(tmp_path, "cologne3", BUNDLE)
    assert eventually(lambda: len(list(tmp_path.glob("records/*.rec"))) == 3, 60.0)
    there = rests_of(process.pid)
    os.kill(process.pid, how)
    errors = process.communicate()[1]
    left = rests_of(process.pid)
    with opened_network((), pytest.fail):
        pass

    assert len(there) == 7
    assert bool(left) == (how is signal.SIGKILL)
    assert rests_of(process.pid) == []
    assert "Traceback" not in errors
    assert eventually(lambda: is_gone(process.pid))
