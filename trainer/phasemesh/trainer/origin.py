"""Another run's weights, or those of a bundle, as the beginning of a training.

Its actor is taken over, and its critic and value scale where both recipes reward alike and it has learned them; a
bundle has none. What its optimiser remembers belongs to another recipe, and what is drawn follows from the seed of the
new run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from phasemesh.contract.errors import BundleError, InputError
from phasemesh.controller.policy.bundle import find_bundle
from phasemesh.trainer.bundle_weights import read_bundle
from phasemesh.trainer.checkpoint import CHECKPOINT_NAME, load_actor, load_networks
from phasemesh.trainer.learners.learner import Core
from phasemesh.trainer.recipe import LearnerKind
from phasemesh.trainer.run_folder import RUN_NAME, Origin, read_run


def find_origin(name_or_folder: str | Path) -> Origin:
    """The run in a folder as it is now, or a bundle by folder or name; raises InputError when neither can be used."""
    folder = Path(name_or_folder)
    if (folder / RUN_NAME).is_file():
        read_run(folder)
        _, iteration = load_actor(folder / CHECKPOINT_NAME)
        return Origin(folder=str(folder.resolve()), iteration=iteration, sha256=_digest(folder))
    try:
        bundle = find_bundle(name_or_folder)
    except BundleError as error:
        raise InputError(f"--from {name_or_folder}: holds no training; {error}") from error
    _, loaded = read_bundle(bundle)
    training = loaded.manifest.provenance.training
    return Origin(folder=str(bundle.resolve()), iteration=training.iterations if training else 0, sha256=loaded.digest)


def take_over(origin: Origin, core: Core) -> None:
    """Put the weights of `origin` into `core`; raises InputError when they are no longer what they were."""
    folder = Path(origin.folder)
    if (folder / RUN_NAME).is_file():
        _take_over_run(folder, origin, core)
    else:
        _take_over_bundle(folder, origin, core)


def _take_over_run(folder: Path, origin: Origin, core: Core) -> None:
    run = read_run(folder)
    if _digest(folder) != origin.sha256:
        raise InputError(f"{folder}: has been trained on since this run was asked for; begin anew with --from {folder}")
    has_critic = run.recipe.reward == core.recipe.reward and run.recipe.learner.kind is not LearnerKind.DISTIL
    load_networks(folder / CHECKPOINT_NAME, core, has_critic=has_critic)


def _take_over_bundle(folder: Path, origin: Origin, core: Core) -> None:
    actor, bundle = read_bundle(folder)
    if bundle.digest != origin.sha256:
        raise InputError(f"{folder}: was exported again since this run was asked for; begin anew with --from {folder}")
    try:
        core.actor.load_state_dict(actor.state_dict())
    except RuntimeError as error:
        raise InputError(f"{folder}: holds another network than the recipe's") from error


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / CHECKPOINT_NAME).read_bytes()).hexdigest()
