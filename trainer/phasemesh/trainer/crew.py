"""Worker processes: every episode in a fresh one, since SUMO restarted within a process is not repeatable."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

import torch

from phasemesh.contract.errors import PhasemeshError
from phasemesh.contract.observation import FloatArray
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.networks import UniversalActor
from phasemesh.trainer.rollout import play

Weights = dict[str, FloatArray]


class Crew:
    """Plays episodes in `workers` processes at a time; results do not depend on how many there are."""

    def __init__(self, workers: int) -> None:
        """Processes are forked from a server that has imported everything but never ran a simulation."""
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, max_tasks_per_child=1)

    def play(self, actor: UniversalActor, plans: Sequence[EpisodePlan]) -> list[Episode]:
        """The episodes of `plans` with the weights of `actor` as they are now, in the order of the plans.

        Raises PhasemeshError, with the plan, when a worker dies, and ScenarioError when SUMO refuses.
        """
        weights = weights_of(actor)
        futures = [self._pool.submit(_play, weights, plan) for plan in plans]
        try:
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            names = ", ".join(f"{plan.scenario} seed {plan.seed}" for plan in plans)
            raise PhasemeshError(f"a worker died in one of these episodes: {names}; go on with --resume") from error

    def __enter__(self) -> Crew:
        """Return the crew itself."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End all workers; what has not begun never does."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def weights_of(actor: UniversalActor) -> Weights:
    """A copy of the weights of `actor`, wherever it lives, as arrays."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in actor.state_dict().items()}


def actor_with(weights: Weights) -> UniversalActor:
    """An actor that has `weights`."""
    actor = UniversalActor()
    actor.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return actor


def _begin() -> None:
    """One thread a worker, since there is one worker a core; Ctrl-C ends a worker without words."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _play(weights: Weights, plan: EpisodePlan) -> Episode:
    return play(actor_with(weights), plan)
