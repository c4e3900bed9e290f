"""SUMO's netgenerate: networks from options, without the dates and paths that it writes into them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from phasemesh.contract.errors import ScenarioError
from phasemesh.sim_harness.sumo.binaries import sumo_program

SOURCE = "generated with SUMO's netgenerate"
LICENCE = "Apache-2.0, as phasemesh"
_COMMENT = re.compile(rb"<!--.*?-->\s*", re.DOTALL)


def generate_network(kind: str, options: Mapping[str, object], path: Path) -> None:
    """Write the network of `kind` (`grid`, `spider`, `rand`) with `options` to `path`.

    Raises:
        MissingExtraError: SUMO is not installed.
        ScenarioError: netgenerate refuses; with its first sentence.
    """
    pairs = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    fixed = ["--no-warnings", "true", "--output-file", str(path)]
    command = [str(sumo_program("netgenerate")), f"--{kind}", *pairs, *fixed]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode != 0:
        lines = (line for line in done.stderr.splitlines() if line.strip() and not line.startswith("Warning"))
        reason = next(lines, "no reason given")
        raise ScenarioError(f"netgenerate failed: {reason}")
    path.write_bytes(_COMMENT.sub(b"", path.read_bytes()))
