"""The echo: agents tell each other whom they hear, so that whoever is not heard learns of it (fault F21).

A link that fails in one direction is felt only where messages are missing. Its other end goes on with sound inputs and
could not report what it does not see. Nothing here has a part in any decision.
"""

from __future__ import annotations

from collections.abc import Sequence

from phasemesh.contract.messages import Heard, PeerMessage, echoed
from phasemesh.contract.units import IntersectionId
from phasemesh.controller.peers.mailbox import Mailbox, PeerView


class Echo:
    """Makes the echo of one agent and reads what the echoes of its neighbours say of it."""

    def __init__(self, own_id: IntersectionId, mailbox: Mailbox, tick_s: float) -> None:
        """Speak for `own_id`, whose control interval is `tick_s`, of what its `mailbox` has accepted."""
        self._own_id = own_id
        self._mailbox = mailbox
        self._tick_s = tick_s
        self._limit_s = mailbox.stale_after_ticks * tick_s
        self._names = echoed(mailbox.neighbours)

    def spoken(self, tick: int) -> tuple[Heard, ...]:
        """What the message of `tick` says of each neighbour; it goes out before the tick receives anything."""
        return tuple(Heard(name, self._age_s(name, tick)) for name in self._names)

    def _age_s(self, name: IntersectionId, tick: int) -> float | None:
        silent_ticks = self._mailbox.silent_ticks(name, tick)
        return None if silent_ticks is None else silent_ticks * self._tick_s

    def hears_us(self, views: Sequence[PeerView], tick: int) -> tuple[bool | None, ...]:
        """Whether each neighbour of `views` hears this agent at `tick`; None where that is not known.

        It is not known of a neighbour that is not fresh, speaks version 1 or does not listen to this agent by design;
        and not of one that tells of silence but has not been heard steadily for longer than the age limit: one that
        has just begun, or has just come back, had no chance to hear anybody.
        """
        return tuple(self._hears_us(view, tick) for view in views)

    def _hears_us(self, view: PeerView, tick: int) -> bool | None:
        entry = _entry_of(self._own_id, view.message) if view.is_fresh else None
        if entry is None:
            return None
        if entry.age_s is not None and entry.age_s <= self._limit_s:
            return True
        return False if self._mailbox.steady_ticks(view.peer, tick) > self._mailbox.stale_after_ticks else None


def _entry_of(name: IntersectionId, message: PeerMessage | None) -> Heard | None:
    heard = message.heard if message is not None else None
    return next((entry for entry in heard or () if entry.neighbour == name), None)
