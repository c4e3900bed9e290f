"""The one door to the simulator: starts SUMO in process (libsumo) or with its window (traci) and wraps it.

Nothing else in phasemesh's harness imports libsumo or traci. Restarting libsumo within one process was seen to change
results for the same seed, so callers that compare runs give each run a process of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO
from xml.sax.saxutils import quoteattr

import msgspec

from phasemesh.contract.errors import InputError, MissingExtraError, ScenarioError
from phasemesh.controller.adapters.sumo_letters import from_sumo, to_sumo
from phasemesh.sim_harness.sumo.binaries import sumo_program
from phasemesh.sim_harness.sumo.complaints import one_line, reason
from phasemesh.sim_harness.sumo.xml_stream import elements

TRIPS_NAME = "tripinfo.xml"
SIGNAL_STATES_NAME = "signal_states.xml"
_RECORDER_NAME = "signal_recorder.add.xml"
_NET_OPTIONS = frozenset({"net-file", "net", "n"})
_ADDITIONAL_OPTIONS = frozenset({"additional-files", "additional", "a"})
_ROUTE_OPTIONS = frozenset({"route-files", "routes", "r"})


class SumoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: a `config` (a .sumocfg), or a `net` with its demand.

    `net` and `routes` replace what `config` names, `additional` files are loaded beside those of `config`.

    Outputs go to the folder `output`: `TRIPS_NAME`, and `SIGNAL_STATES_NAME` with the lights of `recorded_signals` at
    every step. `ignore_junction_blocker_s` dissolves locks of vehicles that stand within a junction; -1 turns that
    off. `extra` is appended to SUMO's command line as it stands.
    """

    output: Path
    config: Path | None = None
    net: Path | None = None
    routes: tuple[Path, ...] = ()
    additional: tuple[Path, ...] = ()
    begin_s: float = 0.0
    seed: int = 1
    step_s: float = 1.0
    ignore_junction_blocker_s: float = 20.0
    recorded_signals: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    is_gui: bool = False


class Counters(msgspec.Struct, frozen=True):
    """SUMO's own counts since the start of a run.

    `loaded` are the vehicles whose departure is due, whether or not they found room to enter; those that became due
    within the last step count from the next one on. A collision counts once, however long the vehicles overlap.
    """

    loaded: int
    departed: int
    arrived: int
    teleports: int
    collisions: int
    emergency_stops: int


class VehicleOnLane(msgspec.Struct, frozen=True, gc=False):
    """One vehicle as a detector sees it; `position_m` is that of its front, from the start of the lane."""

    id: str
    position_m: float
    speed_mps: float
    wait_s: float


class WaitingPerson(msgspec.Struct, frozen=True, gc=False):
    """Somebody who stands at a crossing that is next on the way, and for how long."""

    id: str
    wait_s: float


HALTING_MPS = 0.1
"""Below this speed a vehicle counts as halting, as in SUMO's own outputs."""


