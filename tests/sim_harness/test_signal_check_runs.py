"""The independent check of lights on real runs: a correct sequence passes, a hasty one is caught."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phasemesh.contract.timing import BENCHMARK, stage_timings
from phasemesh.sim_harness.monitor.city_monitor import Trip
from phasemesh.sim_harness.signal_check import check_signal_states
from phasemesh.sim_harness.sumo.binaries import sumo_program
from phasemesh.sim_harness.sumo.connection import SIGNAL_STATES_NAME
from phasemesh.sim_harness.sumo.network import CityNetwork, read_network

pytest.importorskip("libsumo", reason="needs SUMO")
pytestmark = pytest.mark.sumo

BEGIN_S = 20.0
SCRIPT = """
import sys
from pathlib import Path
from phasemesh.contract.command import advance, lights, request_stage, start as start_signal
from phasemesh.contract.intersection import stage_lights
from phasemesh.contract.timing import BENCHMARK, stage_timings
from phasemesh.sim_harness.sumo.connection import SumoOptions, start
from phasemesh.sim_harness.sumo.detectors import Detectors
from phasemesh.sim_harness.sumo.network import read_network

net, output, is_hasty, begin_s = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "hasty", float(sys.argv[4])
network = read_network(net)
names = tuple(site.tls_id for site in network.controlled)
with start(SumoOptions(output=output, net=net, recorded_signals=names)) as simulation:
    detectors = Detectors(simulation, network.intersections, network.zones)
    signals = {each.id: start_signal(0, begin_s) for each in network.intersections}
    while simulation.time_s < 200:
        now_s = simulation.time_s
        readings = detectors.read()
        for each in network.intersections:
            assert len(readings[each.id]) == len(each.lanes)
            stage = int(now_s // 12) % len(each.stages)
            signal = advance(signals[each.id], stage_timings(each, BENCHMARK), now_s)
            signals[each.id] = request_stage(each, signal, stage, now_s)
            letters = stage_lights(each, each.stages[stage]) if is_hasty else lights(each, signals[each.id])
            if now_s >= begin_s:
                simulation.set_lights(each.id, letters)
        simulation.step()
"""


@pytest.fixture(scope="module")
def net_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of two by two signals."""
    path = tmp_path_factory.mktemp("grid") / "grid.net.xml"
    command = [
        sumo_program("netgenerate"),
        "--grid",
        "--grid.number=2",
        "--grid.length=150",
        "--grid.attach-length=150",
    ]
    subprocess.run([*command, "--default-junction-type=traffic_light", "-o", path], check=True, capture_output=True)
    return path


def trips_of_run(net_file: Path, folder: Path, manner: str) -> tuple[CityNetwork, list[Trip]]:
    """Play the signals in a fresh process and check what SUMO recorded."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, net_file, folder, manner, str(BEGIN_S)]
    subprocess.run(command, check=True, timeout=100)
    network = read_network(net_file)
    timings = {each.id: stage_timings(each, BENCHMARK) for each in network.intersections}
    return network, check_signal_states(folder / SIGNAL_STATES_NAME, network.intersections, timings, BEGIN_S)


def test_the_sequencer_is_right_in_the_simulator(net_file: Path, tmp_path: Path) -> None:
    """Lights that the sequencer times have no faults in SUMO's own recording, at any signal."""
    network, trips = trips_of_run(net_file, tmp_path, "timed")

    assert len(network.intersections) == 4
    assert trips == []


def test_switching_without_clearance_is_caught_at_every_signal(net_file: Path, tmp_path: Path) -> None:
    """Stages that follow each other at once are found at each of the signals."""
    network, trips = trips_of_run(net_file, tmp_path, "hasty")

    skipped = {trip.intersection_id for trip in trips if trip.check.name == "skipped yellow"}
    assert skipped == {each.id for each in network.intersections}
    assert {trip.check.name for trip in trips} <= {"skipped yellow", "short red clearance"}
