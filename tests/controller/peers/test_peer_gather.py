"""Receiving until all have spoken or the comm deadline has come."""

from __future__ import annotations

from collections.abc import Sequence

from peer_factories import CENTRE, NORTH, SOUTH, SteppedClock, make_arrival

from phasemesh.contract.units import NS_PER_MS, NS_PER_S, IntersectionId
from phasemesh.controller.peers.gather import gather
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.memory_transport import MemoryExchange
from phasemesh.controller.peers.transport import Arrival

DEADLINE_NS = 200 * NS_PER_MS


class ScriptedTransport:
    """Delivers frames at set moments of a clock, and moves the clock as if it had waited for them."""

    def __init__(self, clock: SteppedClock, script: list[tuple[float, Arrival]]) -> None:
        self._clock = clock
        self._script = sorted(script, key=lambda entry: entry[0])
        self.timeouts_s: list[float] = []
        self.lost: frozenset[IntersectionId] = frozenset()

    def publish(self, frame: bytes) -> None:
        """Nobody listens."""

    def poll(self, timeout_s: float) -> Sequence[Arrival]:
        """What is due by now, or the next entry if it comes within the timeout."""
        self.timeouts_s.append(timeout_s)
        until_ns = self._clock.now_ns + int(timeout_s * NS_PER_S)
        if self._script and self._script[0][0] * NS_PER_MS <= until_ns:
            due_ms, arrival = self._script.pop(0)
            self._clock.now_ns = max(self._clock.now_ns, int(due_ms * NS_PER_MS))
            return (arrival,)
        self._clock.now_ns = until_ns
        return ()

    def dropped(self) -> frozenset[IntersectionId]:
        """Whoever lost its key by now, once."""
        dropped, self.lost = self.lost, frozenset()
        return dropped

    def close(self) -> None:
        """Nothing to let go of."""


def make_mailbox(*heard) -> Mailbox:
    """A mailbox of north and south in which `heard` spoke in tick 0, of step 0."""
    mailbox = Mailbox((NORTH, SOUTH), 3)
    for peer in heard:
        mailbox.accept(make_arrival(peer, seq=1, step=0), tick=0)
    return mailbox


def test_a_complete_tick_does_not_wait_for_the_deadline() -> None:
    """The wait ends with the last neighbour that was waited for."""
    clock = SteppedClock()
    transport = ScriptedTransport(
        clock, [(10.0, make_arrival(SOUTH, seq=2, step=1)), (35.0, make_arrival(NORTH, seq=2, step=1))]
    )
    gathered = gather(transport, make_mailbox(NORTH, SOUTH), 1, 1, DEADLINE_NS, clock)

    assert (gathered.is_complete, gathered.misses, gathered.waited_ms) == (True, (), 35.0)
    assert [(view.peer, view.step, view.age_ticks) for view in gathered.views] == [(NORTH, 1, 0), (SOUTH, 1, 0)]


def test_the_deadline_ends_the_wait_for_a_silent_neighbour() -> None:
    """A neighbour that stays silent is a miss, and the tick goes on with what it said before (fault F3)."""
    clock = SteppedClock()
    transport = ScriptedTransport(clock, [(10.0, make_arrival(SOUTH, seq=2, step=1))])
    gathered = gather(transport, make_mailbox(NORTH, SOUTH), 1, 1, DEADLINE_NS, clock)

    assert (gathered.is_complete, gathered.misses, gathered.waited_ms) == (False, (NORTH,), 200.0)
    assert [(view.step, view.age_ticks) for view in gathered.views] == [(0, 1), (1, 0)]


def test_a_neighbour_without_news_of_the_step_is_a_miss() -> None:
    """Messages of an earlier step are kept but do not end the wait."""
    clock = SteppedClock()
    transport = ScriptedTransport(clock, [(10.0, make_arrival(NORTH, seq=2, step=1))])
    gathered = gather(transport, make_mailbox(NORTH), 1, 2, DEADLINE_NS, clock)

    assert gathered.misses == (NORTH,)
    assert gathered.views[0].step == 1


def test_a_late_tick_still_takes_what_has_arrived() -> None:
    """After the deadline there is one look without waiting."""
    clock = SteppedClock()
    clock.now_ns = 2 * DEADLINE_NS
    transport = ScriptedTransport(clock, [(10.0, make_arrival(NORTH, seq=2, step=1))])
    gathered = gather(transport, make_mailbox(NORTH), 1, 1, DEADLINE_NS, clock)

    assert gathered.is_complete
    assert transport.timeouts_s == [0.0]


