"""A city that runs faster or slower than the wall: every limit of wall time is of cabinet time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent_factories import WEST, FixedPolicy, make_cabinet, make_decider, make_site
from factories import make_intersection, make_reading
from phasemesh.contract.command import AppliedCommand, Command
from phasemesh.contract.site import Pace
from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.adapters.driver import DriverFault
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.agent import Agent, AgentSettings
from phasemesh.controller.assembly import LoadedPolicy, make_agent
from phasemesh.controller.cabinet.cabinet import Cabinet
from phasemesh.controller.operator import views
from phasemesh.controller.operator.snapshot import OperatorState
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.memory_transport import MemoryExchange
from phasemesh.controller.telemetry.records import Rung, Source, TickRecord
from record_factories import make_header

TICK_S = 5.0


class LoadedClock:
    """A decision clock of a machine on which every look costs `cost_s`; four looks pass before the guard's."""

    def __init__(self, cost_s: float) -> None:
        """Begin at 0."""
        self._cost_s = cost_s
        self._now_s = 0.0

    def mono_ns(self) -> MonoNs:
        """As in `Clock`."""
        self._now_s += self._cost_s
        return MonoNs(round(self._now_s * NS_PER_S))


class SlowPolicy(FixedPolicy):
    """Takes 30 ms of the wall."""

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """As in `Policy`."""
        time.sleep(0.03)
        return super().infer(inputs)


def one_tick(speed: float, cost_s: float) -> TickRecord:
    """The first tick of an agent at `speed` on a machine where every look at the clock costs `cost_s`."""
    crossing = make_intersection(WEST)
    cabinet = make_cabinet(crossing)
    cabinet.attach(1)
    settings = AgentSettings(
        intersection_id=crossing.id,
        boot_id=1,
        seed=1,
        is_deterministic=True,
        waits_for_step=False,
        is_timed=False,
        comm_deadline_ms=200.0,
        speed=speed,
    )
    agent = Agent(
        settings,
        make_decider(crossing, FixedPolicy(1.0, 0.0)),
        MemoryDriver(cabinet),
        MemoryExchange().transport(crossing.id, ()),
        Mailbox((), 3),
        decision_clock=LoadedClock(cost_s),
    )
    return agent.tick(cabinet.snapshot())


@pytest.mark.parametrize(
    ("speed", "cost_s", "is_late"),
    [
        (1.0, 0.09, False),
        (1.0, 0.11, True),
        (20.0, 0.0045, False),
        (20.0, 0.0055, True),
        (0.1, 0.9, False),
        (0.1, 1.1, True),
    ],
)
def test_a_faster_city_leaves_as_much_less_time(speed: float, cost_s: float, *, is_late: bool) -> None:
    """Inference has 100 ms of cabinet time at any speed (I23)."""
    record = one_tick(speed, cost_s)

    assert (record.source is Source.HOLD) is is_late


