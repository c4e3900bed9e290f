"""Episodes on a Ray cluster: the same rollouts in the same order, each in a fresh process of some machine."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import torch

from phasemesh.contract.errors import InputError, MissingExtraError, PhasemeshError
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.episode import Episode, EpisodePlan
from phasemesh.trainer.rollout import play
from phasemesh.trainer.weights import Weights, actor_with, weights_of

LOCAL = "local"
"""The address of a cluster of this machine alone, which begins and ends with the training."""


class RayCrew:
    """Plays as many episodes at a time as the cluster has processors; results are those of a `Crew`."""

    def __init__(self, address: str) -> None:
        """Join the cluster at `address`, or begin a local one.

        Raises:
            MissingExtraError: Ray is not installed.
            InputError: There is no cluster that can be joined.
        """
        # Nothing is told to anybody unless its user asks for it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray: Any = _load()
        try:
            self._ray.init(address=address, log_to_driver=False, include_dashboard=False if address == LOCAL else None)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"--ray {address}: no cluster can be joined: {str(error).partition(chr(10))[0]}"
            ) from error
        # A worker that has played does not play again: SUMO restarted within a process is not repeatable.
        self._task = self._ray.remote(num_cpus=1, max_calls=1, max_retries=0)(_work)

    def play(self, actor: Actor, plans: Sequence[EpisodePlan]) -> list[Episode]:
        """As `Crew.play`; raises PhasemeshError, with the plan, when a worker dies, and what SUMO says."""
        weights = self._ray.put(weights_of(actor))
        tasks = [self._task.remote(weights, plan) for plan in plans]
        try:
            return [self._received(task, plan) for task, plan in zip(tasks, plans, strict=True)]
        finally:
            # After an error or Ctrl-C some are still being played; for the others this does nothing.
            for task in tasks:
                self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Leave the cluster, or end the local one."""
        self._ray.shutdown()

    def _received(self, task: Any, plan: EpisodePlan) -> Episode:  # noqa: ANN401 (Ray's own reference)
        try:
            answer: Episode | PhasemeshError = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            text = str(error).strip().partition("\n")[0]
            raise PhasemeshError(f"{plan.scenario}, seed {plan.seed}: the worker died: {text}") from None
        if isinstance(answer, PhasemeshError):
            raise answer
        return _owned(answer)


def _load() -> Any:  # noqa: ANN401 (Ray is optional)
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"--ray needs {error.name}; run pip install 'phasemesh[ray]'") from error


def _work(weights: Weights, plan: EpisodePlan) -> Episode | PhasemeshError:
    """Play one episode in this process, or say what a user can put right."""
    torch.set_num_threads(1)
    arrays = {name: np.array(array) for name, array in weights.arrays.items()}
    try:
        return play(actor_with(Weights(weights.spec, arrays)), plan)
    except PhasemeshError as error:
        return error


def _owned(episode: Episode) -> Episode:
    """`episode` with arrays that may be written; those that Ray gives lie in its store."""
    layout = msgspec.structs.replace(episode.layout, **_copies(episode.layout))
    return msgspec.structs.replace(episode, **_copies(episode) | {"layout": layout})


def _copies(struct: msgspec.Struct) -> dict[str, np.ndarray]:
    values = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return {name: np.array(value) for name, value in values.items() if isinstance(value, np.ndarray)}
