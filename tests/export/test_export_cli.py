"""`phasemesh export` where the optional part for training is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
from phasemesh.export import cli
from phasemesh.contract.errors import MissingExtraError
assert not {"torch", "onnx"} & set(sys.modules), "importing the command must be cheap"
sys.modules[sys.argv[1]] = None
try:
    cli.export("rule:max-pressure", Path("never-written"))
except MissingExtraError as error:
    print(error)
"""


@pytest.mark.parametrize("missing", ["torch", "onnx"])
def test_a_missing_package_is_one_line_that_says_what_to_install(missing: str) -> None:
    """And importing the command does not need it."""
    if missing == "onnx":
        pytest.importorskip("torch")

    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, missing], capture_output=True, text=True, check=True, timeout=100
    )

    assert found.stdout == f"export needs {missing}; run pip install 'phasemesh[train]'\n"
