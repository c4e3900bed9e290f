"""Orders of operators: limited in time, never a stage, and a reset that is heard once."""

from __future__ import annotations

import math
import threading

import pytest

from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.ladder_table import ROWS, Ending, LadderEvent
from phasemesh.controller.operator.orders import EVENTS, MAX_ORDER_S, Order, OrderBook, OrderKind, OrdersInForce

NOTHING = OrdersInForce((), latch_is_reset=False)


def at(now_s: float) -> MonoNs:
    """A monotonic stamp."""
    return MonoNs(round(now_s * NS_PER_S))


def test_nobody_has_ordered_anything() -> None:
    """An empty book orders nothing."""
    assert OrderBook().take(at(0.0)) == NOTHING


@pytest.mark.parametrize("kind", EVENTS)
def test_an_order_stands_for_its_time(kind: OrderKind) -> None:
    """From the moment in which it is placed, not from the tick that hears of it."""
    book = OrderBook()
    refusal = book.place(Order(kind, "works on the road", ttl_s=60.0), at(100.0))

    assert refusal == ""
    assert [book.take(at(now_s)).events for now_s in (101.0, 159.9, 160.0)] == [(EVENTS[kind],), (EVENTS[kind],), ()]


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, MAX_ORDER_S + 1.0, math.inf, math.nan])
def test_an_order_without_an_end_is_refused(ttl_s: float) -> None:
    """A forgotten order must end by itself (F27)."""
    book = OrderBook()

    assert book.place(Order(OrderKind.RELEASE, "", ttl_s=ttl_s), at(0.0)).startswith("ttl_s: ")
    assert book.take(at(0.0)) == NOTHING


def test_a_later_order_of_a_kind_replaces_the_earlier() -> None:
    """Its time counts anew, also when it is shorter."""
    book = OrderBook()
    book.place(Order(OrderKind.LOCAL, "", ttl_s=3600.0), at(0.0))
    book.place(Order(OrderKind.LOCAL, "", ttl_s=5.0), at(1.0))

    assert book.take(at(10.0)) == NOTHING


def test_orders_of_both_kinds_stand_side_by_side() -> None:
    """Which is the worse is for the ladder to say."""
    book = OrderBook()
    book.place(Order(OrderKind.LOCAL, "", ttl_s=60.0), at(0.0))
    book.place(Order(OrderKind.RELEASE, "", ttl_s=60.0), at(0.0))

    assert set(book.take(at(1.0)).events) == set(EVENTS.values())


def test_an_operator_may_end_all_orders() -> None:
    """Before their time."""
    book = OrderBook()
    book.place(Order(OrderKind.LOCAL, "", ttl_s=60.0), at(0.0))
    book.place(Order(OrderKind.RESUME, "done"), at(1.0))

    assert book.take(at(2.0)) == NOTHING


def test_a_reset_is_heard_once() -> None:
    """And changes no order."""
    book = OrderBook()
    book.place(Order(OrderKind.LOCAL, "", ttl_s=60.0), at(0.0))
    book.place(Order(OrderKind.RESET, "mended"), at(1.0))
    first, second = book.take(at(2.0)), book.take(at(3.0))

    assert (first.latch_is_reset, second.latch_is_reset) == (True, False)
    assert first.events == second.events == (LadderEvent.ORDER_LOCAL,)


def test_every_order_has_its_row_on_the_ladder() -> None:
    """No order leads anywhere but where the table says."""
    assert set(EVENTS.values()) == {row.event for row in ROWS.values() if row.ending is Ending.OPERATOR}


def test_no_order_is_lost_between_threads() -> None:
    """Endpoints place from their thread while the loop takes from its own."""
    book, resets = OrderBook(), 0
    placing = threading.Thread(
        target=lambda: [book.place(Order(OrderKind.RESET, str(number)), at(0.0)) for number in range(500)]
    )
    placing.start()
    while placing.is_alive():
        resets += book.take(at(0.0)).latch_is_reset
    placing.join()
    resets += book.take(at(0.0)).latch_is_reset

    assert resets >= 1
    assert book.take(at(0.0)) == NOTHING
