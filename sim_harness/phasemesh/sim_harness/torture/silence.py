"""For how long an agent has to keep to itself after a silence of all its neighbours, told from what it received.

Written apart from the ladder of the agents, which is judged by it.
"""

from __future__ import annotations

FIRST_WAIT_S = 30.0
"""Time with a neighbour after the first silence; each that follows before it is forgotten doubles it."""
LONGEST_WAIT_S = 480.0
FORGOTTEN_S = 900.0


class Silence:
    """Follows one agent from tick to tick."""

    def __init__(self) -> None:
        """Nothing is known of any life of the agent."""
        self._boot_id = -1
        self._has_heard = False
        self._wait_s = 0.0
        self._last_s: float | None = None

    def until_s(self, at_s: float, boot_id: int, *, is_alone: bool) -> float:
        """The time until which neighbours may not be used that are heard, after the tick of the life at `at_s`.

        `is_alone` says that the agent has neighbours and no message of any that is fresh. A life that has not heard
        anybody yet owes nothing.
        """
        if boot_id != self._boot_id:
            self._boot_id, self._has_heard, self._last_s = boot_id, False, None
        if is_alone and self._has_heard:
            self._wait_s = self._next_wait_s(at_s)
            self._last_s = at_s
        elif not is_alone:
            self._has_heard = True
        return 0.0 if self._last_s is None else self._last_s + self._wait_s

    def _next_wait_s(self, at_s: float) -> float:
        if self._last_s is None or at_s >= self._last_s + FORGOTTEN_S:
            return FIRST_WAIT_S
        is_another = at_s >= self._last_s + self._wait_s
        return min(2.0 * self._wait_s, LONGEST_WAIT_S) if is_another else self._wait_s
