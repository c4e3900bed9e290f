"""The echo: what an agent tells of whom it hears, and what it learns of who hears it (faults F21 and F30)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer_factories import CENTRE, NORTH, SOUTH, make_arrival, make_message

from phasemesh.contract.messages import ECHOLESS_VERSION, Heard, encode_message, hello
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.echo import Echo
from phasemesh.controller.peers.mailbox import Mailbox
from phasemesh.controller.peers.transport import Arrival

STALE_AFTER_TICKS = 3
TICK_S = 5.0
LIMIT_S = STALE_AFTER_TICKS * TICK_S


class Ear:
    """The agent of the centre with its mailbox: what it is told, tick for tick, and what it makes of that."""

    def __init__(self, *neighbours: IntersectionId) -> None:
        """Listen to `neighbours`, by default to the north alone, whose ticks have one step."""
        self.mailbox = Mailbox(neighbours or (NORTH,), STALE_AFTER_TICKS, steps_per_tick=1)
        self.echo = Echo(CENTRE, self.mailbox, TICK_S)

    def hear(
        self, tick: int, *heard: Heard, version: int = 2, boot_id: int = 1, step: int | None = None
    ) -> bool | None:
        """What the centre knows at its `tick` once the north has told it of `heard`, by default in the same step."""
        step = tick if step is None else step
        message = msgspec.structs.replace(
            make_message(NORTH, boot_id=boot_id, seq=step, step=step), heard=heard, version=version
        )
        assert self.mailbox.accept(Arrival(NORTH, encode_message(message)), tick) is None
        return self.known(tick)

    def known(self, tick: int) -> bool | None:
        """What the centre knows of the north at `tick`."""
        return self.echo.hears_us(self.mailbox.views(tick), tick)[0]


def of_centre(age_s: float | None) -> Heard:
    """What the north says of the centre."""
    return Heard(CENTRE, age_s)


def test_an_echo_tells_how_old_the_last_message_of_each_neighbour_is() -> None:
    """In seconds of control intervals, in the order of the neighbours; never is not a number."""
    ear = Ear(SOUTH, NORTH)
    ear.mailbox.accept(make_arrival(NORTH), tick=4)

    assert ear.echo.spoken(5) == (Heard(SOUTH, None), Heard(NORTH, TICK_S))
    assert ear.echo.spoken(9) == (Heard(SOUTH, None), Heard(NORTH, 5 * TICK_S))


def test_a_hello_is_heard_too() -> None:
    """It says nothing that could be used, but it came over the link."""
    ear = Ear()
    ear.mailbox.accept(Arrival(NORTH, encode_message(hello(NORTH, 1, 1))), tick=0)

    assert ear.echo.spoken(1) == (Heard(NORTH, TICK_S),)


def test_what_is_dropped_was_not_heard() -> None:
    """A neighbour whose version is unknown learns from the echo that nobody understands it (fault F30)."""
    ear = Ear()
    ear.mailbox.accept(make_arrival(NORTH, seq=1), tick=0)
    frame = encode_message(msgspec.structs.replace(make_message(NORTH, seq=2), version=3))
    fault = ear.mailbox.accept(Arrival(NORTH, frame), tick=4)

    assert fault is not None
    assert ear.echo.spoken(5) == (Heard(NORTH, 5 * TICK_S),)


@pytest.mark.parametrize(
    ("age_s", "hears_us"), [(TICK_S, True), (LIMIT_S, True), (LIMIT_S + TICK_S, False), (1e9, False)]
)
def test_a_neighbour_hears_as_long_as_our_message_is_fresh_to_it(age_s: float, hears_us: bool) -> None:
    """The age limit of messages decides, so that the deaf side is told of when it falls back, not before."""
    ear = Ear()
    for tick in range(10):
        ear.hear(tick, of_centre(TICK_S))

    assert ear.hear(10, of_centre(age_s)) is hears_us


def test_a_link_that_works_in_one_direction_alone_is_found_out() -> None:
    """The north speaks on and on, and says that the centre grows older and older (fault F21)."""
    ear = Ear()
    before = [ear.hear(tick, of_centre(TICK_S)) for tick in range(5)]
    during = [ear.hear(4 + age, of_centre(age * TICK_S)) for age in range(2, 8)]
    after = ear.hear(12, of_centre(TICK_S))

    assert before == [True] * 5
    assert during == [True, True, False, False, False, False]
    assert after is True


def test_a_neighbour_that_never_heard_us_is_found_out_after_the_age_limit() -> None:
    """It may have begun to speak before it could hear anybody; after so long there is no such excuse."""
    ear = Ear()

    assert [ear.hear(tick, of_centre(None)) for tick in range(7)] == [None] * 4 + [False] * 3


def test_a_new_life_of_a_neighbour_is_given_the_same_time() -> None:
    """The old life heard; the restarted one says at first that it has heard nobody, which is no fault."""
    ear = Ear()
    for tick in range(10):
        ear.hear(tick, of_centre(TICK_S))

    assert ear.hear(10, of_centre(None), boot_id=2) is None
    assert ear.hear(11, of_centre(TICK_S), boot_id=2) is True


def test_a_neighbour_that_comes_back_is_given_the_same_time() -> None:
    """After a partition its first echo is as old as the partition was long, which says nothing of the link as it is."""
    ear = Ear()
    for tick in range(10):
        ear.hear(tick, of_centre(TICK_S))

    assert ear.hear(60, of_centre(50 * TICK_S)) is None
    assert [ear.hear(60 + later, of_centre((50 + later) * TICK_S)) for later in range(1, 6)] == [None] * 3 + [False] * 2


def test_an_agent_that_stood_still_itself_is_given_the_same_time() -> None:
    """It was silent for fifty steps in which it made no tick, so that an echo of that age is no fault of the link."""
    ear = Ear()
    for tick in range(10):
        ear.hear(tick, of_centre(TICK_S))

    assert ear.hear(10, of_centre(50 * TICK_S), step=60) is None
    assert ear.hear(11, of_centre(TICK_S), step=61) is True


@pytest.mark.parametrize(("later", "hears_us"), [(3, True), (4, None)])
def test_of_a_neighbour_that_is_silent_nothing_is_known(later: int, hears_us: bool | None) -> None:
    """What it said once holds as long as its message is fresh."""
    ear = Ear()
    ear.hear(10, of_centre(TICK_S))

    assert ear.known(10 + later) is hears_us


def test_a_neighbour_of_the_version_before_tells_nothing() -> None:
    """Its messages are used like any other; whom it hears stays unknown however long it speaks (fault F30)."""
    ear = Ear()

    assert {ear.hear(tick, of_centre(None), version=ECHOLESS_VERSION) for tick in range(20)} == {None}
    assert ear.mailbox.views(19)[0].is_fresh


def test_a_neighbour_that_knows_us_not_tells_nothing() -> None:
    """Where roads lead one way only, a neighbour may have no reason to listen."""
    ear = Ear()

    assert {ear.hear(tick, Heard(SOUTH, None)) for tick in range(20)} == {None}


def test_nothing_is_known_of_whoever_was_never_heard() -> None:
    """Before the first message, and after a hello alone."""
    ear = Ear()
    before = ear.known(0)
    ear.mailbox.accept(Arrival(NORTH, encode_message(hello(NORTH, 1, 1))), tick=0)

    assert (before, ear.known(1)) == (None, None)


@given(st.lists(st.none() | st.floats(0.0, 100.0), min_size=1, max_size=30))
def test_what_is_known_follows_from_the_newest_echo(ages_s: list[float | None]) -> None:
    """Heard within the limit is always good news; bad news needs a neighbour that was heard for long enough."""
    ear = Ear()
    for tick, age_s in enumerate(ages_s):
        known = ear.hear(tick, of_centre(age_s))

        is_heard = age_s is not None and age_s <= LIMIT_S
        assert known is (True if is_heard else False if tick > STALE_AFTER_TICKS else None)
