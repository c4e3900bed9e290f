"""Orders of operators: limited in time, never a stage, and a reset that is heard once."""

from __future__ import annotations

import math
import threading

import pytest

from factories import make_intersection, make_timings
from phasemesh.contract.site import AdapterKind, PlanKind, SiteIntersection
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.ladder_table import ROWS, Ending, LadderEvent
from phasemesh.controller.operator.orders import (
    EVENTS,
    MAX_ORDER_S,
    Order,
    OrderBook,
    OrderKind,
    OrdersInForce,
    cabinet_url,
    override_refusal,
)

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


def make_entry(adapter: AdapterKind, cabinet: str) -> SiteIntersection:
    """An intersection with an odd name, whose cabinet is reached by `adapter`."""
    crossing = make_intersection("north/south")
    return SiteIntersection(crossing, make_timings(crossing), PlanKind.ACTUATED, adapter, cabinet, "")


def test_only_a_cabinet_with_a_service_has_an_address() -> None:
    """A cabinet inside the process of its agent takes no overrides from outside, so that no address is named."""
    served = make_entry(AdapterKind.HTTP, "https://box:8600/")
    inside = make_entry(AdapterKind.TRACI, "traci://127.0.0.1:8813/A0")

    assert cabinet_url(served) == "https://box:8600/v1/cabinets/north%2Fsouth"
    assert cabinet_url(inside) == ""


@pytest.mark.parametrize("kind", ["manual", "rail"])
def test_where_no_cabinet_listens_none_is_named(kind: str) -> None:
    """The refusal says so instead of naming what does not exist."""
    refusal = override_refusal(b'{"kind": "%s", "stage": 1}' % kind.encode(), "")

    assert "without an endpoint" in refusal
    assert "POST" not in refusal


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b"3", b"{}", b'{"kind": "dance"}', b'{"kind": 3}', b'{"kind": "local"}', b"[" * 9999],
)
def test_other_nonsense_is_sent_nowhere(body: bytes) -> None:
    """Only a wish for an override is answered with the address of the cabinet."""
    assert override_refusal(body, "http://box/v1/cabinets/a") == ""
