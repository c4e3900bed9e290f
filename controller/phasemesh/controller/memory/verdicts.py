"""How a key earns a say and loses it: wins over the policy promote, drifting errors and losses demote."""

from __future__ import annotations

import msgspec

from phasemesh.controller.memory.trials import Trial


class TrialRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a key is promoted and when it is refuted.

    At least `least_trials` times the stage of memory must have been executed, and surely more often than not with a
    better return than the policy's mean, of which no return counts less than `policy_weight`: values move while they
    are learned. Errors of memory's value are averaged with the weight `drift_weight` for the newest; a mean of at least
    `least_drift` errors beyond `drift_sigmas` standard deviations of the returns refutes the entry.
    """

    least_trials: int = 8
    promoted_share: float = 0.5
    policy_weight: float = 0.02
    drift_weight: float = 0.1
    least_drift: int = 8
    drift_sigmas: float = 3.0

    def is_refuted(self, trial: Trial, spread: float) -> bool:
        """Whether what memory counted on, with returns that spread as `spread`, is no longer true."""
        if trial.drift_n < self.least_drift or spread <= 0.0:
            return False
        return abs(trial.drift) > self.drift_sigmas * spread


def after_trial(
    trial: Trial, target: float, rules: TrialRules, *, is_policys: bool, error: float | None, spread: float
) -> Trial:
    """The record of a key after a decision there came to `target`.

    `is_policys` says that the policy decided, so that its mean moves. `error` is by how much the return missed
    memory's value, None where the executed stage was not memory's: of such a decision memory learns nothing for sure.
    """
    if error is not None:
        trial = _judged(trial, target, error, spread, rules)
    return _noted(trial, target, rules) if is_policys else trial


def _judged(trial: Trial, target: float, error: float, spread: float, rules: TrialRules) -> Trial:
    has_won = target > trial.mean
    own_n = trial.own_n + 1
    own = trial.own + max(1.0 / own_n, rules.policy_weight) * (target - trial.own)
    wins, losses = trial.wins + has_won, trial.losses + (not has_won)
    drift = error if trial.drift_n == 0 else trial.drift + rules.drift_weight * (error - trial.drift)
    judged = msgspec.structs.replace(
        trial,
        own_n=own_n,
        own=own,
        wins=wins,
        losses=losses,
        drift=drift if spread > 0.0 else 0.0,
        drift_n=trial.drift_n + 1,
    )
    is_promoted = wins + losses >= rules.least_trials and judged.win_share > rules.promoted_share
    if not is_promoted and trial.is_promoted:
        # A say that was earned is lost when it no longer wins even half of its trials.
        is_promoted = 2 * wins >= wins + losses
    return msgspec.structs.replace(judged, is_promoted=is_promoted)


def _noted(trial: Trial, target: float, rules: TrialRules) -> Trial:
    n = trial.n + 1
    mean = trial.mean + max(1.0 / n, rules.policy_weight) * (target - trial.mean)
    return msgspec.structs.replace(trial, n=n, mean=mean)
