"""B12: what the trainer lets agents hear is what the wire would bring: same numbers, same rule for lost messages."""

from __future__ import annotations

import numpy as np
import pytest
from trainer_towns import LAYOUT, LINE

from agent_factories import TICK_S, make_decider
from factories import make_snapshot
from phasemesh.contract.messages import compose, encode_message, vector
from phasemesh.contract.observation import HIDDEN_SIZE, MESSAGE_SIZE, SUMMARY_SIZE
from phasemesh.contract.tensors import PolicyFault, PolicyInput
from phasemesh.contract.topics import PEER_STATE
from phasemesh.controller.ladder_table import LadderEvent
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.transport import Arrival
from phasemesh.controller.trouble import Circumstances
from phasemesh.trainer.messages import Inbox, told_by

pytestmark = pytest.mark.train


@pytest.mark.parametrize("stages", [2, 16, 20])
def test_a_message_is_that_of_the_wire(stages: int) -> None:
    """Bit for bit, half precision and the room for 16 stages included."""
    random = np.random.default_rng(1)
    summary, policy, hidden = (random.random((3, size), dtype=np.float32) for size in (SUMMARY_SIZE, stages, 64))
    hidden[0, 0], hidden[1, 1] = 1e6, 1e-9

    told = told_by(summary, policy, hidden)

    for row in range(3):
        sent = compose(LINE[row].id, 1, 1, 0, summary=summary[row], policy=policy[row], hidden=hidden[row])
        assert np.array_equal(told[row], vector(sent))


class Listener:
    """The ears of one agent of the street: its mailbox, its ladder and the inputs of its policy."""

    def __init__(self, place: int) -> None:
        """The agent at `place` of the line, which has heard nobody; a policy it has none."""
        self.intersection = LINE[place]
        self.mailbox = Mailbox(self.intersection.neighbours, PEER_STATE.stale_after_ticks, 2)
        self.fault = PolicyFault("nobody asks it")
        self.decider = make_decider(self.intersection, self.fault)
        self.mind = self.decider.new_mind(make_snapshot(self.intersection))
        self.isolated_ticks = 0

    def heard(self, tick: int) -> PolicyInput:
        """What the policy would be given at `tick`."""
        views = self.mailbox.views(tick)
        observed = self.decider.observe(self.mind, make_snapshot(self.intersection, step=2 * tick, now_s=TICK_S * tick))
        inputs = self.decider.mask(self.mind, observed, views, np.zeros(1, dtype=np.float32))
        standing = self.decider.stand(self.mind, observed, self.fault, views, Circumstances())
        self.isolated_ticks += LadderEvent.NEIGHBOURS_STALE in standing.in_force
        self.mind = self.decider.next_mind(observed, self.fault, standing, observed.unit)
        return inputs

    def assert_hears(self, tick: int, held: np.ndarray, valid: np.ndarray) -> None:
        """The rows `held` and those that count are what the street's policy would be given."""
        inputs = self.heard(tick)
        count = len(self.intersection.neighbours)
        assert inputs.neighbour_valid.tolist() == valid[:count].tolist()
        assert np.array_equal(inputs.neighbour_messages, held[:count])


@pytest.mark.parametrize("loss", [0.6, 0.85])
def test_b12_lost_messages_are_bridged_as_long_as_on_the_street(loss: float) -> None:
    """Random losses: at every tick an agent may use what one of the street may use, silences and all."""
    random = np.random.default_rng(2)
    inbox = Inbox(LAYOUT, TICK_S)
    listeners = [Listener(place) for place in range(len(LINE))]
    for tick in range(400):
        told = random.random((3, MESSAGE_SIZE), dtype=np.float32)
        told[:, -HIDDEN_SIZE:] = told[:, -HIDDEN_SIZE:].astype(np.float16)
        is_lost = random.random(LAYOUT.neighbours.shape) < loss
        held, valid = inbox.take(told, is_lost)
        for row, listener in enumerate(listeners):
            listener.mailbox.begin(tick)
            for column, name in enumerate(listener.intersection.neighbours):
                if not is_lost[row, column]:
                    listener.mailbox.accept(arrival(name, tick, told[LAYOUT.names.index(name)]), tick, 2 * tick)
            listener.assert_hears(tick, held[row], valid[row])
    assert all(0 < listener.isolated_ticks < 400 for listener in listeners)


def test_late_messages_are_used_as_on_the_street() -> None:
    """Random delays: what overtakes, what is overtaken and what is too old are those of a mailbox."""
    random = np.random.default_rng(3)
    inbox = Inbox(LAYOUT, TICK_S)
    mailboxes = [Mailbox(each.neighbours, PEER_STATE.stale_after_ticks, 2) for each in LINE]
    on_the_way: list[tuple[int, int, int, int]] = []
    told: list[np.ndarray] = []
    ages = set()
    for tick in range(80):
        row = random.random((3, MESSAGE_SIZE), dtype=np.float32)
        row[:, -HIDDEN_SIZE:] = row[:, -HIDDEN_SIZE:].astype(np.float16)
        told.append(row)
        # The first message of a life tells how far the clocks of two cabinets are apart, and is in time here.
        late = np.where(random.random(LAYOUT.neighbours.shape) < 0.6, random.integers(1, 4, LAYOUT.neighbours.shape), 0)
        late *= tick > 0
        held, valid = inbox.take(row, np.zeros(LAYOUT.neighbours.shape, dtype=bool), late)
        for agent, (each, mailbox) in enumerate(zip(LINE, mailboxes, strict=True)):
            on_the_way += [
                (tick + int(late[agent, column]), tick, agent, column) for column in range(len(each.neighbours))
            ]
            mailbox.begin(tick)
            for due, sent, receiver, column in sorted(on_the_way):
                if due == tick and receiver == agent:
                    name = each.neighbours[column]
                    mailbox.accept(arrival(name, sent, told[sent][LAYOUT.names.index(name)]), tick, 2 * tick)
            for column, view in enumerate(mailbox.views(tick)):
                assert valid[agent, column] == view.is_fresh
                if view.message is not None and view.is_fresh:
                    assert np.array_equal(held[agent, column], vector(view.message))
                    ages.add((tick - view.message.step // 2, int(inbox.age[agent, column])))
    assert ages == {(age, age) for age in range(4)}


def arrival(name: str, tick: int, row: np.ndarray) -> Arrival:
    """The message of `name` at `tick` whose numbers are `row`."""
    parts = np.split(row, [SUMMARY_SIZE, MESSAGE_SIZE - HIDDEN_SIZE])
    message = compose(
        LINE[LAYOUT.names.index(name)].id, 1, tick + 1, 2 * tick, summary=parts[0], policy=parts[1], hidden=parts[2]
    )
    return Arrival(message.sender, encode_message(message))


def test_rows_of_nobody_are_zero_and_not_valid() -> None:
    """The ends of the line have one neighbour, the middle has two."""
    held, valid = Inbox(LAYOUT, TICK_S).take(np.ones((3, MESSAGE_SIZE), dtype=np.float32), np.zeros((3, 2), dtype=bool))

    assert valid.tolist() == [[True, False], [True, True], [True, False]]
    assert not held[0, 1].any()
