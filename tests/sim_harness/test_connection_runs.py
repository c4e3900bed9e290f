"""Real runs of SUMO, each in a process of its own, on a crossing that netgenerate makes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from phasemesh.sim_harness.metrics import read_metrics, read_trips, trips_digest
from phasemesh.sim_harness.sumo.connection import SIGNAL_STATES_NAME, TRIPS_NAME
from phasemesh.sim_harness.sumo.xml_stream import elements

pytest.importorskip("libsumo", reason="needs SUMO")
pytestmark = pytest.mark.sumo

PREAMBLE = """
import json, sys
from pathlib import Path
from phasemesh.contract.errors import PhasemeshError
from phasemesh.sim_harness.sumo.connection import SumoOptions, start
folder, output = Path(sys.argv[1]), Path(sys.argv[2])
options = dict(output=output, net=folder / "grid.net.xml", routes=(folder / "grid.rou.xml",))
"""
SIGNAL = "B1"
FLOWS = (("west", "A1B1", "B1C1"), ("east", "C1B1", "B1A1"), ("north", "B2B1", "B1B0"), ("south", "B0B1", "B1B2"))


def run_script(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code behind `PREAMBLE` in a fresh process."""
    command = [sys.executable, "-W", "error", "-c", PREAMBLE + script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def simulate(folder: Path, output: Path, script: str) -> dict[str, Any]:
    """Run a script that prints one JSON object, and read it."""
    done = run_script(script, folder, output)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def write_routes(path: Path, flows: Sequence[tuple[str, str, str]], period_s: float) -> None:
    """Flows of one vehicle every `period_s` for 5 minutes."""
    rows = [
        f'<flow id="{name}" begin="0" end="300" period="{period_s}" from="{origin}" to="{destination}"/>'
        for name, origin, destination in flows
    ]
    path.write_text("\n".join(["<routes>", *rows, "</routes>"]))


@pytest.fixture(scope="session")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a 3x3 grid whose middle node has a signal, and traffic that crosses it from four sides."""
    from phasemesh.sim_harness.sumo.binaries import sumo_program

    folder = tmp_path_factory.mktemp("crossing")
    command = [sumo_program("netgenerate"), "--grid", "--grid.number=3", "--grid.length=200", "--tls.set", SIGNAL]
    subprocess.run([*command, "-o", folder / "grid.net.xml"], check=True, capture_output=True)
    write_routes(folder / "grid.rou.xml", FLOWS, 10.0)
    return folder


COUNTING = """
with start(SumoOptions(**options, seed=int(sys.argv[3]) if len(sys.argv) > 3 else 1)) as simulation:
    while simulation.time_s < 250:
        simulation.step()
    counters = simulation.counters()
    seen = {"delay_s": simulation.delay_so_far_s(), "is_empty": simulation.is_empty}
print(json.dumps({**{name: getattr(counters, name) for name in counters.__struct_fields__}, **seen}))
"""


def test_counters_agree_with_the_trips(crossing: Path, tmp_path: Path) -> None:
    """What SUMO counts while it runs is what its trips say afterwards."""
    counted = simulate(crossing, tmp_path, COUNTING)

    metrics = read_metrics(tmp_path / TRIPS_NAME)
    assert metrics.unfinished > 0
    assert (counted["loaded"], counted["departed"], counted["arrived"]) == (
        metrics.loaded,
        metrics.departed,
        metrics.completed,
    )
    assert (counted["teleports"], counted["collisions"], counted["is_empty"]) == (0, 0, False)


def test_delay_so_far_is_the_final_metric_taken_early(crossing: Path, tmp_path: Path) -> None:
    """The estimate for the progress line equals the delay of the trips but for rounding."""
    counted = simulate(crossing, tmp_path, COUNTING)

    assert counted["delay_s"] == pytest.approx(read_metrics(tmp_path / TRIPS_NAME).delay_s, abs=0.02)


def test_one_seed_gives_the_same_trips(crossing: Path, tmp_path: Path) -> None:
    """Two fresh processes with one seed agree vehicle by vehicle; another seed does not."""
    digests = []
    for name, seed in (("first", 1), ("again", 1), ("other", 2)):
        done = run_script(COUNTING, crossing, tmp_path / name, seed)
        assert done.returncode == 0, done.stderr
        digests.append(trips_digest(tmp_path / name / TRIPS_NAME))

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_vehicles_that_find_no_room_are_written(crossing: Path, tmp_path: Path) -> None:
    """More traffic than the road can take leaves vehicles outside, with their departure delay so far."""
    script = COUNTING.replace("with start", "options['extra'] = ('--scale', '20')\nwith start")

    counted = simulate(crossing, tmp_path, script)

    metrics = read_metrics(tmp_path / TRIPS_NAME)
    outside = [trip for trip in read_trips(tmp_path / TRIPS_NAME) if trip.depart_s is None]
    assert metrics.undeparted == len(outside) > 20
    assert counted["loaded"] == pytest.approx(metrics.loaded, abs=4)
    assert max(trip.depart_delay_s for trip in outside) > 50.0
    assert {trip.duration_s for trip in outside} == {0.0}


COMMANDING = """
options["recorded_signals"] = ("B1",)
with start(SumoOptions(**options)) as simulation:
    import libsumo
    letters = "r" * len(libsumo.trafficlight.getRedYellowGreenState("B1"))
    while simulation.time_s < 60:
        if simulation.time_s >= 10:
            simulation.set_lights("B1", letters)
        simulation.step()
    seen = simulation.vehicles_by_lane(frozenset({"A1B1_0", "C1B1_0"}))
    vehicles = [[vehicle.position_m, vehicle.speed_mps, vehicle.wait_s] for vehicle in seen["A1B1_0"]]
    length_m = simulation.lane_length_m("A1B1_0")
print(json.dumps({"lights": letters, "lanes": list(seen), "vehicles": vehicles, "length_m": length_m}))
"""


def test_commanded_lights_are_shown_and_recorded(crossing: Path, tmp_path: Path) -> None:
    """Lights that are set hold from the very next step, until others are set, and SUMO's recording shows them."""
    seen = simulate(crossing, tmp_path, COMMANDING)

    rows = [row for name, row in elements(tmp_path / SIGNAL_STATES_NAME) if name == "tlsState"]
    shown = {float(row["time"]): row["state"] for row in rows}
    assert list(shown) == [float(second) for second in range(60)]
    assert {shown[second] for second in range(10, 60)} == {seen["lights"]}
    assert seen["lights"] not in {shown[second] for second in range(10)}


def test_vehicles_wait_at_a_red_signal(crossing: Path, tmp_path: Path) -> None:
    """Vehicles are seen on the lanes that are watched, with where they stand, and for how long."""
    seen = simulate(crossing, tmp_path, COMMANDING)

    assert set(seen["lanes"]) == {"A1B1_0", "C1B1_0"}
    positions_m, speeds_mps, waits_s = zip(*seen["vehicles"], strict=True)
    assert len(positions_m) >= 3
    assert seen["length_m"] - 3.0 < max(positions_m) < seen["length_m"]
    assert max(waits_s) > 10.0
    assert all(wait_s == 0.0 for wait_s, speed_mps in zip(waits_s, speeds_mps, strict=True) if speed_mps >= 0.1)


FAILING = """
options["net"] = folder / sys.argv[3]
options["routes"] = (folder / sys.argv[4],)
try:
    with start(SumoOptions(**options)) as simulation:
        while simulation.time_s < 900:
            simulation.step()
        simulation.lane_length_m("nowhere")
except PhasemeshError as error:
    print(type(error).__name__, error)
"""
LATE = """<routes><trip id="a" depart="0" from="A1B1" to="B1C1"/><trip id="b" depart="400" from="A1B1" to="B1C1"/>
<trip id="c" depart="800" from="A1B1" to="B1C1"/><trip id="d" depart="3000" from="nowhere" to="B1C1"/></routes>"""


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("no.net.xml", None, "no.net.xml"),
        ("bad.net.xml", "<net><oops", "not a SUMO network"),
        ("bad.net.xml", "", "bad.net.xml"),
        ("bad.net.xml", "<routes/>", "not a SUMO network"),
        ("bad.net.xml", '<net version="1.20"><oops', "unexpected end of input"),
        ("bad.rou.xml", "<routes><trip", "bad.rou.xml"),
        ("bad.rou.xml", '<routes><trip id="a" depart="0" from="nowhere" to="B1C1"/></routes>', "nowhere"),
        ("late.rou.xml", LATE, "SUMO stopped: The edge 'nowhere'"),
        ("no.rou.xml", None, "no.rou.xml"),
        ("good.rou.xml", "<routes/>", "the network has no lane 'nowhere'"),
    ],
)
def test_a_broken_scenario_is_one_clear_line(
    crossing: Path, tmp_path: Path, name: str, content: str | None, reason: str
) -> None:
    """Whatever is wrong with the files, the process lives on and quotes SUMO's reason in one line."""
    for file in ("grid.net.xml", "grid.rou.xml"):
        (tmp_path / file).write_bytes((crossing / file).read_bytes())
    if content is not None:
        (tmp_path / name).write_text(content)
    files = {"net": "grid.net.xml", "rou": "grid.rou.xml", name.split(".")[1]: name}

    done = run_script(FAILING, tmp_path, tmp_path / "out", files["net"], files["rou"])

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ScenarioError")
    assert reason in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


