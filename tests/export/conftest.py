"""Tests that need torch are left out where it is not installed, and keep it to one thread where it is."""

from __future__ import annotations

import sys
from importlib.util import find_spec

NEED_TORCH = ["test_export_pipeline.py", "test_foreign_graphs.py", "test_onnx_export.py", "test_rule_weights.py"]

collect_ignore = [] if find_spec("torch") else NEED_TORCH


def pytest_collection_finish() -> None:
    """Small tensors gain nothing from threads, which on a busy machine wait for each other."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
