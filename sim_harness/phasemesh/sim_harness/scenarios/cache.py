"""Where generated scenarios are kept: whole or not at all, under a name that says what they were made from."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from phasemesh.contract.errors import ScenarioError


def cache_folder() -> Path:
    """Where generated scenarios are kept: under XDG_CACHE_HOME, or under `.cache` of the home folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "phasemesh" / "scenarios"


def kept(name: str, recipe: msgspec.Struct, sources: tuple[Path, ...], make: Callable[[Path], None]) -> Path:
    """The folder of a generated scenario, from the cache or filled by `make` now.

    Args:
        name: Begins the name of the folder.
        recipe: What it is made from; another recipe has another folder.
        sources: The files of the generator; when one changes, or SUMO, everything is made again.
        make: Fills an empty folder; whatever it raises leaves nothing behind.

    Raises ScenarioError when the cache cannot be written.
    """
    folder = cache_folder() / f"{name}-{_key(recipe, sources)}"
    try:
        if not folder.is_dir():
            _make(folder, make)
    except OSError as error:
        raise ScenarioError(f"{folder}: cannot be written: {error}") from error
    return folder


def _key(recipe: msgspec.Struct, sources: tuple[Path, ...]) -> str:
    """Names a recipe, its generator and the SUMO that builds the network."""
    try:
        sumo = version("eclipse-sumo")
    except PackageNotFoundError:
        sumo = "unknown"
    texts = [path.read_text(encoding="utf-8") for path in sources]
    return hashlib.sha256(msgspec.json.encode((recipe, sumo, texts))).hexdigest()[:16]


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    """Fill a temporary folder beside `folder` and rename it, so that a half-made scenario is never seen."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        make(made)
        _publish(made, folder)


def _publish(made: Path, folder: Path) -> None:
    """Rename `made` to `folder`; another process that was faster made the same files."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
