"""The adapter for one signal of a SUMO that others run, over a real TraCI connection."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from driver_suite import DriverSuite, Pilot, pilot

from agent_factories import make_site
from factories import make_timings
from phasemesh.contract.detection import READING_LIMITS, ControlMode, Snapshot
from phasemesh.contract.errors import EndpointError, SiteError
from phasemesh.contract.intersection import Intersection
from phasemesh.contract.site import PlanKind, config_digest
from phasemesh.contract.timing import UnitTiming
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.sumo_letters import from_sumo
from phasemesh.controller.adapters.table import own_cabinet
from phasemesh.controller.adapters.traci import TraciDriver, TraciSession, parse_address
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.operator.server import listen
from phasemesh.controller.plans.table import PLANS

__all__ = ["pilot"]

pytestmark = [
    pytest.mark.sumo,
    pytest.mark.skipif(importlib.util.find_spec("traci") is None, reason="needs the extra `sim`"),
]
BEGIN_S = 25200.0
"""When the scenario begins: far from zero, as the time of day is."""


def free_port() -> int:
    """A port of loopback that nobody holds."""
    with closing(listen("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def cologne() -> Path:
    """The folder of a measured intersection that comes with an installed package."""
    spec = importlib.util.find_spec("sumo_rl")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the scenario of sumo-rl")
    return Path(spec.submodule_search_locations[0]) / "nets" / "RESCO" / "cologne1"


class Sumo:
    """A running simulation of one intersection, by default in Cologne."""

    def __init__(self, net: Path | None = None, config: Path | None = None, begin_s: float = BEGIN_S) -> None:
        """Start SUMO and connect to it."""
        from phasemesh.sim_harness.sumo.binaries import sumo_program
        from phasemesh.sim_harness.sumo.network import read_network

        (self.site,) = read_network(net or cologne() / "cologne1.net.xml").controlled
        self.port = free_port()
        command = [
            str(sumo_program("sumo")),
            "-c",
            str(config or cologne() / "cologne1.sumocfg"),
            "--remote-port",
            str(self.port),
        ]
        options = ["--begin", str(begin_s), "--no-step-log", "--no-warnings", "--time-to-teleport", "-1"]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.session = TraciSession("127.0.0.1", self.port)

    def close(self) -> None:
        """Disconnect, which ends the simulation."""
        self.session.close()
        self.process.wait(10.0)


@pytest.fixture(scope="module")
def sumo() -> Iterator[Sumo]:
    """One simulation for this file; every test goes on where the one before it stopped."""
    with closing(Sumo()) as running:
        yield running


class TraciBench:
    """The intersection of the running simulation under a fresh cabinet."""

    def __init__(self, sumo: Sumo) -> None:
        """Take the signal over in its present state."""
        self.sumo = sumo
        self.intersection: Intersection = sumo.site.intersection
        self.timings = make_timings(self.intersection)
        plan = PLANS[PlanKind.ACTUATED](self.intersection, self.timings)
        now_s = sumo.session.now_s
        step = sumo.session.step_count
        self.cabinet = Cabinet(self.intersection, self.timings, plan, tick_s=5.0, now_s=now_s, step=step)
        self.drivers: list[TraciDriver] = []

    def driver(self) -> TraciDriver:
        """As in `Bench`; several drivers of one cabinet, of which only the first is stepped."""
        made = TraciDriver(self.sumo.session, self.sumo.site.tls_id, self.cabinet)
        if self.drivers:
            made.close()
        self.drivers.append(made)
        return made

    def advance(self) -> None:
        """As in `Bench`."""
        self.sumo.session.step()

    @property
    def shown(self) -> str:
        """The state of the traffic light in the simulation."""
        return str(self.sumo.session.connection.trafficlight.getRedYellowGreenState(self.sumo.site.tls_id))

    def close(self) -> None:
        """Leave the simulation."""
        for driver in self.drivers:
            driver.close()


@pytest.fixture
def bench(sumo: Sumo) -> Iterator[TraciBench]:
    """The signal of the running simulation."""
    with closing(TraciBench(sumo)) as made:
        yield made


class TestTraciDriver(DriverSuite):
    """The TraCI adapter keeps the contract."""


def test_observing_simulates_until_the_step(bench: TraciBench) -> None:
    """This client owns the clock, so a step that nobody else makes is made by it."""
    driver = bench.driver()
    before = bench.sumo.session.step_count
    snapshot = driver.observe(before + 2, 0.0)

    assert isinstance(snapshot, Snapshot)
    assert snapshot.step == bench.sumo.session.step_count == before + 3
    assert snapshot.now_s == bench.sumo.session.now_s


def test_the_simulation_shows_the_lights_of_the_cabinet(bench: TraciBench, pilot: Pilot) -> None:
    """In every step of a change the traffic light shows what the cabinet says, and who keeps the right of way."""
    pilot.settle()
    pilot.ask(pilot.other())
    shown, meant = [], []
    for _ in range(8):
        meant.append(bench.cabinet.lights)
        bench.advance()
        shown.append(bench.shown)

    assert [from_sumo(lights) for lights in shown] == meant
    assert any("Y" in lights for lights in shown)


def test_the_detectors_see_the_traffic(bench: TraciBench, pilot: Pilot) -> None:
    """After some minutes vehicles were seen, and every reading is plausible."""
    seen_veh = 0.0
    arrived_veh = 0.0
    for _ in range(120):
        bench.advance()
        pilot.ask(pilot.see().signal.stage)
        for reading in pilot.see().readings:
            seen_veh = max(seen_veh, reading.vehicles_150m_veh)
            arrived_veh += reading.arrivals_veh
            assert reading.is_valid
            assert reading.queue_veh <= reading.vehicles_150m_veh
            assert reading.vehicles_50m_veh <= reading.vehicles_100m_veh <= reading.vehicles_150m_veh
            assert all(low <= getattr(reading, name) <= high for name, (low, high) in READING_LIMITS.items())

    assert seen_veh > 0
    assert arrived_veh > 0


def test_flash_is_what_sumo_shows(bench: TraciBench, pilot: Pilot) -> None:
    """SUMO takes the letters of flash and shows them in the very next step; after a reset it shows red, then green."""
    pilot.see()
    bench.cabinet.latch("I1", "seen by a test")
    bench.advance()
    flashing = bench.shown
    for _ in range(6):
        bench.advance()
    bench.cabinet.reset("I1", "tester")
    shown = []
    for _ in range(5):
        bench.advance()
        shown.append(bench.shown)

    assert set(flashing) == {"o"}
    assert [set(lights) for lights in shown[1:3]] == [{"r"}, {"r"}]
    assert shown[-1] == bench.cabinet.lights
    assert "G" in shown[-1]


def test_the_digest_is_of_what_sumo_lets_in(bench: TraciBench) -> None:
    """A site whose letters open other lanes than SUMO's follows another configuration, and says so (I19)."""
    first, second, *others = bench.intersection.movements
    exchanged = msgspec.structs.replace(bench.intersection, movements=(second, first, *others))
    plan = PLANS[PlanKind.ACTUATED](exchanged, bench.timings)
    mistaken = Cabinet(exchanged, bench.timings, plan, tick_s=5.0, now_s=bench.sumo.session.now_s)
    digests = []
    for cabinet in (bench.cabinet, mistaken):
        with closing(TraciDriver(bench.sumo.session, bench.sumo.site.tls_id, cabinet)) as driver:
            snapshot = driver.observe(-1, 0.0)
        assert isinstance(snapshot, Snapshot)
        digests.append(snapshot.config_digest)

    assert digests[0] == config_digest(bench.intersection, bench.timings)
    assert digests[1] not in {digests[0], config_digest(exchanged, bench.timings)}


