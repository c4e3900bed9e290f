"""The nine steps of a tick: what an agent says, hears, wants, commands and records."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from agent_factories import (
    EAST,
    PAIR,
    STALE_AFTER_TICKS,
    WEST,
    FixedPolicy,
    Town,
    make_cabinet,
    make_decider,
)
from agent_towns import make_town, policy_of, singles, untimed
from factories import make_intersection, make_reading
from phasemesh.contract.detection import ControlMode
from phasemesh.contract.messages import HELLO_STEP, PeerMessage, decode_message
from phasemesh.contract.observation import HIDDEN_SIZE, POLICY_SIZE, FloatArray, lane_feature
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.adapters.memory import MemoryDriver
from phasemesh.controller.agent import Agent, AgentSettings
from phasemesh.controller.clock import SimulatedClock
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.memory_transport import MemoryTransport
from phasemesh.controller.peers.transport import Arrival
from phasemesh.controller.policy.noise import mask_noise
from phasemesh.controller.telemetry.records import STEP_NAMES, Source

SPY = IntersectionId("spy")
EAST_WEST_QUEUE = (0.0, 6.0, 0.0, 6.0)


def spy_on(town: Town) -> MemoryTransport:
    """A transport that hears whatever the two neighbours publish."""
    return town.exchange.transport(SPY, (WEST, EAST))


def overheard(spy: MemoryTransport) -> dict[IntersectionId, PeerMessage]:
    """The newest message of everyone who spoke since the last look."""
    messages = {arrival.peer: decode_message(arrival.frame) for arrival in spy.poll(0.0)}
    assert all(isinstance(message, PeerMessage) for message in messages.values())
    return {peer: message for peer, message in messages.items() if isinstance(message, PeerMessage)}


class TestSteps:
    """The order of the steps, and what each leaves in the record."""

    def test_an_agent_speaks_before_it_listens(self) -> None:
        """In every tick the message goes out first, so that nobody waits for somebody who waits."""
        calls: list[str] = []

        class Recording:
            """A transport on which nobody is heard."""

            def publish(self, _frame: bytes) -> None:
                """As in `Transport`."""
                calls.append("publish")

            def poll(self, _timeout_s: float) -> Sequence[Arrival]:
                """As in `Transport`."""
                calls.append("poll")
                return ()

            def dropped(self) -> frozenset[IntersectionId]:
                """As in `Transport`."""
                return frozenset()

            def close(self) -> None:
                """As in `Transport`."""

        crossing = make_intersection(neighbours=(EAST,))
        cabinet = make_cabinet(crossing)
        settings = AgentSettings(crossing.id, 1, 7, True, True, False, 200.0)
        agent = Agent(
            settings,
            make_decider(crossing, FixedPolicy(1.0, 0.0)),
            MemoryDriver(cabinet),
            Recording(),
            Mailbox(crossing.neighbours, STALE_AFTER_TICKS),
            decision_clock=SimulatedClock(),
        )
        for _ in range(2):
            agent.tick(cabinet.snapshot())

        assert calls == ["publish", "poll", "publish", "poll"]

    def test_nine_steps_are_timed(self) -> None:
        """Each step has its wall time, and the whole tick its processor time."""
        record = make_town().tick()[WEST]

        assert len(record.step_ms) == len(STEP_NAMES) == 9
        assert all(step_ms >= 0.0 for step_ms in record.step_ms)
        assert 0.0 < record.cpu_ms < 1000.0

    def test_ticks_and_steps_are_counted(self) -> None:
        """Ticks are the agent's own count from 0, steps and time are those of the cabinet."""
        town = make_town()
        records = [town.tick()[WEST] for _ in range(3)]

        assert [(record.tick, record.step, record.now_s) for record in records] == [
            (0, 5, 5.0),
            (1, 10, 10.0),
            (2, 15, 15.0),
        ]

    def test_what_is_commanded_is_shown(self) -> None:
        """The wanted stage reaches the cabinet, which obeys and keeps the agent in charge."""
        town = make_town(0.0, 1.0)
        town.tick()
        record = town.tick()[WEST]
        cabinet = town.residents[WEST].cabinet

        assert (record.wanted_stage, record.stage, record.is_accepted, record.rule) == (1, 1, True, "")
        assert record.source is Source.POLICY
        assert record.applied is not None
        assert record.applied.signal == cabinet.snapshot().signal
        assert cabinet.mode is ControlMode.AGENT

    def test_the_record_holds_what_the_policy_said(self) -> None:
        """Scores, mask, noise and the state before are there for a replay."""
        town = make_town(0.5, 2.0)
        town.tick()
        record = town.tick()[WEST]

        assert singles(record.logits) == [0.5, 2.0]
        assert singles(record.mask) == [1.0]
        assert singles(record.mask_probability) == singles(record.mask_noise) == [0.5]
        assert singles(record.hidden_before) == [1.0] * HIDDEN_SIZE
        assert record.step_before == 5

    def test_an_illegal_stage_is_never_wanted(self) -> None:
        """In every tick of a long run the wish is one that the guard grants, and the cabinet grants it too."""
        town = make_town(0.0, 1.0)
        records = [town.tick((3.0,) * 4)[WEST] for _ in range(60)]

        assert all(record.legal[record.wanted_stage] for record in records)
        assert all(record.is_accepted and record.applied and record.applied.is_accepted for record in records)
        assert {record.stage for record in records} == {0, 1}

    def test_acting_is_apart_from_sensing(self) -> None:
        """`tick` is `sense` and `act`, one after the other."""
        crossing = make_intersection(WEST)
        first, second = Town({WEST: ()}, lambda: FixedPolicy(0.0, 1.0)), Town({WEST: ()}, lambda: FixedPolicy(0.0, 1.0))
        for town in (first, second):
            town.advance((make_reading(1.0),) * len(crossing.lanes))
        sensed = first.residents[WEST].agent.sense(first.residents[WEST].cabinet.snapshot())
        apart = first.residents[WEST].agent.act(sensed)
        together = second.residents[WEST].agent.tick(second.residents[WEST].cabinet.snapshot())

        assert untimed(apart) == untimed(together)


