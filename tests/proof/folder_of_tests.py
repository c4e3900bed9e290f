"""Makes the factories beside the tests importable for the scripts in this folder, as `tests/conftest.py` does."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
