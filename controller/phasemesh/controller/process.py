"""One agent as one process: start-up, the decision loop on the main thread, and an orderly end."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import msgspec
import structlog

from phasemesh.contract.detection import Snapshot
from phasemesh.contract.site import AdapterKind, Pace
from phasemesh.contract.units import NS_PER_S, IntersectionId
from phasemesh.controller.access.access import access_of_site
from phasemesh.controller.access.audit import AuditLog
from phasemesh.controller.access.middleware import protected
from phasemesh.controller.access.tls import CABINETS, demand_tls, find_tls
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.table import open_driver
from phasemesh.controller.announcer import Announcer
from phasemesh.controller.assembly import header_of, load_policy, make_agent, memory_of
from phasemesh.controller.clock import ClockWatch, MonotonicClock, Pacer
from phasemesh.controller.instance_lock import InstanceLock
from phasemesh.controller.life_file import LifeBook, wall_ms
from phasemesh.controller.operator.order_route import ORDER_ROLES, add_order_route
from phasemesh.controller.operator.orders import OrderBook, cabinet_url
from phasemesh.controller.operator.server import SWITCH_INTERVAL_S, OperatorServer, serve_in_thread
from phasemesh.controller.peers.directory import WatchedTransport
from phasemesh.controller.peers.keys import KeyPair
from phasemesh.controller.site_folder import address_of, read_intersection, read_keypair, read_site, secret_path
from phasemesh.controller.snapshot_source import SnapshotSource
from phasemesh.controller.state_folder import NOT_KEPT
from phasemesh.controller.telemetry.log import configure_logging
from phasemesh.controller.watchdog import EXIT_LOOP_DEAD, Watchdog, longest_silence_s, notifier_of

HELLO_INTERVAL_S = 0.05
"""Time between two hellos while the links to the neighbours come up."""
LINK_WAIT_S = 5.0
"""After this time an agent takes up its work without the neighbours that are still silent."""
GC_THRESHOLD = 20_000
"""Objects between two looks for cycles: a few in a minute instead of several in a tick."""
FAULT_PAUSE_S = 0.2
"""Pause after a fault of the driver, so that a dead cabinet is not asked in a tight loop."""
AUDIT_FOLDER = "audit"
"""Folder of the site for what operators ordered; one file an agent."""
EXIT_BROKEN = 3
"""Exit code of a process that met an error of its own programming."""

log = structlog.get_logger("phasemesh.agent")


class AgentLaunch(msgspec.Struct, frozen=True):
    """What a process needs to know to become an agent.

    `boot_id` must rise from one life of the agent to the next; None takes the wall clock, or the number after the last
    one where that is higher. `records` is the file of the flight recorder, or None. `ends_with_parent` makes the
    process end when the one that started it is gone. `site_keys` are public keys in hexadecimal that may have signed
    the site, beside those that the user trusts. `state_folder` keeps what one life leaves to the next: without it a
    storm of restarts is not slowed down, and what is latched ends with the life. `tells_forgetting` makes log and
    health warn of that. `memory_folder` is where the memory of the agent is kept, where the site lets it remember; by
    default that is the `state_folder`, and without either memory ends with the process.
    """

    site_folder: Path
    intersection_id: IntersectionId
    boot_id: int | None
    records: Path | None = None
    ends_with_parent: bool = False
    site_keys: tuple[str, ...] = ()
    state_folder: Path | None = None
    tells_forgetting: bool = False
    memory_folder: Path | None = None


class AgentProcess:
    """An agent with everything around it; `run` is the decision loop."""

    def __init__(self, launch: AgentLaunch) -> None:
        """Read the site and the bundle and open all connections; raises PhasemeshError when that is impossible."""
        self._launch = launch
        self._site = read_site(launch.site_folder, launch.site_keys)
        self._entry = read_intersection(launch.site_folder, self._site, launch.intersection_id, launch.site_keys)
        self._number = address_of(launch.site_folder, self._site, launch.intersection_id).number
        self._clock = MonotonicClock()
        self.orders = OrderBook()
        self._is_stopping = False
        self._parent = os.getppid()
        self._resources = ExitStack()
        with ExitStack() as undo:
            undo.callback(self.close)
            self._lock = self._only_one()
            self._life = self._begin_life()
            self._open()
            undo.pop_all()
        _calm_collector()
        self._wall = ClockWatch()

    def _begin_life(self) -> LifeBook:
        launch = self._launch
        path = None if launch.state_folder is None else launch.state_folder / f"{self._number}.life.json"
        life = LifeBook(path, launch.boot_id, self._clock.mono_ns(), wall_ms())
        if life.damage:
            log.error("life not readable", intersection=launch.intersection_id, reason=life.damage)
        if life.fault:
            log.warning("life not written", intersection=launch.intersection_id, reason=life.fault)
        if launch.tells_forgetting:
            log.warning("no state", intersection=launch.intersection_id, reason=NOT_KEPT)
        return life

    def _only_one(self) -> InstanceLock:
        secret = secret_path(self._launch.site_folder, self._number)
        folder = self._launch.state_folder or secret.parent
        # A folder that cannot be made is told when the life is written; the lock has a place without it.
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        lock = InstanceLock(folder / f"{self._number}.lock", self._launch.intersection_id, secret)
        self._resources.callback(lock.close)
        return lock

    def _open(self) -> None:
        launch, entry, site = self._launch, self._entry, self._site
        loaded = load_policy(site, launch.intersection_id)
        self._demand_tls()
        driver = open_driver(entry, site, launch.site_folder)
        self._resources.callback(driver.close)
        self._transport = WatchedTransport(launch.site_folder, site, entry, launch.site_keys)
        self._resources.callback(self._transport.close)
        boot_id, latched = self._life.boot_id, self._life.life.latched
        self._memory = memory_of(site, entry, loaded.bundle, self._memory_path(), self._keypair)
        if self._memory is not None:
            self._resources.callback(self._memory.close)
        memory = None if self._memory is None else self._memory.memory
        self._agent = make_agent(
            site, entry, loaded, driver, self._transport, boot_id=boot_id, latched=latched, memory=memory
        )
        self._source = SnapshotSource(driver, site, entry.intersection, boot_id, self._clock)
        header = header_of(site, entry, loaded.bundle, boot_id)
        profile = loaded.usual_hyper(launch.intersection_id)
        self._announcer = Announcer(header, launch.records, self._agent.mailbox, self._clock, site.speed, profile)
        self._resources.callback(self._announcer.close)
        self._announcer.note_state(NOT_KEPT if launch.tells_forgetting else self._life.fault)
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        server = self._serve()
        if server is not None:
            self._resources.callback(server.close)

    def _keypair(self) -> KeyPair:
        return read_keypair(self._launch.site_folder, self._site, self._launch.intersection_id)

    def _memory_path(self) -> Path | None:
        folder = self._launch.memory_folder or self._launch.state_folder
        return None if folder is None else folder / f"{self._number}.memory.sqlite"

    def run(self) -> None:
        """Turn the decision loop until told to stop; then let go of the intersection, whatever happened."""
        limit_s = longest_silence_s(self._site.tick_s, self._site.speed)
        with ExitStack() as ending:
            ending.callback(self.close)
            ending.callback(self._agent.release)
            notifier = notifier_of(os.environ, self._clock.mono_ns)
            self._watchdog = Watchdog(limit_s, self._tell_death, self._clock.mono_ns, notifier=notifier)
            ending.callback(self._watchdog.close)
            self._decide()

    def _decide(self) -> None:
        snapshot = self._take_up()
        pacer = Pacer(self._clock, self._site.tick_s / self._site.speed)
        while snapshot is not None:
            self._tick(snapshot)
            if self._site.pace is Pace.REALTIME:
                pacer.wait()
            snapshot = self._next_snapshot()

    def look_again(self) -> None:
        """Take up the directory of the site as it stands on disk."""
        self._transport.look_now()

    def stop(self) -> None:
        """Ask the loop to end after the present tick."""
        self._is_stopping = True

    def close(self) -> None:
        """Let go of driver, sockets, server, lock and files; calling it again does nothing."""
        self._resources.close()

    def _serve(self) -> OperatorServer | None:
        if not self._entry.operator:
            return None
        from phasemesh.controller.operator.service import ROLES, operator_app  # noqa: PLC0415 (only where it serves)

        host, _, port = self._entry.operator.rpartition(":")
        folder, name = self._launch.site_folder, self._launch.intersection_id
        tls = find_tls(folder, str(self._number))
        demand_tls("operator", host, tls, str(self._number), self._site)
        app = operator_app(self._announcer.board.latest, self._announcer.metrics.registry, self._clock.mono_ns)
        add_order_route(app, self.orders, self._clock.mono_ns, cabinet_url(self._entry))
        audit = AuditLog(folder / AUDIT_FOLDER / f"agent-{self._number}.jsonl")
        access = access_of_site(folder, self._site, (name,))
        self._announcer.metrics.refusals.watch(access.refused, lambda: self._transport.refused)
        gate = protected(app, (*ROLES, *ORDER_ROLES), access, audit, self._sight)
        return serve_in_thread(gate, host, int(port), tls)

    def _demand_tls(self) -> None:
        """The token of this agent goes to its cabinet with every command."""
        url = urlsplit(self._entry.cabinet)
        if self._entry.adapter is AdapterKind.HTTP and url.scheme == "http":
            demand_tls("cabinet", url.hostname or "", None, CABINETS, self._site)

    def _sight(self, _intersection: str | None) -> object:
        """What the audit log tells of the agent beside an order."""
        state = self._announcer.board.latest()
        return None if state is None else {"rung": state.rung, "reason": state.reason}

    def _take_up(self) -> Snapshot | None:
        """Keep away after a storm of restarts, meet the neighbours, then ask for the first snapshot."""
        self._keep_away()
        self._link_up()
        self._attach()
        self._watchdog.ready()
        return self._next_snapshot()

    def _keep_away(self) -> None:
        """The pause of a storm of restarts: the cabinet is left alone, the loop shows that it lives (F23)."""
        pause_s, short_lives = self._life.pause_s, self._life.life.short_lives
        if pause_s == 0.0:
            return
        reason = f"short life number {short_lives} in a row; keeping away for {pause_s:.0f} s"
        log.warning("restart storm", intersection=self._launch.intersection_id, reason=reason)
        deadline_ns = self._clock.mono_ns() + round(pause_s * NS_PER_S)
        while not self._must_stop() and self._clock.mono_ns() < deadline_ns:
            self._turn(reason)
            time.sleep(FAULT_PAUSE_S)

    def _link_up(self) -> None:
        """Exchange hellos until every neighbour was heard or has had its time."""
        deadline_ns = self._clock.mono_ns() + round(LINK_WAIT_S * NS_PER_S)
        neighbours = frozenset(self._entry.intersection.neighbours)
        while not self._must_stop() and self._clock.mono_ns() < deadline_ns:
            self._watchdog.beat()
            self._agent.say_hello()
            if neighbours <= self._agent.mailbox.heard:
                break
            time.sleep(HELLO_INTERVAL_S)

    def _attach(self) -> None:
        fault = self._source.attach()
        self._watchdog.beat()
        if fault is not None:
            self._note_driver_fault(fault)

    def _attach_again(self) -> None:
        """Take the lease anew after a fault; whoever is refused commands nothing. The log has the fault already."""
        fault = self._source.attach()
        if fault is not None:
            self._agent.note_driver_fault(fault.reason)

    def _next_snapshot(self) -> Snapshot | None:
        """The snapshot to decide on next; None when the process must end. Neighbours that just woke are greeted."""
        while not self._must_stop():
            answer = self._source.next()
            if isinstance(answer, Snapshot):
                return answer
            if isinstance(answer, DriverFault):
                self._note_driver_fault(answer)
                self._turn(answer.reason)
                time.sleep(FAULT_PAUSE_S)
                self._attach_again()
            if self._agent.standing is None:
                self._agent.say_hello()
            self._turn(answer.reason if isinstance(answer, DriverFault) else "")
        return None

    def _note_driver_fault(self, fault: DriverFault) -> None:
        self._announcer.note_fault(fault.reason)
        self._agent.note_driver_fault(fault.reason)

    def _must_stop(self) -> bool:
        return self._is_stopping or (self._launch.ends_with_parent and os.getppid() != self._parent)

    def _tick(self, snapshot: Snapshot) -> None:
        """One control interval with everything that goes before and after it."""
        orders = self.orders.take(self._clock.mono_ns())
        self._agent.note_orders(orders.events, latch_is_reset=orders.latch_is_reset)
        if (jump := self._wall.look()) is not None:
            self._agent.note_clock_step(jump.step_s)
        record = self._agent.tick(snapshot)
        self._source.note(record)
        self._keep_latched()
        self._watchdog.beat()
        if self._memory is not None:
            self._announcer.note_memory(self._memory.note_tick())
        self._announcer.note_tick(record, is_late=self._agent.was_late)

    def _keep_latched(self) -> None:
        """What is latched outlasts this life, a power cut included."""
        standing = self._agent.standing
        if standing is None or self._launch.state_folder is None:
            return
        if self._life.keep(standing.latched, self._clock.mono_ns()):
            log.warning("life not written", intersection=self._launch.intersection_id, reason=self._life.fault)
        self._announcer.note_state(self._life.fault)

    def _turn(self, fault: str) -> None:
        """The loop turned without a decision."""
        self._watchdog.beat()
        self._announcer.show(fault)

    def _tell_death(self, silent_s: float) -> None:
        log.critical(
            "decision loop dead",
            intersection=self._launch.intersection_id,
            silent_s=round(silent_s, 1),
            exit_code=EXIT_LOOP_DEAD,
        )


def _calm_collector() -> None:
    """What start-up made lives as long as the process; the rest of a tick is freed without the cycle collector."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def serve_agent(launch: AgentLaunch) -> None:
    """Run one agent until SIGTERM or SIGINT; raises PhasemeshError when it cannot start.

    SIGHUP makes it look at the directory of its site again, as it does by itself soon after a change.
    """
    configure_logging()
    process = AgentProcess(launch)

    def stop(_number: int, _frame: FrameType | None) -> None:
        process.stop()

    def look_again(_number: int, _frame: FrameType | None) -> None:
        process.look_again()

    signal.signal(signal.SIGHUP, look_again)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        process.run()
    except Exception as error:  # noqa: BLE001 (the top of the process: one line, and the cabinet was released)
        log.critical("agent broken", intersection=launch.intersection_id, error=repr(error), at=_place_of(error))
        sys.exit(EXIT_BROKEN)


def _place_of(error: BaseException) -> str:
    """File and line in which `error` was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