class TestMessages:
    """What an agent tells its neighbours: the present observation, the past policy and state."""

    def test_a_message_names_its_sender_and_step(self) -> None:
        """The life, the rising number and the step of the snapshot travel with it."""
        town = make_town()
        spy = spy_on(town)
        heard = []
        for _ in range(3):
            town.tick()
            heard.append(overheard(spy)[WEST])

        assert [(each.sender, each.boot_id, each.seq, each.step) for each in heard] == [
            (WEST, 1, 1, 5),
            (WEST, 1, 2, 10),
            (WEST, 1, 3, 15),
        ]

    def test_a_message_carries_the_present_observation(self) -> None:
        """The summary is the mean and the maximum over what the lanes show in this very step."""
        town = make_town()
        spy = spy_on(town)
        town.tick()
        town.tick(EAST_WEST_QUEUE)
        summary = np.frombuffer(overheard(spy)[WEST].summary, dtype="<f4")
        lanes = policy_of(town).inputs[-1].lanes

        assert np.array_equal(summary, np.concatenate((lanes.mean(axis=0), lanes.max(axis=0))))
        assert summary[lane_feature("queue")] == 3.0 / 16.0

    def test_a_message_carries_the_past_policy(self) -> None:
        """The first has none; each later one holds the probabilities of the tick before."""
        town = make_town(0.0, 1.0)
        spy = spy_on(town)
        policies = []
        legal = []
        for _ in range(3):
            legal.append(town.tick()[WEST].legal)
            policies.append(np.frombuffer(overheard(spy)[WEST].policy, dtype="<f4"))

        assert legal[:2] == [(True, False), (True, True)]
        assert policies[0].tolist() == [0.0] * POLICY_SIZE
        assert policies[1][:2].tolist() == [1.0, 0.0]
        assert policies[2][:2] == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)])
        assert [policy[2:].any() for policy in policies] == [False] * 3

    def test_a_message_carries_the_past_state(self) -> None:
        """Hidden states are those that went into the tick, not those that came out of it."""
        town = make_town()
        spy = spy_on(town)
        hidden = []
        for _ in range(3):
            town.tick()
            hidden.append(set(np.frombuffer(overheard(spy)[WEST].hidden, dtype="<f2").tolist()))

        assert hidden == [{0.0}, {1.0}, {2.0}]

    def test_neighbours_are_heard_in_the_same_step(self) -> None:
        """What the east says of step t is an input of the west in step t."""
        town = make_town()
        town.tick()
        record = town.tick(EAST_WEST_QUEUE)[WEST]
        (peer,) = record.peers
        inputs = policy_of(town).inputs[-1]

        assert (peer.peer, peer.age_ticks, peer.is_fresh) == (EAST, 0, True)
        assert peer.message is not None
        assert peer.message.step == record.step
        assert inputs.neighbour_valid.tolist() == [1.0]
        assert inputs.neighbour_messages[0, lane_feature("queue")] == 3.0 / 16.0

    def test_a_hello_announces_and_nothing_else(self) -> None:
        """Before the first tick neighbours learn that an agent lives, and no input comes of it."""
        town = make_town()
        spy = spy_on(town)
        for _ in range(2):
            for resident in town.residents.values():
                resident.agent.say_hello()
        greeting = overheard(spy)[WEST]
        record = town.tick(absent=(EAST,))[WEST]

        assert greeting.step == HELLO_STEP
        assert town.residents[WEST].agent.mailbox.heard == {EAST}
        assert record.peers[0].message is None
        assert policy_of(town).inputs[-1].neighbour_valid.tolist() == [0.0]

    def test_hellos_and_messages_share_one_count(self) -> None:
        """The first message after some hellos is not taken for a replay."""
        town = make_town()
        for _ in range(3):
            for resident in town.residents.values():
                resident.agent.say_hello()
        records = town.tick()

        assert all(record.peers[0].is_fresh for record in records.values())
        assert not town.residents[WEST].agent.mailbox.faults


