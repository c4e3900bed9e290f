"""The mailbox: newest per peer, proven sender, strictly rising, aged in ticks."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from peer_factories import CENTRE, NORTH, SOUTH, make_arrival, make_frame, make_message

from phasemesh.contract.messages import MessageFault, encode_message, hello
from phasemesh.controller.peers.mailbox import Mailbox, PeerView
from phasemesh.controller.peers.transport import Arrival

STALE_AFTER_TICKS = 3


def make_mailbox(*neighbours) -> Mailbox:
    """A mailbox of `neighbours`, by default north and south."""
    return Mailbox(neighbours or (NORTH, SOUTH), STALE_AFTER_TICKS)


def make_hello(peer=NORTH, *, boot_id: int = 1, seq: int = 1) -> Arrival:
    """A hello of `peer` as it arrived."""
    return Arrival(peer, encode_message(hello(peer, boot_id, seq)))


def kind_of(fault: MessageFault | None) -> str | None:
    """The kind of `fault`, or None when the message was accepted."""
    return fault.kind if fault else None


def test_an_accepted_message_is_seen() -> None:
    """A good message is shown with its age, its step and its place in the peer's life."""
    mailbox = make_mailbox(NORTH)
    fault = mailbox.accept(make_arrival(NORTH, boot_id=7, seq=5, step=40), tick=10)

    assert fault is None
    assert mailbox.views(12) == (
        PeerView(
            peer=NORTH,
            age_ticks=2,
            step=40,
            boot_id=7,
            seq=5,
            message=make_message(NORTH, boot_id=7, seq=5, step=40),
            is_fresh=True,
        ),
    )


def test_a_peer_that_was_never_heard_is_a_value() -> None:
    """Without any message there is a view that may not be used."""
    assert make_mailbox(NORTH).views(0) == (PeerView(NORTH),)


def test_views_keep_the_order_of_the_neighbours() -> None:
    """Who spoke first makes no difference to the order of the views."""
    mailbox = make_mailbox(SOUTH, CENTRE, NORTH)
    for peer in (NORTH, SOUTH):
        mailbox.accept(make_arrival(peer), tick=0)

    assert [view.peer for view in mailbox.views(0)] == [SOUTH, CENTRE, NORTH]


@pytest.mark.parametrize(("age_ticks", "is_fresh"), [(0, True), (3, True), (4, False), (1000, False)])
def test_a_message_goes_stale(age_ticks: int, is_fresh: bool) -> None:
    """A message may be used up to its age limit; after it, it is still shown (invariant I22)."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(), tick=10)
    (view,) = mailbox.views(10 + age_ticks)

    assert (view.age_ticks, view.is_fresh, view.step) == (age_ticks, is_fresh, 0)


def test_a_peer_that_speaks_again_is_fresh_again() -> None:
    """Recovery needs nothing but the next message (fault F3)."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(seq=1), tick=0)
    was_fresh = mailbox.views(50)[0].is_fresh
    mailbox.accept(make_arrival(seq=2), tick=50)

    assert not was_fresh
    assert mailbox.views(50)[0].is_fresh


