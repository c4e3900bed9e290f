"""One run of a city from start to `result.json`, whoever decides and wherever the agents live."""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TypedDict

import msgspec
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from phasemesh.contract.errors import InputError, ScenarioError
from phasemesh.contract.site import SiteFile
from phasemesh.contract.timing import StageTiming, stage_timings
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.cabinets import cabinet_gate
from phasemesh.controller.access.signing import public_bytes
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.cabinet.service import ROUTES, CabinetBoard, cabinet_app
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.site_folder import read_intersection
from phasemesh.sim_harness.agent_processes import AgentProcesses
from phasemesh.sim_harness.bridge import Bridge
from phasemesh.sim_harness.collect import TickTotals
from phasemesh.sim_harness.controllers import ControllerKind
from phasemesh.sim_harness.inprocess import InProcessAgents
from phasemesh.sim_harness.metrics import PeopleMetrics, TripMetrics, read_metrics, read_people
from phasemesh.sim_harness.monitor.city_monitor import CityMonitor
from phasemesh.sim_harness.monitor.demands import LEAST_YELLOW_S
from phasemesh.sim_harness.options import AgentsMode, RunOptions, check_options
from phasemesh.sim_harness.orchestra import SHOW_EVERY_S, Orchestra, make_server
from phasemesh.sim_harness.progress import Listener, Progress, Silence
from phasemesh.sim_harness.provision import LOOPBACK, SiteOptions, find_profile, free_ports, provision
from phasemesh.sim_harness.report_folder import (
    edge_output,
    forget_earlier_run,
    inputs_in,
    make_folder,
    only_writer,
    withdrawn_if_refused,
)
from phasemesh.sim_harness.result import KEPT_FINDINGS, RESULT_NAME, IntersectionResult, RunResult, quantiles
from phasemesh.sim_harness.sumo.connection import TRIPS_NAME, Counters, Simulation, SumoOptions, start
from phasemesh.sim_harness.sumo.network import CityNetwork, read_network
from phasemesh.sim_harness.sumo.programs import write_programs
from phasemesh.sim_harness.watcher import Watcher


class Played(msgspec.Struct):
    """What the run itself left behind, before trips are counted."""

    totals: TickTotals
    counters: Counters
    wall_s: float
    cpu_s: float
    is_complete: bool
    pss_mb: float = 0.0
    lost: tuple[str, ...] = ()
    deaths: int = 0


