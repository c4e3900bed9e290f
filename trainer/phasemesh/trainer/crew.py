"""Worker processes: every episode in a fresh one, since SUMO restarted within a process is not repeatable."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import NamedTuple

import torch

from phasemesh.contract.errors import PhasemeshError
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.rollout import play
from phasemesh.trainer.weights import Weights, actor_with, weights_of

GC_THRESHOLD = 20_000
"""Objects between two looks for cycles: an episode makes next to none, and looking took a twentieth of its time."""
EXIT_ORPHAN = 1
"""Exit code of a worker whose trainer is gone."""


class _Work(NamedTuple):
    """An episode that is being played, by its place among the plans."""

    place: int
    plan: EpisodePlan
    process: ForkServerProcess


class Crew:
    """Plays episodes in at most `workers` processes at a time; results do not depend on how many there are."""

    def __init__(self, workers: int) -> None:
        """Processes are forked from a server that has imported everything but never ran a simulation."""
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._workers = workers
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def play(self, actor: Actor, plans: Sequence[EpisodePlan]) -> list[Episode]:
        """The episodes of `plans` with the weights of `actor` as they are now, in the order of the plans.

        Raises PhasemeshError, with the plan, when a worker dies, and what SUMO says when it refuses.
        """
        weights = weights_of(actor)
        waiting = deque(enumerate(plans))
        running: dict[Connection, _Work] = {}
        played: dict[int, Episode] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self._workers:
                    place, plan = waiting.popleft()
                    connection, process = self._start(weights, plan)
                    running[connection] = _Work(place, plan, process)
                ready = wait(list(running))
                for connection in [each for each in running if each in ready]:
                    work = running[connection]
                    played[work.place] = _received(connection, work)
                    del running[connection]
        finally:
            _end(running)
        return [played[place] for place in range(len(plans))]

    def close(self) -> None:
        """Nothing: no process outlives the episodes that it was started for."""

    def _start(self, weights: Weights, plan: EpisodePlan) -> tuple[Connection, ForkServerProcess]:
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_work, args=(sender, weights, plan), daemon=True)
        with unbroken():
            process.start()
        # The worker holds the only other end, so that its death ends the connection.
        sender.close()
        return receiver, process


@contextmanager
def unbroken() -> Iterator[None]:
    """Within it Ctrl-C waits for the end of the block.

    A start that is broken off leaves the server of the workers with half an order, of which it tells in a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
    for number in came[:1]:
        signal.raise_signal(number)


def _received(connection: Connection, work: _Work) -> Episode:
    """The episode that a worker sent; raises what it raised, or says that it died."""
    try:
        answer: Episode | PhasemeshError = connection.recv()
    except EOFError:
        work.process.join()
        where = f"{work.plan.scenario}, seed {work.plan.seed}"
        raise PhasemeshError(f"{where}: the worker died with exit code {work.process.exitcode}") from None
    work.process.join()
    connection.close()
    if isinstance(answer, PhasemeshError):
        raise answer
    return answer


def _end(running: dict[Connection, _Work]) -> None:
    """End what is still being played, after an error or Ctrl-C."""
    for connection, work in running.items():
        work.process.terminate()
        work.process.join()
        connection.close()


def _work(sender: Connection, weights: Weights, plan: EpisodePlan) -> None:
    """Play one episode in this process and send it, or the error that a user can put right."""
    # There is a worker a core; Ctrl-C ends a worker without words, since the trainer has them.
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    threading.Thread(target=_end_with_trainer, name="phasemesh-trainer-watch", daemon=True).start()
    try:
        sender.send(play(actor_with(weights), plan))
    except PhasemeshError as error:
        sender.send(error)


def _end_with_trainer() -> None:
    """End this process when the trainer is gone, however it ended: nobody would take the episode.

    The server of all workers ends with the last of them.
    """
    trainer = multiprocessing.parent_process()
    if trainer is not None:
        trainer.join()
        os._exit(EXIT_ORPHAN)