@pytest.mark.parametrize(
    ("boot_id", "seq", "kind"),
    [(5, 11, None), (5, 10, "replayed"), (5, 9, "replayed"), (4, 999, "replayed"), (6, 0, None)],
)
def test_boot_and_seq_rise_strictly(boot_id: int, seq: int, kind: str | None) -> None:
    """Repeats, reorderings and former lives are dropped; a new life starts over (fault F6)."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(boot_id=5, seq=10), tick=0)
    fault = mailbox.accept(make_arrival(boot_id=boot_id, seq=seq), tick=0)

    assert kind_of(fault) == kind


def test_a_message_in_the_name_of_another_is_forged() -> None:
    """An enrolled neighbour cannot speak as another: the proven key decides (fault F7)."""
    mailbox = make_mailbox()
    fault = mailbox.accept(Arrival(NORTH, make_frame(SOUTH)), tick=0)

    assert kind_of(fault) == "forged"
    assert mailbox.views(0) == (PeerView(NORTH), PeerView(SOUTH))


def test_a_message_of_a_stranger_is_dropped() -> None:
    """A transport that delivers a frame of no neighbour changes nothing but a count."""
    mailbox = make_mailbox(NORTH)
    fault = mailbox.accept(make_arrival(SOUTH), tick=0)

    assert kind_of(fault) == "unknown"
    assert mailbox.faults == {(SOUTH, "unknown"): 1}


def test_a_message_of_another_version_is_dropped() -> None:
    """A peer of another release is counted and not used (fault F5)."""
    mailbox = make_mailbox(NORTH)
    frame = encode_message(msgspec.structs.replace(make_message(), version=99))

    assert kind_of(mailbox.accept(Arrival(NORTH, frame), tick=0)) == "version"


def test_faults_are_counted_by_peer_and_kind() -> None:
    """Each dropped frame counts once, under the peer whose connection brought it."""
    mailbox = make_mailbox()
    for frame in (b"", b"\xc1", make_frame(SOUTH)):
        mailbox.accept(Arrival(NORTH, frame), tick=0)
    mailbox.accept(Arrival(SOUTH, b""), tick=0)

    assert mailbox.faults == {(NORTH, "garbled"): 2, (NORTH, "forged"): 1, (SOUTH, "garbled"): 1}


def test_counts_cannot_be_altered_from_outside() -> None:
    """The counter is read-only."""
    with pytest.raises(TypeError):
        make_mailbox().faults[NORTH, "garbled"] = 1


def test_a_dropped_frame_keeps_the_message_before_it() -> None:
    """Garbage after a good message neither erases nor refreshes it."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(), tick=0)
    before = mailbox.views(2)
    mailbox.accept(Arrival(NORTH, b"garbage"), tick=2)

    assert mailbox.views(2) == before


def test_a_hello_is_heard_but_never_used() -> None:
    """A peer that only announces itself is known to live and has nothing to say."""
    mailbox = make_mailbox()
    fault = mailbox.accept(make_hello(NORTH), tick=0)

    assert fault is None
    assert mailbox.heard == {NORTH}
    assert mailbox.views(0)[0] == PeerView(NORTH)


def test_a_hello_of_the_same_life_keeps_the_last_state() -> None:
    """A hello neither erases nor refreshes what the same life said before."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(seq=1, step=8), tick=0)
    mailbox.accept(make_hello(seq=2), tick=2)
    (view,) = mailbox.views(2)

    assert (view.step, view.seq, view.age_ticks) == (8, 1, 2)


def test_what_a_peer_has_spoken_after_is_no_longer_used() -> None:
    """The number of a message is judged against the highest that the life has reached, hellos included (I22)."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(seq=1, step=8), tick=0)
    (before,) = mailbox.views(1)
    mailbox.accept(make_hello(seq=2), tick=1)
    (after,) = mailbox.views(1)
    mailbox.accept(make_arrival(seq=3, step=9), tick=2)
    (again,) = mailbox.views(2)

    assert (before.is_fresh, after.is_fresh, again.is_fresh) == (True, False, True)


def test_a_hello_of_a_new_life_forgets_the_old_one() -> None:
    """The state of a peer that has restarted is not used, whatever step it had reached."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(boot_id=1, seq=900, step=900), tick=0)
    mailbox.accept(make_hello(boot_id=2, seq=1), tick=0)

    assert mailbox.views(0) == (PeerView(NORTH),)


def test_a_hello_can_be_replayed_no_more_than_a_message() -> None:
    """A recorded hello of a former life does not reset a peer."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(boot_id=2), tick=0)

    assert kind_of(mailbox.accept(make_hello(boot_id=1), tick=0)) == "replayed"


def test_nobody_is_waited_for_at_first() -> None:
    """Peers that were never heard do not delay the first tick."""
    mailbox = make_mailbox()
    mailbox.begin(0)

    assert mailbox.is_complete(0)
    assert mailbox.is_complete(None)


def test_a_peer_that_said_hello_is_waited_for() -> None:
    """After hellos the very first step can already be made in step with the neighbours."""
    mailbox = make_mailbox()
    mailbox.accept(make_hello(NORTH), tick=0)
    mailbox.begin(0)

    assert mailbox.expected == (NORTH,)
    assert mailbox.missing(0) == (NORTH,)


