"""A city that runs faster or slower than the wall: every limit of wall time is of cabinet time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agent_factories import WEST, FixedPolicy, make_cabinet, make_decider, make_site
from factories import make_intersection
from phasemesh.contract.site import Pace
from phasemesh.contract.tensors import PolicyFault, PolicyInput, PolicyOutput
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.agent import Agent, AgentSettings
from phasemesh.controller.assembly import LoadedPolicy, make_agent
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
