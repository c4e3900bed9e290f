"""Left out as a whole where torch is not installed."""

from __future__ import annotations

from importlib.util import find_spec

NEED_TORCH = ["test_export_pipeline.py", "test_foreign_graphs.py", "test_onnx_export.py", "test_rule_weights.py"]

collect_ignore = [] if find_spec("torch") else NEED_TORCH
