"""Tests that need torch are left out where it is not installed, and keep it to one thread where it is."""

from __future__ import annotations

import sys
from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") and find_spec("pettingzoo") else ["test_*.py"]


def pytest_collection_finish() -> None:
    """Small tensors gain nothing from threads, which on a busy machine wait for each other."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
