"""What training needs beside the edge, and what to install where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from phasemesh.contract.errors import MissingExtraError

_TRAIN_PACKAGES = {
    "torch": "train",
    "tensorboard": "train",
    "pettingzoo": "sim",
    "gymnasium": "sim",
    "libsumo": "sim",
    "rich": "sim",
}
"""What training imports, with the extra that brings it."""


@contextmanager
def what_training_needs() -> Iterator[None]:
    """Say in one line which extra is missing when an import within fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _TRAIN_PACKAGES:
            raise
        extra = _TRAIN_PACKAGES[package]
        raise MissingExtraError(f"training needs {package}; run pip install 'phasemesh[{extra}]'") from error
