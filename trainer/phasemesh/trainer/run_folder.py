"""The folder of a training: what was asked for, where it came from, and how it went."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from phasemesh.contract.errors import InputError
from phasemesh.contract.observation import SPEC_HASH
from phasemesh.trainer.alarms import Alarm
from phasemesh.trainer.learners.learner import Stats
from phasemesh.trainer.recipe import Recipe

RUN_NAME = "run.json"
CURVES_NAME = "curves.jsonl"
TENSORBOARD_NAME = "tensorboard"
_TOOLS = ("phasemesh", "torch", "eclipse-sumo", "numpy")


class Origin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another run, as it was after `iteration` iterations; `sha256` is that of its checkpoint."""

    folder: str
    iteration: int
    sha256: str


class RunDescription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a training was asked for and with what it was made; everything but `created` repeats it.

    `origin` is the run whose weights it began with. `revision` is that of git, with a + where files differed from it,
    or empty outside of a checkout.
    """

    format: int = 1
    recipe_name: str
    recipe: Recipe
    scenarios: tuple[str, ...]
    seed: int
    spec_hash: str = SPEC_HASH
    origin: Origin | None = None
    revision: str = ""
    created: str = ""
    tool_versions: dict[str, str] = {}


class CurveRow(msgspec.Struct, frozen=True, kw_only=True):
    """One iteration: wall time so far and its parts, delay and reward by scenario, the figures of the update, alarms.

    `steps_per_s` counts decisions of agents a second of playing; `monitor_trips` must be 0. `deviations` is the share
    of decisions in which a planner left its base.
    """

    iteration: int
    elapsed_s: float
    play_s: float
    update_s: float
    steps_per_s: float
    learning_rate: float
    delay_s: dict[str, float]
    reward: dict[str, float]
    stats: Stats
    monitor_trips: int
    deviations: float = 0.0
    alarms: tuple[Alarm, ...] = ()


def describe(
    recipe_name: str, recipe: Recipe, scenarios: tuple[str, ...], seed: int, origin: Origin | None = None
) -> RunDescription:
    """The description of a training that begins now, with this source and these tools."""
    return RunDescription(
        recipe_name=recipe_name,
        recipe=recipe,
        scenarios=scenarios,
        seed=seed,
        origin=origin,
        revision=_revision(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        tool_versions={name: metadata.version(name) for name in _TOOLS},
    )


def begin_run(folder: Path, description: RunDescription) -> None:
    """Make `folder` and write `description` into it; raises InputError when another training is there already."""
    if (folder / RUN_NAME).exists():
        raise InputError(f"--out {folder}: holds a training already; go on with --resume or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.format(msgspec.json.encode(description), indent=2)
        (folder / RUN_NAME).write_bytes(content + b"\n")
    except OSError as error:
        raise InputError(f"--out {folder}: cannot be written: {error.strerror}") from error


def read_run(folder: Path) -> RunDescription:
    """The description of the training in `folder`; raises InputError when there is none that can be used."""
    path = folder / RUN_NAME
    try:
        description = msgspec.json.decode(path.read_bytes(), type=RunDescription)
    except OSError as error:
        raise InputError(f"{folder}: holds no training: {RUN_NAME} {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise InputError(f"{path}: {error}") from error
    if description.spec_hash != SPEC_HASH:
        raise InputError(
            f"{folder}: was trained for observation spec {description.spec_hash}, this version has {SPEC_HASH}"
        )
    return description


def append_curve(folder: Path, row: CurveRow) -> None:
    """Add an iteration to the curves."""
    with (folder / CURVES_NAME).open("ab") as file:
        file.write(msgspec.json.encode(row) + b"\n")


def cut_curves(folder: Path, iteration: int) -> list[CurveRow]:
    """Forget the iterations from `iteration` on, which a resumed training plays again; the rows that are left."""
    if not (folder / CURVES_NAME).exists():
        return []
    rows = [row for row in read_curves(folder) if row.iteration < iteration]
    (folder / CURVES_NAME).write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return rows


def read_curves(folder: Path) -> list[CurveRow]:
    """The iterations so far; raises InputError when there are none that can be read."""
    path = folder / CURVES_NAME
    try:
        return [msgspec.json.decode(line, type=CurveRow) for line in path.read_bytes().splitlines()]
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _revision() -> str:
    """The git revision of the checkout that this file belongs to, with a + where files differ; empty without one.

    A file that was installed into a folder of somebody else's checkout does not belong to it.
    """
    here = Path(__file__).parent
    try:
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        revision = _git(here, "rev-parse", "HEAD")
        return f"{revision}+" if _git(here, "status", "--porcelain", "--untracked-files=no") else revision
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 (fixed words)