class City:
    """A run in preparation: the network is read and the folder made; `run` does the rest."""

    def __init__(self, options: RunOptions, listener: Listener | None = None) -> None:
        """Read the network; raises InputError before anything is written."""
        check_options(options)
        self.options = options
        self._listener = listener or Silence()
        self.network = read_network(options.scenario.net_file, options.signals)
        _check_kills(options, self.network)
        self._profile = profile = find_profile(options.profile)
        self.timings: dict[IntersectionId, tuple[StageTiming, ...]] = {
            each.id: stage_timings(each, profile) for each in self.network.intersections
        }
        self._is_interrupted = False
        self._so_far: RunResult | None = None

    def run(self) -> RunResult:
        """Run, count the trips, and write `result.json` into the report folder."""
        folder = self.options.report
        before = inputs_in(folder)
        make_folder(folder)
        with only_writer(folder):
            with withdrawn_if_refused(folder, before):
                simulation = start(self._sumo_options())
            forget_earlier_run(folder, (RESULT_NAME, "index.html"))
            return self._run_alone(simulation)

    def _run_alone(self, simulation: Simulation) -> RunResult:
        folder, net_file = self.options.report, self.options.scenario.net_file
        with Watcher(folder, net_file) as watcher:
            try:
                with simulation:
                    played, bridge = self._play(simulation, watcher)
            except ScenarioError as error:
                # SUMO gave up, or its window was closed: what there is by then is told all the same.
                if self._so_far is not None:
                    from phasemesh.sim_harness.early_end import bury  # noqa: PLC0415 (draws, as few runs do)

                    bury(folder, net_file, self._so_far, str(error))
                raise
            trips = folder / TRIPS_NAME
            result = self._result(played, bridge, read_metrics(trips), read_people(trips))
            (folder / RESULT_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(result)))
        return result

    def _tell(self, bridge: Bridge, watcher: Watcher) -> None:
        """Let the watcher know what there is so far, should nobody be left to tell it."""
        counters = bridge.simulation.counters()
        played = Played(TickTotals(), counters, wall_s=0.0, cpu_s=0.0, is_complete=False)
        self._so_far = self._result(played, bridge, _trips_so_far(counters, bridge), PeopleMetrics())
        watcher.tell(msgspec.json.encode(self._so_far))

    def _sumo_options(self) -> SumoOptions:
        options, scenario = self.options, self.options.scenario
        # SUMO takes those of the scenario from its configuration; given twice, many of them would be refused.
        additional = [edge_output(options.report)]
        if options.controller.program is not None:
            additional.append(options.report / "programs.add.xml")
            write_programs(self.network, options.controller.program, additional[-1])
        return SumoOptions(
            output=options.report,
            net=scenario.net_file,
            config=scenario.config,
            additional=tuple(additional),
            begin_s=scenario.begin_s,
            seed=options.seed,
            ignore_junction_blocker_s=options.ignore_junction_blocker_s,
            recorded_signals=tuple(site.tls_id for site in self.network.controlled),
            extra=options.sumo_args,
            is_gui=options.is_gui,
        )

    def _play(self, simulation: Simulation, watcher: Watcher) -> tuple[Played, Bridge]:
        is_ours = self.options.controller.kind is not ControllerKind.SUMO
        cabinets = self._cabinets(simulation.time_s) if is_ours else {}
        bridge = Bridge(
            simulation,
            self.network,
            cabinets,
            self._monitor(is_ours=is_ours),
            steps_per_tick=self.options.steps_per_tick,
            begin_s=self.options.scenario.begin_s,
        )
        bridge.on_sample = lambda: self._tell(bridge, watcher)
        if is_ours and self.options.agents is AgentsMode.PROCESSES:
            return self._play_processes(bridge), bridge
        return self._play_here(bridge, cabinets), bridge

    def _monitor(self, *, is_ours: bool) -> CityMonitor:
        """The monitor of all commanded signals; the papers' yellow is shorter than any street's on purpose."""
        return CityMonitor(
            self.network.intersections,
            self.timings if is_ours else None,
            least_yellow_s=min(LEAST_YELLOW_S, self._profile.timing.yellow_s),
        )

    def _cabinets(self, now_s: float) -> dict[IntersectionId, Cabinet]:
        return {
            each.id: Cabinet(
                each,
                self.timings[each.id],
                PLANS[self.options.controller.plan](each, self.timings[each.id]),
                tick_s=self.options.effective_tick_s,
                now_s=now_s,
                step=-1,
                unit=self._profile.unit,
            )
            for each in self.network.intersections
        }

    def _play_here(self, bridge: Bridge, cabinets: dict[IntersectionId, Cabinet]) -> Played:
        """Agents in this process, or none at all when SUMO's own programs are watched."""
        controller = self.options.controller
        make = controller.make_policy
        policies = {name: make(name, self.options.effective_tick_s) for name in cabinets} if make else {}
        agents = InProcessAgents(cabinets, self.timings, policies, self.options)
        before = signal.signal(signal.SIGINT, self._interrupt)
        started_s, cpu_s, shown_s = time.monotonic(), time.process_time(), 0.0
        try:
            bridge.begin()
            while bridge.elapsed_s < self.options.length_s and not self._is_interrupted:
                if bridge.is_tick:
                    agents.tick()
                bridge.step()
                if time.monotonic() - shown_s > SHOW_EVERY_S:
                    shown_s = time.monotonic()
                    self._show(bridge, agents.totals, shown_s - started_s)
            self._show(bridge, agents.totals, time.monotonic() - started_s)
        finally:
            signal.signal(signal.SIGINT, before)
            agents.close()
        return Played(
            totals=agents.totals,
            counters=bridge.simulation.counters(),
            wall_s=time.monotonic() - started_s,
            cpu_s=time.process_time() - cpu_s,
            is_complete=not self._is_interrupted,
        )

    def _play_processes(self, bridge: Bridge) -> Played:
        with tempfile.TemporaryDirectory(prefix="phasemesh-site-") as folder:
            (port,) = free_ports(1)
            site_folder = Path(folder)
            # The site lives as long as the run, and so does the key that signs it.
            signer = Ed25519PrivateKey.generate()
            keys = (public_bytes(signer).hex(),)
            site = self._provision(site_folder, port, signer)
            operators: dict[str, str] = {
                name: read_intersection(site_folder, site, name, keys).operator for name in site.directory
            }
            agents = AgentProcesses(
                site_folder,
                self.options.report,
                tuple(bridge.cabinets),
                keeps_records=self.options.keeps_records,
                site_keys=keys,
                memory_folder=self.options.memory_folder,
            )
            orchestra = Orchestra(bridge, agents, self.options, self._listener, operators)
            board = CabinetBoard(bridge.cabinets)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                gate = cabinet_gate(cabinet_app(board), ROUTES, site_folder, site, board.cabinets)
                runner.run(orchestra.run(make_server(gate, port), board))
        totals = TickTotals()
        for path in agents.record_files():
            totals.note_file(path)
        return Played(
            totals=totals,
            counters=bridge.simulation.counters(),
            wall_s=orchestra.wall_s,
            cpu_s=orchestra.cpu_s,
            is_complete=not orchestra.is_interrupted,
            pss_mb=orchestra.pss_mb,
            lost=tuple(sorted(orchestra.lost)),
            deaths=orchestra.deaths,
        )

    def _provision(self, folder: Path, port: int, signer: Ed25519PrivateKey) -> SiteFile:
        options = self.options
        return provision(
            folder,
            self.network,
            SiteOptions(
                name=options.scenario.name,
                profile=options.profile,
                pace=options.pace,
                tick_s=options.effective_tick_s,
                bundle=str(options.controller.bundle),
                cabinet=f"http://{LOOPBACK}:{port}",
                speed=options.speed,
                comm_deadline_ms=options.comm_deadline_ms,
                seed=options.noise_seed,
                plan=options.controller.plan,
                memory=options.memory,
            ),
            signer,
        )

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._is_interrupted = True

    def _show(self, bridge: Bridge, totals: TickTotals, wall_s: float) -> None:
        self._listener.show(
            Progress(
                elapsed_s=bridge.elapsed_s,
                length_s=self.options.length_s,
                delay_s=bridge.series[-1].delay_s if bridge.series else 0.0,
                ticks_per_s=bridge.step_count / bridge.steps_per_tick / max(0.1, wall_s),
                deadline_misses=totals.deadline_misses,
                alive=len(bridge.cabinets),
            )
        )

    def _result(self, played: Played, bridge: Bridge, metrics: TripMetrics, people: PeopleMetrics) -> RunResult:
        options, totals = self.options, played.totals
        is_ours = bool(bridge.cabinets)
        return RunResult(
            scenario=options.scenario.name,
            controller=options.controller.name,
            seed=options.seed,
            profile=options.profile if is_ours else "",
            agents_mode=options.agents.value if is_ours else "none",
            pace=options.pace.value,
            tick_s=options.effective_tick_s if is_ours else 0.0,
            seconds=bridge.elapsed_s,
            is_complete=played.is_complete,
            delay_s=round(metrics.delay_s, 4),
            duration_s=round(metrics.duration_s, 4),
            waiting_s=round(metrics.waiting_s, 4),
            loaded=metrics.loaded,
            completed=metrics.completed,
            unfinished=metrics.unfinished,
            undeparted=metrics.undeparted,
            collisions=played.counters.collisions,
            emergency_stops=played.counters.emergency_stops,
            teleports=played.counters.teleports,
            ticks=totals.ticks,
            deadline_misses=totals.deadline_misses,
            fallback_ticks=self._fallback_ticks(bridge, totals),
            guard_rejections=dict(sorted(totals.guard_rejections.items())),
            tick_ms=quantiles(totals.tick_ms),
            tick_cpu_ms=quantiles(totals.tick_cpu_ms),
            wall_s=round(played.wall_s, 2),
            cpu_s=round(played.cpu_s, 2),
            agents=len(bridge.cabinets),
            pss_mb_per_agent=round(played.pss_mb, 2),
            lost_agents=played.lost,
            agent_deaths=played.deaths,
            program_changes=tuple(str(change) for change in self.network.changes) if is_ours else (),
            watched_signals=self.network.watched,
            series=tuple(bridge.series),
            intersections=_intersection_results(bridge, totals, played.lost),
            versions=_versions(),
            memory=options.memory.value,
            sources=dict(sorted(totals.sources.items())),
            people=msgspec.structs.replace(people, waiting_s=round(people.waiting_s, 4)),
            **_monitor_result(bridge),
        )

    def _fallback_ticks(self, bridge: Bridge, totals: TickTotals) -> int:
        """Control intervals decided by a local plan: an agent's, or a cabinet's without an agent."""
        own_plan_s = sum(cabinet.own_plan_s for cabinet in bridge.cabinets.values())
        return totals.plan_ticks + round(own_plan_s / self.options.effective_tick_s)


