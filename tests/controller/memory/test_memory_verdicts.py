"""How a key earns a say in the shadow, and how it loses it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.memory.trials import Trial
from phasemesh.controller.memory.verdicts import TrialRules, after_trial

RULES = TrialRules()
POLICY = Trial(n=20, mean=-10.0)


def _tried(trial: Trial, *returns: float, level: float = -8.0) -> Trial:
    """After memory's stage was executed with these returns."""
    for target in returns:
        trial = after_trial(trial, target, RULES, is_policys=False, error=target - level, spread=1.0)
    return trial


def test_a_key_is_promoted_after_it_has_won() -> None:
    """Eight wins of eight are enough, seven are too few."""
    assert not _tried(POLICY, *[-8.0] * 7).is_promoted
    assert _tried(POLICY, *[-8.0] * 8).is_promoted


def test_a_key_that_wins_half_is_not_promoted() -> None:
    """Luck is no proof."""
    assert not _tried(POLICY, *[-8.0, -12.0] * 30).is_promoted


def test_a_say_is_lost_with_the_majority() -> None:
    """A promoted key may lose now and then, not more often than not."""
    promoted = _tried(POLICY, *[-8.0] * 8)

    assert _tried(promoted, *[-12.0] * 8).is_promoted
    assert not _tried(promoted, *[-12.0] * 9).is_promoted


@given(st.lists(st.floats(-100.0, 0.0), min_size=1, max_size=50))
def test_only_the_policys_own_decisions_are_its_returns(returns: list[float]) -> None:
    """The mean of the first fifty is that of the numbers; what memory did leaves it alone."""
    trial = Trial()
    for target in returns:
        trial = after_trial(trial, target, RULES, is_policys=True, error=None, spread=0.0)
    mean = sum(returns) / len(returns)

    assert abs(trial.mean - mean) < 1e-6
    assert (trial.wins, trial.losses, trial.drift_n) == (0, 0, 0)
    assert _tried(trial, -5.0).mean == trial.mean


def test_drifting_errors_refute_an_entry() -> None:
    """What is off by five standard deviations again and again is no longer true; noise around the value is."""
    drifted = _tried(POLICY, *[-13.0] * 8)
    steady = _tried(POLICY, *[-7.5, -8.5] * 20)

    assert RULES.is_refuted(drifted, 1.0)
    assert not RULES.is_refuted(steady, 1.0)
    assert not RULES.is_refuted(_tried(POLICY, *[-13.0] * 7), 1.0)
    assert not RULES.is_refuted(drifted, 0.0)


def test_the_policys_mean_follows_a_policy_that_changes() -> None:
    """Old returns fade: after two hundred others they hardly count."""
    trial = Trial(n=10_000, mean=-100.0)
    for _ in range(200):
        trial = after_trial(trial, -10.0, RULES, is_policys=True, error=None, spread=0.0)

    assert -12.0 < trial.mean < -10.0


def test_memorys_own_returns_count_whoever_decided() -> None:
    """Its stage was executed: by the policy in the shadow, or by itself."""
    trial = after_trial(Trial(), -4.0, RULES, is_policys=True, error=0.0, spread=1.0)
    trial = after_trial(trial, -8.0, RULES, is_policys=False, error=0.0, spread=1.0)
    trial = after_trial(trial, -90.0, RULES, is_policys=True, error=None, spread=1.0)

    assert (trial.own_n, trial.own) == (2, -6.0)
    assert (trial.n, trial.mean) == (2, -47.0)
