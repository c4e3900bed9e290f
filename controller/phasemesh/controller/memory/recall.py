"""Step 6 of the tick: whether memory may speak before the policy. Pure: a recorded tick can be decided again.

Memory speaks where it is sure to be better than the policy has been in the same situation, and where it has won there
in the shadow before. Whatever it proposes goes through the guard like every other wish.
"""

from __future__ import annotations

import math

import msgspec

from phasemesh.controller.memory.trials import WIN_Z

DAY_S = 86_400.0


class GateRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When memory is believed.

    A long-term entry needs `least_visits` and a short-term one twice as many, none may be older than `oldest_s`, and
    the policy must have been seen `least_policy_visits` times in the same situation. The lower bound of the entry must
    exceed the policy's mean by `delta_rel` of its size and by `delta_abs`.
    """

    least_visits: int = 20
    oldest_s: float = 30.0 * DAY_S
    least_policy_visits: int = 10
    delta_rel: float = 0.05
    delta_abs: float = 1e-6

    def margin(self, mean: float) -> float:
        """By how much memory must be better than a policy that has `mean`."""
        return max(self.delta_abs, self.delta_rel * abs(mean))


class Candidate(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one memory knows of a situation, its stage as one of the intersection: `source` is `ltm` or `stm`.

    `level` is the value that it counts on, `n` the visits that it rests on, `spread` the standard deviation of returns.
    """

    source: str
    stage: int
    level: float
    n: int
    spread: float
    updated_at_s: float


class Remembered(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All that memory handed to one tick: an input of the decision like a message of a neighbour.

    `key` names the situation, `at_s` is the memory's clock. The candidates are in the order in which they are asked;
    `policy_n` and `policy_mean` are visits and mean return of the policy's own decisions in the same key. `may_act` is
    whether memory is live and the key has been promoted.
    """

    key: bytes
    at_s: float
    candidates: tuple[Candidate, ...]
    policy_n: int
    policy_mean: float
    may_act: bool


class Recollection(msgspec.Struct, frozen=True):
    """A stage that memory proposes, and which memory it was (`ltm` or `stm`)."""

    stage: int
    source: str


def proposal(remembered: Remembered, legal: tuple[bool, ...], rules: GateRules) -> Recollection | None:
    """What memory would do, or None where it would leave the stage to the policy."""
    if remembered.policy_n < rules.least_policy_visits:
        return None
    for candidate in remembered.candidates:
        if 0 <= candidate.stage < len(legal) and legal[candidate.stage] and _is_sure(candidate, remembered, rules):
            return Recollection(candidate.stage, candidate.source)
    return None


def _is_sure(candidate: Candidate, remembered: Remembered, rules: GateRules) -> bool:
    """Visits, age, and the one-sided bound of the mean against the policy's, as `GateRules` says."""
    least = rules.least_visits * (2 if candidate.source == "stm" else 1)
    if candidate.n < max(2, least) or remembered.at_s - candidate.updated_at_s > rules.oldest_s:
        return False
    bound = candidate.level - WIN_Z * candidate.spread / math.sqrt(candidate.n)
    return bound > remembered.policy_mean + rules.margin(remembered.policy_mean)


def recollection(remembered: Remembered | None, legal: tuple[bool, ...], rules: GateRules) -> Recollection | None:
    """What memory does: its proposal where it may act, else None."""
    if remembered is None or not remembered.may_act:
        return None
    return proposal(remembered, legal, rules)
