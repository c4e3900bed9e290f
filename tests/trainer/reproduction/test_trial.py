"""A trial is trained, played and kept, and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from trial_results import make_result

from phasemesh.sim_harness.reproduce import CELLS, ReproductionRequest
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME
from phasemesh.trainer.crews import EpisodeCrew, hired
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.recipe import find_recipe
from phasemesh.trainer.reproduction.trial import RUNS, Size, Trial, run_trials, trained

pytestmark = [pytest.mark.train, pytest.mark.sumo, pytest.mark.timeout(900)]
TRIAL = Trial(method="hamh-ppo", recipe=find_recipe("hamh-ppo"), scenario="same3x1", demand=0.5)
SIZE = Size(iterations=2, episode_s=60.0)


class StoppedCrew:
    """A crew that is stopped when it is asked to play for the second time."""

    def __init__(self, crew: EpisodeCrew) -> None:
        self._crew = crew
        self._played = 0

    def play(self, actor: Actor, plans: Sequence[EpisodePlan]) -> list[Episode]:
        """As a crew does, once."""
        self._played += 1
        if self._played > 1:
            raise KeyboardInterrupt
        return self._crew.play(actor, plans)

    def close(self) -> None:
        """As a crew does."""
        self._crew.close()


def test_a_trial_that_is_stopped_goes_on_with_the_same_weights(tmp_path: Path) -> None:
    """After one of two iterations: as if both were played at once."""
    with hired(1) as crew:
        whole = trained(tmp_path / "a", TRIAL, 1, SIZE, crew)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "b", TRIAL, 1, SIZE, StoppedCrew(crew))
        trained(tmp_path / "b", TRIAL, 1, SIZE, crew)
    ends = [np.load(tmp_path / name / CHECKPOINT_NAME) for name in ("a", "b")]

    assert whole.iteration == 2
    assert [name for name in ends[0].files if name != "meta" and not np.array_equal(ends[0][name], ends[1][name])] == []


def test_a_trial_is_played_once_and_kept(tmp_path: Path) -> None:
    """With curves, delays of the greedy episodes, and what every site weighs; the second call reads what there is."""
    (tmp_path / CELLS).mkdir()
    request = ReproductionRequest(tmp_path, 1, 0.01)
    (first,) = run_trials(request, [TRIAL], SIZE)
    (kept,) = (tmp_path / CELLS).iterdir()
    kept.write_bytes(msgspec.json.encode(make_result("kept", "elsewhere", 1)))
    (second,) = run_trials(request, [TRIAL], SIZE)

    assert (first.method, first.place, len(first.curve_s), len(first.delays_s)) == ("hamh-ppo", "same3x1 x0.5", 2, 3)
    assert [len(each) for each in first.hyper.values()] == [6, 6, 6]
    assert second.method == "kept"
    assert (tmp_path / RUNS).is_dir()
