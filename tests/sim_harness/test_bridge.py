"""The one owner of the simulation: the order of a step, who reads the detectors, and what is kept of a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec
import pytest

from agent_factories import make_cabinet
from factories import make_intersection, make_timings
from phasemesh.contract.command import Command, CommandKind
from phasemesh.contract.detection import INVALID_READING, ControlMode, LaneReading
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.sim_harness.bridge import SAMPLE_EVERY_S, Bridge, Disturb, Readings
from phasemesh.sim_harness.monitor.city_monitor import CityMonitor
from phasemesh.sim_harness.sumo.connection import VehicleOnLane
from phasemesh.sim_harness.sumo.network import CityNetwork, SignalSite
from phasemesh.sim_harness.sumo.zones import ZonePiece

EAST, WEST = IntersectionId("east"), IntersectionId("west")
BEGIN_S = 1000.0
STEPS_PER_TICK = 5


class FakeSimulation:
    """A city in which the same vehicles stand for ever; keeps what it was told and asked."""

    def __init__(self, log: list[str]) -> None:
        """Stand at the beginning, with two waiting vehicles on one lane of each crossing."""
        self.log = log
        self.time_s = BEGIN_S
        self.shown: list[tuple[str, str]] = []
        self.lies: dict[str, str] = {}
        self.looks = 0

    def set_lights(self, tls_id: str, letters: str) -> None:
        """Keep the lights of one signal."""
        self.log.append(f"lights {tls_id}")
        self.shown.append((tls_id, letters))

    def lights_of(self, tls_ids: Iterable[str]) -> list[str]:
        """What was set last, unless the lamps show something else."""
        return [self.lies.get(tls_id) or dict(self.shown).get(tls_id, "rrrr") for tls_id in tls_ids]

    def step(self) -> None:
        """Let one second pass."""
        self.log.append("sumo")
        self.time_s += 1.0

    def vehicles_by_lane(self, watched: frozenset[str]) -> dict[str, list[VehicleOnLane]]:
        """Two halting vehicles on the lane `north_0`, which both crossings have."""
        self.log.append("look")
        self.looks += 1
        assert "north_0" in watched
        return {"north_0": [VehicleOnLane(f"v{number}", 190.0 - 8 * number, 0.0, 12.0) for number in range(2)]}

    def lane_length_m(self, _lane_id: str) -> float:
        """All lanes are equally long."""
        return 200.0

    def delay_so_far_s(self) -> float:
        """As many seconds as have passed."""
        return self.time_s - BEGIN_S


class WatchedCabinet:
    """A cabinet that writes down when it is stepped and whether it got readings."""

    def __init__(self, cabinet: Cabinet, log: list[str]) -> None:
        """Pass everything on to `cabinet`."""
        self.cabinet = cabinet
        self.log = log
        self.readings: list[tuple[LaneReading, ...] | None] = []
        self.latched: list[tuple[str, str]] = []

    @property
    def lights(self) -> str:
        """As in `Cabinet`."""
        return self.cabinet.lights

    @property
    def mode(self) -> ControlMode:
        """As in `Cabinet`."""
        return self.cabinet.mode

    def latch(self, rule: str, detail: str) -> None:
        """As in `Cabinet`."""
        self.log.append(f"latch {self.cabinet.intersection.id}")
        self.latched.append((rule, detail))
        self.cabinet.latch(rule, detail)

    def step(self, step: int, now_s: float, readings: tuple[LaneReading, ...] | None) -> None:
        """As in `Cabinet`."""
        self.log.append(f"cabinet {self.cabinet.intersection.id} {step} {now_s:g}")
        self.readings.append(readings)
        self.cabinet.step(step, now_s, readings)


class Stage(NamedTuple):
    """A bridge over a fake city, with everything that a test may look at."""

    bridge: Bridge
    simulation: FakeSimulation
    cabinets: dict[IntersectionId, WatchedCabinet]
    log: list[str]

    def command_all(self) -> None:
        """Let an agent take hold of every cabinet."""
        for name, cabinet in self.cabinets.items():
            assert cabinet.cabinet.command(self._command(name, 1, CommandKind.STAGE)).is_accepted

    def release(self, name: IntersectionId) -> None:
        """Let the agent of one cabinet give it back."""
        self.cabinets[name].cabinet.command(self._command(name, 2, CommandKind.RELEASE))

    def _command(self, name: IntersectionId, seq: int, kind: CommandKind) -> Command:
        now_s = self.simulation.time_s
        return Command(name, 1, seq, self.bridge.step_count, now_s, kind, 0, approved_s=now_s)


def make_stage(
    names: tuple[IntersectionId, ...] = (EAST, WEST), *, is_watched: bool = False, disturb: Disturb | None = None
) -> Stage:
    """Two crossings in the order `names`; without cabinets when they are only watched."""
    log: list[str] = []
    simulation = FakeSimulation(log)
    network = CityNetwork(net_file=None, controlled=tuple(_site(name) for name in names), watched=(), changes=())
    cabinets = {
        each.id: WatchedCabinet(make_cabinet(each, now_s=BEGIN_S), log)
        for each in network.intersections
        if not is_watched
    }
    timings = {each.id: make_timings(each) for each in network.intersections}
    monitor = CityMonitor(network.intersections, None if is_watched else timings)
    bridge = Bridge(
        simulation, network, cabinets, monitor, steps_per_tick=STEPS_PER_TICK, begin_s=BEGIN_S, disturb=disturb
    )
    return Stage(bridge, simulation, cabinets, log)


def _site(name: IntersectionId) -> SignalSite:
    crossing = make_intersection(name)
    return SignalSite(
        intersection=crossing,
        tls_id=f"tls_{name}",
        position_m=(0.0, 0.0),
        zones=tuple((ZonePiece(lane.id, 200.0, 0.0),) for lane in crossing.lanes),
        stage_steps=(0, 1),
        own_program=(),
    )


def test_the_beginning_is_seen_before_anything_moves() -> None:
    """Step 0 shows the detectors to every cabinet, in their order, without a step of SUMO."""
    stage = make_stage()

    stage.bridge.begin()

    assert stage.log == ["look", "cabinet east 0 1000", "cabinet west 0 1000"]
    assert (stage.bridge.step_count, stage.bridge.elapsed_s, stage.bridge.is_tick) == (0, 0.0, True)


@pytest.mark.parametrize("names", [(EAST, WEST), (WEST, EAST)])
def test_a_step_shows_all_lights_then_moves_then_lets_every_cabinet_see(names: tuple[IntersectionId, ...]) -> None:
    """No cabinet sees anything before SUMO has stepped under the lights of all of them."""
    stage = make_stage(names)
    stage.bridge.begin()
    stage.log.clear()

    stage.bridge.step()

    first, second = names
    lights = [f"lights tls_{first}", f"lights tls_{second}"]
    assert stage.log == [*lights, "sumo", "look", f"cabinet {first} 1 1001", f"cabinet {second} 1 1001"]
    assert stage.bridge.elapsed_s == 1.0


def test_lights_are_those_of_the_cabinet_under_the_name_that_sumo_knows() -> None:
    """Every signal shows what its own cabinet says."""
    stage = make_stage()
    stage.bridge.begin()
    before = {name: cabinet.lights for name, cabinet in stage.cabinets.items()}

    stage.bridge.step()

    assert stage.simulation.shown == [(f"tls_{name}", letters) for name, letters in before.items()]
    assert set(before.values()) == {"GrGr"}


def test_a_tick_begins_every_few_steps() -> None:
    """Control intervals count from the first step on."""
    stage = make_stage()
    stage.bridge.begin()
    ticks = [stage.bridge.is_tick]
    for _ in range(10):
        stage.bridge.step()
        ticks.append(stage.bridge.is_tick)

    assert [step for step, is_tick in enumerate(ticks) if is_tick] == [0, 5, 10]


def test_detectors_are_read_only_at_ticks_while_agents_command() -> None:
    """Between ticks nobody would look at them; the cabinets are stepped all the same."""
    stage = make_stage()
    stage.bridge.begin()
    stage.command_all()

    for _ in range(STEPS_PER_TICK):
        stage.bridge.step()

    has_readings = [readings is not None for readings in stage.cabinets[EAST].readings]
    assert has_readings == [True, False, False, False, False, True]
    assert stage.simulation.looks == 2


def test_one_cabinet_on_its_own_plan_needs_readings_at_every_step() -> None:
    """A plan that extends greens by what it sees must not be blind between ticks."""
    stage = make_stage()
    stage.bridge.begin()
    stage.command_all()
    stage.release(WEST)

    for _ in range(3):
        stage.bridge.step()

    assert stage.simulation.looks == 4
    assert None not in stage.cabinets[WEST].readings


def test_every_cabinet_gets_the_readings_of_its_own_lanes() -> None:
    """Two halting vehicles on the first lane, nothing on the others."""
    stage = make_stage()

    stage.bridge.begin()

    (readings,) = stage.cabinets[EAST].readings
    assert readings is not None
    assert [reading.queue_veh for reading in readings] == [2.0, 0.0, 0.0, 0.0]
    assert stage.cabinets[EAST].cabinet.snapshot().readings == readings


def test_tallies_add_up_one_look_a_tick() -> None:
    """Queues of all lanes and the longest wait, at ticks only, however often the detectors are read."""
    stage = make_stage()
    stage.bridge.begin()

    for _ in range(2 * STEPS_PER_TICK + 1):
        stage.bridge.step()

    tally = stage.bridge.tallies[EAST]
    assert (tally.looks, tally.queue_veh, tally.wait_s) == (3, 6.0, 36.0)
    assert stage.simulation.looks == 2 * STEPS_PER_TICK + 2


def test_the_series_has_a_point_at_the_beginning_and_every_half_minute() -> None:
    """Each point holds the time since the beginning, the delay so far, and the queues of the whole city."""
    stage = make_stage()
    stage.bridge.begin()

    for _ in range(round(2 * SAMPLE_EVERY_S) + 4):
        stage.bridge.step()

    points = [msgspec.structs.astuple(point) for point in stage.bridge.series]
    assert points == [(0.0, 0.0, 4.0), (30.0, 30.0, 4.0), (60.0, 60.0, 4.0)]


def test_signals_that_run_themselves_are_watched_and_never_set() -> None:
    """Without cabinets the bridge only looks, once a tick."""
    stage = make_stage(is_watched=True)
    stage.bridge.begin()

    for _ in range(STEPS_PER_TICK):
        stage.bridge.step()

    assert stage.simulation.shown == []
    assert stage.simulation.looks == 2
    assert {name: tally.looks for name, tally in stage.bridge.tallies.items()} == {EAST: 2, WEST: 2}


def test_the_monitor_sees_what_is_shown_and_not_what_a_cabinet_intended() -> None:
    """A lamp that does not obey trips at the time from which it was seen, before the next step of its cabinet."""
    stage = make_stage()
    stage.bridge.begin()
    stage.bridge.step()
    stage.log.clear()
    stage.simulation.lies["tls_west"] = "GGrr"

    stage.bridge.step()

    (trip, *_) = stage.bridge.monitor.trips
    assert str(trip) == "west at 1001 s: movements 0 and 1 conflict in GGrr"
    assert stage.log.index("latch west") < stage.log.index("cabinet west 2 1002")
    assert "latch east" not in stage.log


def test_a_trip_sends_the_cabinet_into_flash() -> None:
    """The cabinet learns the rule that was broken, and the flash that follows trips nothing more."""
    stage = make_stage()
    stage.bridge.begin()
    stage.simulation.lies["tls_west"] = "GGrr"

    stage.bridge.step()
    del stage.simulation.lies["tls_west"]
    for _ in range(20):
        stage.bridge.step()

    assert stage.cabinets[WEST].latched == [("I1", "movements 0 and 1 conflict in GGrr")]
    assert (stage.cabinets[WEST].lights, stage.cabinets[EAST].lights) == ("oooo", "GrGr")
    assert len(stage.bridge.monitor.trips) == 1


def test_a_breach_without_danger_is_kept_and_does_not_flash() -> None:
    """A short green counts, though no monitor of a real cabinet would look at it."""
    stage = make_stage()
    stage.bridge.begin()
    for letters in ("rrrr", "GrGr", "yryr"):
        stage.simulation.lies["tls_west"] = letters
        stage.bridge.step()

    assert {trip.check.name for trip in stage.bridge.monitor.trips} == {"short green"}
    assert stage.cabinets[WEST].latched == []


def test_a_signal_that_runs_itself_is_judged_and_has_nothing_to_latch() -> None:
    """Without a cabinet a trip is only kept."""
    stage = make_stage(is_watched=True)
    stage.bridge.begin()
    stage.simulation.lies["tls_west"] = "GGrr"

    stage.bridge.step()

    assert [str(trip) for trip in stage.bridge.monitor.trips] == ["west at 1000 s: movements 0 and 1 conflict in GGrr"]


def test_cabinets_hear_what_detectors_are_disturbed_to() -> None:
    """The bridge keeps the truth, and counts its queues; the step of the cabinets is told to whoever disturbs."""
    steps: list[int] = []

    def silenced(readings: Readings, step: int) -> Readings:
        steps.append(step)
        return {name: (INVALID_READING,) * len(lanes) for name, lanes in readings.items()}

    stage = make_stage(disturb=silenced)
    stage.bridge.begin()
    stage.bridge.step()

    for name, cabinet in stage.cabinets.items():
        heard = cabinet.readings[0]
        assert heard is not None
        assert set(heard) == {INVALID_READING}
        assert sum(reading.queue_veh for reading in stage.bridge.readings[name]) == 2.0
        assert stage.bridge.tallies[name].queue_veh == 2.0
    assert steps == [0, 1]
