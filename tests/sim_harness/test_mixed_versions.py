"""A city in the middle of an upgrade: half of its agents speak the wire version before (fault F30)."""

from __future__ import annotations

from pathlib import Path

import pytest
from city_runs import digest, run_city

from phasemesh.contract.messages import ECHOLESS_VERSION, WIRE_VERSION
from phasemesh.controller.telemetry.records import Rung, TickRecord, read_records
from phasemesh.sim_harness.faults.messages import OLD_VERSION
from phasemesh.sim_harness.faults.planned import PlannedFault
from phasemesh.sim_harness.scenarios.registry import find_scenario
from phasemesh.sim_harness.sumo.network import read_network

pytestmark = [pytest.mark.sumo, pytest.mark.slow, pytest.mark.timeout(300)]

SCENARIO, BUNDLE, SECONDS = "cologne8", "bundle:approach-lost-time", 60.0
NAMES = tuple(each.id for each in read_network(find_scenario(SCENARIO).net_file).intersections)
OLD = NAMES[::2]
SETTLED_S = 20.0
"""Time in which all agents come up and hear each other."""


def test_f30_a_city_of_two_versions_stays_coordinated(tmp_path: Path) -> None:
    """Agents use whatever neighbours speak, none leaves the first rung, and the trips are those of one version."""
    mixture = PlannedFault(
        fault="F30", means=OLD_VERSION, targets=NAMES, peers=OLD, start_s=SETTLED_S, length_s=2.0 * SECONDS
    )
    mixed = run_city(
        tmp_path / "mixed",
        SCENARIO,
        BUNDLE,
        seconds=SECONDS,
        agents="processes",
        comm_deadline_ms=2000.0,
        keeps_records=True,
        faults=(mixture,),
    )
    run_city(tmp_path / "alike", SCENARIO, BUNDLE, seconds=SECONDS)
    records = [
        item
        for path in (tmp_path / "mixed" / "records").glob("*.rec")
        for item in read_records(path)[1]
        if isinstance(item, TickRecord) and item.step > SETTLED_S
    ]
    linked = [record for record in records if record.peers]
    spoken = {(peer.peer in OLD, peer.message.version) for record in linked for peer in record.peers if peer.message}

    assert mixed.is_complete
    assert {record.rung for record in linked} == {Rung.COORDINATED}
    assert all(peer.is_fresh for record in linked for peer in record.peers)
    assert spoken == {(True, ECHOLESS_VERSION), (False, WIRE_VERSION)}
    assert {peer.hears_us for record in linked for peer in record.peers if peer.peer in OLD} == {None}
    assert digest(tmp_path / "mixed") == digest(tmp_path / "alike")