COLLIDING = """
import libsumo
(output / "two.rou.xml").write_text(
    '<routes><trip id="a" depart="0" from="A1B1" to="B1C1"/><trip id="b" depart="6" from="A1B1" to="B1C1"/></routes>'
)
reports = 0
with start(SumoOptions(**{**options, "routes": (output / "two.rou.xml",)})) as simulation:
    while simulation.time_s < 60:
        simulation.step()
        reports += len(libsumo.simulation.getCollisions())
        if simulation.time_s == 10:
            for name, speed_mps in (("a", 1.0), ("b", 12.0)):
                libsumo.vehicle.setSpeedMode(name, 0)
                libsumo.vehicle.setSpeed(name, speed_mps)
    counters = simulation.counters()
print(json.dumps({"reports": reports, "collisions": counters.collisions, "teleports": counters.teleports}))
"""


def test_a_collision_counts_once_and_removes_nobody(crossing: Path, tmp_path: Path) -> None:
    """A vehicle forced through another is reported at several steps but counted once, and both stay on the road."""
    seen = simulate(crossing, tmp_path, COLLIDING)

    assert seen["reports"] > 1
    assert (seen["collisions"], seen["teleports"]) == (1, 0)
    assert read_metrics(tmp_path / TRIPS_NAME).departed == 2
