"""Fixtures for every room; the factories beside this file are importable as `factories`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
