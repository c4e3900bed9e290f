"""The bundles that ship with phasemesh; each sub-folder is one, made by `phasemesh export`."""

from __future__ import annotations

from pathlib import Path


def folder() -> Path:
    """The folder whose sub-folders are the shipped bundles."""
    return Path(__file__).parent