class HandClock:
    """A decision clock that a test moves."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.now_s = 0.0

    def mono_ns(self) -> MonoNs:
        """As in `Clock`."""
        return MonoNs(round(self.now_s * NS_PER_S))


class TardyDriver(MemoryDriver):
    """Answers every command `late_s` later by `clock`."""

    def __init__(self, cabinet: Cabinet, clock: HandClock) -> None:
        """Answer at once for now."""
        super().__init__(cabinet)
        self._clock = clock
        self.late_s = 0.0

    def apply(self, command: Command) -> AppliedCommand | DriverFault:
        """As in `Driver`."""
        self._clock.now_s += self.late_s
        return super().apply(command)


class DeliberatePolicy(FixedPolicy):
    """Takes `late_s` by `clock` to answer."""

    def __init__(self, clock: HandClock) -> None:
        """Answer at once for now."""
        super().__init__(1.0, 0.0)
        self._clock = clock
        self.late_s = 0.0

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """As in `Policy`."""
        self._clock.now_s += self.late_s
        return super().infer(inputs)


class Desk:
    """One agent at a cabinet that answers late, under a policy that thinks long, whenever a test says so."""

    def __init__(self, speed: float = 1.0) -> None:
        """Nothing is late yet."""
        self.clock = HandClock()
        self.crossing = make_intersection(WEST)
        self.cabinet = make_cabinet(self.crossing)
        self.cabinet.attach(1)
        self.driver = TardyDriver(self.cabinet, self.clock)
        self.policy = DeliberatePolicy(self.clock)
        self.agent = Agent(
            AgentSettings(WEST, 1, 1, True, False, False, 200.0, speed=speed),
            make_decider(self.crossing, self.policy),
            self.driver,
            MemoryExchange().transport(WEST, ()),
            Mailbox((), 3),
            decision_clock=self.clock,
        )
        self._step = 0

    def tick(self, *, answer_s: float = 0.0, inference_s: float = 0.0) -> TickRecord:
        """Five steps, then a tick whose policy takes `inference_s` and whose cabinet `answer_s` of the wall."""
        for _ in range(5):
            self._step += 1
            self.cabinet.step(self._step, float(self._step), (make_reading(),) * len(self.crossing.lanes))
        self.driver.late_s, self.policy.late_s = answer_s, inference_s
        return self.agent.tick(self.cabinet.snapshot())


def lateness(record: TickRecord) -> str:
    """What I23 said of a tick, in its own words."""
    return record.circumstances.late.detail if record.circumstances.late else ""


@pytest.mark.parametrize(("speed", "limit_s"), [(1.0, 0.5), (20.0, 0.025), (0.1, 5.0)])
def test_a_late_answer_is_a_miss_of_the_next_tick(speed: float, limit_s: float) -> None:
    """The stage in force is held once, as after any other miss, and an answer in time ends the row (I23)."""
    desk = Desk(speed)
    late = desk.tick(answer_s=1.01 * limit_s)
    was_late = desk.agent.was_late
    held, after = desk.tick(answer_s=0.99 * limit_s), desk.tick()

    assert (lateness(late), was_late, desk.agent.was_late) == ("", True, False)
    assert lateness(held) == f"miss 1 in a row: answer {1010 * limit_s:.0f} of {1000 * limit_s:.0f} ms"
    assert [record.source for record in (late, held, after)] == [Source.POLICY, Source.HOLD, Source.POLICY]


def test_the_third_late_answer_in_a_row_replaces_the_policy() -> None:
    """A cabinet that always answers late is driven by the local plan, as by any other row of misses (I23)."""
    desk = Desk()
    records = [desk.tick(answer_s=0.6) for _ in range(4)]

    assert [record.source for record in records] == [Source.POLICY, Source.HOLD, Source.HOLD, Source.PLAN]
    assert lateness(records[-1]) == "miss 3 in a row: answer 600 of 500 ms"
    assert records[-1].rung is Rung.LOCAL


def test_late_answers_and_late_decisions_are_one_row() -> None:
    """Whatever a tick missed, it is one miss: a decision that left late is not counted again for its answer (I23)."""
    desk = Desk()
    records = [desk.tick(answer_s=0.6), desk.tick(inference_s=0.6, answer_s=0.6), desk.tick(), desk.tick()]

    assert [lateness(record) for record in records] == [
        "",
        "miss 2 in a row: inference 600 of 100 ms, command 600 of 500 ms",
        "",
        "",
    ]


@pytest.mark.parametrize("speed", [0.1, 1.0, 20.0])
def test_the_guard_judges_at_the_time_of_the_cabinet(speed: float) -> None:
    """What passes on the wall while an agent decides is `speed` times as much for its cabinet."""
    assert one_tick(speed, 0.001).now_s == pytest.approx(0.004 * speed)


def test_an_agent_of_a_site_keeps_to_its_speed(tmp_path: Path) -> None:
    """At fifty times the wall, 30 ms of inference are a second and a half, and far too late."""
    site = make_site(tmp_path, {WEST: ()}, pace=Pace.REALTIME, speed=50.0)
    (entry,) = site.entries
    cabinet = make_cabinet(entry.intersection)
    transport = MemoryExchange().transport(WEST, ())
    loaded = LoadedPolicy(None, SlowPolicy(1.0, 0.0))
    agent = make_agent(site.file, entry, loaded, MemoryDriver(cabinet), transport, boot_id=1)
    record = agent.tick(cabinet.snapshot())

    assert record.source is Source.HOLD
    assert record.circumstances.late is not None
    assert "of 2 ms" in record.circumstances.late.detail
    assert record.now_s >= 1.5


@pytest.mark.parametrize(("speed", "alive_s"), [(1.0, 15.0), (0.1, 150.0), (20.0, 15.0)])
def test_a_slow_city_is_not_taken_for_a_dead_loop(speed: float, alive_s: float) -> None:
    """Three ticks are as much longer on the wall; a fast city leaves a busy machine the time of a street."""
    header = make_header(tick_s=TICK_S)
    state = OperatorState(header, MonoNs(0), MonoNs(0), Rung.COORDINATED, "", speed=speed)
    alive, dead = (views.liveness(state, MonoNs(round(age_s * NS_PER_S))) for age_s in (alive_s, alive_s + 0.1))

    assert (alive.is_alive, dead.is_alive) == (True, False)
