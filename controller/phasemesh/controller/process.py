"""One agent as one process: start-up, the decision loop on the main thread, and an orderly end."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import msgspec
import structlog

from phasemesh.contract.detection import Snapshot
from phasemesh.contract.errors import BundleError, EndpointError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.contract.site import Pace, PeerAddress, SiteFile, SiteIntersection
from phasemesh.contract.tensors import PolicyFault
from phasemesh.contract.topics import PEER_STATE
from phasemesh.contract.units import NS_PER_S, IntersectionId, MonoNs
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.table import open_driver
from phasemesh.controller.agent import Agent, AgentSettings
from phasemesh.controller.clock import Clock, ClockWatch, MonotonicClock, Pacer, SimulatedClock
from phasemesh.controller.decision import Decider
from phasemesh.controller.memory.recall import NoMemory
from phasemesh.controller.operator.server import SWITCH_INTERVAL_S, OperatorServer, serve_in_thread
from phasemesh.controller.operator.snapshot import OperatorBoard, OperatorState
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.zmq_transport import ZmqTransport
from phasemesh.controller.plans.table import PLANS
from phasemesh.controller.policy.bundle import LoadedBundle, find_bundle, load_bundle
from phasemesh.controller.policy.runtime import Policy
from phasemesh.controller.policy.trust import trusted_keys
from phasemesh.controller.site_folder import address_of, read_intersection, read_keypair, read_site
from phasemesh.controller.telemetry.log import configure_logging
from phasemesh.controller.telemetry.records import RecordHeader, RecordWriter, Rung, TickRecord
from phasemesh.controller.telemetry.tick_metrics import TickMetrics, TickSummary, drop_counts, summarise

HELLO_INTERVAL_S = 0.05
"""Time between two hellos while the links to the neighbours come up."""
LINK_WAIT_S = 5.0
"""After this time an agent takes up its work without the neighbours that are still silent."""
OBSERVE_WAIT_S = 0.25
"""Longest wait for a snapshot before the loop turns once to show that it lives."""
STANDSTILL_TICKS = 3
"""Ticks without a new snapshot after which a cabinet counts as standing still, or as restarted."""
GC_THRESHOLD = 20_000
"""Objects between two looks for cycles: a few in a minute instead of several in a tick."""
FAULT_PAUSE_S = 0.2
"""Pause after a fault of the driver, so that a dead cabinet is not asked in a tight loop."""

log = structlog.get_logger("phasemesh.agent")


class AgentLaunch(msgspec.Struct, frozen=True):
    """What a process needs to know to become an agent.

    `boot_id` must rise from one life of the agent to the next. `records` is the file of the flight recorder, or None.
    `ends_with_parent` makes the process end when the one that started it is gone.
    """

    site_folder: Path
    intersection_id: IntersectionId
    boot_id: int
    records: Path | None = None
    ends_with_parent: bool = False


class AgentProcess:
    """An agent with everything around it; `run` is the decision loop."""

    def __init__(self, launch: AgentLaunch) -> None:
        """Read the site and the bundle and open all connections; raises PhasemeshError when that is impossible."""
        self._launch = launch
        self._site = read_site(launch.site_folder)
        self._entry = read_intersection(launch.site_folder, self._site, launch.intersection_id)
        self._bundle, self._policy = self._load_policy()
        self._header = _header(self._site, self._entry, self._bundle, launch.boot_id)
        self._driver = open_driver(self._entry, self._site)
        self._transport = _open_transport(launch.site_folder, self._site, self._entry)
        self._decision_clock = _decision_clock(self._site)
        self._agent = self._make_agent()
        self._writer = RecordWriter(launch.records, self._header) if launch.records else None
        self._metrics = TickMetrics(self._header)
        self._board = OperatorBoard()
        self._clock = MonotonicClock()
        self._started_ns = self._clock.mono_ns()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        self._server = self._serve_or_let_go()
        self._parent = os.getppid()
        _calm_collector()
        self._is_stopping = False
        self._fault_logged = ""
        self._watch = ClockWatch()
        self._last: TickRecord | None = None
        self._last_ns: MonoNs | None = None

    def run(self) -> None:
        """Turn the decision loop until told to stop; then let go of the intersection."""
        snapshot = self._link_up()
        pacer = Pacer(self._clock, self._site.tick_s / self._site.speed)
        while snapshot is not None:
            self._after(self._agent.tick(snapshot))
            if self._site.pace is Pace.REALTIME:
                pacer.wait()
            snapshot = self._next_snapshot()
        self._agent.release()
        self.close()

    def stop(self) -> None:
        """Ask the loop to end after the present tick."""
        self._is_stopping = True

    def close(self) -> None:
        """Let go of driver, sockets, server and file."""
        self._driver.close()
        self._transport.close()
        if self._server is not None:
            self._server.close()
        if self._writer is not None:
            self._writer.close()

    def _load_policy(self) -> tuple[LoadedBundle | None, Policy | PolicyFault]:
        """The policy of the site's bundle; without one the agent runs its local plan, degraded but safe."""
        try:
            bundle = load_bundle(find_bundle(self._site.bundle), trusted_keys())
            return bundle, bundle.policy_for(self._launch.intersection_id)
        except BundleError as error:
            log.error("bundle refused", intersection=self._launch.intersection_id, reason=str(error))
            return None, PolicyFault(str(error))

    def _make_agent(self) -> Agent:
        entry, site = self._entry, self._site
        decider = Decider(
            entry.intersection,
            entry.timings,
            policy=self._policy,
            plan=PLANS[entry.plan](entry.intersection, entry.timings),
            memory=NoMemory(),
            tick_s=site.tick_s,
            steps_per_tick=site.steps_per_tick,
        )
        settings = AgentSettings(
            intersection_id=entry.intersection.id,
            boot_id=self._launch.boot_id,
            seed=site.seed,
            is_deterministic=self._bundle.manifest.is_deterministic if self._bundle else True,
            waits_for_step=site.pace is Pace.LOCKSTEP,
            is_timed=site.pace is Pace.REALTIME,
            comm_deadline_ms=site.comm_deadline_ms,
        )
        mailbox = Mailbox(entry.intersection.neighbours, PEER_STATE.stale_after_ticks)
        return Agent(settings, decider, self._driver, self._transport, mailbox, decision_clock=self._decision_clock)

    def _serve_or_let_go(self) -> OperatorServer | None:
        try:
            return self._serve()
        except EndpointError:
            self._driver.close()
            self._transport.close()
            raise

    def _serve(self) -> OperatorServer | None:
        if not self._entry.operator:
            return None
        from phasemesh.controller.operator.service import operator_app  # noqa: PLC0415 (FastAPI only where it serves)

        host, _, port = self._entry.operator.rpartition(":")
        app = operator_app(self._board.latest, self._metrics.registry, self._clock.mono_ns)
        return serve_in_thread(app, host, int(port))

    def _link_up(self) -> Snapshot | None:
        """Exchange hellos until every neighbour was heard or has had its time, then ask for the first snapshot."""
        deadline_ns = self._clock.mono_ns() + round(LINK_WAIT_S * NS_PER_S)
        neighbours = frozenset(self._entry.intersection.neighbours)
        while not self._must_stop() and self._clock.mono_ns() < deadline_ns:
            self._agent.say_hello()
            if neighbours <= self._agent.mailbox.heard:
                break
            time.sleep(HELLO_INTERVAL_S)
        self._attach()
        return self._next_snapshot()

    def _attach(self) -> None:
        fault = self._driver.attach(self._launch.boot_id)
        if fault is not None:
            self._note_driver_fault(fault)

    def _next_snapshot(self) -> Snapshot | None:
        """The snapshot to decide on next; None when the process must end. Neighbours that just woke are greeted."""
        after_step = self._next_step() - 1
        while not self._must_stop():
            answer = self._observe(after_step)
            fault = answer.reason if isinstance(answer, DriverFault) else ""
            if isinstance(answer, DriverFault):
                self._note_driver_fault(answer)
                time.sleep(FAULT_PAUSE_S)
                self._driver.attach(self._launch.boot_id)
            elif answer is not None and self._is_due(answer):
                return answer
            elif answer is not None:
                after_step = self._due_step(answer.step) - 1
            if self._last is None:
                self._agent.say_hello()
            self._show(fault)
        return None

    def _observe(self, after_step: int) -> Snapshot | DriverFault | None:
        """What the cabinet says; a cabinet of another layout, or one that stands still, is a fault."""
        answer = self._driver.observe(after_step, OBSERVE_WAIT_S)
        lanes = len(self._entry.intersection.lanes)
        if isinstance(answer, Snapshot) and len(answer.readings) != lanes:
            return DriverFault(f"the cabinet reports {len(answer.readings)} lanes, the site has {lanes}")
        if answer is None and self._is_overdue():
            return self._look_again()
        return answer

    def _is_overdue(self) -> bool:
        """Whether a snapshot should have come long ago; in lockstep the city may take all the time that it needs."""
        if self._last_ns is None or self._site.pace is Pace.LOCKSTEP:
            return False
        waited_s = (self._clock.mono_ns() - self._last_ns) / NS_PER_S
        return waited_s > STANDSTILL_TICKS * self._site.tick_s / self._site.speed

    def _look_again(self) -> Snapshot | DriverFault:
        """Take whatever the cabinet shows: one that was restarted counts its steps from the beginning again."""
        answer = self._driver.observe(-1, 0.0)
        if isinstance(answer, Snapshot) and self._last is not None and answer.step < self._last.step:
            self._driver.attach(self._launch.boot_id)
            return answer
        return answer if isinstance(answer, DriverFault) else DriverFault("the cabinet stands still")

    def _next_step(self) -> int:
        if self._last is None:
            return 0
        is_lockstep = self._site.pace is Pace.LOCKSTEP
        return self._due_step(self._last.step) if is_lockstep else self._last.step + 1

    def _due_step(self, step: int) -> int:
        """The first step of the next control interval after `step`; all agents count alike in lockstep."""
        return (step // self._site.steps_per_tick + 1) * self._site.steps_per_tick

    def _is_due(self, snapshot: Snapshot) -> bool:
        return self._site.pace is Pace.REALTIME or snapshot.step % self._site.steps_per_tick == 0

    def _note_driver_fault(self, fault: DriverFault) -> None:
        """Tell the agent, and the log when it is news: a dead cabinet is asked several times a second."""
        if fault.reason != self._fault_logged:
            log.warning("driver fault", intersection=self._launch.intersection_id, reason=fault.reason)
        self._fault_logged = fault.reason
        self._agent.note_driver_fault(fault.reason)

    def _must_stop(self) -> bool:
        return self._is_stopping or (self._launch.ends_with_parent and os.getppid() != self._parent)

    def _after(self, record: TickRecord) -> None:
        """Tell everyone who listens about a finished tick."""
        if (jump := self._watch.look()) is not None:
            log.warning("clock", intersection=self._launch.intersection_id, rule=jump.rule, reason=jump.detail)
        self._fault_logged = ""
        if self._last is None or self._last.rung != record.rung:
            log.info("rung", intersection=self._launch.intersection_id, rung=record.rung, reason=record.reason)
        self._last, self._last_ns = record, self._clock.mono_ns()
        if self._writer is not None:
            self._writer.write(record)
        self._metrics.note(self._summary(record))
        self._show()

    def _show(self, fault: str = "") -> None:
        """Publish the state of the loop, which just turned; a fault of the driver means that nothing is commanded."""
        record = self._last
        is_released = record is None or bool(fault)
        self._board.publish(
            OperatorState(
                header=self._header,
                started_mono_ns=self._started_ns,
                last_tick_mono_ns=self._clock.mono_ns(),
                rung=Rung.RELEASED if is_released or record is None else record.rung,
                reason=fault or (record.reason if record else "waiting for the first snapshot of the cabinet"),
                record=record,
                record_mono_ns=self._last_ns,
                drops=drop_counts(self._agent.mailbox.faults),
                lost_records=self._writer.lost if self._writer else 0,
                recorder_fault=self._writer.fault if self._writer else "",
            )
        )

    def _summary(self, record: TickRecord) -> TickSummary:
        return summarise(
            record,
            tick_s=self._site.tick_s,
            uptime_s=(self._clock.mono_ns() - self._started_ns) / NS_PER_S,
            is_deadline_missed=self._agent.was_late,
            adapter_error="driver" if record.applied is None else "",
            drops=drop_counts(self._agent.mailbox.faults),
            store_write_errors=self._writer.lost if self._writer else 0,
        )


def _calm_collector() -> None:
    """What start-up made lives as long as the process; the rest of a tick is freed without the cycle collector."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _header(site: SiteFile, entry: SiteIntersection, bundle: LoadedBundle | None, boot_id: int) -> RecordHeader:
    return RecordHeader(
        format=1,
        spec_hash=SPEC_HASH,
        intersection=entry.intersection,
        timings=entry.timings,
        tick_s=site.tick_s,
        steps_per_tick=site.steps_per_tick,
        seed=site.seed,
        stale_after_ticks=PEER_STATE.stale_after_ticks,
        comm_deadline_ms=site.comm_deadline_ms,
        bundle=site.bundle,
        bundle_digest=bundle.digest if bundle else "",
        plan=entry.plan,
        boot_id=boot_id,
    )


def _open_transport(folder: Path, site: SiteFile, entry: SiteIntersection) -> ZmqTransport:
    name = entry.intersection.id
    neighbours: dict[IntersectionId, PeerAddress] = {
        other: address_of(folder, site, other) for other in entry.intersection.neighbours
    }
    return ZmqTransport(
        name,
        address_of(folder, site, name).endpoint,
        read_keypair(folder, site, name),
        neighbours=neighbours,
        listeners={other: address.public_key for other, address in neighbours.items()},
    )


def _decision_clock(site: SiteFile) -> Clock:
    """In lockstep a decision takes no simulated time: a loaded machine must not change what is decided."""
    return SimulatedClock() if site.pace is Pace.LOCKSTEP else MonotonicClock()


def serve_agent(launch: AgentLaunch) -> None:
    """Run one agent until SIGTERM or SIGINT; raises PhasemeshError when it cannot start."""
    configure_logging()
    process = AgentProcess(launch)

    def stop(_number: int, _frame: FrameType | None) -> None:
        process.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    process.run()
