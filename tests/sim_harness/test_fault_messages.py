"""Faults F4 to F7 and F30: what is wrong with a message is counted, never used, and forgotten when it is over."""

from __future__ import annotations

from random import Random

import msgspec
import pytest
from fault_links import COMM_DEADLINE_S, MOUTH, TICK_S, Conversation, fault_of, frame_of

from phasemesh.contract.messages import ECHOLESS_VERSION, MessageFault, PeerMessage, decode_message
from phasemesh.contract.topics import PEER_STATE
from phasemesh.controller.peers.memory_transport import MemoryTransport
from phasemesh.sim_harness.faults.messages import FLOOD_FRAMES, MESSAGE_TROUBLES, OLD_VERSION

KINDS = {
    "message-garble": "garbled",
    "message-oversize": "oversize",
    "message-nan": "not_finite",
    "message-replay": "replayed",
    "message-forge": "forged",
    "message-version": "version",
    "message-spec": "spec",
}
"""Each trouble that leaves no message usable, and what the mailbox counts it as."""
ROWS = {"message-garble": "F5", "message-oversize": "F5", "message-nan": "F5", "message-replay": "F6"}
ROWS |= {"message-forge": "F7", "message-version": "F30", "message-spec": "F30"}


@pytest.mark.parametrize("means", KINDS, ids=lambda means: f"{ROWS[means]}-{means}")
def test_an_unusable_message_is_counted_and_dropped(means: str) -> None:
    """While it lasts nothing new is accepted; three ticks later the neighbour is not fresh."""
    talk = Conversation(fault_of(means))

    talk.until(10.0)
    during = talk.until(30.0)

    assert all(gathered.misses == (MOUTH,) for gathered in during[1 : PEER_STATE.stale_after_ticks])
    assert not during[-1].views[0].is_fresh
    assert set(talk.dropped()) == {KINDS[means]}


def test_f30_messages_of_the_version_before_are_used() -> None:
    """Nothing is missed or counted, and what travelled is the version that has no echo."""
    talk = Conversation(fault_of(OLD_VERSION))

    talk.until(10.0)
    during = talk.until(30.0)
    messages = [gathered.views[0].message for gathered in during]

    assert all(gathered.is_complete and gathered.views[0].age_ticks == 0 for gathered in during)
    assert {(message.version, message.heard) for message in messages if message} == {(ECHOLESS_VERSION, None)}
    assert talk.dropped() == {}


@pytest.mark.parametrize("means", [*KINDS, "message-loss"])
def test_the_first_true_message_ends_the_fault(means: str) -> None:
    """There is no memory of a fault: one sound message and the neighbour is fresh."""
    talk = Conversation(fault_of(means, strength=1.0))

    talk.until(30.0)
    after = talk.turn()

    assert after.views[0].is_fresh
    assert after.is_complete


def test_f4_a_message_later_than_the_comm_deadline_counts_in_a_later_tick() -> None:
    """500 ms are too late for a deadline of 200 ms, so that what is used is one tick old."""
    talk = Conversation(fault_of("message-delay", strength=0.5))

    talk.until(10.0)
    during = talk.until(30.0)

    steps = [gathered.views[0].step for gathered in during[1:]]
    assert steps == [int((tick - 1) * TICK_S) for tick in range(6, 15)]
    assert all(gathered.misses == (MOUTH,) for gathered in during)


def test_f4_a_message_within_the_comm_deadline_costs_nothing() -> None:
    """100 ms are in time for a deadline of 200 ms."""
    talk = Conversation(fault_of("message-delay", strength=COMM_DEADLINE_S / 2))

    assert all(gathered.is_complete for gathered in talk.until(30.0))


def test_f4_a_message_that_is_older_than_the_limit_by_its_own_step_is_not_used() -> None:
    """A link that is 12 s late brings a new message at every tick, and none of them may be used."""
    talk = Conversation(fault_of("message-delay", length_s=60.0, strength=12.0))

    talk.until(30.0)
    during = talk.until(70.0)

    assert all(gathered.views[0].message is not None for gathered in during)
    assert not any(gathered.views[0].is_fresh for gathered in during)


def test_f4_what_was_held_back_is_not_taken_for_news() -> None:
    """When a backlog comes in behind fresh messages, its frames are dropped as older ones."""
    talk = Conversation(fault_of("message-delay", length_s=6.0, strength=12.0))

    talk.until(28.0)

    assert talk.dropped() == {"replayed": 3}
    assert talk.turn().views[0].is_fresh


def test_what_was_held_back_of_a_neighbour_ends_with_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No frame of before the revocation comes out of the delay any more."""
    talk = Conversation(fault_of("message-delay", length_s=6.0, strength=12.0))
    talk.until(16.0)
    with monkeypatch.context() as revoked:
        revoked.setattr(MemoryTransport, "dropped", lambda _transport: frozenset({MOUTH}))
        talk.turn()
    talk.until(30.0)

    assert talk.dropped() == {}
    assert talk.turn().views[0].is_fresh


def test_f6_an_older_message_never_replaces_a_newer_one() -> None:
    """Out of order, the newer message stays and the older one is counted."""
    talk = Conversation(fault_of("message-reorder"))

    talk.until(10.0)
    during = talk.until(30.0)

    assert [gathered.views[0].step for gathered in during] == list(range(10, 30, 2))
    assert talk.dropped()["replayed"] > 0


def test_f18_garbage_by_the_hundred_hides_no_true_message() -> None:
    """All of the garbage is counted, and the one true frame is used."""
    talk = Conversation(fault_of("message-flood", length_s=4.0))

    talk.until(14.0)

    assert sum(talk.dropped().values()) == 2 * FLOOD_FRAMES
    assert talk.turn().views[0].is_fresh


def test_a_share_of_messages_is_lost_by_seed() -> None:
    """Of many messages about the share is lost, and the same ones in every run."""
    lost = []
    for _ in range(2):
        talk = Conversation(fault_of("message-loss", start_s=0.0, length_s=2000.0, strength=0.3))
        lost.append([bool(gathered.misses) for gathered in talk.until(2000.0)])

    assert lost[0] == lost[1]
    assert 0.25 < sum(lost[0]) / len(lost[0]) < 0.35


@pytest.mark.parametrize("means", sorted(MESSAGE_TROUBLES))
def test_no_trouble_invents_a_message(means: str) -> None:
    """Whatever arrives says what a true frame of the link said, or decoder or mailbox refuse it."""
    past = (frame_of(1, 0), frame_of(2, 2))
    frame = frame_of(3, 4)
    arrived = MESSAGE_TROUBLES[means](frame, past, Random(1), 0.5)  # noqa: S311 (repeatable)
    sound = [message for message in map(decode_message, arrived) if not isinstance(message, MessageFault)]
    true = [_without_echo(decode_message(each)) for each in (*past, frame)]

    assert all(_without_echo(message) in true or message.sender != MOUTH for message in sound)


def _without_echo(message: PeerMessage | MessageFault) -> PeerMessage:
    assert isinstance(message, PeerMessage)
    return msgspec.structs.replace(message, version=ECHOLESS_VERSION, heard=None)
