"""What operators ask of an agent: to keep to its local plan or to let go, for a limited time, or to reset a latch.

Orders never choose a stage: whoever wants one overrides the cabinet, which outranks every agent. An agent could only
pass such a wish on, with a token that lets it override and with a name that the cabinet would have to believe. Then a
stolen agent could take the signal in hand under any name, and a hand would depend on a process that may be dead.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from urllib.parse import quote

import msgspec

from phasemesh.contract.site import AdapterKind, SiteIntersection
from phasemesh.contract.units import NS_PER_S, MonoNs
from phasemesh.controller.cabinet.arbiter import CLAIMS, OverrideKind
from phasemesh.controller.ladder_table import LadderEvent

MAX_ORDER_S = 3600.0
"""Longest time for which an order stands; a forgotten one ends by itself (F27)."""


class OrderKind(StrEnum):
    """What may be ordered: a lower rung, the end of all orders, or a new start for what is latched."""

    LOCAL = "local"
    RELEASE = "release"
    RESUME = "resume"
    RESET = "reset"


EVENTS: dict[OrderKind, LadderEvent] = {
    OrderKind.LOCAL: LadderEvent.ORDER_LOCAL,
    OrderKind.RELEASE: LadderEvent.ORDER_RELEASE,
}


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order; `ttl_s` is needed by those that stand for a time."""

    kind: OrderKind
    reason: str
    ttl_s: float = 0.0


class _Wish(msgspec.Struct, frozen=True):
    """What tells a wish for an override from other bodies that are no order."""

    kind: str = ""
    stage: object = None


def override_refusal(body: bytes, cabinet_url: str) -> str:
    """Where to send `body`, which is no order, if it asks for an override of the cabinet; else an empty text.

    `cabinet_url` is where the cabinet takes overrides, empty where it has no endpoint of its own.
    """
    try:
        wish = msgspec.json.decode(body, type=_Wish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    claim = CLAIMS.get(OverrideKind(wish.kind)) if wish.kind in set(OverrideKind) else None
    if claim is None and wish.stage is None:
        return ""
    if not cabinet_url:
        return "an agent takes no overrides, and its cabinet runs inside it, without an endpoint of its own"
    what = "preempt" if claim is not None and claim.is_preemption else "override"
    return f"an agent takes no overrides: ask its cabinet, POST {cabinet_url}/{what}"


def cabinet_url(entry: SiteIntersection) -> str:
    """The URL of the cabinet of `entry`, empty where it runs inside the process of its agent."""
    if entry.adapter is not AdapterKind.HTTP:
        return ""
    return f"{entry.cabinet.rstrip('/')}/v1/cabinets/{quote(entry.intersection.id, safe='')}"


class OrdersInForce(msgspec.Struct, frozen=True):
    """What the next tick has to follow."""

    events: tuple[LadderEvent, ...]
    latch_is_reset: bool


class OrderBook:
    """Takes orders from any thread and tells the decision loop which are in force."""

    def __init__(self) -> None:
        """Nobody has ordered anything."""
        self._placed: deque[tuple[Order, MonoNs]] = deque()
        self._until: dict[LadderEvent, int] = {}

    def place(self, order: Order, now: MonoNs) -> str:
        """Take `order`; the answer says why it is refused, or is empty."""
        needs_time = order.kind in EVENTS
        if not 0.0 <= order.ttl_s <= MAX_ORDER_S or (needs_time and order.ttl_s == 0.0):
            return f"ttl_s: {order.ttl_s} s is outside 0 to {MAX_ORDER_S:.0f} s"
        self._placed.append((order, now))
        return ""

    def take(self, now: MonoNs) -> OrdersInForce:
        """The orders in force at `now`; only the decision loop calls this, and hears of each reset once."""
        is_reset = False
        while self._placed:
            order, placed = self._placed.popleft()
            if order.kind is OrderKind.RESUME:
                self._until.clear()
            elif order.kind is OrderKind.RESET:
                is_reset = True
            else:
                self._until[EVENTS[order.kind]] = placed + round(order.ttl_s * NS_PER_S)
        self._until = {event: until for event, until in self._until.items() if now < until}
        return OrdersInForce(tuple(self._until), is_reset)