class TestState:
    """What is carried from tick to tick, and what the same inputs make of it."""

    def test_the_recurrent_state_is_carried(self) -> None:
        """What one inference left is the input of the next."""
        town = make_town()
        for _ in range(4):
            town.tick()

        assert [set(inputs.hidden.tolist()) for inputs in policy_of(town).inputs] == [{0.0}, {1.0}, {2.0}, {3.0}]

    @pytest.mark.parametrize(("missed_ticks", "hidden"), [(2, 3.0), (3, 0.0), (10, 0.0)])
    def test_the_recurrent_state_is_reset_after_a_gap(self, missed_ticks: int, hidden: float) -> None:
        """After more than three ticks without a decision the state begins anew."""
        town = make_town()
        for _ in range(3):
            town.tick()
        for _ in range(missed_ticks):
            town.tick(absent=(WEST,))
        town.tick()

        assert set(policy_of(town).inputs[-1].hidden.tolist()) == {hidden}

    def test_a_deterministic_policy_gets_constant_noise(self) -> None:
        """Every tick of every agent has 0.5 a neighbour."""
        town = make_town()
        records = [record for _ in range(3) for record in town.tick().values()]

        assert all(singles(record.mask_noise) == [0.5] for record in records)

    def test_a_sampled_policy_gets_the_noise_of_its_step(self) -> None:
        """The noise is a pure function of seed, intersection and step, and differs between all of them."""
        town = Town(PAIR, lambda: FixedPolicy(1.0, 0.0), is_deterministic=False)
        records = [town.tick() for _ in range(3)]
        drawn: list[FloatArray] = [
            np.frombuffer(record.mask_noise, dtype="<f4") for tick in records for record in tick.values()
        ]
        expected = [mask_noise(7, name, tick[name].step, 1) for tick in records for name in PAIR]

        assert [each.tolist() for each in drawn] == [each.tolist() for each in expected]
        assert len({each.item() for each in drawn}) == 6

    def test_the_same_inputs_make_the_same_records(self) -> None:
        """Two towns that see the same traffic record the same, tick for tick."""
        first, second = (Town(PAIR, lambda: FixedPolicy(0.3, 0.4), is_deterministic=False) for _ in range(2))
        for tick in range(20):
            queues_veh = (float(tick % 3), float(tick % 5), 0.0, 1.0)
            records, others = first.tick(queues_veh), second.tick(queues_veh)

            assert {name: untimed(record) for name, record in records.items()} == {
                name: untimed(record) for name, record in others.items()
            }

    def test_the_order_of_the_agents_does_not_matter(self) -> None:
        """Whoever is asked first, everybody hears everybody and decides the same."""
        reverse = dict(reversed(PAIR.items()))
        first, second = (Town(streets, lambda: FixedPolicy(0.3, 0.4)) for streets in (PAIR, reverse))
        for _ in range(5):
            records, others = first.tick(EAST_WEST_QUEUE), second.tick(EAST_WEST_QUEUE)

        assert {name: untimed(record) for name, record in records.items()} == {
            name: untimed(record) for name, record in others.items()
        }

    def test_a_new_life_is_heard_in_place_of_the_old(self) -> None:
        """After a restart under a higher number the neighbours use the new life's messages."""
        town = make_town()
        town.tick()
        old = town.residents[EAST]
        old.transport.close()
        crossing = make_intersection(EAST, (WEST,))
        settings = AgentSettings(EAST, 2, 7, True, True, False, 200.0)
        agent = Agent(
            settings,
            make_decider(crossing, FixedPolicy(1.0, 0.0)),
            MemoryDriver(old.cabinet),
            town.exchange.transport(EAST, (WEST,)),
            Mailbox(crossing.neighbours, STALE_AFTER_TICKS),
            decision_clock=SimulatedClock(),
        )
        town.residents[EAST] = old._replace(agent=agent)
        record = town.tick()[WEST]

        assert record.peers[0].message is not None
        assert (record.peers[0].message.boot_id, record.peers[0].message.seq) == (2, 1)
        assert old.cabinet.snapshot().lease_boot_id == 2
