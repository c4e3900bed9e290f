"""The one owner of the simulation: it shows what the cabinets say, steps SUMO, and feeds the detectors back.

After every step the monitor sees the lights that SUMO really showed; what trips it sends the cabinet into flash.

Agents in this process, agents in their own processes and the trainer all drive a city through this same object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from phasemesh.contract.detection import ControlMode, LaneReading
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.sim_harness.monitor.city_monitor import CityMonitor
from phasemesh.sim_harness.result import SeriesPoint
from phasemesh.sim_harness.sumo.connection import Simulation
from phasemesh.sim_harness.sumo.detectors import Detectors
from phasemesh.sim_harness.sumo.network import CityNetwork

SAMPLE_EVERY_S = 30.0
"""Simulated time between two points of the time series."""

Readings = dict[IntersectionId, tuple[LaneReading, ...]]
Disturb = Callable[[Readings, int], Readings]
"""From what the detectors see at a step to what the cabinets hear of it."""


class Tally:
    """What one intersection looked like over a run, summed up."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.looks = 0
        self.queue_veh = 0.0
        self.wait_s = 0.0

    def note(self, readings: tuple[LaneReading, ...]) -> None:
        """Add one look at all lanes."""
        self.looks += 1
        self.queue_veh += sum(reading.queue_veh for reading in readings)
        self.wait_s += max((reading.wait_s for reading in readings), default=0.0)


class Bridge:
    """Steps a city; `cabinets` is empty when the signals run their own programs and are only watched.

    `elapsed_s` is simulated time since the beginning of the run, `monitor_cpu_s` the processor time of the monitor,
    `simulation_cpu_s` that of SUMO's own steps.
    `readings` are what the detectors saw at the present step, empty where nobody asked for it.
    `on_sample` is called whenever the series has a new point.
    """

    def __init__(
        self,
        simulation: Simulation,
        network: CityNetwork,
        cabinets: Mapping[IntersectionId, Cabinet],
        monitor: CityMonitor,
        *,
        steps_per_tick: int,
        begin_s: float,
        disturb: Disturb | None = None,
    ) -> None:
        """Prepare the detectors; with `disturb` cabinets hear something else than these see.

        `begin` must be called before the first step.
        """
        self.simulation = simulation
        self.cabinets = cabinets
        self.monitor = monitor
        self.monitor_cpu_s = 0.0
        self.simulation_cpu_s = 0.0
        self.steps_per_tick = steps_per_tick
        self.step_count = -1
        self.series: list[SeriesPoint] = []
        self.on_sample: Callable[[], None] = lambda: None
        self.tallies = {intersection.id: Tally() for intersection in network.intersections}
        self.readings: Readings = {}
        self._begin_s = begin_s
        self._disturb = disturb
        self._detectors = Detectors(simulation, network.intersections, network.zones)
        self._tls_ids = {site.intersection.id: site.tls_id for site in network.controlled}
        self._next_sample_s = 0.0
        self.elapsed_s = 0.0

    @property
    def is_tick(self) -> bool:
        """Whether the present step begins a control interval."""
        return self.step_count % self.steps_per_tick == 0

    def begin(self) -> None:
        """Show the first lights and let every cabinet see the city as it is."""
        self._note_step()

    def step(self) -> None:
        """Simulate one step under the lights of the cabinets, then let every cabinet see what came of it."""
        for name, cabinet in self.cabinets.items():
            self.simulation.set_lights(self._tls_ids[name], cabinet.lights)
        shown_s, began_s = self.simulation.time_s, time.thread_time()
        self.simulation.step()
        self.simulation_cpu_s += time.thread_time() - began_s
        self._monitor(shown_s)
        self._note_step()

    def _monitor(self, shown_s: float) -> None:
        """Judge what was shown from `shown_s` on, before anybody decides about the next step."""
        began_s = time.thread_time()
        shown = dict(zip(self._tls_ids, self.simulation.lights_of(self._tls_ids.values()), strict=True))
        for trip in self.monitor.look(shown_s, shown):
            if trip.check.latches and trip.intersection_id in self.cabinets:
                self.cabinets[trip.intersection_id].latch(trip.check.rule, trip.detail)
        self.monitor_cpu_s += time.thread_time() - began_s

    def _note_step(self) -> None:
        self.step_count += 1
        now_s = self.simulation.time_s
        self.elapsed_s = now_s - self._begin_s
        self.readings = self._detectors.read() if self._needs_readings() else {}
        heard = self._disturb(self.readings, self.step_count) if self._disturb else self.readings
        for name, cabinet in self.cabinets.items():
            cabinet.step(self.step_count, now_s, heard.get(name))
        if self.is_tick:
            self._tally(self.readings)

    def _needs_readings(self) -> bool:
        """At every tick, and between ticks wherever a cabinet's own plan is at work."""
        return self.is_tick or any(cabinet.mode is ControlMode.OWN_PLAN for cabinet in self.cabinets.values())

    def _tally(self, readings: Readings) -> None:
        for name, tally in self.tallies.items():
            tally.note(readings[name])
        if self.elapsed_s >= self._next_sample_s:
            self._next_sample_s += SAMPLE_EVERY_S
            queue_veh = sum(reading.queue_veh for lanes in readings.values() for reading in lanes)
            self.series.append(SeriesPoint(self.elapsed_s, self.simulation.delay_so_far_s(), queue_veh))
            self.on_sample()
