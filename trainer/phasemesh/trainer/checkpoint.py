"""Checkpoints: the full state of a training in one file of plain arrays, so that a resumed run goes on exactly.

Nothing in it can run code: a NumPy archive without objects, and one JSON text inside.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.trainer.actor import Actor
from phasemesh.trainer.actor_spec import UNIVERSAL, ActorSpec
from phasemesh.trainer.learners.learner import Core
from phasemesh.trainer.weights import Weights, actor_with

CHECKPOINT_NAME = "checkpoint.npz"
_FORMAT = 1
_META = "meta"


class Meta(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a checkpoint holds beside arrays: the state of every generator of random numbers, and where it stands.

    `elapsed_s` is the wall time of training so far. `optimiser` are the settings of the optimiser's groups.
    `actor` is what the actor was made from, None for `UNIVERSAL`.
    """

    format: int
    spec_hash: str
    iteration: int
    elapsed_s: float
    random: dict[str, Any]
    optimiser: list[dict[str, Any]]
    actor: ActorSpec | None = None


Arrays = dict[str, np.ndarray]


def save_checkpoint(path: Path, core: Core, random: np.random.Generator, *, iteration: int, elapsed_s: float) -> None:
    """Write the state of a training; the file appears whole or not at all."""
    state = core.optimiser.state_dict()
    meta = Meta(
        format=_FORMAT,
        spec_hash=SPEC_HASH,
        iteration=iteration,
        elapsed_s=elapsed_s,
        random=dict(random.bit_generator.state),
        optimiser=state["param_groups"],
        actor=None if core.actor.spec == UNIVERSAL else core.actor.spec,
    )
    arrays = {
        **{name: array for prefix, module in _modules(core).items() for name, array in _arrays(prefix, module).items()},
        **_moments(state["state"]),
        "torch_random": torch.get_rng_state().numpy(),
        _META: np.frombuffer(msgspec.json.encode(meta, enc_hook=str), dtype=np.uint8),
    }
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(buffer.getvalue())
    fresh.replace(path)


def load_checkpoint(path: Path, core: Core, random: np.random.Generator) -> Meta:
    """Put the state at `path` into `core` and `random`; raises InputError when it is missing, broken or foreign."""
    arrays, meta = _read(path)
    if (meta.actor or UNIVERSAL) != core.actor.spec:
        raise InputError(f"{path}: is a checkpoint of another network or recipe: its actor is {meta.actor}")
    try:
        for prefix, module in _modules(core).items():
            module.load_state_dict(_tensors(arrays, prefix))
        core.optimiser.load_state_dict({"state": _optimiser_state(arrays), "param_groups": meta.optimiser})
        torch.set_rng_state(torch.from_numpy(arrays["torch_random"]))
        random.bit_generator.state = meta.random
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: is a checkpoint of another network or recipe: {_first_line(error)}") from error
    return meta


def load_networks(path: Path, core: Core, *, has_critic: bool) -> None:
    """Put the actor at `path` into `core`, and with `has_critic` what judges it too; errors as above."""
    arrays, meta = _read(path)
    if (meta.actor or UNIVERSAL).sites != core.actor.spec.sites:
        raise InputError(f"{path}: is a checkpoint of an actor for other intersections")
    wanted = _modules(core) if has_critic else {"actor": core.actor}
    try:
        for prefix, module in wanted.items():
            module.load_state_dict(_tensors(arrays, prefix))
    except RuntimeError as error:
        raise InputError(f"{path}: is a checkpoint of another network: {_first_line(error)}") from error


def load_actor(path: Path) -> tuple[Actor, int]:
    """The actor in the checkpoint `path` and how many iterations made it; raises InputError when it cannot be used."""
    arrays, meta = _read(path)
    weights = {name.removeprefix("actor/"): array for name, array in arrays.items() if name.startswith("actor/")}
    try:
        return actor_with(Weights(meta.actor or UNIVERSAL, weights)), meta.iteration
    except RuntimeError as error:
        raise InputError(f"{path}: is a checkpoint of another network: {_first_line(error)}") from error


def read_progress(path: Path) -> tuple[int, float]:
    """The iterations and the wall time in seconds that made the checkpoint `path`; raises InputError as above."""
    _, meta = _read(path)
    return meta.iteration, meta.elapsed_s


def _read(path: Path) -> tuple[Arrays, Meta]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        meta = msgspec.json.decode(arrays[_META].tobytes(), type=Meta)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise InputError(f"{path}: is no checkpoint: {_first_line(error)}") from error
    if meta.format != _FORMAT:
        raise InputError(f"{path}: has format {meta.format}, this version reads {_FORMAT}")
    if meta.spec_hash != SPEC_HASH:
        raise InputError(f"{path}: was trained for observation spec {meta.spec_hash}, this version has {SPEC_HASH}")
    return arrays, meta


def _modules(core: Core) -> dict[str, nn.Module]:
    """Everything with weights of its own, by how the names of its arrays begin."""
    return {"actor": core.actor, "critic": core.critic, "scale": core.scale, "shares": core.shares}


def _arrays(prefix: str, module: nn.Module) -> Arrays:
    return {f"{prefix}/{name}": tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


def _moments(state: Mapping[int, Mapping[str, torch.Tensor]]) -> Arrays:
    """What the optimiser remembers of every parameter, by the parameter's number."""
    return {
        f"optimiser/{number}/{name}": tensor.detach().cpu().numpy()
        for number, remembered in state.items()
        for name, tensor in remembered.items()
    }


def _optimiser_state(arrays: Arrays) -> dict[int, dict[str, torch.Tensor]]:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for path, tensor in _tensors(arrays, "optimiser").items():
        number, _, name = path.partition("/")
        state.setdefault(int(number), {})[name] = tensor
    return state


def _tensors(arrays: Arrays, prefix: str) -> dict[str, torch.Tensor]:
    found = {name: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}
    return {name.removeprefix(f"{prefix}/"): torch.from_numpy(array.copy()) for name, array in found.items()}


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