def test_a_tick_is_complete_when_every_expected_peer_reached_the_step() -> None:
    """A message of an earlier step does not complete a tick, one of the step or a later one does."""
    mailbox = make_mailbox()
    for peer in (NORTH, SOUTH):
        mailbox.accept(make_arrival(peer, seq=1, step=6), tick=0)
    mailbox.begin(1)
    before = mailbox.missing(7)
    mailbox.accept(make_arrival(SOUTH, seq=2, step=7), tick=1)
    between = mailbox.missing(7)
    mailbox.accept(make_arrival(NORTH, seq=2, step=8), tick=1)

    assert (before, between) == ((NORTH, SOUTH), (NORTH,))
    assert mailbox.is_complete(7)


def test_without_a_common_step_anything_new_completes_a_tick() -> None:
    """Peers with clocks of their own are complete once each has said something since the tick began."""
    mailbox = make_mailbox()
    for peer in (NORTH, SOUTH):
        mailbox.accept(make_arrival(peer, seq=1, step=500), tick=0)
    mailbox.begin(1)
    before = mailbox.missing(None)
    mailbox.accept(make_arrival(NORTH, seq=2, step=3), tick=1)
    mailbox.accept(make_arrival(SOUTH, seq=1, step=500), tick=1)

    assert before == (NORTH, SOUTH)
    assert mailbox.missing(None) == (SOUTH,)


@pytest.mark.parametrize(("tick", "is_expected"), [(11, True), (14, True), (15, False)])
def test_a_peer_is_waited_for_while_it_was_fresh_at_the_previous_tick(tick: int, is_expected: bool) -> None:
    """A peer that went silent is given up after the age limit, so that waiting for it ends."""
    mailbox = make_mailbox(NORTH)
    mailbox.accept(make_arrival(), tick=10)
    mailbox.begin(tick)

    assert bool(mailbox.expected) is is_expected
    assert mailbox.is_complete(99) is not is_expected


@pytest.mark.parametrize(
    ("own_step", "age_ticks", "is_fresh"),
    [(102, 1, True), (106, 3, True), (108, 4, False), (134, 17, False), (4, 1, True)],
)
def test_an_agent_that_stood_still_knows_how_old_its_messages_are(
    own_step: int, age_ticks: int, is_fresh: bool
) -> None:
    """Without snapshots there are no ticks, but messages age with the cabinet; one that starts again counts ticks."""
    mailbox = Mailbox([NORTH], STALE_AFTER_TICKS, steps_per_tick=2)
    mailbox.begin(10, own_step=100)
    mailbox.accept(make_arrival(step=100), tick=10, own_step=100)
    mailbox.begin(11, own_step=own_step)
    (view,) = mailbox.views(11)

    assert (view.age_ticks, view.is_fresh) == (age_ticks, is_fresh)


LIVES = st.tuples(st.integers(1, 4), st.integers(1, 12))


@given(lives=st.lists(LIVES, min_size=1, max_size=40))
def test_the_accepted_messages_rise_strictly(lives: list[tuple[int, int]]) -> None:
    """Whatever arrives in whatever order, what is accepted is strictly rising in (boot, seq), and nothing else."""
    mailbox = make_mailbox(NORTH)
    accepted: list[tuple[int, int]] = []
    for boot_id, seq in lives:
        if mailbox.accept(make_arrival(boot_id=boot_id, seq=seq), tick=0) is None:
            accepted.append((boot_id, seq))

    assert accepted == sorted(set(accepted))
    assert mailbox.faults.get((NORTH, "replayed"), 0) == len(lives) - len(accepted)


@given(data=st.data())
def test_any_interleaving_gives_the_newest_of_each_peer(data: st.DataObject) -> None:
    """Loss, repeats, reorderings and garbage of one peer change nothing but which of its own messages is newest."""
    frames = data.draw(st.lists(st.tuples(st.sampled_from((NORTH, SOUTH)), LIVES | st.none()), max_size=40))
    mailbox = make_mailbox()
    for peer, life in frames:
        frame = b"garbage" if life is None else make_frame(peer, boot_id=life[0], seq=life[1])
        mailbox.accept(Arrival(peer, frame), tick=0)
    newest = {
        peer: max((life for name, life in frames if name == peer and life), default=None) for peer in (NORTH, SOUTH)
    }

    assert {
        view.peer: None if view.message is None else (view.boot_id, view.seq) for view in mailbox.views(0)
    } == newest