class Simulation:
    """A running SUMO. Not thread-safe; at most one in process, since libsumo is one global simulation."""

    def __init__(self, api: ModuleType) -> None:
        """Wrap `api`, which is a started libsumo or traci; use `start` instead."""
        self._api = api
        self._asked: dict[str, str] = {}
        self._shown: dict[str, str] = {}
        self._ids_by_lane: dict[str, list[str]] | None = None
        self._vehicles: dict[str, list[VehicleOnLane]] = {}
        self._is_open = True

    def step(self) -> None:
        """Advance by one step; raises ScenarioError when SUMO gives up (for example on an impossible route)."""
        self._ids_by_lane, self._vehicles = None, {}
        try:
            self._api.simulationStep()
        except (self._api.TraCIException, self._api.FatalTraCIError) as error:
            raise ScenarioError(f"SUMO stopped: {one_line(str(error))}") from error

    @property
    def time_s(self) -> float:
        """Simulated time in seconds."""
        return float(self._api.simulation.getTime())

    @property
    def is_empty(self) -> bool:
        """Whether no vehicle and no person is under way, waiting to enter or still to come."""
        return int(self._api.simulation.getMinExpectedNumber()) == 0

    def set_lights(self, signal_id: str, letters: str) -> None:
        """Show `letters` (one a SUMO link) from the next step on; from then on the signal has no program of its own."""
        if self._asked.get(signal_id) == letters:
            return
        shown = to_sumo(letters, self._shown.get(signal_id, letters))
        self._api.trafficlight.setRedYellowGreenState(signal_id, shown)
        self._asked[signal_id], self._shown[signal_id] = letters, shown

    def lights_of(self, signal_ids: Iterable[str]) -> list[str]:
        """The letters that SUMO really shows at each signal, one letter a SUMO link, read back from it."""
        read = self._api.trafficlight.getRedYellowGreenState
        return [from_sumo(read(signal_id)) for signal_id in signal_ids]

    def vehicles_by_lane(self, watched: frozenset[str]) -> dict[str, list[VehicleOnLane]]:
        """The vehicles whose front is on one of the `watched` lanes, by lane; empty lanes are left out.

        One pass over the vehicles, since most lanes are empty: 0.45 ms on ingolstadt21 (803 watched lanes, 380
        vehicles) against 0.65 ms for asking every lane. Who asks again at the same step is answered from memory.
        """
        if self._ids_by_lane is None:
            self._ids_by_lane = self._ids()
        by_lane: dict[str, list[VehicleOnLane]] = {}
        for lane_id, vehicle_ids in self._ids_by_lane.items():
            if lane_id in watched:
                if lane_id not in self._vehicles:
                    self._vehicles[lane_id] = self._vehicles_of(vehicle_ids)
                by_lane[lane_id] = self._vehicles[lane_id]
        return by_lane

    def _ids(self) -> dict[str, list[str]]:
        by_lane: dict[str, list[str]] = {}
        for vehicle_id in self._api.vehicle.getIDList():
            by_lane.setdefault(self._api.vehicle.getLaneID(vehicle_id), []).append(vehicle_id)
        return by_lane

    def _vehicles_of(self, vehicle_ids: Iterable[str]) -> list[VehicleOnLane]:
        api = self._api.vehicle
        vehicles = []
        for vehicle_id in vehicle_ids:
            speed_mps = api.getSpeed(vehicle_id)
            wait_s = api.getWaitingTime(vehicle_id) if speed_mps < HALTING_MPS else 0.0
            vehicles.append(VehicleOnLane(vehicle_id, api.getLanePosition(vehicle_id), speed_mps, wait_s))
        return vehicles

    def people_waiting(self, crossings: frozenset[str]) -> dict[str, list[WaitingPerson]]:
        """Who stands before one of `crossings` (edges), from either end; crossings without anybody are left out.

        One pass over the people: 0.1 ms for a hundred of them, few of them waiting.
        """
        by_crossing: dict[str, list[WaitingPerson]] = {}
        api = self._api.person
        for person_id in api.getIDList():
            if api.getSpeed(person_id) < HALTING_MPS and (following := api.getNextEdge(person_id)) in crossings:
                waiting = WaitingPerson(person_id, api.getWaitingTime(person_id))
                by_crossing.setdefault(following, []).append(waiting)
        return by_crossing

    def vary_drivers(self, factor: Callable[[], float]) -> None:
        """Multiply the share of the speed limit that each driver under way wants by a `factor` of its own."""
        vehicle = self._api.vehicle
        for vehicle_id in vehicle.getIDList():
            vehicle.setSpeedFactor(vehicle_id, max(0.1, factor() * vehicle.getSpeedFactor(vehicle_id)))

    def waiting_to_enter(self) -> list[str]:
        """The vehicles that are due and find no room to enter the network."""
        return list(self._api.simulation.getPendingVehicles())

    def route_of(self, vehicle_id: str) -> tuple[str, ...]:
        """The edges on the way of a vehicle that is under way or waits to enter."""
        return tuple(self._api.vehicle.getRoute(vehicle_id))

    def lane_length_m(self, lane_id: str) -> float:
        """Length of a lane in metres; raises ScenarioError for an unknown one."""
        try:
            return float(self._api.lane.getLength(lane_id))
        except self._api.TraCIException as error:
            raise ScenarioError(f"the network has no lane {lane_id!r}") from error

    def counters(self) -> Counters:
        """What has happened so far."""
        departed = self._statistic("stats.vehicles.inserted")
        return Counters(
            loaded=departed + self._statistic("stats.vehicles.waiting"),
            departed=departed,
            arrived=self._statistic("device.tripinfo.vehicleTripStatistics.count"),
            teleports=self._statistic("stats.teleports.total"),
            collisions=self._statistic("stats.safety.collisions"),
            emergency_stops=self._statistic("stats.safety.emergencyStops"),
        )

    def _statistic(self, name: str) -> int:
        return int(self._api.simulation.getParameter("", name) or 0)

    def delay_so_far_s(self) -> float:
        """Mean of time loss and departure delay over all vehicles due so far, in seconds; 0 before the first.

        The trip metric of the finished run, taken early: completed trips from SUMO's running means (two decimals),
        running and waiting vehicles by one or two getters each. About 0.5 us a getter in process; meant for a progress
        line every 30 or more steps, not for every step of a run with a window.
        """
        vehicle, simulation = self._api.vehicle, self._api.simulation
        running, waiting = vehicle.getIDList(), simulation.getPendingVehicles()
        completed = self._statistic("device.tripinfo.vehicleTripStatistics.count")
        total_s = completed * sum(
            float(simulation.getParameter("", f"device.tripinfo.vehicleTripStatistics.{name}") or 0.0)
            for name in ("timeLoss", "departDelay")
        )
        total_s += sum(vehicle.getTimeLoss(name) + vehicle.getDepartDelay(name) for name in running)
        total_s += sum(vehicle.getDepartDelay(name) for name in waiting)
        return float(total_s) / max(1, completed + len(running) + len(waiting))

    def close(self) -> None:
        """End SUMO, which completes its output files; a second call does nothing."""
        if self._is_open:
            self._is_open = False
            self._api.close()

    def __enter__(self) -> Simulation:
        """Return the simulation itself."""
        return self

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        """Close it; raises ScenarioError when the simulation was lost, as when somebody closed its window."""
        self.close()
        if isinstance(error, self._api.FatalTraCIError):
            raise ScenarioError(f"SUMO stopped: {one_line(str(error))}") from error


