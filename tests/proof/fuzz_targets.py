"""Every decoder of phasemesh, one row each, and how it is asked with bytes that nobody has checked."""

from __future__ import annotations

import fuzz_files
import fuzz_rest
from fuzz_bench import Target

TARGETS: dict[str, Target] = {target.name: target for target in (*fuzz_files.TARGETS, *fuzz_rest.TARGETS)}
"""By name. Graphs of policies are not among them: their bytes are signed, and onnxruntime reads them."""
