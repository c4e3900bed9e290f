"""A city whose agents are real processes: the cabinets' service and the simulation share one event loop.

SUMO, cabinets and HTTP handlers never run at the same moment, so nothing here needs a lock, and a step of the
simulation cannot fall between a command and its effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator, Mapping

import httpx
import uvicorn

from phasemesh.contract.command import Command
from phasemesh.contract.site import Pace
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.access.middleware import App
from phasemesh.controller.cabinet.service import KEEP_ALIVE_S, CabinetBoard
from phasemesh.sim_harness.agent_processes import AgentProcesses
from phasemesh.sim_harness.barrier import Barrier
from phasemesh.sim_harness.bridge import Bridge
from phasemesh.sim_harness.faults.attack import Attack
from phasemesh.sim_harness.faults.stage import Stage
from phasemesh.sim_harness.namespace_network import NamespaceNetwork, opened_network
from phasemesh.sim_harness.options import RunOptions
from phasemesh.sim_harness.progress import Listener, Progress
from phasemesh.sim_harness.provision import agent_proofs, move_site
from phasemesh.sim_harness.rehearsal import Rehearsal
from phasemesh.sim_harness.stalls import Sample, StallWatch, write_long_run

STEP_S = 1.0
"""Simulated time of one step."""
START_WAIT_S = 120.0
"""Longest wall time for all agents to come up."""
SHOW_EVERY_S = 0.5
"""Wall time between two sights of the progress."""
MISSES_METRIC = "tsc_comm_deadline_missed_total"


class Orchestra:
    """Runs the city of `bridge` with the agents of `agents` until its end or until interrupted."""

    def __init__(
        self, bridge: Bridge, agents: AgentProcesses, options: RunOptions, listener: Listener, operators: dict[str, str]
    ) -> None:
        """Prepare; `operators` are the addresses of the agents' own endpoints, by id."""
        self._bridge = bridge
        self._agents = agents
        self._options = options
        self._listener = listener
        self._operators = operators
        self._leased: set[IntersectionId] = set()
        self._barrier = Barrier()
        self._rehearsal = Rehearsal(options)
        self._attack: Attack | None = None
        self._started_s = 0.0
        self._step_began_s = 0.0
        self._shown_s = 0.0
        self._misses: dict[str, int] = {}
        self._is_over = False
        self.is_interrupted = False
        self.lost: dict[IntersectionId, str] = {}
        self.deaths = 0
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.pss_mb = 0.0

    def _plan_attack(self, network: NamespaceNetwork | None) -> Attack:
        stage = Stage(
            self._agents,
            self._bridge.cabinets,
            {IntersectionId(name): address for name, address in self._operators.items()},
            start=self._start,
            leave=self._barrier.leave,
            network=network,
        )
        return Attack(stage, self._options.faults, begin_s=self._options.scenario.begin_s, report=self._options.report)

    async def run(self, listening: uvicorn.Server, board: CabinetBoard) -> None:
        """Serve `board` through `listening`, start the agents, and let simulated time pass."""
        with contextlib.ExitStack() as resources:
            network = None
            if self._options.is_apart:
                network = resources.enter_context(opened_network(self._agents.names, self._listener.note))
                self._move_into(network, listening)
            await self._run_in(network, listening, board)

    def _move_into(self, network: NamespaceNetwork, listening: uvicorn.Server) -> None:
        """Let agents, their endpoints and the service of their cabinets live in `network`."""
        agents, plan = self._agents, network.plan
        hosts = {name: home.address for name, home in plan.homes.items()}
        agents.site_keys = (move_site(agents.site_folder, agents.site_keys, hosts, plan.gateway),)
        agents.namespaces = {name: network.namespace_of(name) for name in plan.homes}
        self._operators = {
            name: f"{hosts[IntersectionId(name)]}:{address.rpartition(':')[2]}"
            for name, address in self._operators.items()
        }
        listening.config.host = plan.gateway

    async def _run_in(self, network: NamespaceNetwork | None, listening: uvicorn.Server, board: CabinetBoard) -> None:
        board.on_command, board.on_lease = self._note_command, self._note_lease
        if self._options.faults:
            self._attack = self._plan_attack(network)
            await self._attack.prepare(listening, board)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._interrupt)
        serving = asyncio.create_task(listening.serve())
        try:
            while not listening.started and not serving.done():
                await asyncio.sleep(0.01)
            await self._start_agents()
            proofs = agent_proofs(self._agents.site_folder, self._agents.site_keys)
            watching = asyncio.gather(self._watch_misses(proofs), self._watch_needs())
            await self._play(board)
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        finally:
            if self._attack is not None:
                await self._attack.close()
            self._is_over = True
            self.pss_mb = self._agents.mean_pss_mb()
            # In a thread, so that agents which wait for an answer of the service still get it.
            await asyncio.to_thread(self._agents.stop)
            if self._attack is not None:
                self._attack.write()
            listening.should_exit = True
            await serving

    async def _start_agents(self) -> None:
        for name in self._agents.names:
            self._start(name)
        deadline_s = time.monotonic() + START_WAIT_S
        while self._leased | self.lost.keys() < set(self._agents.names) and time.monotonic() < deadline_s:
            if self.is_interrupted:
                return
            await asyncio.sleep(0.02)
        for name in set(self._agents.names) - self._leased - self.lost.keys():
            self._lose(name, f"did not come up within {START_WAIT_S:.0f} s")

    def _start(self, name: IntersectionId) -> None:
        process = self._agents.start(name)
        loop = asyncio.get_running_loop()

        def note_death() -> None:
            loop.remove_reader(process.sentinel)
            if not self._is_over:
                process.join()
                self._lose(name, f"ended with exit code {process.exitcode}")

        loop.add_reader(process.sentinel, note_death)

    def _lose(self, name: IntersectionId, why: str) -> None:
        self.lost[name] = why
        self.deaths += 1
        self._barrier.leave(name)
        self._listener.note(f"agent {name} {why}; its cabinet falls back to its own plan ({self._agents.log_of(name)})")

    def _note_lease(self, name: IntersectionId, boot_id: int) -> None:
        self._leased.add(name)
        if self._attack is not None:
            self._attack.note_lease(name, boot_id)
        self.lost.pop(name, None)
        self._barrier.join(name)

    def _note_command(self, command: Command) -> None:
        if self._attack is not None:
            self._attack.note_command(command)
        self._barrier.answer(command.intersection_id, command.step)

    def _interrupt(self) -> None:
        self.is_interrupted = True
        self._barrier.interrupt()

    async def _play(self, board: CabinetBoard) -> None:
        self._started_s = time.monotonic()
        before_cpu_s = time.process_time() + self._agents.cpu_s()
        self._bridge.begin()
        await self._meet(board)
        while self._bridge.elapsed_s < self._options.length_s and not self.is_interrupted:
            self._rehearse()
            await self._suffer()
            self._bridge.step()
            await self._meet(board)
            self._show()
        self._show(is_last=True)
        self.cpu_s = time.process_time() + self._agents.cpu_s() - before_cpu_s
        self.wall_s = time.monotonic() - self._started_s

    async def _meet(self, board: CabinetBoard) -> None:
        """Let the agents see the new step: wait for their answers in lockstep, for the wall clock in real time."""
        if self._options.pace is Pace.REALTIME:
            board.publish()
            due_s = self._started_s + self._bridge.elapsed_s / self._options.speed
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        elif self._bridge.elapsed_s >= self._options.length_s:
            board.close()
        elif self._bridge.is_tick:
            self._barrier.begin(self._bridge.step_count)
            board.publish()
            for name in await self._barrier.wait():
                self._listener.note(f"agent {name} is silent; going on without it until it answers again")
        else:
            board.publish()
            await asyncio.sleep(0.0)

    async def _suffer(self) -> None:
        """Inject what is due; in lockstep, take the wall time that faults of processes and sockets need."""
        if self._attack is None:
            return
        await self._attack.turn(self._bridge.elapsed_s)
        if self._options.pace is Pace.LOCKSTEP:
            least_s = self._attack.step_wall_s(STEP_S)
            await asyncio.sleep(max(0.0, self._step_began_s + least_s - time.monotonic()))
        self._step_began_s = time.monotonic()

    def _rehearse(self) -> None:
        for what, name in self._rehearsal.due(self._bridge.elapsed_s):
            if what == "kill":
                self._agents.kill(name)
            else:
                self._start(name)

    def _show(self, *, is_last: bool = False) -> None:
        now_s = time.monotonic()
        if now_s - self._shown_s < SHOW_EVERY_S and not is_last:
            return
        self._shown_s = now_s
        series = self._bridge.series
        self._listener.show(
            Progress(
                elapsed_s=self._bridge.elapsed_s,
                length_s=self._options.length_s,
                delay_s=series[-1].delay_s if series else 0.0,
                ticks_per_s=self._bridge.step_count / self._bridge.steps_per_tick / max(0.1, now_s - self._started_s),
                deadline_misses=sum(self._misses.values()),
                alive=len(self._barrier.present),
            )
        )

    async def _watch_misses(self, proofs: Mapping[IntersectionId, dict[str, str]]) -> None:
        """Ask one agent after another for its missed deadlines, slowly enough to cost nothing."""
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            while True:
                for name, address in self._operators.items():
                    await asyncio.sleep(SHOW_EVERY_S)
                    with contextlib.suppress(httpx.HTTPError):
                        proof = proofs[IntersectionId(name)]
                        answer = await client.get(f"http://{address}/metrics", headers=proof)
                        self._misses[name] = _metric(answer.text, MISSES_METRIC)

    async def _watch_needs(self) -> None:
        """Note what the agents hold, every so often, and what the machine makes everybody wait."""
        if self._options.sample_every_s is None:
            return
        stalls, samples, began_s = StallWatch(), list[Sample](), time.monotonic()
        try:
            while True:
                samples.append(Sample(time.monotonic() - began_s, self._agents.needs()))
                await asyncio.sleep(self._options.sample_every_s)
        finally:
            write_long_run(self._options.report, samples, stalls.close())


def _metric(text: str, name: str) -> int:
    values = (line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name))
    return int(float(next(values, "0")))


class QuietServer(uvicorn.Server):
    """A server that leaves signals to the harness."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def make_server(app: App, port: int) -> QuietServer:
    """A server of the cabinets' `app` on this machine's loopback address, until `host` of its options says else."""
    return QuietServer(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            date_header=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
    )