@given(length=st.integers(0, len(make_frame()) - 1))
def test_a_truncated_frame_is_dropped(length: int) -> None:
    """No beginning of a good frame is taken for a message (fault F5)."""
    mailbox = make_mailbox(NORTH)

    assert kind_of(mailbox.accept(Arrival(NORTH, make_frame()[:length]), tick=0)) == "garbled"


def with_byte(index: int, value: int) -> bytes:
    """A good frame in which one byte has another value."""
    frame = bytearray(make_frame())
    frame[index] = value
    return bytes(frame)


ALTERED_FRAMES = st.builds(with_byte, st.integers(0, len(make_frame()) - 1), st.integers(0, 255))


@given(frame=st.binary(max_size=600) | ALTERED_FRAMES)
@example(frame=b"\x99\x01\xb0" + b"\x80" * 16)
def test_no_bytes_make_the_mailbox_fail(frame: bytes) -> None:
    """Whatever arrives is either taken or dropped and counted, and never raised (fault F5)."""
    mailbox = make_mailbox(NORTH)
    fault = mailbox.accept(Arrival(NORTH, frame), tick=0)

    assert mailbox.heard == (set() if fault else {NORTH})
    assert mailbox.faults == ({(NORTH, fault.kind): 1} if fault else {})


def test_what_a_peer_without_a_key_said_is_forgotten() -> None:
    """No message is left of it, nobody waits for it in any later tick, and its old frames count as replayed."""
    mailbox = Mailbox((NORTH,), 3)
    frame = make_arrival(NORTH, seq=5, step=4)
    mailbox.accept(frame, tick=4)
    mailbox.begin(5)
    mailbox.forget({NORTH, SOUTH}, 5)

    assert (mailbox.views(5), mailbox.expected) == ((PeerView(NORTH),), ())
    mailbox.begin(6)
    assert mailbox.expected == ()
    assert mailbox.accept(frame, tick=6) is not None
    assert mailbox.accept(make_arrival(NORTH, seq=6, step=6), tick=6) is None
    assert mailbox.views(6)[0].is_fresh


def test_an_agent_that_was_stopped_in_the_middle_of_a_tick_still_hears_its_neighbours() -> None:
    """What is newer than its own snapshot makes nothing that follows look late; lateness is told again after it."""
    mailbox = Mailbox((NORTH,), 3, steps_per_tick=2)
    heard = []
    # The snapshot of step 2 is 30 steps old when the agent goes on; the last message comes 9 steps late.
    course = ((0, 0), (2, 32), (34, 34), (36, 36), (38, None), (40, None), (42, None), (44, None), (46, 37))
    for tick, (own_step, step) in enumerate(course):
        mailbox.begin(tick, own_step)
        if step is not None:
            mailbox.accept(make_arrival(NORTH, seq=tick + 1, step=step), tick, own_step)
        heard.append(mailbox.views(tick)[0].is_fresh)

    assert heard == [True] * 7 + [False] * 2


def test_what_an_agent_slept_through_makes_no_old_message_fresh() -> None:
    """Stopped in the middle of a tick in which its neighbour was in time, it finds the rest of that time afterwards."""
    mailbox = Mailbox((NORTH,), 3, steps_per_tick=2)
    heard = []
    # The agent slept from step 4 to 40; what its neighbour said at step 12 comes first, and in a second piece 20.
    course = ((0, (0,)), (2, (2,)), (4, (4, 6)), (40, (12,)), (42, (20,)), (44, (44,)), (46, (46,)))
    seq = 0
    for tick, (own_step, steps) in enumerate(course):
        mailbox.begin(tick, own_step)
        for step in steps:
            seq += 1
            mailbox.accept(make_arrival(NORTH, seq=seq, step=step), tick, own_step)
        heard.append(mailbox.views(tick)[0].is_fresh)

    assert heard == [True, True, True, False, False, True, True]
