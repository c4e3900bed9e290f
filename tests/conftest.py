"""Fixtures for every room; the factories beside this file are importable as `factories`."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
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

# A shell starts what it puts into the background deaf to Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Keys that tests make and trust are not the developer's.
_SETTINGS = tempfile.TemporaryDirectory(prefix="phasemesh-settings-")
os.environ["XDG_CONFIG_HOME"] = _SETTINGS.name
