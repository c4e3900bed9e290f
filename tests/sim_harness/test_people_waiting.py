"""People whom SUMO makes wait at a red crossing, as the detectors see them; in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from phasemesh.sim_harness.scenarios.registry import find_scenario

pytest.importorskip("libsumo", reason="needs SUMO")
pytestmark = pytest.mark.sumo

RED_S = 900.0
WALK_S = 30.0
SCRIPT = """
import json, sys
from pathlib import Path
import libsumo
from phasemesh.sim_harness.sumo.connection import SumoOptions, start
from phasemesh.sim_harness.sumo.detectors import Detectors
from phasemesh.sim_harness.sumo.network import read_network

net_file, config, output, red_s, walk_s = *map(Path, sys.argv[1:4]), *map(float, sys.argv[4:6])
network = read_network(net_file)
(crossroads,) = network.intersections
crossings = [index for index, movement in enumerate(crossroads.movements) if movement.is_crossing]
walk = "".join("G" if index in crossings else "r" for index in range(len(crossroads.movements)))


def look(detectors):
    readings = dict(zip((lane.id for lane in crossroads.lanes), detectors.read()[crossroads.id], strict=True))
    places = [crossroads.movements[index].lanes[0] for index in crossings]
    return [(readings[place].queue_veh, readings[place].wait_s, readings[place].arrivals_veh) for place in places]


with start(SumoOptions(output=output, net=net_file, config=config)) as simulation:
    detectors = Detectors(simulation, network.intersections, network.zones)
    while simulation.time_s < red_s:
        simulation.set_lights(crossroads.id, "r" * len(walk))
        simulation.step()
    red, again = look(detectors), look(detectors)
    edges = frozenset(crossroads.movements[index].approach for index in crossings)
    waiting = simulation.people_waiting(edges)
    corners = {crossing: sorted({libsumo.person.getRoadID(one.id) for one in people})
               for crossing, people in waiting.items()}
    while simulation.time_s < red_s + walk_s:
        simulation.set_lights(crossroads.id, walk)
        simulation.step()
    gone = look(detectors)
print(json.dumps({"red": red, "again": again, "gone": gone, "corners": corners,
                  "people": sum(map(len, waiting.values()))}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the detectors of one crossroads say after a long red for everybody, and after a walk on all crossings."""
    scenario = find_scenario("walk1x1")
    folder = tmp_path_factory.mktemp("waiting")
    command = [sys.executable, "-W", "error", "-c", SCRIPT, scenario.net_file, scenario.config, folder]
    done = subprocess.run([*map(str, command), str(RED_S), str(WALK_S)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_who_stands_at_red_is_counted_with_the_longest_wait(seen: dict[str, Any]) -> None:
    """At each crossing somebody waits, nobody for longer than the red, and each of them has just arrived."""
    for queue, wait_s, arrivals in seen["red"]:
        assert queue >= 1
        assert queue == arrivals
        assert 0.0 < wait_s <= RED_S
    assert sum(queue for queue, _, _ in seen["red"]) == seen["people"]


def test_who_was_seen_does_not_arrive_again(seen: dict[str, Any]) -> None:
    """A second look at the same people finds the same queue and no arrivals."""
    assert [look[:2] for look in seen["again"]] == [look[:2] for look in seen["red"]]
    assert all(arrivals == 0 for _, _, arrivals in seen["again"])


def test_people_of_both_ends_wait_for_one_crossing(seen: dict[str, Any]) -> None:
    """They stand on walking areas; some crossing is wanted from both of its ends."""
    assert all(corner.startswith(":A0_w") for corners in seen["corners"].values() for corner in corners)
    assert max(len(corners) for corners in seen["corners"].values()) == 2


def test_who_may_walk_waits_no_more(seen: dict[str, Any]) -> None:
    """After a walk the queues are shorter than a tenth, and nobody has waited since before it."""
    assert sum(queue for queue, _, _ in seen["gone"]) <= 0.1 * seen["people"]
    assert all(wait_s < WALK_S for _, wait_s, _ in seen["gone"])
