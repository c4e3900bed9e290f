"""Trials: how sure wins make that memory is better than the policy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from phasemesh.controller.memory.trials import Trial


def test_without_a_trial_nothing_is_won() -> None:
    """No wins, no share."""
    assert Trial().win_share == 0.0


@given(wins=st.integers(0, 1000), losses=st.integers(0, 1000))
def test_the_bound_is_below_the_share_and_a_win_raises_it(wins: int, losses: int) -> None:
    """A lower bound is one, and it moves with what happens."""
    trial = Trial(wins=wins, losses=losses)

    assert 0.0 <= trial.win_share <= wins / max(1, wins + losses) + 1e-12
    assert Trial(wins=wins + 1, losses=losses).win_share > trial.win_share - 1e-12
    assert Trial(wins=wins, losses=losses + 1).win_share <= trial.win_share + 1e-12


def test_a_few_wins_in_a_row_are_more_sure_than_many_even_ones() -> None:
    """Eight of eight say more than sixty of hundred."""
    assert Trial(wins=8).win_share > Trial(wins=60, losses=40).win_share > 0.5
