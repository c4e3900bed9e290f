"""Workers: what goes wrong in one is told in the trainer's own words, and nothing is left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path
from time import monotonic, sleep

import pytest
import torch

from phasemesh.contract.errors import PhasemeshError, ScenarioError
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.episode import EpisodePlan
from phasemesh.trainer.networks import UniversalActor

pytestmark = [pytest.mark.train, pytest.mark.sumo]
PATIENCE_S = 60.0


@pytest.fixture
def actor() -> UniversalActor:
    """Any actor."""
    torch.manual_seed(0)
    return UniversalActor()


def test_an_error_of_the_user_comes_back_as_such(actor: UniversalActor, tmp_path: Path) -> None:
    """A scenario that is not there is told as the harness tells it."""
    plan = EpisodePlan(scenario=str(tmp_path / "nowhere.sumocfg"), seed=1)

    with pytest.raises(ScenarioError, match="nowhere"):
        Crew(1).play(actor, [plan])
    assert multiprocessing.active_children() == []


def kill_first_child() -> None:
    """Wait for a worker and kill it."""
    deadline_s = monotonic() + PATIENCE_S
    while monotonic() < deadline_s:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGKILL)
                return
        sleep(0.01)


def test_a_worker_that_dies_is_named_with_its_episode(actor: UniversalActor) -> None:
    """The episodes beside it are ended too."""
    plans = [EpisodePlan(scenario="grid2x2", seed=seed) for seed in (21, 22)]
    killer = threading.Thread(target=kill_first_child)
    killer.start()

    with pytest.raises(PhasemeshError, match=r"grid2x2, seed 2[12]: the worker died"):
        Crew(2).play(actor, plans)
    killer.join()
    assert multiprocessing.active_children() == []


def test_no_plans_are_no_episodes(actor: UniversalActor) -> None:
    """Without starting anybody."""
    assert Crew(3).play(actor, []) == []