def test_a_late_tick_does_not_wait() -> None:
    """After the deadline nothing is waited for, though a neighbour is missing."""
    clock = SteppedClock()
    clock.now_ns = DEADLINE_NS
    transport = ScriptedTransport(clock, [(900.0, make_arrival(NORTH, seq=2, step=1))])
    gathered = gather(transport, make_mailbox(NORTH), 1, 1, DEADLINE_NS, clock)

    assert (gathered.misses, gathered.waited_ms) == ((NORTH,), 0.0)


def test_nobody_expected_means_no_wait() -> None:
    """An agent whose neighbours are all dead or unknown goes on at once, and takes what there is."""
    clock = SteppedClock()
    transport = ScriptedTransport(clock, [(0.0, make_arrival(NORTH)), (50.0, make_arrival(SOUTH))])
    gathered = gather(transport, make_mailbox(), 0, 0, DEADLINE_NS, clock)

    assert (gathered.is_complete, gathered.waited_ms) == (True, 0.0)
    assert [view.is_fresh for view in gathered.views] == [True, False]


def test_neighbours_without_a_common_step_need_only_something_new() -> None:
    """With clocks of their own, any new message of each expected neighbour ends the wait."""
    clock = SteppedClock()
    transport = ScriptedTransport(clock, [(20.0, make_arrival(NORTH, seq=2, step=77))])
    gathered = gather(transport, make_mailbox(NORTH), 1, None, DEADLINE_NS, clock)

    assert (gathered.is_complete, gathered.waited_ms) == (True, 20.0)


def test_bad_frames_neither_raise_nor_end_the_wait() -> None:
    """Garbage is counted, and the good message behind it still counts (fault F5)."""
    clock = SteppedClock()
    mailbox = make_mailbox(NORTH)
    transport = ScriptedTransport(
        clock,
        [
            (5.0, Arrival(NORTH, b"\xc1garbage")),
            (6.0, Arrival(CENTRE, b"")),
            (7.0, make_arrival(NORTH, seq=2, step=1)),
        ],
    )
    gathered = gather(transport, mailbox, 1, 1, DEADLINE_NS, clock)

    assert gathered.is_complete
    assert mailbox.faults == {(NORTH, "garbled"): 1, (CENTRE, "unknown"): 1}


def test_a_flood_of_bad_frames_ends_at_the_deadline() -> None:
    """A neighbour that sends nothing but garbage cannot hold a tick beyond its deadline."""
    clock = SteppedClock()
    flood = [(float(ms), Arrival(NORTH, b"garbage")) for ms in range(1000)]
    gathered = gather(ScriptedTransport(clock, flood), make_mailbox(NORTH), 1, 1, DEADLINE_NS, clock)

    assert (gathered.is_complete, gathered.waited_ms) == (False, 200.0)


def test_a_clock_that_stands_still_does_not_hang_the_tick() -> None:
    """On the in-process transport a silent neighbour is a miss at once, even in simulated time."""
    transport = MemoryExchange().transport(CENTRE, [NORTH, SOUTH])
    gathered = gather(transport, make_mailbox(NORTH), 1, 1, DEADLINE_NS, SteppedClock())

    assert gathered.misses == (NORTH,)


def test_the_clock_of_each_poll_is_what_is_left() -> None:
    """Every wait is cut to the time that is left until the absolute deadline, so that waits do not add up."""
    clock = SteppedClock()
    transport = ScriptedTransport(
        clock, [(50.0, make_arrival(SOUTH, seq=2, step=1)), (150.0, make_arrival(NORTH, seq=2, step=1))]
    )
    gather(transport, make_mailbox(NORTH, SOUTH), 1, 1, DEADLINE_NS, clock)

    assert transport.timeouts_s == [0.0, 0.2, 0.15]


def test_a_neighbour_that_lost_its_key_is_forgotten_at_once_and_not_waited_for() -> None:
    """Its last message is not bridged by, and the tick ends with the other one."""
    clock = SteppedClock()
    transport = ScriptedTransport(clock, [(10.0, make_arrival(SOUTH, seq=2, step=1))])
    transport.lost = frozenset({NORTH})
    gathered = gather(transport, make_mailbox(NORTH, SOUTH), 1, 1, DEADLINE_NS, clock)

    assert [view.is_fresh for view in gathered.views] == [False, True]
    assert (gathered.is_complete, gathered.waited_ms) == (True, 10.0)
