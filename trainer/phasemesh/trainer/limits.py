"""When a training ends."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A training ends after `minutes` of wall time in all, or once `iterations` are done; None is no limit.

    With `ends_on_alarm` the first alarm ends it too.
    """

    minutes: float | None = None
    iterations: int | None = None
    ends_on_alarm: bool = False

    def are_reached(self, iteration: int, elapsed_s: float) -> bool:
        """Whether no further iteration should begin."""
        return self.share_done(iteration, elapsed_s) >= 1.0

    def share_done(self, iteration: int, elapsed_s: float) -> float:
        """How much of the training is over, from 0 to 1, by the limit that is nearest."""
        by_time = 0.0 if self.minutes is None else _share(elapsed_s, 60.0 * self.minutes)
        by_count = 0.0 if self.iterations is None else _share(iteration, self.iterations)
        return max(by_time, by_count)


def _share(done: float, total: float) -> float:
    return min(1.0, done / total) if total > 0.0 else 1.0
