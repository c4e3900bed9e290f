"""Fixtures for every room; the factories beside this file are importable as `factories`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

settings.register_profile(
    "phasemesh",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # Where a failure cannot be asked again, the same examples are drawn every time.
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("phasemesh")
sys.path.insert(0, str(Path(__file__).parent))
