"""Workers: what goes wrong in one is told in the trainer's own words, and nothing is left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
import torch

from phasemesh.contract.errors import PhasemeshError, ScenarioError
from phasemesh.trainer.crew import Crew, unbroken
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


ENDLESS = """
from phasemesh.trainer.crew import Crew
from phasemesh.trainer.episode import EpisodePlan
from phasemesh.trainer.networks import UniversalActor

Crew(2).play(UniversalActor(), [EpisodePlan(scenario="grid3x3", seed=seed, length_s=3600.0) for seed in (31, 32)])
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_trainer_that_is_ended(number: signal.Signals) -> None:
    """Neither workers in the middle of an episode nor the server that forked them."""
    trainer = psutil.Popen([sys.executable, "-c", ENDLESS])
    others: list[psutil.Process] = []
    deadline_s = monotonic() + 4 * PATIENCE_S
    # The tracker of resources, the server, and its two workers.
    while len(others) < 4 and monotonic() < deadline_s:
        others = trainer.children(recursive=True)
        sleep(0.05)
    trainer.send_signal(number)
    trainer.wait()
    _, left = psutil.wait_procs(others, timeout=PATIENCE_S)

    assert len(others) == 4
    assert left == []


def test_ctrl_c_waits_for_the_end_of_what_must_not_be_broken_off() -> None:
    """It comes once, after the block, to whoever listened before it, however often it was pressed."""
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        with unbroken():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            within = list(heard)
        after = list(heard)
    finally:
        signal.signal(signal.SIGINT, before)

    assert (within, after) == ([], [signal.SIGINT])


def test_a_thread_may_start_workers_too() -> None:
    """Only the main thread hears Ctrl-C, and only it may say who does."""
    done: list[bool] = []

    def start() -> None:
        with unbroken():
            done.append(True)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert done == [True]