def _check_kills(options: RunOptions, network: CityNetwork) -> None:
    known = [intersection.id for intersection in network.intersections]
    for name, _, _ in options.kills:
        if name not in known:
            raise InputError(f"--kill: there is no agent {name!r}; there are {', '.join(known)}")


def _trips_so_far(counters: Counters, bridge: Bridge) -> TripMetrics:
    """The metrics that are known while a run goes on; the means over trips are not."""
    return TripMetrics(
        delay_s=bridge.series[-1].delay_s if bridge.series else 0.0,
        duration_s=0.0,
        waiting_s=0.0,
        time_loss_s=0.0,
        depart_delay_s=0.0,
        loaded=counters.loaded,
        departed=counters.departed,
        completed=counters.arrived,
        unfinished=counters.departed - counters.arrived,
        undeparted=counters.loaded - counters.departed,
    )


def _intersection_results(bridge: Bridge, totals: TickTotals, lost: Sequence[str]) -> dict[str, IntersectionResult]:
    return {
        name: IntersectionResult(
            mean_queue_veh=round(tally.queue_veh / max(1, tally.looks), 3),
            mean_wait_s=round(tally.wait_s / max(1, tally.looks), 3),
            own_plan_s=bridge.cabinets[name].own_plan_s if name in bridge.cabinets else 0.0,
            final_rung="" if name in lost else totals.rungs.get(name, ""),
        )
        for name, tally in bridge.tallies.items()
    }


class _MonitorResult(TypedDict):
    monitor_trips: int
    monitor_findings: tuple[str, ...]
    monitor_trips_by_check: dict[str, int]
    sumo_program_findings: int
    monitor_cpu_s: float
    latched_faults: tuple[str, ...]


def _monitor_result(bridge: Bridge) -> _MonitorResult:
    """What the monitor saw; only lights that cabinets of ours commanded can trip it."""
    trips, is_ours = bridge.monitor.trips, bool(bridge.cabinets)
    latched = {name: cabinet.snapshot().latched for name, cabinet in bridge.cabinets.items()}
    return _MonitorResult(
        monitor_trips=len(trips) if is_ours else 0,
        monitor_findings=tuple(str(trip) for trip in trips[:KEPT_FINDINGS]),
        monitor_trips_by_check=dict(sorted(Counter(trip.check.name for trip in trips).items())),
        sumo_program_findings=0 if is_ours else len(trips),
        monitor_cpu_s=round(bridge.monitor_cpu_s, 3),
        latched_faults=tuple(f"{name}: {', '.join(rules)}" for name, rules in latched.items() if rules),
    )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("phasemesh", "eclipse-sumo", "onnxruntime", "numpy", "pyzmq")}
