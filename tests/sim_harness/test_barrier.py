"""The barrier of lockstep: whom it waits for, for how long, and who ends the wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from time import monotonic

import pytest

from phasemesh.contract.units import IntersectionId
from phasemesh.sim_harness.barrier import Barrier

EAST, WEST = IntersectionId("east"), IntersectionId("west")
SOON_S = 0.05
LONG_S = 20.0
"""Longer than any test may last: whoever waits so long was not woken."""


@pytest.fixture
def barrier() -> Barrier:
    """A barrier that waits for east and west."""
    barrier = Barrier()
    barrier.join(EAST)
    barrier.join(WEST)
    return barrier


class Waiter:
    """Waits at barriers, all in one event loop."""

    def __init__(self, runner: asyncio.Runner) -> None:
        """Wait in the loop of `runner`."""
        self._runner = runner

    def __call__(self, barrier: Barrier, timeout_s: float, *events: Callable[[], None]) -> frozenset[IntersectionId]:
        """Who was silent in a wait, during which `events` happen one after the other."""
        return self._runner.run(self._wait(barrier, timeout_s, events))

    async def _wait(
        self, barrier: Barrier, timeout_s: float, events: tuple[Callable[[], None], ...]
    ) -> frozenset[IntersectionId]:
        waiting = asyncio.ensure_future(barrier.wait(timeout_s))
        for event in events:
            await asyncio.sleep(0.005)
            assert not waiting.done()
            event()
        return await waiting


@pytest.fixture
def wait() -> Iterator[Waiter]:
    """Someone who waits at barriers."""
    with asyncio.Runner() as runner:
        yield Waiter(runner)


def test_nobody_is_waited_for_at_first(wait: Waiter) -> None:
    """Before any agent has joined, time goes on at once."""
    barrier = Barrier()
    barrier.begin(0)

    assert wait(barrier, LONG_S) == frozenset()
    assert barrier.present == frozenset()


def test_a_wait_ends_with_the_last_answer(barrier: Barrier, wait: Waiter) -> None:
    """Neither the first answer nor the same one twice is enough."""
    barrier.begin(5)

    silent = wait(
        barrier,
        LONG_S,
        lambda: barrier.answer(EAST, 5),
        lambda: barrier.answer(EAST, 5),
        lambda: barrier.answer(WEST, 5),
    )

    assert silent == frozenset()
    assert barrier.present == {EAST, WEST}


def test_an_answer_for_an_earlier_step_does_not_count(barrier: Barrier, wait: Waiter) -> None:
    """An agent that still answers for the step before has not seen this one."""
    barrier.begin(5)
    barrier.answer(WEST, 5)

    silent = wait(barrier, LONG_S, lambda: barrier.answer(EAST, 4), lambda: barrier.answer(EAST, 5))

    assert silent == frozenset()


def test_who_joins_during_a_step_is_waited_for_from_the_next_one_on(barrier: Barrier, wait: Waiter) -> None:
    """A new agent does not hold up the step in which it came."""
    late = IntersectionId("late")
    barrier.begin(5)
    barrier.answer(EAST, 5)
    assert wait(barrier, LONG_S, lambda: barrier.join(late), lambda: barrier.answer(WEST, 5)) == frozenset()

    barrier.begin(10)
    barrier.answer(EAST, 10)
    barrier.answer(WEST, 10)

    assert wait(barrier, SOON_S) == {late}


def test_who_leaves_is_no_longer_waited_for(barrier: Barrier, wait: Waiter) -> None:
    """The death of the last missing agent ends the wait, and the next one goes on without it."""
    barrier.begin(5)
    barrier.answer(EAST, 5)
    assert wait(barrier, LONG_S, lambda: barrier.leave(WEST)) == frozenset()

    barrier.begin(10)

    assert wait(barrier, LONG_S, lambda: barrier.answer(EAST, 10)) == frozenset()
    assert barrier.present == {EAST}


def test_leaving_without_having_joined_changes_nothing(barrier: Barrier) -> None:
    """A process that dies before its first lease was never waited for."""
    barrier.leave(IntersectionId("stranger"))

    assert barrier.present == {EAST, WEST}


def test_the_silent_are_left_out_after_their_time(barrier: Barrier, wait: Waiter) -> None:
    """The wait ends after the given time, names the silent, and is not repeated for them."""
    barrier.begin(5)
    barrier.answer(WEST, 5)
    begun_s = monotonic()
    assert wait(barrier, SOON_S) == {EAST}
    assert monotonic() - begun_s >= 0.9 * SOON_S

    barrier.begin(10)
    barrier.answer(WEST, 10)

    assert wait(barrier, LONG_S) == frozenset()
    assert barrier.present == {WEST}


def test_the_silent_are_waited_for_again_once_they_answer(barrier: Barrier, wait: Waiter) -> None:
    """An answer brings an agent back, even one for a step long gone."""
    barrier.begin(5)
    assert wait(barrier, SOON_S) == {EAST, WEST}
    barrier.answer(EAST, 5)

    barrier.begin(10)

    assert barrier.present == {EAST}
    assert wait(barrier, SOON_S) == {EAST}


def test_an_interrupt_ends_a_wait_at_once(barrier: Barrier, wait: Waiter) -> None:
    """Nobody counts as silent because the user has had enough."""
    barrier.begin(5)

    assert wait(barrier, LONG_S, barrier.interrupt) == frozenset()
    assert barrier.present == {EAST, WEST}