def start(options: SumoOptions) -> Simulation:
    """Start SUMO at `options.begin_s`.

    Raises ScenarioError with SUMO's own first sentence for files that it cannot use, MissingExtraError without SUMO,
    InputError for a window without a display.
    """
    api = _load_api("traci" if options.is_gui else "libsumo")
    options.output.mkdir(parents=True, exist_ok=True)
    _check_roots(options)
    with _captured_stderr() as captured:
        try:
            if options.is_gui:
                _open_window(api, command_line(options))
            else:
                api.start(command_line(options))
            api.simulation.getTime()
        except (api.TraCIException, api.FatalTraCIError) as error:
            raise ScenarioError(f"SUMO cannot start: {reason(str(error), captured)}") from error
    return Simulation(api)


def _open_window(api: ModuleType, line: list[str]) -> None:
    """Start SUMO with its window; traci would try 60 ports where no display can be opened, and tells so on stdout."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with contextlib.redirect_stdout(io.StringIO()):
        api.start(line, port=port)


def command_line(options: SumoOptions) -> list[str]:
    """The command line of SUMO for `options`; writes the additional file that records signals, if there are any."""
    named = _named_files(options, _ADDITIONAL_OPTIONS)
    additional = (*named, *options.additional, *_recorder(options))
    arguments = [_program(is_gui=options.is_gui), "--net-file", str(_net_of(options))]
    if options.config:
        arguments += ["--configuration-file", str(options.config)]
    if options.routes:
        arguments += ["--route-files", _joined(options.routes)]
    if additional:
        arguments += ["--additional-files", _joined(additional)]
    return [*arguments, *_fixed_arguments(options), *options.extra]


def _fixed_arguments(options: SumoOptions) -> list[str]:
    window = ["--start", "--quit-on-end"] if options.is_gui else []
    return [
        *("--begin", str(options.begin_s)),
        *("--step-length", str(options.step_s)),
        *("--seed", str(options.seed)),
        *("--time-to-teleport", "-1"),
        *("--ignore-junction-blocker", str(options.ignore_junction_blocker_s)),
        *("--collision.action", "warn"),
        *("--tripinfo-output", str((options.output / TRIPS_NAME).resolve())),
        "--tripinfo-output.write-unfinished",
        "--tripinfo-output.write-undeparted",
        "--no-step-log",
        "--no-warnings",
        "--duration-log.disable",
        *window,
    ]


def _net_of(options: SumoOptions) -> Path:
    named = (options.net,) if options.net else _named_files(options, _NET_OPTIONS)
    if not named:
        raise ScenarioError(f"{options.config or 'SumoOptions'}: names no network")
    return named[0]


def _named_files(options: SumoOptions, names: frozenset[str]) -> tuple[Path, ...]:
    """The files of one option of the configuration, which the same option on the command line would replace."""
    if options.config is None:
        return ()
    values = [attributes.get("value", "") for name, attributes in elements(options.config) if name in names]
    return tuple(options.config.parent / part.strip() for value in values for part in value.split(",") if part.strip())


def _check_roots(options: SumoOptions) -> None:
    """Refuse what is taken for a network and is none, or the other way round.

    libsumo 1.28 ends the whole process on a `net` without a version, as network and as additional file alike.
    """
    net = _net_of(options)
    name, attributes = next(elements(net))
    if name != "net" or "version" not in attributes:
        raise ScenarioError(f"{net}: is not a SUMO network: its root is <{name}>, without the version of one")
    additional = (*_named_files(options, _ADDITIONAL_OPTIONS), *options.additional)
    for path in (*additional, *(options.routes or _named_files(options, _ROUTE_OPTIONS))):
        if next(elements(path))[0] == "net":
            raise ScenarioError(f"{path}: is a SUMO network, where routes or additional elements belong")


def _recorder(options: SumoOptions) -> tuple[Path, ...]:
    if not options.recorded_signals:
        return ()
    destination = quoteattr(str((options.output / SIGNAL_STATES_NAME).resolve()))
    events = [
        f'    <timedEvent type="SaveTLSStates" source={quoteattr(name)} dest={destination}/>'
        for name in options.recorded_signals
    ]
    path = options.output / _RECORDER_NAME
    path.write_text("\n".join(["<additional>", *events, "</additional>", ""]))
    return (path,)


def _joined(paths: tuple[Path, ...]) -> str:
    return ",".join(str(path.resolve()) for path in paths)


def _load_api(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"{name} cannot be imported ({error}); install phasemesh[sim]") from error


def _program(*, is_gui: bool) -> str:
    if not is_gui:
        return "sumo"
    if sys.platform == "linux" and not os.environ.get("DISPLAY"):
        raise InputError("SUMO's window needs a display (DISPLAY is not set); run without it")
    return str(sumo_program("sumo-gui"))


@contextlib.contextmanager
def _captured_stderr() -> Iterator[IO[bytes]]:
    """Catch what SUMO's C++ side prints, below Python's own stream, so that an error can quote it."""
    sys.stderr.flush()
    keep = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield captured
        finally:
            os.dup2(keep, 2)
            os.close(keep)
