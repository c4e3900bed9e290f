"""What is known of a key beside its entry: how the policy fared there, and how memory did against it."""

from __future__ import annotations

import math

import msgspec

WIN_Z = 1.64
"""One-sided 95 % of the normal distribution, for all bounds of memory."""


class Trial(msgspec.Struct, frozen=True):
    """The record of one key: returns of the policy's own decisions there (`n`, `mean`), and the trial of memory.

    `own` is the mean of the `own_n` returns after memory's stage was executed, whoever wanted it, since the trial
    began: values of entries are older, and traffic changes, so that only means of the same time compare.
    `wins` and `losses` count what memory's stage was worth against the policy's, in shadow and live. `drift` is the
    recent mean of what memory's value was off by, `drift_n` how many errors it is made of. `updated_at_s` is in
    seconds of the memory's clock.
    """

    n: int = 0
    mean: float = 0.0
    own_n: int = 0
    own: float = 0.0
    wins: int = 0
    losses: int = 0
    is_promoted: bool = False
    drift: float = 0.0
    drift_n: int = 0
    updated_at_s: float = 0.0

    @property
    def win_share(self) -> float:
        """Lower bound of the share of wins (Wilson, 1927); 0 without any trial."""
        trials = self.wins + self.losses
        if trials == 0:
            return 0.0
        share, z2 = self.wins / trials, WIN_Z * WIN_Z
        spread = WIN_Z * math.sqrt(share * (1.0 - share) / trials + z2 / (4.0 * trials * trials))
        return (share + z2 / (2.0 * trials) - spread) / (1.0 + z2 / trials)