def test_a_traffic_light_that_sumo_does_not_know_is_refused_at_start(bench: TraciBench) -> None:
    """A misspelt name is one clear line and no signal that nobody sets."""
    with pytest.raises(EndpointError, match="does not tell what 'nowhere' controls"):
        TraciDriver(bench.sumo.session, "nowhere", bench.cabinet)


def test_people_at_a_crossing_call() -> None:
    """Whoever stands before a crossing is counted in its lane, and gets a walk; a dark crossing is taken by SUMO."""
    from phasemesh.sim_harness.scenarios.registry import find_scenario

    scenario = find_scenario("walk1x1")
    with (
        closing(Sumo(scenario.net_file, scenario.config, scenario.begin_s)) as sumo,
        closing(TraciBench(sumo)) as bench,
    ):
        driver = bench.driver()
        crossings = [index for index, movement in enumerate(bench.intersection.movements) if movement.is_crossing]
        places = {lane for index in crossings for lane in bench.intersection.movements[index].lanes}
        waited, walked, waits_s, arrived = 0.0, set[int](), 0.0, 0.0
        for _ in range(240):
            bench.advance()
            snapshot = driver.observe(-1, 0.0)
            assert isinstance(snapshot, Snapshot)
            assert snapshot.config_digest == config_digest(bench.intersection, bench.timings)
            seen = dict(zip([lane.id for lane in bench.intersection.lanes], snapshot.readings, strict=True))
            assert all(reading.is_valid for reading in seen.values())
            waited += sum(seen[place].queue_veh for place in places)
            arrived += sum(seen[place].arrivals_veh for place in places)
            waits_s = max(waits_s, *(seen[place].wait_s for place in places))
            walked |= {index for index in crossings if bench.shown[index] == "G"}
        bench.cabinet.latch("I8", "seen by a test")
        bench.advance()
        flashing = bench.shown

    assert crossings
    assert min(waited, arrived, waits_s) > 0
    assert arrived < waited
    assert walked == set(crossings)
    assert {flashing[index] for index in crossings} == {"O"}


