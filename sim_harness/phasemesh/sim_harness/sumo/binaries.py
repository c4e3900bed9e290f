"""Where SUMO's programs are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from phasemesh.contract.errors import MissingExtraError


def sumo_home() -> Path | None:
    """The folder of SUMO: that of the installed wheel, else the environment variable SUMO_HOME, else None."""
    spec = importlib.util.find_spec("sumo")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    if configured := os.environ.get("SUMO_HOME"):
        folders.append(Path(configured))
    return next((folder for folder in folders if (folder / "bin").is_dir()), None)


def sumo_program(name: str) -> Path:
    """The program `name` of SUMO, such as `netgenerate`; raises MissingExtraError when SUMO is not installed."""
    home = sumo_home()
    if home is not None and (home / "bin" / name).is_file():
        return home / "bin" / name
    if found := shutil.which(name):
        return Path(found)
    raise MissingExtraError(f"SUMO's program {name} is not installed; run: pip install 'phasemesh[sim]'")
