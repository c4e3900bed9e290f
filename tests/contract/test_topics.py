"""The topic table: each row complete, usable and free of clashes."""

from __future__ import annotations

import msgspec
import pytest

from phasemesh.contract.messages import PeerMessage, encode_message, hello
from phasemesh.contract.topics import PEER_STATE, TOPICS, Topic
from phasemesh.contract.units import IntersectionId


def test_topics_are_found_by_their_own_name() -> None:
    """The key of a topic is its name."""
    assert {name: topic.name for name, topic in TOPICS.items()} == {name: name for name in TOPICS}


def test_no_prefix_begins_another() -> None:
    """A subscriber of one topic gets no frame of another."""
    prefixes = [topic.prefix for topic in TOPICS.values()]

    for index, prefix in enumerate(prefixes):
        others = prefixes[:index] + prefixes[index + 1 :]
        assert not any(other.startswith(prefix) for other in others)


@pytest.mark.parametrize("topic", list(TOPICS.values()), ids=list(TOPICS))
def test_each_row_is_complete(topic: Topic) -> None:
    """Every topic has a prefix, a struct, a rate, a deadline within the shortest tick, and limits of age and size."""
    assert topic.prefix
    assert issubclass(topic.struct, msgspec.Struct)
    assert topic.per_tick >= 1
    assert 0.0 < topic.comm_deadline_ms < 500.0
    assert topic.stale_after_ticks >= 1
    assert topic.max_bytes > 0


def test_peer_state_carries_the_peer_message() -> None:
    """The one topic of version 1 carries the peer message once a tick."""
    assert PEER_STATE.struct is PeerMessage
    assert PEER_STATE.per_tick == 1


def test_a_greeting_fits_its_topic() -> None:
    """The smallest message is well below the limit of its topic."""
    frame = PEER_STATE.prefix + encode_message(hello(IntersectionId("a"), 1, 1))

    assert len(frame) < PEER_STATE.max_bytes / 4