def test_the_cabinet_of_a_site_begins_at_the_time_of_the_simulation(sumo: Sumo, tmp_path: Path) -> None:
    """A day's time as the begin of a scenario is no green that has lasted since midnight."""
    site = make_site(tmp_path)
    entry = msgspec.structs.replace(site.entries[0], unit=UnitTiming())
    cabinet = own_cabinet(entry, site.file, sumo.session.now_s)
    snapshot = cabinet.snapshot()

    assert snapshot.now_s == snapshot.signal.since_s == sumo.session.now_s
    assert snapshot.mode is ControlMode.STARTUP
    assert sumo.session.now_s >= BEGIN_S


def test_a_simulation_that_ends_is_a_fault() -> None:
    """When SUMO is gone every observation answers with a reason instead of raising."""
    with closing(Sumo()) as sumo:
        driver = TraciBench(sumo).driver()
        sumo.process.kill()
        sumo.process.wait(10.0)
        first = driver.observe(0, 0.0)
        second = driver.observe(0, 0.0)

    assert isinstance(first, DriverFault)
    assert isinstance(second, DriverFault)


def test_nobody_at_the_address_is_refused_at_start() -> None:
    """A SUMO that does not answer is one clear line."""
    with pytest.raises(EndpointError, match="no SUMO answers at"):
        TraciSession("127.0.0.1", free_port())


def test_an_address_has_three_parts() -> None:
    """Host, port and traffic light, whose id may need quoting."""
    address = parse_address("traci://localhost:8813/GS_cluster%2F2%20a")

    assert address == ("localhost", 8813, "GS_cluster/2 a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://localhost:8813/a",
        "traci://localhost/a",
        "traci://localhost:8813",
        "traci://localhost:8813/",
        "traci://localhost:99999/a",
    ],
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    """A part that is missing is named by showing how an address looks."""
    with pytest.raises(SiteError, match="must look like traci://host:port/tls_id"):
        parse_address(text)
