"""Another run's weights as the beginning of a training.

Its actor is taken over, and its critic and value scale where both recipes reward alike and it has learned them. What
its optimiser remembers belongs to another recipe, and what is drawn follows from the seed of the new run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from phasemesh.contract.errors import InputError
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor, load_networks
from phasemesh.trainer.learners.learner import Core
from phasemesh.trainer.recipe import LearnerKind
from phasemesh.trainer.run_folder import Origin, read_run


def find_origin(folder: Path) -> Origin:
    """The run in `folder` as it is now; raises InputError when it cannot be begun with."""
    read_run(folder)
    _, iteration = load_actor(folder / CHECKPOINT_NAME)
    return Origin(folder=str(folder.resolve()), iteration=iteration, sha256=_digest(folder))


def take_over(origin: Origin, core: Core) -> None:
    """Put the weights of `origin` into `core`; raises InputError when they are no longer what they were."""
    folder = Path(origin.folder)
    run = read_run(folder)
    if _digest(folder) != origin.sha256:
        raise InputError(f"{folder}: has been trained on since this run was asked for; begin anew with --from {folder}")
    has_critic = run.recipe.reward == core.recipe.reward and run.recipe.learner.kind is not LearnerKind.DISTIL
    load_networks(folder / CHECKPOINT_NAME, core, has_critic=has_critic)


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / CHECKPOINT_NAME).read_bytes()).hexdigest()
